-- Every kind of row of the register can be retired, not datasets and servers alone. Rooms and buildings are no PD's.

ALTER TABLE retired RENAME TO retired_before;
CREATE TABLE retired (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL CHECK (kind IN
        ('pd', 'server', 'service', 'application', 'contact_person', 'dataset', 'building', 'room')),
    pd BLOB REFERENCES pds (id),
    -- Of a PD, its code.
    name TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    entered_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CHECK (from_s <= entered_s),
    CHECK ((pd IS NULL) = (kind IN ('building', 'room')))
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

-- What a server's agent is asked to back up follows from what is not retired.
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
