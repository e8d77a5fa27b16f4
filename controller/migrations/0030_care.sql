-- The log of a server's care: what was done to it, by whom, and when it is due again.
CREATE TABLE care (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    server BLOB NOT NULL REFERENCES servers (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    done_on TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    note TEXT NOT NULL,
    due_on TEXT,
    UNIQUE (server, kind, done_on, name)
) STRICT;
CREATE INDEX care_of_pd ON care (pd);
