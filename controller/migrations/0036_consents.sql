-- What owners opened to whom: grants, standing approvals, revocations, as vaults keep them. Never what they seal.

CREATE TABLE consents (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'standing')),
    repository BLOB NOT NULL REFERENCES repositories (id),
    consent BLOB NOT NULL,
    -- Which part of the consent; 1 for a standing approval.
    part INTEGER NOT NULL,
    grantee BLOB NOT NULL,
    name TEXT NOT NULL,
    letter TEXT NOT NULL,
    purpose TEXT NOT NULL,
    -- Of a standing approval.
    dataset BLOB,
    issued_s INTEGER NOT NULL,
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL,
    signer BLOB NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX consents_by_grantee ON consents (repository, grantee);
CREATE INDEX consents_by_time ON consents (seen_s, consent);
CREATE INDEX consents_by_consent ON consents (repository, consent);

-- The snapshots of a grant, or the base of a standing approval.
CREATE TABLE consent_snapshots (
    id BLOB NOT NULL REFERENCES consents (id),
    manifest BLOB NOT NULL,
    PRIMARY KEY (id, manifest)
) STRICT, WITHOUT ROWID;

CREATE TABLE revocations (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    consent BLOB NOT NULL,
    signer BLOB NOT NULL,
    revoked_s INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_consent ON revocations (repository, consent);

-- A consent is the owner's word while the newest roster lists its signer as a root key.
CREATE VIEW honoured_consents AS
SELECT c.* FROM consents AS c
JOIN roster_roots AS r ON r.repository = c.repository AND r.key = c.signer;

-- A proof counts by the owner's signature, or by that of somebody to whom the snapshot was open when it was finished.
DROP VIEW counting_proofs;
CREATE VIEW counting_proofs AS
SELECT p.*, m.dataset FROM proofs AS p
JOIN authorized_manifests AS m ON m.id = p.manifest AND m.repository = p.repository AND m.partial = 0
WHERE EXISTS (SELECT 1 FROM roster_roots AS r WHERE r.repository = p.repository AND r.key = p.signer)
    OR EXISTS (
        SELECT 1 FROM honoured_consents AS c
        WHERE c.repository = p.repository AND c.grantee = p.signer
            AND p.finished_s BETWEEN c.from_s AND c.until_s
            AND NOT EXISTS (
                SELECT 1 FROM revocations AS v
                WHERE v.repository = c.repository AND v.consent = c.consent AND v.revoked_s <= p.finished_s
            )
            AND (
                c.kind = 'grant'
                AND EXISTS (SELECT 1 FROM consent_snapshots AS s WHERE s.id = c.id AND s.manifest = p.manifest)
                OR c.kind = 'standing' AND c.dataset = m.dataset
                AND (SELECT min(t.received_s) FROM counting_receipts AS t WHERE t.manifest = p.manifest) BETWEEN c.from_s AND c.until_s
            )
    );

CREATE TRIGGER stale_consent AFTER INSERT ON consents BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_revocation AFTER INSERT ON revocations BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
