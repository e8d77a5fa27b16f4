-- What people are told about alarms: alerts, who was told of them, the outbox, and who is on call.

ALTER TABLE contact_persons ADD COLUMN telegram TEXT NOT NULL DEFAULT '';

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
CREATE INDEX on_call_by_end ON on_call (until_s);

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
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts (grouped) WHERE closed_s IS NULL;
CREATE INDEX alerts_by_pd ON alerts (pd, sequence);
CREATE INDEX alerts_by_end ON alerts (closed_s);

-- What an alert has been about, by kind and subject of its alarms.
CREATE TABLE alert_topics (
    alert BLOB NOT NULL REFERENCES alerts (id),
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    joined_s INTEGER NOT NULL,
    left_s INTEGER,
    PRIMARY KEY (alert, kind, subject)
) STRICT, WITHOUT ROWID;

-- Who was told of it, by the recipient's key.
CREATE TABLE alert_told (
    alert BLOB NOT NULL REFERENCES alerts (id),
    recipient TEXT NOT NULL,
    round INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (alert, recipient)
) STRICT, WITHOUT ROWID;

-- The outbox: a message is here before it is tried.
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
    state TEXT NOT NULL CHECK (state IN ('waiting', 'trying', 'unknown', 'sent', 'failed')),
    made_s INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_s INTEGER,
    tried_s INTEGER,
    ended_s INTEGER,
    maybe_repeated INTEGER NOT NULL DEFAULT 0 CHECK (maybe_repeated IN (0, 1)),
    error TEXT NOT NULL DEFAULT '',
    CHECK ((next_s IS NULL) = (state IN ('sent', 'failed'))),
    CHECK ((ended_s IS NULL) = (state IN ('waiting', 'trying', 'unknown')))
) STRICT;
CREATE INDEX deliveries_due ON deliveries (channel, next_s) WHERE next_s IS NOT NULL;
CREATE INDEX deliveries_by_address ON deliveries (channel, address, ended_s);
-- What failed or arrived lately, of all that ever did.
CREATE INDEX deliveries_failed ON deliveries (ended_s) WHERE state = 'failed';
CREATE INDEX deliveries_sent ON deliveries (channel, ended_s) WHERE state = 'sent';

CREATE TABLE delivery_parts (
    alert BLOB NOT NULL REFERENCES alerts (id),
    delivery BLOB NOT NULL REFERENCES deliveries (id),
    number INTEGER NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('first', 'more', 'again', 'over')),
    PRIMARY KEY (alert, delivery)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_parts_by_delivery ON delivery_parts (delivery);

-- When the controller last showed itself that it can write.
CREATE TABLE beats (
    only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    at_s INTEGER NOT NULL
) STRICT;

-- The days whose digest was made.
CREATE TABLE digests (
    day TEXT NOT NULL PRIMARY KEY,
    made_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
