-- How often what agents are told of their policies changed: whoever keeps that in memory sees here whether it still holds.
CREATE TABLE policy_changes (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO policy_changes VALUES (1, 0);

CREATE TRIGGER policy_changes_new AFTER INSERT ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_confirmed AFTER UPDATE ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_gone AFTER DELETE ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_agent AFTER UPDATE OF server, policy ON agents
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
