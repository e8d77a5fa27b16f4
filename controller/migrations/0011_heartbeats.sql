-- What an agent tells of its host and its jobs is long and rarely asked for; when it was heard of last is short and
-- written all the time. Apart, the rows that heartbeats write are a few hundred pages for ten thousand agents.

CREATE TABLE agent_told (
    agent BLOB NOT NULL PRIMARY KEY REFERENCES agents (id),
    version TEXT NOT NULL,
    health TEXT NOT NULL CHECK (json_valid(health)),
    jobs TEXT NOT NULL CHECK (json_valid(jobs))
) STRICT;

INSERT INTO agent_told (agent, version, health, jobs)
    SELECT id, version, health, jobs FROM agents
    WHERE version IS NOT NULL AND health IS NOT NULL AND jobs IS NOT NULL;

ALTER TABLE agents DROP COLUMN version;
ALTER TABLE agents DROP COLUMN health;
ALTER TABLE agents DROP COLUMN jobs;
