CREATE INDEX agents_by_server ON agents (server, enrolled_s);
CREATE UNIQUE INDEX alarms_open ON alarms (kind, subject) WHERE cleared_s IS NULL;
CREATE INDEX alerts_by_end ON alerts (closed_s);
CREATE INDEX alerts_by_pd ON alerts (pd, sequence);
CREATE UNIQUE INDEX alerts_open ON alerts (grouped) WHERE closed_s IS NULL;
CREATE INDEX anomalies_by_first ON anomalies (first_s);
CREATE UNIQUE INDEX anomalies_unsettled ON anomalies (dataset) WHERE state IN ('open', 'confirmed');
CREATE INDEX api_tokens_by_user ON api_tokens (user);
CREATE INDEX approvals_by_state ON approvals (state, asked_s);
CREATE INDEX audit_by_pd ON audit (pd, sequence);
CREATE INDEX audit_by_subject ON audit (subject_kind, subject, sequence);
CREATE INDEX capacity_days_by_day ON capacity_days (day);
CREATE INDEX care_of_pd ON care (pd);
CREATE INDEX checks_by_server ON checks (server);
CREATE INDEX checks_by_service ON checks (service);
CREATE INDEX consents_by_consent ON consents (repository, consent);
CREATE INDEX consents_by_grantee ON consents (repository, grantee);
CREATE INDEX consents_by_time ON consents (seen_s, consent);
CREATE UNIQUE INDEX contact_persons_by_name ON contact_persons (pd, coalesce(service, x''), name);
CREATE UNIQUE INDEX datasets_by_name ON datasets (pd, coalesce(server, x''), name);
CREATE INDEX datasets_by_server ON datasets (server);
CREATE INDEX deliveries_by_address ON deliveries (channel, address, ended_s);
CREATE INDEX deliveries_by_state ON deliveries (channel, state, maybe_repeated);
CREATE INDEX deliveries_due ON deliveries (channel, next_s) WHERE next_s IS NOT NULL;
CREATE INDEX deliveries_failed ON deliveries (ended_s) WHERE state = 'failed';
CREATE INDEX deliveries_sent ON deliveries (channel, ended_s) WHERE state = 'sent';
CREATE INDEX delivery_parts_by_delivery ON delivery_parts (delivery);
CREATE INDEX deposits_by_due ON deposits (due_s);
CREATE INDEX deposits_by_pd ON deposits (pd, due_s);
CREATE INDEX device_feeds_by_feed ON device_feeds (feed);
CREATE INDEX devices_by_rack ON devices (rack) WHERE rack IS NOT NULL;
CREATE INDEX devices_by_serial ON devices (serial) WHERE serial <> '';
CREATE INDEX devices_by_server ON devices (server) WHERE server IS NOT NULL;
CREATE INDEX drill_plans_of_pd ON drill_plans (pd);
CREATE UNIQUE INDEX drill_runs_active ON drill_runs (plan) WHERE finished_s IS NULL;
CREATE INDEX drill_runs_by_runner ON drill_runs (runner) WHERE finished_s IS NULL;
CREATE INDEX drill_runs_of_plan ON drill_runs (plan, created_s);
CREATE INDEX follow_ups_by_reminder ON follow_ups (reminder, sequence);
CREATE INDEX idempotency_by_age ON idempotency (at_s);
CREATE INDEX idempotency_by_size ON idempotency (caller, answer_bytes);
CREATE INDEX incident_notes_by_incident ON incident_notes (incident, sequence);
CREATE INDEX incidents_by_pd ON incidents (pd, from_s);
CREATE INDEX incidents_by_subject ON incidents (subject, from_s);
CREATE INDEX incidents_by_time ON incidents (from_s);
CREATE INDEX inventories_by_number ON inventories (site, repository, number);
CREATE INDEX maintenance_by_end ON maintenance (until_s);
CREATE INDEX manifests_by_dataset ON manifests (dataset, seen_s);
CREATE INDEX manifests_by_place ON manifests (repository, agent, dataset, epoch, sequence);
CREATE INDEX moved_days_by_day ON moved_days (day);
CREATE INDEX on_call_by_end ON on_call (until_s);
CREATE INDEX policies_by_agent ON policies (agent, version);
CREATE INDEX proofs_by_manifest ON proofs (manifest);
CREATE INDEX receipts_by_manifest ON receipts (manifest, site);
CREATE INDEX receipts_by_site ON receipts (site, repository, number);
CREATE INDEX register_history_by_id ON register_history (id, sequence);
CREATE INDEX rehearsals_by_signer ON rehearsals (signer, at_s);
CREATE INDEX reminders_by_pd ON reminders (pd, made_s);
CREATE INDEX reports_by_dataset ON reports (dataset, kind, at_s);
CREATE INDEX retired_by_pd ON retired (pd);
CREATE INDEX revocations_by_consent ON revocations (repository, consent);
CREATE INDEX run_figures_by_dataset ON run_figures (dataset, at_s);
CREATE INDEX servers_by_pool ON servers (pool) WHERE pool IS NOT NULL;
CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX sight_runs_by_end ON sight_runs (last_s);
CREATE INDEX standings_by_pd ON standings (pd);
CREATE INDEX standings_by_recheck ON standings (recheck_s);
CREATE INDEX tombstones_by_manifest ON tombstones (manifest, site);
CREATE INDEX tombstones_by_site ON tombstones (site, repository);
CREATE INDEX uptime_days_by_day ON uptime_days (day, pd);
CREATE INDEX verdicts_by_pd ON verdicts (pd, until_s);
CREATE INDEX verdicts_by_subject ON verdicts (subject, rule, from_s);
CREATE UNIQUE INDEX verdicts_open ON verdicts (subject, rule) WHERE until_s IS NULL;
CREATE INDEX waivers_by_subject ON waivers (subject, rule);
CREATE TABLE agent_told (
    agent BLOB NOT NULL PRIMARY KEY REFERENCES agents (id),
    version TEXT NOT NULL,
    health TEXT NOT NULL CHECK (json_valid(health)),
    jobs TEXT NOT NULL CHECK (json_valid(jobs))
) STRICT;
CREATE TABLE agents (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    server BLOB NOT NULL REFERENCES servers (id),
    repository BLOB NOT NULL REFERENCES repositories (id),
    key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
    domain BLOB NOT NULL CHECK (length(domain) = 16),
    enrolled_s INTEGER NOT NULL,
    last_seen_s INTEGER,
    agent_clock_s INTEGER, policy TEXT CHECK (policy IS NULL OR json_valid(policy))) STRICT;
