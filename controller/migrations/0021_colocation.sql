-- Colocation: racks, power feeds, devices, reservations, pools that virtual machines draw on, handovers of access. What fits
-- where is checked by `crate::register`, since one import may let two devices change places.

CREATE TABLE racks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    room BLOB NOT NULL REFERENCES rooms (id),
    name TEXT NOT NULL,
    height_u INTEGER NOT NULL CHECK (height_u BETWEEN 1 AND 60),
    width_inches INTEGER NOT NULL CHECK (width_inches IN (10, 19, 21, 23)),
    note TEXT NOT NULL,
    UNIQUE (room, name)
) STRICT;

CREATE TABLE feeds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    room BLOB NOT NULL REFERENCES rooms (id),
    rack BLOB REFERENCES racks (id),
    name TEXT NOT NULL,
    rated_w INTEGER CHECK (rated_w > 0),
    volts INTEGER CHECK (volts > 0),
    amps INTEGER CHECK (amps > 0),
    share_percent INTEGER NOT NULL CHECK (share_percent BETWEEN 1 AND 100),
    partner BLOB REFERENCES feeds (id) CHECK (partner <> id),
    CHECK ((rated_w IS NULL) = (volts IS NOT NULL AND amps IS NOT NULL)),
    CHECK ((volts IS NULL) = (amps IS NULL)),
    UNIQUE (room, name)
) STRICT;

CREATE TABLE pools (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    name TEXT NOT NULL,
    vcpus INTEGER NOT NULL CHECK (vcpus > 0),
    overcommit_percent INTEGER NOT NULL CHECK (overcommit_percent BETWEEN 100 AND 2000),
    memory_bytes INTEGER NOT NULL CHECK (memory_bytes > 0),
    disk_bytes INTEGER NOT NULL CHECK (disk_bytes > 0),
    UNIQUE (site, name)
) STRICT;

ALTER TABLE servers ADD COLUMN pool BLOB REFERENCES pools (id);
ALTER TABLE servers ADD COLUMN vcpus INTEGER CHECK (vcpus > 0);
ALTER TABLE servers ADD COLUMN memory_bytes INTEGER CHECK (memory_bytes > 0);
ALTER TABLE servers ADD COLUMN disk_bytes INTEGER CHECK (disk_bytes > 0);
CREATE INDEX servers_by_pool ON servers (pool) WHERE pool IS NOT NULL;

CREATE TABLE devices (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    -- Days of the city's calendar, as in 2026-08-31.
    purchased_on TEXT,
    warranty_until TEXT,
    condition TEXT NOT NULL,
    server BLOB REFERENCES servers (id),
    rack BLOB REFERENCES racks (id),
    lowest_u INTEGER CHECK (lowest_u BETWEEN 1 AND 60),
    height_u INTEGER CHECK (height_u BETWEEN 1 AND 60),
    face TEXT,
    draw_w INTEGER CHECK (draw_w > 0),
    CHECK ((rack IS NULL) = (lowest_u IS NULL)),
    CHECK ((rack IS NULL) = (height_u IS NULL)),
    CHECK ((rack IS NULL) = (face IS NULL)),
    UNIQUE (pd, name)
) STRICT;
CREATE INDEX devices_by_rack ON devices (rack) WHERE rack IS NOT NULL;
CREATE INDEX devices_by_serial ON devices (serial) WHERE serial <> '';
CREATE INDEX devices_by_server ON devices (server) WHERE server IS NOT NULL;

-- Which feeds a device hangs on, in its own order.
CREATE TABLE device_feeds (
    device BLOB NOT NULL REFERENCES devices (id),
    feed BLOB NOT NULL REFERENCES feeds (id),
    place INTEGER NOT NULL,
    PRIMARY KEY (device, feed)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_feeds_by_feed ON device_feeds (feed);

CREATE TABLE reservations (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    rack BLOB NOT NULL REFERENCES racks (id),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    lowest_u INTEGER NOT NULL CHECK (lowest_u BETWEEN 1 AND 60),
    height_u INTEGER NOT NULL CHECK (height_u BETWEEN 1 AND 60),
    face TEXT NOT NULL,
    until TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (rack, name)
) STRICT;

CREATE TABLE handovers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    server BLOB REFERENCES servers (id),
    application BLOB REFERENCES applications (id),
    dataset BLOB REFERENCES datasets (id),
    from_person TEXT NOT NULL,
    to_person TEXT NOT NULL,
    handed_on TEXT NOT NULL,
    letter TEXT NOT NULL,
    secret_kept_at TEXT NOT NULL,
    returned_on TEXT,
    CHECK ((server IS NOT NULL) + (application IS NOT NULL) + (dataset IS NOT NULL) = 1),
    UNIQUE (pd, name)
) STRICT;

-- All of these can be retired too. Racks, feeds and pools are no PD's.
ALTER TABLE retired RENAME TO retired_before;
CREATE TABLE retired (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL CHECK (kind IN
        ('pd', 'server', 'service', 'application', 'contact_person', 'dataset', 'building', 'room', 'rack', 'feed',
         'pool', 'device', 'reservation', 'handover')),
    pd BLOB REFERENCES pds (id),
    -- Of a PD, its code.
    name TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    entered_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CHECK (from_s <= entered_s),
    CHECK ((pd IS NULL) = (kind IN ('building', 'room', 'rack', 'feed', 'pool')))
) STRICT, WITHOUT ROWID;
INSERT INTO retired SELECT id, kind, pd, name, from_s, entered_s, made_by, reason FROM retired_before;
-- With it go its index and its triggers, which are made again below, as they were.
DROP TABLE retired_before;
CREATE INDEX retired_by_pd ON retired (pd);

CREATE TRIGGER stale_retired AFTER INSERT ON retired WHEN new.kind = 'dataset' BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_restored AFTER DELETE ON retired WHEN old.kind = 'dataset' BEGIN
    INSERT INTO stale SELECT 'dataset', old.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = old.id);
END;
CREATE TRIGGER stale_retired_server AFTER INSERT ON retired WHEN new.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = new.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_restored_server AFTER DELETE ON retired WHEN old.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = old.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_policy_retired AFTER INSERT ON retired BEGIN
    INSERT INTO stale_policies SELECT a.server FROM agents AS a
        WHERE a.server IN (SELECT new.id UNION SELECT d.server FROM datasets AS d WHERE d.id = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = a.server)
        GROUP BY a.server;
END;
CREATE TRIGGER stale_policy_restored AFTER DELETE ON retired BEGIN
    INSERT INTO stale_policies SELECT a.server FROM agents AS a
        WHERE a.server IN (SELECT old.id UNION SELECT d.server FROM datasets AS d WHERE d.id = old.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = a.server)
        GROUP BY a.server;
END;
