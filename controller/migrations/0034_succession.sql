-- Who acts as the controller: each statement with the officers' signatures, as it was taken (crates/wire/src/succession).

CREATE TABLE succession (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    -- lumbung_wire::messages::succession::SignedStatement, as JSON.
    signed TEXT NOT NULL CHECK (json_valid(signed)),
    taken_s INTEGER NOT NULL
) STRICT;

CREATE TRIGGER succession_stays BEFORE UPDATE ON succession
BEGIN SELECT RAISE(ABORT, 'a statement is never changed'); END;
CREATE TRIGGER succession_lasts BEFORE DELETE ON succession
BEGIN SELECT RAISE(ABORT, 'a statement is never taken away'); END;
