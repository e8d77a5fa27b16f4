-- Drills and failover: plans with their revisions, runs with their journals.

CREATE TABLE drill_plans (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Null: the city's.
    pd BLOB REFERENCES pds (id),
    revision INTEGER NOT NULL CHECK (revision > 0),
    -- What it says now, as JSON (lumbung_model::drill::DrillPlan), and SHA-256 of what of it is carried out.
    plan TEXT NOT NULL CHECK (json_valid(plan)),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    created_s INTEGER NOT NULL,
    changed_s INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    retired_s INTEGER
) STRICT;
CREATE INDEX drill_plans_of_pd ON drill_plans (pd);

-- Each revision as it was when it became one.
CREATE TABLE drill_revisions (
    plan BLOB NOT NULL REFERENCES drill_plans (id),
    revision INTEGER NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    body TEXT NOT NULL CHECK (json_valid(body)),
    made_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    PRIMARY KEY (plan, revision)
) STRICT;

CREATE TABLE drill_runs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    plan BLOB NOT NULL REFERENCES drill_plans (id),
    revision INTEGER NOT NULL,
    -- The plan as it was then, telephone numbers and all; hashes of what is carried out and of what it is about.
    body TEXT NOT NULL CHECK (json_valid(body)),
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    subjects BLOB NOT NULL CHECK (length(subjects) = 32),
    mode TEXT NOT NULL CHECK (mode IN ('drill', 'real', 'tabletop')),
    -- The server whose agent writes the journal; null: people do.
    runner BLOB REFERENCES servers (id),
    outage_s INTEGER,
    reason TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    -- Of its journal.
    started_s INTEGER,
    finished_s INTEGER,
    verdict TEXT CHECK (verdict IN ('succeeded', 'partly', 'failed')),
    heard_s INTEGER,
    -- When its runner was first given it: from then on somebody may be carrying it out.
    ordered_s INTEGER,
    -- Why it was closed before it was over.
    closed TEXT,
    -- What people add to the berita acara.
    number TEXT NOT NULL,
    corrections TEXT NOT NULL CHECK (json_valid(corrections)),
    signatories TEXT NOT NULL CHECK (json_valid(signatories)),
    CHECK ((mode = 'real') = (outage_s IS NOT NULL)),
    CHECK ((mode = 'tabletop') = (runner IS NULL)),
    CHECK (closed IS NULL OR finished_s IS NOT NULL),
    CHECK ((finished_s IS NULL) = (verdict IS NULL))
) STRICT;
CREATE INDEX drill_runs_of_plan ON drill_runs (plan, created_s);
-- Never two of one plan at a time.
CREATE UNIQUE INDEX drill_runs_active ON drill_runs (plan) WHERE finished_s IS NULL;
CREATE INDEX drill_runs_by_runner ON drill_runs (runner) WHERE finished_s IS NULL;

CREATE TABLE drill_events (
    run BLOB NOT NULL REFERENCES drill_runs (id),
    number INTEGER NOT NULL CHECK (number > 0),
    event TEXT NOT NULL CHECK (json_valid(event)),
    heard_s INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;

CREATE TABLE drill_answers (
    run BLOB NOT NULL REFERENCES drill_runs (id),
    number INTEGER NOT NULL CHECK (number > 0),
    answer TEXT NOT NULL CHECK (json_valid(answer)),
    PRIMARY KEY (run, number)
) STRICT;

CREATE TRIGGER drill_revisions_stay BEFORE UPDATE ON drill_revisions
BEGIN SELECT RAISE(ABORT, 'a revision of a plan is never changed'); END;
CREATE TRIGGER drill_revisions_last BEFORE DELETE ON drill_revisions
BEGIN SELECT RAISE(ABORT, 'a revision of a plan is never taken away'); END;
CREATE TRIGGER drill_events_stay BEFORE UPDATE ON drill_events
BEGIN SELECT RAISE(ABORT, 'a journal is only ever added to'); END;
CREATE TRIGGER drill_events_last BEFORE DELETE ON drill_events
BEGIN SELECT RAISE(ABORT, 'a journal is only ever added to'); END;
CREATE TRIGGER drill_answers_stay BEFORE UPDATE ON drill_answers
BEGIN SELECT RAISE(ABORT, 'an answer is never changed'); END;
CREATE TRIGGER drill_answers_last BEFORE DELETE ON drill_answers
BEGIN SELECT RAISE(ABORT, 'an answer is never taken away'); END;
