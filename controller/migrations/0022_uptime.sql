-- What is looked at, what was seen from which place, and what follows: incidents, maintenance windows, figures by day.

CREATE TABLE checks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    service BLOB REFERENCES services (id),
    server BLOB REFERENCES servers (id),
    target TEXT NOT NULL,
    status INTEGER CHECK (status BETWEEN 100 AND 599),
    contains TEXT NOT NULL,
    address TEXT NOT NULL,
    any_certificate INTEGER NOT NULL CHECK (any_certificate IN (0, 1)),
    interval_s INTEGER NOT NULL CHECK (interval_s BETWEEN 10 AND 3600),
    timeout_s INTEGER NOT NULL CHECK (timeout_s BETWEEN 1 AND 60),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    UNIQUE (pd, name),
    CHECK ((service IS NULL) <> (server IS NULL)),
    CHECK (timeout_s < interval_s)
) STRICT;
CREATE INDEX checks_by_service ON checks (service);
CREATE INDEX checks_by_server ON checks (server);

-- A check is looked at while it is enabled and neither its PD nor what it is of is retired.
CREATE VIEW live_checks AS
SELECT c.* FROM checks AS c WHERE c.enabled = 1
    AND NOT EXISTS (SELECT 1 FROM retired AS r WHERE r.id IN (c.pd, c.service, c.server));

-- Which place was told to look at what, and when.
CREATE TABLE check_places (
    check_id BLOB NOT NULL REFERENCES checks (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    from_s INTEGER NOT NULL,
    until_s INTEGER,
    PRIMARY KEY (check_id, site, from_s)
) STRICT, WITHOUT ROWID;

-- Probes one after the other that came out alike. At a site there may look its vault and the controller.
CREATE TABLE sight_runs (
    check_id BLOB NOT NULL REFERENCES checks (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    prober TEXT NOT NULL CHECK (prober IN ('vault', 'controller')),
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    interval_s INTEGER NOT NULL,
    up INTEGER NOT NULL CHECK (up IN (0, 1)),
    probes INTEGER NOT NULL,
    latency_sum_ms INTEGER NOT NULL,
    latency_max_ms INTEGER NOT NULL,
    -- What was wrong first.
    detail TEXT NOT NULL,
    PRIMARY KEY (check_id, site, prober, first_s, up)
) STRICT, WITHOUT ROWID;
CREATE INDEX sight_runs_by_end ON sight_runs (last_s);

-- The newest of each.
CREATE TABLE sights (
    check_id BLOB NOT NULL REFERENCES checks (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    prober TEXT NOT NULL,
    at_s INTEGER NOT NULL,
    up INTEGER NOT NULL CHECK (up IN (0, 1)),
    latency_ms INTEGER,
    certificate_s INTEGER,
    detail TEXT NOT NULL,
    PRIMARY KEY (check_id, site, prober)
) STRICT, WITHOUT ROWID;

-- How far a vault has told what it saw.
CREATE TABLE vantages (
    site BLOB NOT NULL PRIMARY KEY REFERENCES sites (id) ON UPDATE CASCADE,
    through INTEGER NOT NULL,
    -- When it was heard of last, and what its clock said then.
    heard_s INTEGER NOT NULL,
    clock_s INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE maintenance (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    scope TEXT NOT NULL CHECK (scope IN ('city', 'pd', 'site', 'room', 'rack', 'server', 'service')),
    subject BLOB CHECK (length(subject) = 16),
    pd BLOB REFERENCES pds (id),
    reason TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL CHECK (until_s > from_s),
    schedule TEXT NOT NULL,
    duration_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    entered_s INTEGER NOT NULL CHECK (entered_s <= from_s),
    cancelled_s INTEGER,
    CHECK ((scope = 'city') = (subject IS NULL)),
    CHECK ((schedule = '') = (duration_s = 0))
) STRICT;
CREATE INDEX maintenance_by_end ON maintenance (until_s);

CREATE TABLE incidents (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL CHECK (kind IN ('service', 'server')),
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    from_s INTEGER NOT NULL,
    until_s INTEGER,
    down_s INTEGER NOT NULL,
    flaps INTEGER NOT NULL,
    -- Somebody entered it; else probes saw it.
    entered INTEGER NOT NULL CHECK (entered IN (0, 1)),
    -- What was told later says that there was none.
    withdrawn INTEGER NOT NULL CHECK (withdrawn IN (0, 1)),
    cause TEXT NOT NULL,
    CHECK (entered = 0 OR until_s IS NOT NULL)
) STRICT;
CREATE INDEX incidents_by_subject ON incidents (subject, from_s);
CREATE INDEX incidents_by_time ON incidents (from_s);
CREATE INDEX incidents_by_pd ON incidents (pd, from_s);

CREATE TABLE incident_notes (
    sequence INTEGER NOT NULL PRIMARY KEY,
    incident BLOB NOT NULL REFERENCES incidents (id),
    at_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX incident_notes_by_incident ON incident_notes (incident, sequence);

-- Figures of days that are over: months and years are sums of them, so that what they were reckoned from can go.
CREATE TABLE uptime_days (
    subject BLOB NOT NULL CHECK (length(subject) = 16),
    -- Days since 1970 in the city's zone.
    day INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('service', 'server')),
    pd BLOB NOT NULL REFERENCES pds (id),
    up_s INTEGER NOT NULL,
    down_s INTEGER NOT NULL,
    planned_s INTEGER NOT NULL,
    unconfirmed_s INTEGER NOT NULL,
    unobserved_s INTEGER NOT NULL,
    PRIMARY KEY (subject, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX uptime_days_by_day ON uptime_days (day, pd);

-- Days that are reckoned again, since something about them was told late.
CREATE TABLE stale_days (
    day INTEGER NOT NULL PRIMARY KEY,
    -- How often it was marked: what was marked again meanwhile stays so.
    marks INTEGER NOT NULL
) STRICT;

-- Silences of agents whose end told that the host had started anew: their days are marked by whoever knows the city's days.
CREATE TABLE late_silences (
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL
) STRICT;

-- Up to which day figures are kept, days without any among them.
CREATE TABLE uptime_through (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    through INTEGER NOT NULL
) STRICT;

-- When the controller itself listened: a silence in which it did not tells nothing of anybody.
CREATE TABLE watches (
    first_s INTEGER NOT NULL PRIMARY KEY,
    last_s INTEGER NOT NULL CHECK (last_s >= first_s)
) STRICT;

-- When the host started, as the first heartbeat after a silence told: whether it was down or only not heard.
ALTER TABLE heartbeat_spans ADD COLUMN booted_s INTEGER;
