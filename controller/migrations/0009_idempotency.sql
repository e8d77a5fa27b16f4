-- Answers to changes that were asked for with an idempotency key, so that a request that is sent again does nothing twice.
-- A row is written in the transaction of its change, and goes after a day. No answer with a secret in it is kept.

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
CREATE INDEX idempotency_by_age ON idempotency (at_s);
CREATE INDEX idempotency_by_size ON idempotency (caller, answer_bytes);
