-- What one person asks for and another has to confirm; and sites that are no longer the city's.

ALTER TABLE sites ADD COLUMN removed_s INTEGER;

DROP VIEW entitled_sites;
CREATE VIEW entitled_sites AS
SELECT r.repository, s.id AS site, s.receipt_key AS signer FROM sites AS s
JOIN roster_sites AS r ON r.site = s.id AND r.receipt_key = s.receipt_key
WHERE s.removed_s IS NULL;

CREATE TABLE approvals (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- What is to be done, as JSON (crates/wire/src/messages/approvals.rs).
    wanted TEXT NOT NULL CHECK (json_valid(wanted)),
    reason TEXT NOT NULL,
    -- The account of whoever asked; null for an operator's certificate.
    asked_user BLOB REFERENCES users (id),
    asked_by TEXT NOT NULL,
    asked_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'refused', 'withdrawn')),
    decided_by TEXT,
    decided_s INTEGER,
    CHECK ((state = 'open') = (decided_s IS NULL))
) STRICT;
CREATE INDEX approvals_by_state ON approvals (state, asked_s);
