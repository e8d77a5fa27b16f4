-- What is done about what is not met: waivers, reminders, and the log of what followed.

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
CREATE INDEX waivers_by_subject ON waivers (subject, rule);

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
CREATE INDEX reminders_by_pd ON reminders (pd, made_s);

CREATE TABLE follow_ups (
    sequence INTEGER NOT NULL PRIMARY KEY,
    reminder BLOB NOT NULL REFERENCES reminders (id),
    at_s INTEGER NOT NULL,
    made_by TEXT NOT NULL,
    text TEXT NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX follow_ups_by_reminder ON follow_ups (reminder, sequence);
