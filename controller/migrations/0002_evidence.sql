-- Evidence read from the vaults, verified before it is written: signatures, numbers, chains.
-- Who is entitled to sign is asked of the newest roster each time (the views below), so a key that a
-- custodian withdraws stops counting at once.

CREATE TABLE rosters (
    repository BLOB NOT NULL REFERENCES repositories (id),
    number INTEGER NOT NULL,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    object BLOB NOT NULL,
    PRIMARY KEY (repository, number)
) STRICT, WITHOUT ROWID;

-- The newest roster of each repository, taken apart.
CREATE TABLE roster_roots (
    repository BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY (repository, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_agents (
    repository BLOB NOT NULL, agent BLOB NOT NULL, key BLOB NOT NULL, domain BLOB NOT NULL,
    PRIMARY KEY (repository, agent)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_sites (
    repository BLOB NOT NULL, site BLOB NOT NULL, receipt_key BLOB NOT NULL,
    PRIMARY KEY (repository, site)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifests (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    agent BLOB NOT NULL,
    signer BLOB NOT NULL,
    dataset BLOB NOT NULL,
    domain BLOB NOT NULL,
    partial INTEGER NOT NULL CHECK (partial IN (0, 1)),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    previous BLOB NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    content_bytes INTEGER NOT NULL,
    usage BLOB NOT NULL,
    stored_bytes INTEGER,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX manifests_by_dataset ON manifests (dataset, seen_s);
CREATE INDEX manifests_by_place ON manifests (repository, agent, dataset, epoch, sequence);

CREATE TABLE receipts (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL REFERENCES manifests (id),
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    locked_until_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE INDEX receipts_by_manifest ON receipts (manifest, site);
CREATE INDEX receipts_by_site ON receipts (site, repository, number);

CREATE TABLE inventories (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    previous BLOB NOT NULL,
    made_s INTEGER NOT NULL,
    packs INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    chain_valid INTEGER NOT NULL CHECK (chain_valid IN (0, 1)),
    seen_s INTEGER NOT NULL
) STRICT;
CREATE INDEX inventories_by_number ON inventories (site, repository, number);

-- What a site's inventories list: `newest` is the number of the last one that does.
CREATE TABLE inventory_entries (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (site, repository, manifest)
) STRICT, WITHOUT ROWID;

CREATE TABLE scrubs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    repaired INTEGER NOT NULL,
    bad INTEGER NOT NULL
) STRICT;

CREATE TABLE scrub_results (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    signer BLOB NOT NULL,
    verified_s INTEGER,
    verified_by BLOB,
    damaged_s INTEGER,
    PRIMARY KEY (site, repository, manifest, signer)
) STRICT, WITHOUT ROWID;

CREATE TABLE proofs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    site BLOB NOT NULL,
    signer BLOB NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE INDEX proofs_by_manifest ON proofs (manifest);

-- How polling goes.
CREATE TABLE site_polls (
    site BLOB NOT NULL PRIMARY KEY REFERENCES sites (id) ON UPDATE CASCADE,
    tried_s INTEGER NOT NULL,
    succeeded_s INTEGER,
    reached_s INTEGER,
    clock_s INTEGER,
    version TEXT,
    error TEXT,
    error_s INTEGER
) STRICT;
CREATE TABLE poll_cursors (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    PRIMARY KEY (site, repository)
) STRICT, WITHOUT ROWID;
-- Snapshots that a vault named and that did not pass: asked for again at each poll.
CREATE TABLE poll_pending (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    error TEXT NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    PRIMARY KEY (site, repository, manifest)
) STRICT, WITHOUT ROWID;
CREATE TABLE unregistered_repositories (
    repository BLOB NOT NULL PRIMARY KEY CHECK (length(repository) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;

CREATE TABLE alarms (
    sequence INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    pd BLOB REFERENCES pds (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    detail TEXT NOT NULL,
    raised_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    cleared_s INTEGER
) STRICT;
CREATE UNIQUE INDEX alarms_open ON alarms (kind, subject) WHERE cleared_s IS NULL;

-- A snapshot is authorized if the newest roster lists its agent with that key and domain.
CREATE VIEW authorized_manifests AS
SELECT m.* FROM manifests AS m
JOIN roster_agents AS r
    ON r.repository = m.repository AND r.agent = m.agent AND r.key = m.signer AND r.domain = m.domain;

-- What a site signed counts with the key that it enrolled and the newest roster lists.
CREATE VIEW entitled_sites AS
SELECT r.repository, s.id AS site, s.receipt_key AS signer FROM sites AS s
JOIN roster_sites AS r ON r.site = s.id AND r.receipt_key = s.receipt_key;

CREATE VIEW counting_receipts AS
SELECT r.* FROM receipts AS r
JOIN entitled_sites AS e
    ON e.repository = r.repository AND e.site = r.site AND e.signer = r.signer;

CREATE VIEW counting_inventories AS
SELECT i.* FROM inventories AS i
JOIN entitled_sites AS e
    ON e.repository = i.repository AND e.site = i.site AND e.signer = i.signer;

CREATE VIEW counting_proofs AS
SELECT p.*, m.dataset FROM proofs AS p
JOIN roster_roots AS r ON r.repository = p.repository AND r.key = p.signer
JOIN authorized_manifests AS m ON m.id = p.manifest AND m.repository = p.repository AND m.partial = 0;
