-- What the controller says of each dataset, what it said before, and what has to be looked at again.

CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What was weighed before something that it rests on changed: marked in the transaction of the change, by the triggers
-- below. 'all' and 'register' have an empty id.
CREATE TABLE stale (
    kind TEXT NOT NULL CHECK (kind IN ('dataset', 'repository', 'pd', 'all', 'register')),
    id BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
INSERT INTO stale VALUES ('all', x''), ('register', x'');

-- A conflict clause within a trigger gives way to that of the statement that fires it, so each asks first.
CREATE TRIGGER stale_manifest AFTER INSERT ON manifests BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_manifest_size AFTER UPDATE OF stored_bytes ON manifests BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_receipt AFTER INSERT ON receipts BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_entry AFTER INSERT ON inventory_entries BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_entry_again AFTER UPDATE ON inventory_entries BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_inventory AFTER INSERT ON inventories BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_inventory_chain AFTER UPDATE OF chain_valid ON inventories BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_scrub AFTER INSERT ON scrub_results BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_scrub_again AFTER UPDATE ON scrub_results BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_proof AFTER INSERT ON proofs BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_tombstone AFTER INSERT ON tombstones BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_tombstone_again AFTER UPDATE ON tombstones BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_roster AFTER INSERT ON rosters BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_repository AFTER INSERT ON repositories BEGIN
    INSERT INTO stale SELECT 'pd', new.pd
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'pd' AND s.id = new.pd);
END;
CREATE TRIGGER stale_agent AFTER INSERT ON agents BEGIN
    INSERT INTO stale SELECT 'pd', v.pd FROM servers AS v WHERE v.id = new.server
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'pd' AND s.id = v.pd);
END;
CREATE TRIGGER stale_site AFTER INSERT ON sites BEGIN
    INSERT INTO stale SELECT 'all', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'all' AND s.id = x'');
    INSERT INTO stale SELECT 'register', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'register' AND s.id = x'');
END;
CREATE TRIGGER stale_site_again AFTER UPDATE ON sites BEGIN
    INSERT INTO stale SELECT 'all', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'all' AND s.id = x'');
    INSERT INTO stale SELECT 'register', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'register' AND s.id = x'');
END;
CREATE TRIGGER stale_pd AFTER UPDATE ON pds BEGIN
    INSERT INTO stale SELECT 'pd', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'pd' AND s.id = new.id);
END;
CREATE TRIGGER stale_server AFTER UPDATE ON servers BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.server = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_dataset AFTER INSERT ON datasets BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_dataset_again AFTER UPDATE ON datasets BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_register AFTER INSERT ON register_history BEGIN
    INSERT INTO stale SELECT 'register', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'register' AND s.id = x'');
END;
CREATE TRIGGER stale_roster_agent AFTER INSERT ON roster_agents BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_roster_agent_gone AFTER DELETE ON roster_agents BEGIN
    INSERT INTO stale SELECT 'repository', old.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = old.repository);
END;
CREATE TRIGGER stale_roster_root AFTER INSERT ON roster_roots BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_roster_root_gone AFTER DELETE ON roster_roots BEGIN
    INSERT INTO stale SELECT 'repository', old.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = old.repository);
END;
CREATE TRIGGER stale_roster_site AFTER INSERT ON roster_sites BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_roster_site_gone AFTER DELETE ON roster_sites BEGIN
    INSERT INTO stale SELECT 'repository', old.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = old.repository);
END;

-- Where each dataset stands, as it was weighed last.
CREATE TABLE standings (
    dataset BLOB NOT NULL PRIMARY KEY REFERENCES datasets (id),
    pd BLOB NOT NULL REFERENCES pds (id),
    weighed_s INTEGER NOT NULL,
    -- When the same evidence may be weighed otherwise; null: never.
    recheck_s INTEGER,
    bytes INTEGER NOT NULL,
    -- Bit 0 to 3: tercadang, di DRC, terverifikasi, terbukti pulih.
    met INTEGER NOT NULL CHECK (met BETWEEN 0 AND 15),
    -- Nothing of it was ever backed up.
    never INTEGER NOT NULL CHECK (never IN (0, 1)),
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;
CREATE INDEX standings_by_pd ON standings (pd);
CREATE INDEX standings_by_recheck ON standings (recheck_s);
CREATE INDEX datasets_by_server ON datasets (server);

-- What was said of whom, from when until when.
CREATE TABLE verdicts (
    sequence INTEGER NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    pd BLOB,
    from_s INTEGER NOT NULL,
    until_s INTEGER,
    met INTEGER NOT NULL CHECK (met IN (0, 1)),
    -- Codes of the reasons, which tell one verdict from the next.
    codes TEXT NOT NULL,
    reason_id TEXT NOT NULL,
    reason_en TEXT NOT NULL,
    CHECK (until_s IS NULL OR until_s >= from_s)
) STRICT;
CREATE UNIQUE INDEX verdicts_open ON verdicts (subject, rule) WHERE until_s IS NULL;
CREATE INDEX verdicts_by_subject ON verdicts (subject, rule, from_s);
CREATE INDEX verdicts_by_pd ON verdicts (pd, until_s);

-- Totals at the end of each day of the city's time zone, days since 1970.
CREATE TABLE compliance_days (
    day INTEGER NOT NULL,
    pd BLOB NOT NULL,
    datasets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    backed_up INTEGER NOT NULL,
    backed_up_bytes INTEGER NOT NULL,
    at_drc INTEGER NOT NULL,
    at_drc_bytes INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    verified_bytes INTEGER NOT NULL,
    proven INTEGER NOT NULL,
    proven_bytes INTEGER NOT NULL,
    PRIMARY KEY (day, pd)
) STRICT, WITHOUT ROWID;
