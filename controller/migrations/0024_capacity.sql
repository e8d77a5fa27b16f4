-- How full things were, day by day, what moved over which line, and how fast lines are.

-- Kinds are storage (subject: a site), rack_units (a site), vps_vcpu, vps_memory and vps_disk (a pool).
CREATE TABLE capacity_days (
    kind TEXT NOT NULL,
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    -- Of the city's calendar, as in 2026-08-31.
    day TEXT NOT NULL CHECK (length(day) = 10),
    used INTEGER NOT NULL CHECK (used >= 0),
    -- Null: nobody says.
    capacity INTEGER CHECK (capacity >= 0),
    PRIMARY KEY (kind, subject, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX capacity_days_by_day ON capacity_days (day);

-- What came to a site, by repository and day of the receipt.
CREATE TABLE moved_days (
    repository BLOB NOT NULL REFERENCES repositories (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    day TEXT NOT NULL CHECK (length(day) = 10),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    snapshots INTEGER NOT NULL CHECK (snapshots >= 0),
    PRIMARY KEY (repository, site, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX moved_days_by_day ON moved_days (day);

-- Stored bytes that the run added, by the agent's word; null: it came before this was kept.
ALTER TABLE manifests ADD COLUMN new_stored_bytes INTEGER;

ALTER TABLE pds ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE pds ADD COLUMN rate TEXT NOT NULL DEFAULT '';
ALTER TABLE pds ADD COLUMN windows TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(windows));
ALTER TABLE sites ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE sites ADD COLUMN rate TEXT NOT NULL DEFAULT '';
ALTER TABLE sites ADD COLUMN windows TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(windows));

-- A cap is part of the policies of the PD's servers.
CREATE TRIGGER stale_policy_rate AFTER UPDATE OF rate, windows ON pds
    WHEN old.rate IS NOT new.rate OR old.windows IS NOT new.windows BEGIN
    INSERT INTO stale_policies SELECT v.id FROM servers AS v WHERE v.pd = new.id
        AND EXISTS (SELECT 1 FROM agents AS a WHERE a.server = v.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = v.id);
END;
