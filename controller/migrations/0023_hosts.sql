-- What agents see of their hosts, of each server the newest, what of it was accepted, and how it changed: the agents' word.
CREATE TABLE host_inventories (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id),
    agent BLOB NOT NULL REFERENCES agents (id),
    received_s INTEGER NOT NULL,
    -- Counts what differs and lasts, from 1.
    revision INTEGER NOT NULL,
    content TEXT NOT NULL,
    accepted TEXT NOT NULL,
    accepted_revision INTEGER NOT NULL,
    accepted_s INTEGER NOT NULL,
    accepted_by TEXT NOT NULL
) STRICT;

CREATE TABLE host_changes (
    server BLOB NOT NULL REFERENCES servers (id),
    revision INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    differences TEXT NOT NULL,
    PRIMARY KEY (server, revision)
) STRICT, WITHOUT ROWID;

-- Servers whose host has to be held against the register again: marked in the transaction of the change, by the triggers below,
-- and unmarked in the transaction that looks.
CREATE TABLE stale_hosts (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id)
) STRICT, WITHOUT ROWID;

-- A conflict clause within a trigger gives way to that of the statement that fires it, so each asks first.
CREATE TRIGGER stale_host_seen AFTER INSERT ON host_inventories BEGIN
    INSERT INTO stale_hosts SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_host_seen_again AFTER UPDATE OF content, accepted ON host_inventories BEGIN
    INSERT INTO stale_hosts SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_host_server AFTER UPDATE ON servers BEGIN
    INSERT INTO stale_hosts SELECT new.id
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.id);
END;
CREATE TRIGGER stale_host_retired AFTER INSERT ON retired WHEN new.kind = 'server' BEGIN
    INSERT INTO stale_hosts SELECT new.id
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.id);
END;
CREATE TRIGGER stale_host_restored AFTER DELETE ON retired WHEN old.kind = 'server' BEGIN
    INSERT INTO stale_hosts SELECT old.id
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = old.id)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = old.id);
END;