CREATE TABLE alarms (
    sequence INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    pd BLOB REFERENCES pds (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    detail TEXT NOT NULL,
    raised_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    cleared_s INTEGER
, service BLOB REFERENCES services (id)) STRICT;
CREATE TABLE alert_told (
    alert BLOB NOT NULL REFERENCES alerts (id),
    recipient TEXT NOT NULL,
    round INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (alert, recipient)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_topics (
    alert BLOB NOT NULL REFERENCES alerts (id),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    joined_s INTEGER NOT NULL,
    left_s INTEGER,
    PRIMARY KEY (alert, kind, subject)
) STRICT, WITHOUT ROWID;
CREATE TABLE alerts (
    -- Counts alerts: lists are in this order.
    sequence INTEGER NOT NULL PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    -- What its alarms have in common.
    grouped TEXT NOT NULL,
    kind TEXT NOT NULL,
    pd BLOB REFERENCES pds (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    severity TEXT NOT NULL CHECK (severity IN ('notice', 'warning', 'critical')),
    opened_s INTEGER NOT NULL,
    cleared_s INTEGER,
    closed_s INTEGER,
    acknowledged_s INTEGER,
    acknowledged_by TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    round INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    stepped_s INTEGER NOT NULL
, service BLOB REFERENCES services (id)) STRICT;
CREATE TABLE anomalies (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    dataset BLOB NOT NULL REFERENCES datasets (id),
    agent BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'dismissed', 'confirmed', 'closed')),
    since_s INTEGER NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    score_pct INTEGER NOT NULL,
    reasons TEXT NOT NULL CHECK (json_valid(reasons)),
    new_extension TEXT NOT NULL,
    folders TEXT NOT NULL CHECK (json_valid(folders)),
    decided_s INTEGER,
    decided_by TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE anomaly_holds (
    anomaly BLOB NOT NULL REFERENCES anomalies (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    manifest BLOB NOT NULL REFERENCES manifests (id),
    hold BLOB,
    placed_s INTEGER,
    error TEXT,
    PRIMARY KEY (anomaly, site, manifest)
) STRICT, WITHOUT ROWID;
CREATE TABLE api_tokens (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user BLOB NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    -- May it change anything.
    writes INTEGER NOT NULL CHECK (writes IN (0, 1)),
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    revoked_s INTEGER
) STRICT;
CREATE TABLE applications (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    service BLOB REFERENCES services (id),
    technology TEXT NOT NULL,
    -- Ids of servers, as JSON.
    servers TEXT NOT NULL CHECK (json_valid(servers)),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE approvals (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- What is to be done, as JSON (crates/wire/src/messages/approvals.rs).
    wanted TEXT NOT NULL CHECK (json_valid(wanted)),
    reason TEXT NOT NULL,
    -- The account of whoever asked; null for an operator's certificate.
    asked_user BLOB REFERENCES users (id),
    asked_by TEXT NOT NULL,
    asked_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'refused', 'withdrawn')),
    decided_by TEXT,
    decided_s INTEGER,
    CHECK ((state = 'open') = (decided_s IS NULL))
) STRICT;
CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at_s INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    pd BLOB CHECK (length(pd) = 16),
    entry TEXT NOT NULL CHECK (json_valid(entry)),
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32)
) STRICT;
CREATE TABLE beats (
    only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    at_s INTEGER NOT NULL
) STRICT;
CREATE TABLE buildings (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    jurisdiction TEXT NOT NULL,
    hazard_assessment TEXT NOT NULL,
    UNIQUE (site, name)
) STRICT;
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
CREATE TABLE care (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    server BLOB NOT NULL REFERENCES servers (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    done_on TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    note TEXT NOT NULL,
    due_on TEXT,
    UNIQUE (server, kind, done_on, name)
) STRICT;
CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    agent BLOB REFERENCES agents (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    issued_s INTEGER NOT NULL,
    not_after_s INTEGER NOT NULL,
    pem TEXT NOT NULL
) STRICT;
CREATE TABLE check_places (
    check_id BLOB NOT NULL REFERENCES checks (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    from_s INTEGER NOT NULL,
    until_s INTEGER,
    PRIMARY KEY (check_id, site, from_s)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE consent_snapshots (
    id BLOB NOT NULL REFERENCES consents (id),
    manifest BLOB NOT NULL,
    PRIMARY KEY (id, manifest)
) STRICT, WITHOUT ROWID;
CREATE TABLE consents (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('grant', 'standing')),
    repository BLOB NOT NULL REFERENCES repositories (id),
    consent BLOB NOT NULL,
    -- Which part of the consent; 1 for a standing approval.
    part INTEGER NOT NULL,
    grantee BLOB NOT NULL,
    name TEXT NOT NULL,
    letter TEXT NOT NULL,
    purpose TEXT NOT NULL,
    -- Of a standing approval.
    dataset BLOB,
    issued_s INTEGER NOT NULL,
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL,
    signer BLOB NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE TABLE contact_persons (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    service BLOB REFERENCES services (id),
    tier INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
    name TEXT NOT NULL,
    phone TEXT NOT NULL,
    email TEXT NOT NULL
, telegram TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE datasets (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    server BLOB REFERENCES servers (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    classification TEXT NOT NULL,
    urgency TEXT NOT NULL,
    rpo_s INTEGER NOT NULL CHECK (rpo_s > 0),
    retention TEXT NOT NULL,
    period TEXT NOT NULL,
    media TEXT NOT NULL,
    repository BLOB REFERENCES repositories (id),
    paths TEXT NOT NULL CHECK (json_valid(paths))
, application BLOB REFERENCES applications (id), distribution TEXT NOT NULL DEFAULT '', location TEXT NOT NULL DEFAULT '', schedule TEXT, exclude TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(exclude)), own_rpo INTEGER NOT NULL DEFAULT 1 CHECK (own_rpo IN (0, 1))) STRICT;
CREATE TABLE deliveries (
    sequence INTEGER NOT NULL PRIMARY KEY,
    -- Follows from what it tells whom by what channel: the same message is never made twice.
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    cause TEXT NOT NULL CHECK (cause IN ('alert', 'digest', 'test')),
    recipient TEXT NOT NULL,
    recipient_name TEXT NOT NULL,
    pd BLOB REFERENCES pds (id),
    channel TEXT NOT NULL CHECK (channel IN ('mail', 'telegram', 'webhook')),
    address TEXT NOT NULL,
    -- Where else it may go, as JSON; used up from the front.
    others TEXT NOT NULL CHECK (json_valid(others)),
    severity TEXT NOT NULL CHECK (severity IN ('notice', 'warning', 'critical')),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'trying', 'unknown', 'sent', 'failed', 'superseded')),
    -- When its text was written.
    made_s INTEGER NOT NULL,
    -- Since when its address waits for what it tells: since earlier if it took the place of others, since later if another
    -- address was tried first.
    waits_s INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_s INTEGER,
    tried_s INTEGER,
    ended_s INTEGER,
    maybe_repeated INTEGER NOT NULL DEFAULT 0 CHECK (maybe_repeated IN (0, 1)),
    error TEXT NOT NULL DEFAULT '',
    CHECK ((next_s IS NULL) = (state IN ('sent', 'failed', 'superseded'))),
    CHECK ((ended_s IS NULL) = (state IN ('waiting', 'trying', 'unknown')))
) STRICT;
CREATE TABLE delivery_parts (
    alert BLOB NOT NULL REFERENCES alerts (id),
    delivery BLOB NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('first', 'more', 'again', 'over')),
    -- Whether the text says what the alert is about, or only counts it.
    described INTEGER NOT NULL CHECK (described IN (0, 1)),
    -- The newer message to the same address that says it too.
    told_by BLOB REFERENCES deliveries (id),
    PRIMARY KEY (alert, delivery)
) STRICT, WITHOUT ROWID;
CREATE TABLE deposits (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Null: somebody entered it.
    duty TEXT,
    title_id TEXT NOT NULL,
    title_en TEXT NOT NULL,
    article TEXT NOT NULL,
    force TEXT NOT NULL CHECK (force IN ('must', 'shall', 'may', 'proposal')),
    date_by TEXT NOT NULL,
    obligations TEXT NOT NULL CHECK (json_valid(obligations)),
    -- Null: the city, of which no PD runs the Pusat Data.
    pd BLOB REFERENCES pds (id),
    application BLOB REFERENCES applications (id),
    service BLOB REFERENCES services (id),
    -- Null: it is owed once.
    period TEXT,
    -- The last second in which it is in time.
    due_s INTEGER NOT NULL,
    created_s INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('open', 'delivered', 'accepted', 'returned', 'cancelled')),
    -- The controller cancelled it since nothing asks for it any more: it opens again if something does.
    lapsed INTEGER NOT NULL CHECK (lapsed IN (0, 1)),
    delivered_s INTEGER,
    delivered_by TEXT,
    document TEXT,
    sha256 BLOB CHECK (length(sha256) = 32),
    bytes INTEGER CHECK (bytes > 0),
    letter TEXT,
    note TEXT,
    decided_s INTEGER,
    decided_by TEXT,
    reason TEXT,
    CHECK (application IS NULL OR service IS NULL),
    CHECK ((delivered_s IS NULL) = (delivered_by IS NULL)),
    CHECK ((delivered_s IS NULL) = (document IS NULL)),
    CHECK ((delivered_s IS NULL) = (sha256 IS NULL)),
    CHECK ((delivered_s IS NULL) = (bytes IS NULL)),
    CHECK ((decided_s IS NULL) = (decided_by IS NULL)),
    CHECK (status NOT IN ('delivered', 'accepted') OR delivered_s IS NOT NULL),
    CHECK (status NOT IN ('accepted', 'returned', 'cancelled') OR decided_s IS NOT NULL),
    CHECK (lapsed = 0 OR (status = 'cancelled' AND duty IS NOT NULL))
) STRICT;
CREATE TABLE device_feeds (
    device BLOB NOT NULL REFERENCES devices (id),
    feed BLOB NOT NULL REFERENCES feeds (id),
    place INTEGER NOT NULL,
    PRIMARY KEY (device, feed)
) STRICT, WITHOUT ROWID;
CREATE TABLE devices (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    serial TEXT NOT NULL,
    -- Days of the city's calendar, as in 2026-08-31.
    purchased_on TEXT,
    warranty_until TEXT,
    condition TEXT NOT NULL,
    server BLOB REFERENCES servers (id),
    rack BLOB REFERENCES racks (id),
    lowest_u INTEGER CHECK (lowest_u BETWEEN 1 AND 60),
    height_u INTEGER CHECK (height_u BETWEEN 1 AND 60),
    face TEXT,
    draw_w INTEGER CHECK (draw_w > 0),
    CHECK ((rack IS NULL) = (lowest_u IS NULL)),
    CHECK ((rack IS NULL) = (height_u IS NULL)),
    CHECK ((rack IS NULL) = (face IS NULL)),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE digests (
    day TEXT NOT NULL PRIMARY KEY,
    made_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE drill_answers (
    run BLOB NOT NULL REFERENCES drill_runs (id),
    number INTEGER NOT NULL CHECK (number > 0),
    answer TEXT NOT NULL CHECK (json_valid(answer)),
    PRIMARY KEY (run, number)
) STRICT;
CREATE TABLE drill_events (
    run BLOB NOT NULL REFERENCES drill_runs (id),
    number INTEGER NOT NULL CHECK (number > 0),
    event TEXT NOT NULL CHECK (json_valid(event)),
    heard_s INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
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
CREATE TABLE duties (
    id TEXT NOT NULL PRIMARY KEY,
    since_s INTEGER NOT NULL
) STRICT;
CREATE TABLE feeds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    room BLOB NOT NULL REFERENCES rooms (id),
    rack BLOB REFERENCES racks (id),
    name TEXT NOT NULL,
    rated_w INTEGER CHECK (rated_w > 0),
    volts INTEGER CHECK (volts > 0),
    amps INTEGER CHECK (amps > 0),
    share_percent INTEGER NOT NULL CHECK (share_percent BETWEEN 1 AND 100),
    partner BLOB REFERENCES feeds (id) CHECK (partner <> id),
    CHECK ((rated_w IS NULL) = (volts IS NOT NULL AND amps IS NOT NULL)),
    CHECK ((volts IS NULL) = (amps IS NULL)),
    UNIQUE (room, name)
) STRICT;
CREATE TABLE follow_ups (
    sequence INTEGER NOT NULL PRIMARY KEY,
    reminder BLOB NOT NULL REFERENCES reminders (id),
    at_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE handovers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    server BLOB REFERENCES servers (id),
    application BLOB REFERENCES applications (id),
    dataset BLOB REFERENCES datasets (id),
    from_person TEXT NOT NULL,
    to_person TEXT NOT NULL,
    handed_on TEXT NOT NULL,
    letter TEXT NOT NULL,
    secret_kept_at TEXT NOT NULL,
    returned_on TEXT,
    CHECK ((server IS NOT NULL) + (application IS NOT NULL) + (dataset IS NOT NULL) = 1),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE heartbeat_spans (
    agent BLOB NOT NULL REFERENCES agents (id),
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    beats INTEGER NOT NULL, booted_s INTEGER,
    PRIMARY KEY (agent, first_s)
) STRICT, WITHOUT ROWID;
CREATE TABLE host_changes (
    server BLOB NOT NULL REFERENCES servers (id),
    revision INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    differences TEXT NOT NULL,
    PRIMARY KEY (server, revision)
) STRICT, WITHOUT ROWID;
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
CREATE TABLE idempotency (
    -- As whom it was asked: kind, id, role and PD.
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request.
    request BLOB NOT NULL CHECK (length(request) = 32),
    at_s INTEGER NOT NULL,
    status INTEGER NOT NULL,
    answer BLOB NOT NULL,
    answer_bytes INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT;
CREATE TABLE incident_notes (
    sequence INTEGER NOT NULL PRIMARY KEY,
    incident BLOB NOT NULL REFERENCES incidents (id),
    at_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
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
CREATE TABLE inventories (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    previous BLOB NOT NULL,
    made_s INTEGER NOT NULL,
    packs INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    chain_valid INTEGER NOT NULL CHECK (chain_valid IN (0, 1)),
    seen_s INTEGER NOT NULL
) STRICT;
CREATE TABLE inventory_entries (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    newest INTEGER NOT NULL,
    PRIMARY KEY (site, repository, manifest)
) STRICT, WITHOUT ROWID;
CREATE TABLE late_silences (
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL
) STRICT;
CREATE TABLE login_of_nobody (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    writes INTEGER NOT NULL
) STRICT;
CREATE TABLE login_origins (
    user BLOB NOT NULL REFERENCES users (id),
    -- An IPv4 address, or the /64 network of an IPv6 address; empty where none is known.
    origin TEXT NOT NULL,
    failures INTEGER NOT NULL,
    locked_until_s INTEGER,
    -- The last login from there that went well.
    known_s INTEGER,
    seen_s INTEGER NOT NULL,
    PRIMARY KEY (user, origin)
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
CREATE TABLE manifests (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    agent BLOB NOT NULL,
    signer BLOB NOT NULL,
    dataset BLOB NOT NULL,
    domain BLOB NOT NULL,
    partial INTEGER NOT NULL CHECK (partial IN (0, 1)),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    previous BLOB NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    content_bytes INTEGER NOT NULL,
    usage BLOB NOT NULL,
    stored_bytes INTEGER,
    seen_s INTEGER NOT NULL
, new_stored_bytes INTEGER) STRICT;
CREATE TABLE moved_days (
    repository BLOB NOT NULL REFERENCES repositories (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    day TEXT NOT NULL CHECK (length(day) = 10),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    snapshots INTEGER NOT NULL CHECK (snapshots >= 0),
    PRIMARY KEY (repository, site, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE on_call (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    tier INTEGER NOT NULL CHECK (tier BETWEEN 2 AND 3),
    name TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    until_s INTEGER NOT NULL,
    phone TEXT NOT NULL,
    email TEXT NOT NULL,
    telegram TEXT NOT NULL,
    removed_s INTEGER,
    CHECK (from_s < until_s)
) STRICT;
CREATE TABLE orders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    signer BLOB NOT NULL,
    letter TEXT NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE TABLE pds (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    code TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    contact TEXT NOT NULL,
    mandiri_tik INTEGER NOT NULL CHECK (mandiri_tik IN (0, 1))
, kind TEXT NOT NULL DEFAULT 'other', runs_pusat_data INTEGER NOT NULL DEFAULT 0 CHECK (runs_pusat_data IN (0, 1)), link TEXT NOT NULL DEFAULT '', rate TEXT NOT NULL DEFAULT '', windows TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(windows))) STRICT;
CREATE TABLE policies (
    server BLOB NOT NULL REFERENCES servers (id),
    version INTEGER NOT NULL CHECK (version > 0),
    agent BLOB NOT NULL REFERENCES agents (id),
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    -- As it was signed.
    body TEXT NOT NULL,
    signer BLOB NOT NULL CHECK (length(signer) = 32),
    signature TEXT NOT NULL CHECK (length(signature) = 128),
    issued_s INTEGER NOT NULL,
    -- The custodian's word, as JSON (crates/wire/src/messages/policy.rs).
    confirmation TEXT CHECK (confirmation IS NULL OR json_valid(confirmation)),
    PRIMARY KEY (server, version)
) STRICT;
CREATE TABLE policy_changes (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    changes INTEGER NOT NULL
) STRICT;
CREATE TABLE policy_proposals (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    content TEXT NOT NULL CHECK (json_valid(content)),
    narrowings TEXT NOT NULL CHECK (json_valid(narrowings)),
    approval BLOB NOT NULL REFERENCES approvals (id)
) STRICT;
CREATE TABLE poll_cursors (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    PRIMARY KEY (site, repository)
) STRICT, WITHOUT ROWID;
CREATE TABLE poll_pending (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    error TEXT NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    PRIMARY KEY (site, repository, manifest)
) STRICT, WITHOUT ROWID;
CREATE TABLE pools (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    name TEXT NOT NULL,
    vcpus INTEGER NOT NULL CHECK (vcpus > 0),
    overcommit_percent INTEGER NOT NULL CHECK (overcommit_percent BETWEEN 100 AND 2000),
    memory_bytes INTEGER NOT NULL CHECK (memory_bytes > 0),
    disk_bytes INTEGER NOT NULL CHECK (disk_bytes > 0),
    UNIQUE (site, name)
) STRICT;
CREATE TABLE proofs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    site BLOB NOT NULL,
    signer BLOB NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE TABLE racks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    room BLOB NOT NULL REFERENCES rooms (id),
    name TEXT NOT NULL,
    height_u INTEGER NOT NULL CHECK (height_u BETWEEN 1 AND 60),
    width_inches INTEGER NOT NULL CHECK (width_inches IN (10, 19, 21, 23)),
    note TEXT NOT NULL,
    UNIQUE (room, name)
) STRICT;
CREATE TABLE receipts (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL REFERENCES manifests (id),
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    locked_until_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;
CREATE TABLE register_history (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    row TEXT NOT NULL CHECK (json_valid(row))
) STRICT;
CREATE TABLE rehearsals (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    -- The root key that was rebuilt.
    signer BLOB NOT NULL,
    share_set BLOB NOT NULL,
    threshold INTEGER NOT NULL,
    shares INTEGER NOT NULL,
    recovery BLOB NOT NULL,
    at_s INTEGER NOT NULL,
    -- Numbers and holders of the shares that were there.
    present TEXT NOT NULL CHECK (json_valid(present)),
    note TEXT NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE TABLE reminders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    year INTEGER NOT NULL,
    number INTEGER NOT NULL,
    pd BLOB NOT NULL REFERENCES pds (id),
    made_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('draft', 'sent', 'answered', 'closed')),
    letter TEXT NOT NULL,
    body TEXT NOT NULL,
    items TEXT NOT NULL CHECK (json_valid(items)),
    UNIQUE (year, number)
) STRICT;
CREATE TABLE reports (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    agent BLOB NOT NULL REFERENCES agents (id),
    received_s INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    dataset BLOB NOT NULL CHECK (length(dataset) = 16),
    outcome TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE TABLE repositories (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    pd BLOB NOT NULL REFERENCES pds (id),
    bound_s INTEGER NOT NULL
) STRICT;
CREATE TABLE reservations (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    rack BLOB NOT NULL REFERENCES racks (id),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    lowest_u INTEGER NOT NULL CHECK (lowest_u BETWEEN 1 AND 60),
    height_u INTEGER NOT NULL CHECK (height_u BETWEEN 1 AND 60),
    face TEXT NOT NULL,
    until TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (rack, name)
) STRICT;
CREATE TABLE retired (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL CHECK (kind IN
        ('pd', 'server', 'service', 'application', 'contact_person', 'dataset', 'building', 'room', 'rack', 'feed',
         'pool', 'device', 'reservation', 'handover')),
    pd BLOB REFERENCES pds (id),
    -- Of a PD, its code.
    name TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    entered_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CHECK (from_s <= entered_s),
    CHECK ((pd IS NULL) = (kind IN ('building', 'room', 'rack', 'feed', 'pool')))
) STRICT, WITHOUT ROWID;
CREATE TABLE revocations (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    consent BLOB NOT NULL,
    signer BLOB NOT NULL,
    revoked_s INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE TABLE rooms (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    building BLOB NOT NULL REFERENCES buildings (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (building, name)
) STRICT;
CREATE TABLE roster_agents (
    repository BLOB NOT NULL, agent BLOB NOT NULL, key BLOB NOT NULL, domain BLOB NOT NULL,
    PRIMARY KEY (repository, agent)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_roots (
    repository BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY (repository, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE roster_sites (
    repository BLOB NOT NULL, site BLOB NOT NULL, receipt_key BLOB NOT NULL,
    PRIMARY KEY (repository, site)
) STRICT, WITHOUT ROWID;
CREATE TABLE rosters (
    repository BLOB NOT NULL REFERENCES repositories (id),
    number INTEGER NOT NULL,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
    object BLOB NOT NULL,
    PRIMARY KEY (repository, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE run_figures (
    report BLOB NOT NULL PRIMARY KEY CHECK (length(report) = 16),
    dataset BLOB NOT NULL REFERENCES datasets (id),
    at_s INTEGER NOT NULL,
    manifest BLOB,
    figures TEXT NOT NULL CHECK (json_valid(figures)),
    anomaly BLOB REFERENCES anomalies (id)
) STRICT, WITHOUT ROWID;
CREATE TABLE scrub_results (
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    manifest BLOB NOT NULL,
    signer BLOB NOT NULL,
    verified_s INTEGER,
    verified_by BLOB,
    damaged_s INTEGER,
    PRIMARY KEY (site, repository, manifest, signer)
) STRICT, WITHOUT ROWID;
CREATE TABLE scrubs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL,
    signer BLOB NOT NULL,
    number INTEGER NOT NULL,
    started_s INTEGER NOT NULL,
    finished_s INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    repaired INTEGER NOT NULL,
    bad INTEGER NOT NULL
) STRICT;
CREATE TABLE servers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL, site BLOB REFERENCES sites (id) ON UPDATE CASCADE, room BLOB REFERENCES rooms (id), pool BLOB REFERENCES pools (id), vcpus INTEGER CHECK (vcpus > 0), memory_bytes INTEGER CHECK (memory_bytes > 0), disk_bytes INTEGER CHECK (disk_bytes > 0),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE services (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    pd BLOB NOT NULL REFERENCES pds (id),
    name TEXT NOT NULL,
    critical INTEGER NOT NULL CHECK (critical IN (0, 1)),
    sla_millipercent INTEGER CHECK (sla_millipercent BETWEEN 1 AND 100000),
    hours TEXT NOT NULL,
    rto_s INTEGER CHECK (rto_s > 0),
    sla_document TEXT NOT NULL,
    standby BLOB REFERENCES servers (id),
    UNIQUE (pd, name)
) STRICT;
CREATE TABLE sessions (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    user BLOB NOT NULL REFERENCES users (id),
    csrf BLOB NOT NULL CHECK (length(csrf) = 32),
    created_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL
) STRICT;
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE site_caps (
    site BLOB NOT NULL PRIMARY KEY REFERENCES sites (id),
    version INTEGER NOT NULL CHECK (version > 0),
    content TEXT NOT NULL CHECK (json_valid(content)),
    made_s INTEGER NOT NULL,
    -- When the vault said last that it keeps to this list.
    taken_s INTEGER,
    -- What it said, or did not, at the last try.
    error TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE site_polls (
    site BLOB NOT NULL PRIMARY KEY REFERENCES sites (id) ON UPDATE CASCADE,
    tried_s INTEGER NOT NULL,
    succeeded_s INTEGER,
    reached_s INTEGER,
    clock_s INTEGER,
    version TEXT,
    error TEXT,
    error_s INTEGER
) STRICT;
CREATE TABLE sites (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('pusat_data', 'drc', 'other')),
    latitude REAL,
    longitude REAL,
    address TEXT NOT NULL,
    url TEXT,
    receipt_key BLOB UNIQUE CHECK (length(receipt_key) = 32),
    tls_pin BLOB CHECK (length(tls_pin) = 32),
    enrolled_s INTEGER, removed_s INTEGER, link TEXT NOT NULL DEFAULT '', rate TEXT NOT NULL DEFAULT '', windows TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(windows)),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
) STRICT;
CREATE TABLE stale (
    kind TEXT NOT NULL CHECK (kind IN ('dataset', 'repository', 'pd', 'all', 'register')),
    id BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE stale_days (
    day INTEGER NOT NULL PRIMARY KEY,
    -- How often it was marked: what was marked again meanwhile stays so.
    marks INTEGER NOT NULL
) STRICT;
CREATE TABLE stale_hosts (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id)
) STRICT, WITHOUT ROWID;
CREATE TABLE stale_policies (
    server BLOB NOT NULL PRIMARY KEY REFERENCES servers (id)
) STRICT, WITHOUT ROWID;
CREATE TABLE standby_copies (
    -- The pin of its TLS key.
    pin TEXT PRIMARY KEY,
    copied_s INTEGER NOT NULL
) STRICT;
CREATE TABLE standing_totals (
    pd BLOB NOT NULL PRIMARY KEY,
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
    -- Datasets of which nothing was ever backed up.
    never INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE succession (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    -- lumbung_wire::messages::succession::SignedStatement, as JSON.
    signed TEXT NOT NULL CHECK (json_valid(signed)),
    taken_s INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    role TEXT NOT NULL CHECK (role IN ('agent', 'site')),
    server BLOB REFERENCES servers (id),
    site BLOB REFERENCES sites (id) ON UPDATE CASCADE,
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    used_s INTEGER,
    CHECK ((role = 'agent') = (server IS NOT NULL)),
    CHECK ((role = 'site') = (site IS NOT NULL))
) STRICT;
CREATE TABLE tombstones (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    repository BLOB NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    signer BLOB NOT NULL,
    dataset BLOB NOT NULL,
    ordered_by BLOB, -- the owner's copy of the order; none: it expired
    removed_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL,
    -- Of the receipt that it names, once that was read.
    receipt_number INTEGER,
    locked_until_s INTEGER,
    -- Of the order that it names, once that was read and is the owner's.
    letter TEXT
) STRICT;
CREATE TABLE unregistered_datasets (
    dataset BLOB NOT NULL PRIMARY KEY CHECK (length(dataset) = 16),
    repository BLOB,
    agent BLOB,
    name TEXT NOT NULL,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;
CREATE TABLE unregistered_repositories (
    repository BLOB NOT NULL PRIMARY KEY CHECK (length(repository) = 32),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL
) STRICT;
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
CREATE TABLE uptime_through (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    through INTEGER NOT NULL
) STRICT;
CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    full_name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'pd', 'custodian', 'auditor')),
    pd BLOB REFERENCES pds (id),
    -- Argon2id as a PHC string.
    password TEXT NOT NULL,
    -- The password was given by somebody else: it opens nothing but the change of it.
    password_is_new INTEGER NOT NULL CHECK (password_is_new IN (0, 1)),
    totp BLOB CHECK (length(totp) = 20),
    -- The last step of 30 s that was used: none is taken twice.
    totp_step INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    locked_until_s INTEGER,
    created_s INTEGER NOT NULL,
    disabled_s INTEGER,
    CHECK ((role IN ('pd', 'custodian')) = (pd IS NOT NULL))
) STRICT;
CREATE TABLE vantages (
    site BLOB NOT NULL PRIMARY KEY REFERENCES sites (id) ON UPDATE CASCADE,
    through INTEGER NOT NULL,
    -- When it was heard of last, and what its clock said then.
    heard_s INTEGER NOT NULL,
    clock_s INTEGER
) STRICT, WITHOUT ROWID;
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
CREATE TABLE waivers (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    rule TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    pd BLOB REFERENCES pds (id),
    reason TEXT NOT NULL,
    letter TEXT NOT NULL,
    from_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    revoked_s INTEGER
) STRICT;
CREATE TABLE watches (
    first_s INTEGER NOT NULL PRIMARY KEY,
    last_s INTEGER NOT NULL CHECK (last_s >= first_s)
) STRICT;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
CREATE TRIGGER drill_answers_last BEFORE DELETE ON drill_answers
BEGIN SELECT RAISE(ABORT, 'an answer is never taken away'); END;
CREATE TRIGGER drill_answers_stay BEFORE UPDATE ON drill_answers
BEGIN SELECT RAISE(ABORT, 'an answer is never changed'); END;
CREATE TRIGGER drill_events_last BEFORE DELETE ON drill_events
BEGIN SELECT RAISE(ABORT, 'a journal is only ever added to'); END;
CREATE TRIGGER drill_events_stay BEFORE UPDATE ON drill_events
BEGIN SELECT RAISE(ABORT, 'a journal is only ever added to'); END;
CREATE TRIGGER drill_revisions_last BEFORE DELETE ON drill_revisions
BEGIN SELECT RAISE(ABORT, 'a revision of a plan is never taken away'); END;
CREATE TRIGGER drill_revisions_stay BEFORE UPDATE ON drill_revisions
BEGIN SELECT RAISE(ABORT, 'a revision of a plan is never changed'); END;
CREATE TRIGGER policy_changes_agent AFTER UPDATE OF server, policy ON agents
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_confirmed AFTER UPDATE ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_gone AFTER DELETE ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER policy_changes_new AFTER INSERT ON policies
    BEGIN UPDATE policy_changes SET changes = changes + 1; END;
CREATE TRIGGER stale_agent AFTER INSERT ON agents BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.server = new.server
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
    INSERT INTO stale SELECT 'dataset', d.id FROM servers AS v JOIN datasets AS d ON d.pd = v.pd
        WHERE v.id = new.server AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_consent AFTER INSERT ON consents BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_dataset AFTER INSERT ON datasets BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_dataset_again AFTER UPDATE ON datasets BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_entry AFTER INSERT ON inventory_entries BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_entry_again AFTER UPDATE ON inventory_entries BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_host_device AFTER INSERT ON devices WHEN new.server IS NOT NULL BEGIN
    INSERT INTO stale_hosts SELECT new.server
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = new.server)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_host_device_again AFTER UPDATE OF server, model, serial ON devices BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM host_inventories AS h WHERE h.server IN (new.server, old.server)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
CREATE TRIGGER stale_host_device_restored AFTER DELETE ON retired WHEN old.kind = 'device' BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM devices AS d JOIN host_inventories AS h ON h.server = d.server
        WHERE d.id = old.id AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
CREATE TRIGGER stale_host_device_retired AFTER INSERT ON retired WHEN new.kind = 'device' BEGIN
    INSERT INTO stale_hosts SELECT h.server FROM devices AS d JOIN host_inventories AS h ON h.server = d.server
        WHERE d.id = new.id AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = h.server);
END;
CREATE TRIGGER stale_host_restored AFTER DELETE ON retired WHEN old.kind = 'server' BEGIN
    INSERT INTO stale_hosts SELECT old.id
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = old.id)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = old.id);
END;
CREATE TRIGGER stale_host_retired AFTER INSERT ON retired WHEN new.kind = 'server' BEGIN
    INSERT INTO stale_hosts SELECT new.id
        WHERE EXISTS (SELECT 1 FROM host_inventories AS h WHERE h.server = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_hosts AS s WHERE s.server = new.id);
END;
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
CREATE TRIGGER stale_inventory AFTER INSERT ON inventories BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_inventory_chain AFTER UPDATE OF chain_valid ON inventories BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_manifest AFTER INSERT ON manifests BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_manifest_size AFTER UPDATE OF stored_bytes ON manifests BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_pd AFTER UPDATE ON pds BEGIN
    INSERT INTO stale SELECT 'pd', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'pd' AND s.id = new.id);
END;
CREATE TRIGGER stale_policy_agent AFTER INSERT ON agents BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
END;
CREATE TRIGGER stale_policy_agent_again AFTER UPDATE OF server, repository, enrolled_s, policy ON agents BEGIN
    INSERT INTO stale_policies SELECT new.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.server);
    INSERT INTO stale_policies SELECT old.server
        WHERE NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = old.server);
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
CREATE TRIGGER stale_policy_rate AFTER UPDATE OF rate, windows ON pds
    WHEN old.rate IS NOT new.rate OR old.windows IS NOT new.windows BEGIN
    INSERT INTO stale_policies SELECT v.id FROM servers AS v WHERE v.pd = new.id
        AND EXISTS (SELECT 1 FROM agents AS a WHERE a.server = v.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = v.id);
END;
CREATE TRIGGER stale_policy_restored AFTER DELETE ON retired BEGIN
    INSERT INTO stale_policies SELECT a.server FROM agents AS a
        WHERE a.server IN (SELECT old.id UNION SELECT d.server FROM datasets AS d WHERE d.id = old.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = a.server)
        GROUP BY a.server;
END;
CREATE TRIGGER stale_policy_retired AFTER INSERT ON retired BEGIN
    INSERT INTO stale_policies SELECT a.server FROM agents AS a
        WHERE a.server IN (SELECT new.id UNION SELECT d.server FROM datasets AS d WHERE d.id = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = a.server)
        GROUP BY a.server;
END;
CREATE TRIGGER stale_policy_server AFTER UPDATE ON servers BEGIN
    INSERT INTO stale_policies SELECT new.id
        WHERE EXISTS (SELECT 1 FROM agents AS a WHERE a.server = new.id)
        AND NOT EXISTS (SELECT 1 FROM stale_policies AS s WHERE s.server = new.id);
END;
CREATE TRIGGER stale_proof AFTER INSERT ON proofs BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_receipt AFTER INSERT ON receipts BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_register AFTER INSERT ON register_history BEGIN
    INSERT INTO stale SELECT 'register', x''
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'register' AND s.id = x'');
END;
CREATE TRIGGER stale_repository AFTER INSERT ON repositories BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.repository = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset)
        GROUP BY m.dataset;
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = new.pd AND d.repository = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_restored AFTER DELETE ON retired WHEN old.kind = 'dataset' BEGIN
    INSERT INTO stale SELECT 'dataset', old.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = old.id);
END;
CREATE TRIGGER stale_restored_server AFTER DELETE ON retired WHEN old.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = old.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_retired AFTER INSERT ON retired WHEN new.kind = 'dataset' BEGIN
    INSERT INTO stale SELECT 'dataset', new.id
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.id);
END;
CREATE TRIGGER stale_retired_server AFTER INSERT ON retired WHEN new.kind = 'server' BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.pd = new.pd AND d.server IS NULL
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
END;
CREATE TRIGGER stale_revocation AFTER INSERT ON revocations BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
END;
CREATE TRIGGER stale_roster AFTER INSERT ON rosters BEGIN
    INSERT INTO stale SELECT 'repository', new.repository
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'repository' AND s.id = new.repository);
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
CREATE TRIGGER stale_scrub AFTER INSERT ON scrub_results BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_scrub_again AFTER UPDATE ON scrub_results BEGIN
    INSERT INTO stale SELECT 'dataset', m.dataset FROM manifests AS m WHERE m.id = new.manifest
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = m.dataset);
END;
CREATE TRIGGER stale_server AFTER UPDATE ON servers BEGIN
    INSERT INTO stale SELECT 'dataset', d.id FROM datasets AS d WHERE d.server = new.id
        AND NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = d.id);
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
CREATE TRIGGER stale_tombstone AFTER INSERT ON tombstones BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER stale_tombstone_again AFTER UPDATE ON tombstones BEGIN
    INSERT INTO stale SELECT 'dataset', new.dataset
        WHERE NOT EXISTS (SELECT 1 FROM stale AS s WHERE s.kind = 'dataset' AND s.id = new.dataset);
