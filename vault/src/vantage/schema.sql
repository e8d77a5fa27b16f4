-- What this site saw of the checks that the controller ordered. Nothing else knows it: this file is not rebuilt.
CREATE TABLE checks (
    id INTEGER PRIMARY KEY,
    "check" BLOB NOT NULL UNIQUE
);

CREATE TABLE observations (
    number INTEGER PRIMARY KEY,
    "check" INTEGER NOT NULL REFERENCES checks (id),
    at INTEGER NOT NULL,
    interval_s INTEGER NOT NULL,
    up INTEGER NOT NULL,
    latency_ms INTEGER,
    certificate_expires INTEGER,
    detail TEXT
);

CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The last number that was given.
    last INTEGER NOT NULL,
    -- The last number that was sent, noted before it was.
    sent INTEGER NOT NULL,
    -- What the controller said it has.
    acknowledged INTEGER NOT NULL
);
INSERT INTO progress VALUES (1, 0, 0, 0);
