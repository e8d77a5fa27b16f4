-- Servers whose policy has to be looked at again: marked in the transaction of the change, by the triggers below, and
-- unmarked in the transaction that looks. A server without an agent has no policy; its first agent marks it.
CREATE TABLE stale_policies (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id)
) STRICT, WITHOUT ROWID;

-- A conflict clause within a trigger gives way to that of the statement that fires it, so each asks first.
CREATE TRIGGER stale_policy_agent AFTER INSERT ON agents BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
END;
-- Not when it is only heard of: those columns are written all the time.
CREATE TRIGGER stale_policy_agent_again AFTER UPDATE OF server, repository, enrolled_s, policy ON agents BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
    INSERT INTO stale_policies SELECT old.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = old.server);
END;
CREATE TRIGGER stale_policy_server AFTER UPDATE ON servers BEGIN
    INSERT INTO stale_policies SELECT new.id
        WHERE EXISTS (SELECT 1 FROM agents AS a WHERE a.server = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.id);
END;
CREATE TRIGGER stale_policy_dataset AFTER INSERT ON datasets BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE EXISTS (SELECT 1 FROM agents AS a WHERE a.server = new.server)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_policy_dataset_again AFTER UPDATE ON datasets BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE EXISTS (SELECT 1 FROM agents AS a WHERE a.server = new.server)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
    INSERT INTO stale_policies SELECT old.server
        WHERE EXISTS (SELECT 1 FROM agents AS a WHERE a.server = old.server)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = old.server);
END;
