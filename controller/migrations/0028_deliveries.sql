-- Messages that newer ones take the place of, and alarms and alerts of a service.

ALTER TABLE alarms ADD COLUMN service BLOB REFERENCES services (id);
ALTER TABLE alerts ADD COLUMN service BLOB REFERENCES services (id);

-- A state more is a table anew.
ALTER TABLE delivery_parts RENAME TO delivery_parts_before;
ALTER TABLE deliveries RENAME TO deliveries_before;
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
INSERT INTO deliveries (sequence, id, cause, recipient, recipient_name, pd, channel, address, others, severity, subject, body,
        state, made_s, waits_s, attempts, next_s, tried_s, ended_s, maybe_repeated, error)
    SELECT sequence, id, cause, recipient, recipient_name, pd, channel, address, others, severity, subject, body,
        state, made_s, made_s, attempts, next_s, tried_s, ended_s, maybe_repeated, error
    FROM deliveries_before;

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
INSERT INTO delivery_parts (alert, delivery, number, cause, described)
    SELECT alert, delivery, number, cause, 0 FROM delivery_parts_before;
DROP TABLE delivery_parts_before;
DROP TABLE deliveries_before;

CREATE INDEX deliveries_due ON deliveries (channel, next_s) WHERE next_s IS NOT NULL;
CREATE INDEX deliveries_by_address ON deliveries (channel, address, ended_s);
-- What failed or arrived lately, of all that ever did.
CREATE INDEX deliveries_failed ON deliveries (ended_s) WHERE state = 'failed';
CREATE INDEX deliveries_sent ON deliveries (channel, ended_s) WHERE state = 'sent';
-- Totals are counted along it.
CREATE INDEX deliveries_by_state ON deliveries (channel, state, maybe_repeated);
CREATE INDEX delivery_parts_by_delivery ON delivery_parts (delivery);
