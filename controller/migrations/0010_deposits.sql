-- What is owed by date, and what was handed in for it.

-- Since when this controller knows a duty of the profile: nothing is owed for the time before.
CREATE TABLE duties (
    id TEXT NOT NULL PRIMARY KEY,
    since_s INTEGER NOT NULL
) STRICT;

-- The id of what follows from a duty is derived from duty, subject and period, so that nothing is made twice. Wording,
-- article and date stay as they were when it was made. A document is kept as its hash, name and size.
CREATE TABLE deposits (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Null: somebody entered it.
    duty TEXT,
    title_id TEXT NOT NULL,
    title_en TEXT NOT NULL,
    article TEXT NOT NULL,
    force TEXT NOT NULL CHECK (force IN ('must', 'shall', 'may', 'proposal')),
    date_by TEXT NOT NULL,
    obligations TEXT NOT NULL CHECK (json_valid(obligations)),
    -- Null: the city, of which no PD runs the Pusat Data.
    pd BLOB REFERENCES pds (id),
    application BLOB REFERENCES applications (id),
    service BLOB REFERENCES services (id),
    -- Null: it is owed once.
    period TEXT,
    -- The last second in which it is in time.
    due_s INTEGER NOT NULL,
    created_s INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'delivered', 'accepted', 'returned', 'cancelled')),
    -- The controller cancelled it since nothing asks for it any more: it opens again if something does.
    lapsed INTEGER NOT NULL CHECK (lapsed IN (0, 1)),
    delivered_s INTEGER,
    delivered_by TEXT,
    document TEXT,
    sha256 BLOB CHECK (length(sha256) = 32),
    bytes INTEGER CHECK (bytes > 0),
    letter TEXT,
    note TEXT,
    decided_s INTEGER,
    decided_by TEXT,
    reason TEXT,
    CHECK (application IS NULL OR service IS NULL),
    CHECK ((delivered_s IS NULL) = (delivered_by IS NULL)),
    CHECK ((delivered_s IS NULL) = (document IS NULL)),
    CHECK ((delivered_s IS NULL) = (sha256 IS NULL)),
    CHECK ((delivered_s IS NULL) = (bytes IS NULL)),
    CHECK ((decided_s IS NULL) = (decided_by IS NULL)),
    CHECK (status NOT IN ('delivered', 'accepted') OR delivered_s IS NOT NULL),
    CHECK (status NOT IN ('accepted', 'returned', 'cancelled') OR decided_s IS NOT NULL),
    CHECK (lapsed = 0 OR (status = 'cancelled' AND duty IS NOT NULL))
) STRICT;
CREATE INDEX deposits_by_due ON deposits (due_s);
CREATE INDEX deposits_by_pd ON deposits (pd, due_s);
