-- habops' memory. Times are nanoseconds since 1970 (UTC), so that what is read equals what was written; the audit keeps its
-- times as the text that was hashed. Lists and structures are JSON. Migrations are only ever added, never changed.

CREATE TABLE incidents (
    id        INTEGER PRIMARY KEY,          -- the number of the operation that opened it
    title     TEXT    NOT NULL,
    state     TEXT    NOT NULL,             -- open | closed
    opened_by TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER,
    home      TEXT    NOT NULL,
    links     TEXT    NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX incidents_by_state ON incidents (state);

CREATE TABLE operations (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,   -- a number is never given twice
    text             TEXT    NOT NULL,
    command          TEXT,
    actor            TEXT    NOT NULL,
    whence           TEXT    NOT NULL,
    via              TEXT    NOT NULL,
    yes              INTEGER NOT NULL DEFAULT 0,
    state            TEXT    NOT NULL,
    received_at      INTEGER NOT NULL,
    started_at       INTEGER,
    ended_at         INTEGER,
    waits_until      INTEGER,                             -- choosing and awaiting: until when
    incident         INTEGER REFERENCES incidents (id),
    answer           TEXT,
    changes          INTEGER NOT NULL DEFAULT 0,
    environments     TEXT    NOT NULL DEFAULT '[]',
    nodes            TEXT    NOT NULL DEFAULT '[]',
    proposal         TEXT,
    owner            TEXT,
    lease_until      INTEGER,
    fence            INTEGER NOT NULL DEFAULT 1,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    output           TEXT,
    redacted         INTEGER NOT NULL DEFAULT 0,
    chosen           INTEGER
) STRICT;
CREATE INDEX operations_not_ended ON operations (state) WHERE ended_at IS NULL;
CREATE INDEX operations_of_incident ON operations (incident, id) WHERE incident IS NOT NULL;
CREATE INDEX operations_with_output ON operations (ended_at) WHERE output IS NOT NULL;

-- What came in, so that a second delivery of it is recognised.
CREATE TABLE deliveries (
    key         TEXT    PRIMARY KEY,
    received_at INTEGER NOT NULL,
    operation   INTEGER REFERENCES operations (id)        -- absent for a button
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_age ON deliveries (received_at);

-- Credentials, in a table of their own; a row lives thirty minutes.
CREATE TABLE reply_addresses (
    operation   INTEGER PRIMARY KEY REFERENCES operations (id),
    address     TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    uses        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE offers (
    id         TEXT    PRIMARY KEY,
    action     TEXT    NOT NULL,
    operation  INTEGER REFERENCES operations (id),
    command    TEXT,
    incident   INTEGER,
    expires_at INTEGER,
    made_at    INTEGER NOT NULL,
    used_by    TEXT,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX offers_by_age ON offers (made_at);

-- One row a visible thing; it holds the newest wish for it.
CREATE TABLE outbox (
    row           INTEGER PRIMARY KEY AUTOINCREMENT,
    key           TEXT    NOT NULL UNIQUE,
    operation     INTEGER,
    channel       TEXT    NOT NULL,
    under         TEXT    NOT NULL,
    waits_for     TEXT,                                   -- the key it stands under, or pins
    pins          INTEGER NOT NULL DEFAULT 0,
    carrier       TEXT    NOT NULL,
    lane          INTEGER NOT NULL,
    output        TEXT    NOT NULL,
    redacted      INTEGER NOT NULL,
    about         TEXT    NOT NULL,
    seq           INTEGER NOT NULL DEFAULT 1,
    state         TEXT    NOT NULL,                       -- waiting | claimed | sent | dead
    blocked       INTEGER NOT NULL,                       -- 1 while what it waits for is not there
    queued        INTEGER NOT NULL,                       -- 1 while it takes its turn among the new messages of channel and lane
    ts            TEXT,
    wished_at     INTEGER NOT NULL,                       -- when it began to wait
    due_at        INTEGER NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0,
    doubtful      INTEGER NOT NULL DEFAULT 0,
    claimed_by    TEXT,
    claimed_until INTEGER,
    claimed_seq   INTEGER,
    settled_at    INTEGER,
    said          TEXT,                                   -- why it is not there yet, or never will be
    told          INTEGER NOT NULL DEFAULT 0              -- a dead one: whether a person was told
) STRICT;
CREATE INDEX outbox_free ON outbox (due_at) WHERE state = 'waiting' AND blocked = 0 AND queued = 0;
CREATE INDEX outbox_queued ON outbox (channel, lane, row, queued, blocked) WHERE queued = 1 AND blocked = 0;
CREATE INDEX outbox_blocked ON outbox (waits_for) WHERE blocked = 1;
CREATE INDEX outbox_claimed ON outbox (claimed_until) WHERE state = 'claimed';
CREATE INDEX outbox_waiting ON outbox (wished_at) WHERE state IN ('waiting', 'claimed');
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE timeline (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    incident  INTEGER NOT NULL REFERENCES incidents (id),
    at        INTEGER NOT NULL,
    actor     TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    operation INTEGER REFERENCES operations (id)
) STRICT;
CREATE INDEX timeline_of_incident ON timeline (incident, at);

CREATE TABLE freezes (
    environment TEXT    PRIMARY KEY,                      -- empty: everywhere
    why         TEXT    NOT NULL,
    by          TEXT    NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A lock lives as long as its operation; its lease is the operation's.
CREATE TABLE locks (
    name      TEXT    PRIMARY KEY,
    operation INTEGER NOT NULL REFERENCES operations (id),
    taken_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX locks_of_operation ON locks (operation);

-- What the watchers remember.
CREATE TABLE memos (
    name  TEXT    PRIMARY KEY,
    value TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    at        TEXT    NOT NULL,
    actor     TEXT    NOT NULL,
    operation INTEGER,
    event     TEXT    NOT NULL,
    previous  TEXT    NOT NULL,
    hash      TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_of_operation ON audit (operation) WHERE operation IS NOT NULL;
-- Against accidents; against intent there is the chain.
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
