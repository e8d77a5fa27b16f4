-- The register: what must be backed up, by whom, and where it is kept.
-- Ids are opaque and permanent; names and codes are attributes, every version of which stands in register_history.

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
    enrolled_s INTEGER,
    CHECK ((latitude IS NULL) = (longitude IS NULL))
) STRICT;

CREATE TABLE pds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    contact TEXT NOT NULL,
    mandiri_tik INTEGER NOT NULL CHECK (mandiri_tik IN (0, 1))
) STRICT;

CREATE TABLE servers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (pd, name)
) STRICT;

-- Which PD a repository belongs to: snapshots count for datasets of that PD only.
CREATE TABLE repositories (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    pd BLOB NOT NULL REFERENCES pds (id),
    bound_s INTEGER NOT NULL
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
) STRICT;
CREATE UNIQUE INDEX datasets_by_name ON datasets (pd, coalesce(server, x''), name);

CREATE TABLE register_history (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    row TEXT NOT NULL CHECK (json_valid(row))
) STRICT;
CREATE INDEX register_history_by_id ON register_history (id, sequence);

-- Enrolment. A token is kept as its hash, and used once.
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
) STRICT;
CREATE INDEX agents_by_server ON agents (server, enrolled_s);

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    agent BLOB REFERENCES agents (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    issued_s INTEGER NOT NULL,
    not_after_s INTEGER NOT NULL,
    pem TEXT NOT NULL
) STRICT;

-- Unbroken spans of heartbeats: what uptime is computed from.
CREATE TABLE heartbeat_spans (
    agent BLOB NOT NULL REFERENCES agents (id),
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    beats INTEGER NOT NULL,
    PRIMARY KEY (agent, first_s)
) STRICT, WITHOUT ROWID;

-- What agents say of their runs. Never evidence.
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
CREATE INDEX reports_by_dataset ON reports (dataset, kind, at_s);

-- Dataset ids that agents or snapshots name and the register does not know.
CREATE TABLE unregistered_datasets (
    dataset BLOB NOT NULL PRIMARY KEY CHECK (length(dataset) = 16),
    repository BLOB,
    agent BLOB,
    name TEXT NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;
