-- Rehearsals of key escrow, as whoever rebuilt a key signed them with it. Never a key.

CREATE TABLE rehearsals (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    -- The root key that was rebuilt.
    signer BLOB NOT NULL,
    share_set BLOB NOT NULL,
    threshold INTEGER NOT NULL,
    shares INTEGER NOT NULL,
    recovery BLOB NOT NULL,
    at_s INTEGER NOT NULL,
    -- Numbers and holders of the shares that were there.
    present TEXT NOT NULL CHECK (json_valid(present)),
    note TEXT NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX rehearsals_by_signer ON rehearsals (signer, at_s);
