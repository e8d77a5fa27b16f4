-- The rest of the register: where things stand, services, applications, contact persons, and what a dataset is asked for.

CREATE TABLE buildings (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    jurisdiction TEXT NOT NULL,
    hazard_assessment TEXT NOT NULL,
    UNIQUE (site, name)
) STRICT;

CREATE TABLE rooms (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    building BLOB NOT NULL REFERENCES buildings (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (building, name)
) STRICT;

ALTER TABLE pds ADD COLUMN kind TEXT NOT NULL DEFAULT 'other';
ALTER TABLE pds ADD COLUMN runs_pusat_data INTEGER NOT NULL DEFAULT 0 CHECK (runs_pusat_data IN (0, 1));
ALTER TABLE servers ADD COLUMN site BLOB REFERENCES sites (id) ON UPDATE CASCADE;
ALTER TABLE servers ADD COLUMN room BLOB REFERENCES rooms (id);

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

CREATE TABLE contact_persons (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    service BLOB REFERENCES services (id),
    tier INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    email TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX contact_persons_by_name ON contact_persons (pd, coalesce(service, x''), name);

ALTER TABLE datasets ADD COLUMN application BLOB REFERENCES applications (id);
ALTER TABLE datasets ADD COLUMN distribution TEXT NOT NULL DEFAULT '';
ALTER TABLE datasets ADD COLUMN location TEXT NOT NULL DEFAULT '';
ALTER TABLE datasets ADD COLUMN schedule TEXT;
ALTER TABLE datasets ADD COLUMN exclude TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(exclude));
-- What was entered until now stays as it was entered.
ALTER TABLE datasets ADD COLUMN own_rpo INTEGER NOT NULL DEFAULT 1 CHECK (own_rpo IN (0, 1));
