-- Failed logins by account and address; users.failures and users.locked_until_s are of all addresses together.

CREATE TABLE login_origins (
    user BLOB NOT NULL REFERENCES users (id),
    -- An IPv4 address, or the /64 network of an IPv6 address; empty where none is known.
    origin TEXT NOT NULL,
    failures INTEGER NOT NULL,
    locked_until_s INTEGER,
    -- The last login from there that went well.
    known_s INTEGER,
    seen_s INTEGER NOT NULL,
    PRIMARY KEY (user, origin)
) STRICT, WITHOUT ROWID;

-- Locks of before were of the account alone, and stay nobody's.
UPDATE users SET failures = 0, locked_until_s = NULL;

-- What a login of no account writes, so that it takes as long as one of an account.
CREATE TABLE login_of_nobody (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    writes INTEGER NOT NULL
) STRICT;
INSERT INTO login_of_nobody VALUES (1, 0);