END;
CREATE TRIGGER standing_totals_gone AFTER DELETE ON standings BEGIN
    UPDATE standing_totals SET
        datasets = datasets - 1,
        bytes = bytes - old.bytes,
        backed_up = backed_up - (old.met >> 0 & 1),
        backed_up_bytes = backed_up_bytes - old.bytes * (old.met >> 0 & 1),
        at_drc = at_drc - (old.met >> 1 & 1),
        at_drc_bytes = at_drc_bytes - old.bytes * (old.met >> 1 & 1),
        verified = verified - (old.met >> 2 & 1),
        verified_bytes = verified_bytes - old.bytes * (old.met >> 2 & 1),
        proven = proven - (old.met >> 3 & 1),
        proven_bytes = proven_bytes - old.bytes * (old.met >> 3 & 1),
        never = never - old.never
        WHERE pd = old.pd;
END;
CREATE TRIGGER standing_totals_new AFTER INSERT ON standings BEGIN
    INSERT INTO standing_totals SELECT new.pd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM standing_totals AS t WHERE t.pd = new.pd);
    UPDATE standing_totals SET
        datasets = datasets + 1,
        bytes = bytes + new.bytes,
        backed_up = backed_up + (new.met >> 0 & 1),
        backed_up_bytes = backed_up_bytes + new.bytes * (new.met >> 0 & 1),
        at_drc = at_drc + (new.met >> 1 & 1),
        at_drc_bytes = at_drc_bytes + new.bytes * (new.met >> 1 & 1),
        verified = verified + (new.met >> 2 & 1),
        verified_bytes = verified_bytes + new.bytes * (new.met >> 2 & 1),
        proven = proven + (new.met >> 3 & 1),
        proven_bytes = proven_bytes + new.bytes * (new.met >> 3 & 1),
        never = never + new.never
        WHERE pd = new.pd;
