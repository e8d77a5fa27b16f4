CREATE INDEX agents_by_server ON agents (server, enrolled_s);
CREATE UNIQUE INDEX alarms_open ON alarms (kind, subject) WHERE cleared_s IS NULL;
CREATE INDEX api_tokens_by_user ON api_tokens (user);
CREATE INDEX approvals_by_state ON approvals (state, asked_s);
CREATE INDEX audit_by_pd ON audit (pd, sequence);
CREATE INDEX audit_by_subject ON audit (subject_kind, subject, sequence);
CREATE UNIQUE INDEX contact_persons_by_name ON contact_persons (pd, coalesce(service, x''), name);
CREATE UNIQUE INDEX datasets_by_name ON datasets (pd, coalesce(server, x''), name);
CREATE INDEX inventories_by_number ON inventories (site, repository, number);
CREATE INDEX manifests_by_dataset ON manifests (dataset, seen_s);
CREATE INDEX manifests_by_place ON manifests (repository, agent, dataset, epoch, sequence);
CREATE INDEX policies_by_agent ON policies (agent, version);
CREATE INDEX proofs_by_manifest ON proofs (manifest);
CREATE INDEX receipts_by_manifest ON receipts (manifest, site);
CREATE INDEX receipts_by_site ON receipts (site, repository, number);
CREATE INDEX register_history_by_id ON register_history (id, sequence);
CREATE INDEX reports_by_dataset ON reports (dataset, kind, at_s);
CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX tombstones_by_manifest ON tombstones (manifest, site);
CREATE INDEX tombstones_by_site ON tombstones (site, repository);
CREATE TABLE agents (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    server BLOB NOT NULL REFERENCES servers (id),
    repository BLOB NOT NULL REFERENCES repositories (id),
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    domain BLOB NOT NULL CHECK (length(domain) = 16),
    enrolled_s INTEGER NOT NULL,
    last_seen_s INTEGER,
    agent_clock_s INTEGER,
    version TEXT,
    health TEXT CHECK (json_valid(health)),
    jobs TEXT CHECK (json_valid(jobs))
, policy TEXT CHECK (policy IS NULL OR json_valid(policy))) STRICT;
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
CREATE TABLE applications (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    service BLOB REFERENCES services (id),
    technology TEXT NOT NULL,
    -- Ids of servers, as JSON.
    servers TEXT NOT NULL CHECK (json_valid(servers)),
    UNIQUE (pd, name)
) STRICT;
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
CREATE TABLE buildings (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    jurisdiction TEXT NOT NULL,
    hazard_assessment TEXT NOT NULL,
    UNIQUE (site, name)
) STRICT;
CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    agent BLOB REFERENCES agents (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    issued_s INTEGER NOT NULL,
    not_after_s INTEGER NOT NULL,
    pem TEXT NOT NULL
) STRICT;
CREATE TABLE contact_persons (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    service BLOB REFERENCES services (id),
    tier INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    email TEXT NOT NULL
) STRICT;
CREATE TABLE datasets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    server BLOB REFERENCES servers (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    classification TEXT NOT NULL,
    urgency TEXT NOT NULL,
    rpo_s INTEGER NOT NULL CHECK (rpo_s > 0),
    retention TEXT NOT NULL,
    period TEXT NOT NULL,
    media TEXT NOT NULL,
    repository BLOB REFERENCES repositories (id),
    paths TEXT NOT NULL CHECK (json_valid(paths))
, application BLOB REFERENCES applications (id), distribution TEXT NOT NULL DEFAULT '', location TEXT NOT NULL DEFAULT '', schedule TEXT, exclude TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(exclude)), own_rpo INTEGER NOT NULL DEFAULT 1 CHECK (own_rpo IN (0, 1))) STRICT;
CREATE TABLE heartbeat_spans (
    agent BLOB NOT NULL REFERENCES agents (id),
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    beats INTEGER NOT NULL,
    PRIMARY KEY (agent, first_s)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE inventory_entries (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (site, repository, manifest)
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
CREATE TABLE orders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    signer BLOB NOT NULL,
    letter TEXT NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE TABLE pds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    contact TEXT NOT NULL,
    mandiri_tik INTEGER NOT NULL CHECK (mandiri_tik IN (0, 1))
, kind TEXT NOT NULL DEFAULT 'other', runs_pusat_data INTEGER NOT NULL DEFAULT 0 CHECK (runs_pusat_data IN (0, 1))) STRICT;
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
CREATE TABLE policy_proposals (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    content TEXT NOT NULL CHECK (json_valid(content)),
    narrowings TEXT NOT NULL CHECK (json_valid(narrowings)),
    approval BLOB NOT NULL REFERENCES approvals (id)
) STRICT;
CREATE TABLE poll_cursors (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    PRIMARY KEY (site, repository)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE register_history (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    row TEXT NOT NULL CHECK (json_valid(row))
) STRICT;
CREATE TABLE reports (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    agent BLOB NOT NULL REFERENCES agents (id),
    received_s INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    dataset BLOB NOT NULL CHECK (length(dataset) = 16),
    outcome TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE TABLE repositories (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    pd BLOB NOT NULL REFERENCES pds (id),
    bound_s INTEGER NOT NULL
) STRICT;
CREATE TABLE rooms (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    building BLOB NOT NULL REFERENCES buildings (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (building, name)
) STRICT;
CREATE TABLE roster_agents (
    repository BLOB NOT NULL, agent BLOB NOT NULL, key BLOB NOT NULL, domain BLOB NOT NULL,
    PRIMARY KEY (repository, agent)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_roots (
    repository BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY (repository, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_sites (
    repository BLOB NOT NULL, site BLOB NOT NULL, receipt_key BLOB NOT NULL,
    PRIMARY KEY (repository, site)
) STRICT, WITHOUT ROWID;
CREATE TABLE rosters (
    repository BLOB NOT NULL REFERENCES repositories (id),
    number INTEGER NOT NULL,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    object BLOB NOT NULL,
    PRIMARY KEY (repository, number)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE servers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL, site BLOB REFERENCES sites (id) ON UPDATE CASCADE, room BLOB REFERENCES rooms (id),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE services (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    critical INTEGER NOT NULL CHECK (critical IN (0, 1)),
    sla_millipercent INTEGER CHECK (sla_millipercent BETWEEN 1 AND 100000),
    hours TEXT NOT NULL,
    rto_s INTEGER CHECK (rto_s > 0),
    sla_document TEXT NOT NULL,
    standby BLOB REFERENCES servers (id),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    user BLOB NOT NULL REFERENCES users (id),
    csrf BLOB NOT NULL CHECK (length(csrf) = 32),
    created_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
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
CREATE TABLE sites (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('pusat_data', 'drc', 'other')),
    latitude REAL,
    longitude REAL,
    address TEXT NOT NULL,
    url TEXT,
    receipt_key BLOB UNIQUE CHECK (length(receipt_key) = 32),
    tls_pin BLOB CHECK (length(tls_pin) = 32),
    enrolled_s INTEGER, removed_s INTEGER,
    CHECK ((latitude IS NULL) = (longitude IS NULL))
) STRICT;
CREATE TABLE tokens (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    role TEXT NOT NULL CHECK (role IN ('agent', 'site')),
    server BLOB REFERENCES servers (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    used_s INTEGER,
    CHECK ((role = 'agent') = (server IS NOT NULL)),
    CHECK ((role = 'site') = (site IS NOT NULL))
) STRICT;
CREATE TABLE tombstones (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    signer BLOB NOT NULL,
    dataset BLOB NOT NULL,
    ordered_by BLOB, -- the owner's copy of the order; none: it expired
    removed_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL,
    -- Of the receipt that it names, once that was read.
    receipt_number INTEGER,
    locked_until_s INTEGER,
    -- Of the order that it names, once that was read and is the owner's.
    letter TEXT
) STRICT;
CREATE TABLE unregistered_datasets (
    dataset BLOB NOT NULL PRIMARY KEY CHECK (length(dataset) = 16),
    repository BLOB,
    agent BLOB,
    name TEXT NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;
CREATE TABLE unregistered_repositories (
    repository BLOB NOT NULL PRIMARY KEY CHECK (length(repository) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;
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
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE VIEW authorized_manifests AS
SELECT m.* FROM manifests AS m
JOIN roster_agents AS r
    ON r.repository = m.repository AND r.agent = m.agent AND r.key = m.signer AND r.domain = m.domain;
CREATE VIEW counting_inventories AS
SELECT i.* FROM inventories AS i
JOIN entitled_sites AS e
    ON e.repository = i.repository AND e.site = i.site AND e.signer = i.signer;
CREATE VIEW counting_proofs AS
SELECT p.*, m.dataset FROM proofs AS p
JOIN roster_roots AS r ON r.repository = p.repository AND r.key = p.signer
JOIN authorized_manifests AS m ON m.id = p.manifest AND m.repository = p.repository AND m.partial = 0;
CREATE VIEW counting_receipts AS
SELECT r.* FROM receipts AS r
JOIN entitled_sites AS e
    ON e.repository = r.repository AND e.site = r.site AND e.signer = r.signer;
CREATE VIEW counting_tombstones AS
SELECT t.* FROM tombstones AS t
JOIN entitled_sites AS e
    ON e.repository = t.repository AND e.site = t.site AND e.signer = t.signer;
CREATE VIEW entitled_sites AS
SELECT r.repository, s.id AS site, s.receipt_key AS signer FROM sites AS s
JOIN roster_sites AS r ON r.site = s.id AND r.receipt_key = s.receipt_key
WHERE s.removed_s IS NULL;
CREATE VIEW removals AS
SELECT t.*, CASE
    WHEN t.ordered_by IS NOT NULL THEN t.letter IS NOT NULL
    ELSE coalesce(t.locked_until_s <= t.removed_s, 0) AND NOT EXISTS (
        SELECT 1 FROM counting_receipts AS r WHERE r.manifest = t.manifest AND r.site = t.site
            AND r.repository = t.repository AND r.locked_until_s > t.removed_s)
    END AS rightful
FROM counting_tombstones AS t
WHERE NOT EXISTS (
    SELECT 1 FROM inventory_entries AS e JOIN counting_inventories AS i
        ON i.site = e.site AND i.repository = e.repository AND i.number = e.newest
    WHERE e.site = t.site AND e.repository = t.repository AND e.manifest = t.manifest
        AND min(i.made_s, i.seen_s) > t.removed_s + 7200);
