-- Who leads an incident, who writes, and PagerDuty's incidents that belong to it.
ALTER TABLE incidents ADD COLUMN lead TEXT;
ALTER TABLE incidents ADD COLUMN scribe TEXT;
ALTER TABLE incidents ADD COLUMN pagerduty TEXT NOT NULL DEFAULT '[]';
ALTER TABLE incidents ADD COLUMN triggers INTEGER NOT NULL DEFAULT 0;

-- What came in by itself and is still to be dealt with: a webhook, a reaction, somebody who joined. A row lives until then.
CREATE TABLE signals (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    signal      TEXT    NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

-- What people are called, for documents that are written while Slack is away.
CREATE TABLE people (
    user TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