END;
CREATE TRIGGER standing_totals_other AFTER UPDATE ON standings
    WHEN (old.pd, old.bytes, old.met, old.never) IS NOT (new.pd, new.bytes, new.met, new.never) BEGIN
    UPDATE standing_totals SET
        datasets = datasets - 1,
        bytes = bytes - old.bytes,
        backed_up = backed_up - (old.met >> 0 & 1),
        backed_up_bytes = backed_up_bytes - old.bytes * (old.met >> 0 & 1),
        at_drc = at_drc - (old.met >> 1 & 1),
        at_drc_bytes = at_drc_bytes - old.bytes * (old.met >> 1 & 1),
        verified = verified - (old.met >> 2 & 1),
        verified_bytes = verified_bytes - old.bytes * (old.met >> 2 & 1),
        proven = proven - (old.met >> 3 & 1),
        proven_bytes = proven_bytes - old.bytes * (old.met >> 3 & 1),
        never = never - old.never
        WHERE pd = old.pd;
    INSERT INTO standing_totals SELECT new.pd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM standing_totals AS t WHERE t.pd = new.pd);
    UPDATE standing_totals SET
        datasets = datasets + 1,
        bytes = bytes + new.bytes,
        backed_up = backed_up + (new.met >> 0 & 1),
        backed_up_bytes = backed_up_bytes + new.bytes * (new.met >> 0 & 1),
        at_drc = at_drc + (new.met >> 1 & 1),
        at_drc_bytes = at_drc_bytes + new.bytes * (new.met >> 1 & 1),
        verified = verified + (new.met >> 2 & 1),
        verified_bytes = verified_bytes + new.bytes * (new.met >> 2 & 1),
        proven = proven + (new.met >> 3 & 1),
        proven_bytes = proven_bytes + new.bytes * (new.met >> 3 & 1),
        never = never + new.never
        WHERE pd = new.pd;
