-- People, what they may do, what they did.

-- Who changed what. Entries are chained (crates/wire/src/audit.rs); the columns beside `entry` only find them.
CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    pd BLOB CHECK (length(pd) = 16),
    entry TEXT NOT NULL CHECK (json_valid(entry)),
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_by_subject ON audit (subject_kind, subject, sequence);
CREATE INDEX audit_by_pd ON audit (pd, sequence);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'pd', 'custodian', 'auditor')),
    pd BLOB REFERENCES pds (id),
    -- Argon2id as a PHC string.
    password TEXT NOT NULL,
    -- The password was given by somebody else: it opens nothing but the change of it.
    password_is_new INTEGER NOT NULL CHECK (password_is_new IN (0, 1)),
    totp BLOB CHECK (length(totp) = 20),
    -- The last step of 30 s that was used: none is taken twice.
    totp_step INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    locked_until_s INTEGER,
    created_s INTEGER NOT NULL,
    disabled_s INTEGER,
    CHECK ((role IN ('pd', 'custodian')) = (pd IS NOT NULL))
) STRICT;

-- A session's cookie is kept as its hash.
CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    user BLOB NOT NULL REFERENCES users (id),
    csrf BLOB NOT NULL CHECK (length(csrf) = 32),
    created_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE api_tokens (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user BLOB NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    -- May it change anything.
    writes INTEGER NOT NULL CHECK (writes IN (0, 1)),
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    revoked_s INTEGER
) STRICT;
CREATE INDEX api_tokens_by_user ON api_tokens (user);
