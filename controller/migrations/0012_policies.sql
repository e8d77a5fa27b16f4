-- What each server's agent is asked to back up: signed, numbered, kept.

CREATE TABLE policies (
    server BLOB NOT NULL REFERENCES servers (id),
    version INTEGER NOT NULL CHECK (version > 0),
    agent BLOB NOT NULL REFERENCES agents (id),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- As it was signed.
    body TEXT NOT NULL,
    signer BLOB NOT NULL CHECK (length(signer) = 32),
    signature TEXT NOT NULL CHECK (length(signature) = 128),
    issued_s INTEGER NOT NULL,
    -- The custodian's word, as JSON (crates/wire/src/messages/policy.rs).
    confirmation TEXT CHECK (confirmation IS NULL OR json_valid(confirmation)),
    PRIMARY KEY (server, version)
) STRICT;
CREATE INDEX policies_by_agent ON policies (agent, version);

-- Narrower contents that are not published: one a server.
CREATE TABLE policy_proposals (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    content TEXT NOT NULL CHECK (json_valid(content)),
    narrowings TEXT NOT NULL CHECK (json_valid(narrowings)),
    approval BLOB NOT NULL REFERENCES approvals (id)
) STRICT;

-- What the agent says of policies, as JSON.
ALTER TABLE agents ADD COLUMN policy TEXT CHECK (policy IS NULL OR json_valid(policy));