END;
CREATE TRIGGER succession_lasts BEFORE DELETE ON succession
BEGIN SELECT RAISE(ABORT, 'a statement is never taken away'); END;
CREATE TRIGGER succession_stays BEFORE UPDATE ON succession
BEGIN SELECT RAISE(ABORT, 'a statement is never changed'); END;
CREATE VIEW authorized_manifests AS
SELECT m.* FROM manifests AS m
JOIN roster_agents AS r
    ON r.repository = m.repository AND r.agent = m.agent AND r.key = m.signer AND r.domain = m.domain;
CREATE VIEW counting_inventories AS
SELECT i.* FROM inventories AS i
JOIN entitled_sites AS e
    ON e.repository = i.repository AND e.site = i.site AND e.signer = i.signer;
CREATE VIEW counting_proofs AS
SELECT p.*, m.dataset FROM proofs AS p
JOIN authorized_manifests AS m ON m.id = p.manifest AND m.repository = p.repository AND m.partial = 0
WHERE EXISTS (SELECT 1 FROM roster_roots AS r WHERE r.repository = p.repository AND r.key = p.signer)
    OR EXISTS (
        SELECT 1 FROM honoured_consents AS c
        WHERE c.repository = p.repository AND c.grantee = p.signer
            AND p.finished_s BETWEEN c.from_s AND c.until_s
            AND NOT EXISTS (
                SELECT 1 FROM revocations AS v
                WHERE v.repository = c.repository AND v.consent = c.consent AND v.revoked_s <= p.finished_s
            )
            AND (
                c.kind = 'grant'
                AND EXISTS (SELECT 1 FROM consent_snapshots AS s WHERE s.id = c.id AND s.manifest = p.manifest)
                OR c.kind = 'standing' AND c.dataset = m.dataset
                AND (SELECT min(t.received_s) FROM counting_receipts AS t WHERE t.manifest = p.manifest) BETWEEN c.from_s AND c.until_s
            )
    );
