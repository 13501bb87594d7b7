-- When a change last reached a node, whatever it was: the newest a node. Who and why is in the operation and in the audit.
CREATE TABLE touched (
    node      TEXT    PRIMARY KEY,
    what      TEXT    NOT NULL,
    operation INTEGER NOT NULL REFERENCES operations (id),
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
