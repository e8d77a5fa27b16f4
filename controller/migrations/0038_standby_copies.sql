-- Of when a standby's copy is, as the standby itself told it last.

CREATE TABLE standby_copies (
    -- The pin of its TLS key.
    pin TEXT PRIMARY KEY,
    copied_s INTEGER NOT NULL
) STRICT;