CREATE VIEW counting_receipts AS
SELECT r.* FROM receipts AS r
JOIN entitled_sites AS e
    ON e.repository = r.repository AND e.site = r.site AND e.signer = r.signer;
CREATE VIEW counting_tombstones AS
SELECT t.* FROM tombstones AS t
JOIN entitled_sites AS e
    ON e.repository = t.repository AND e.site = t.site AND e.signer = t.signer;
CREATE VIEW entitled_sites AS
SELECT r.repository, s.id AS site, s.receipt_key AS signer FROM sites AS s
JOIN roster_sites AS r ON r.site = s.id AND r.receipt_key = s.receipt_key
WHERE s.removed_s IS NULL;
CREATE VIEW honoured_consents AS
SELECT c.* FROM consents AS c
JOIN roster_roots AS r ON r.repository = c.repository AND r.key = c.signer;
CREATE VIEW live_checks AS
SELECT c.* FROM checks AS c WHERE c.enabled = 1
    AND NOT EXISTS (SELECT 1 FROM retired AS r WHERE r.id IN (c.pd, c.service, c.server));
CREATE VIEW removals AS
SELECT t.*, CASE
    WHEN t.ordered_by IS NOT NULL THEN t.letter IS NOT NULL
    ELSE coalesce(t.locked_until_s <= t.removed_s, 0) AND NOT EXISTS (
        SELECT 1 FROM counting_receipts AS r WHERE r.manifest = t.manifest AND r.site = t.site
            AND r.repository = t.repository AND r.locked_until_s > t.removed_s)
    END AS rightful
FROM counting_tombstones AS t
WHERE NOT EXISTS (
    SELECT 1 FROM inventory_entries AS e JOIN counting_inventories AS i
        ON i.site = e.site AND i.repository = e.repository AND i.number = e.newest
    WHERE e.site = t.site AND e.repository = t.repository AND e.manifest = t.manifest
        AND min(i.made_s, i.seen_s) > t.removed_s + 7200);
