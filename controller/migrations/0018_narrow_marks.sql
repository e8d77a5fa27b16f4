-- What a new agent or repository changes, and no more: both marked every dataset of the PD, so that a city's first day weighed
-- each of them once for every server of its PD.

-- Whether a dataset's server has an agent; for one whose server is not known, whether the PD has one.
DROP TRIGGER stale_agent;
CREATE TRIGGER stale_agent AFTER INSERT ON agents BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.server = new.server
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
    INSERT INTO stale SELECT 'dataset', d.id FROM servers AS v JOIN datasets AS d ON d.pd = v.pd
        WHERE v.id = new.server AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;

-- Whose snapshots the repository's are; most repositories have none yet.
DROP TRIGGER stale_repository;
CREATE TRIGGER stale_repository AFTER INSERT ON repositories BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.repository = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset)
        GROUP BY m.dataset;
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = new.pd AND d.repository = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;

-- A server's agent counts for datasets on no known server while the server is not retired.
CREATE TRIGGER stale_retired_server AFTER INSERT ON retired WHEN new.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = new.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_restored_server AFTER DELETE ON retired WHEN old.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = old.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
