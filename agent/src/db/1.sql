-- What each job of the agent's own file did last; times are seconds since 1970 UTC.
CREATE TABLE job (
    name          TEXT PRIMARY KEY,
    known_since   INTEGER NOT NULL,
    last_started  INTEGER,
    last_finished INTEGER,
    last_ok       INTEGER,
    failures      INTEGER NOT NULL DEFAULT 0,
    retry_at      INTEGER,
    outcome       TEXT,
    message       TEXT,
    manifest      TEXT
) STRICT;

-- Reports in the order in which they were made. AUTOINCREMENT: a number is never used twice.
CREATE TABLE report (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    body         TEXT NOT NULL,
    acknowledged INTEGER
) STRICT;

CREATE INDEX report_waiting ON report (number) WHERE acknowledged IS NULL;

CREATE TABLE memo (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
