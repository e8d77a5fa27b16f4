-- What the vault can look up quickly. Everything here is rebuilt from the files (`lumbung-vault reindex`).
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    repository BLOB NOT NULL UNIQUE,
    -- The highest number that this site gave to a receipt in it.
    receipts INTEGER NOT NULL DEFAULT 0,
    -- 1 once every file that lay here before this row was made has its own: until then nothing is answered from it.
    filled INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE packs (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    pack BLOB NOT NULL,
    domain BLOB NOT NULL,
    session BLOB NOT NULL,
    frames INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (repo, pack)
) WITHOUT ROWID;
CREATE INDEX packs_by_domain ON packs (repo, domain);

-- Frames that a scrub read and could not repair.
CREATE TABLE bad_frames (
    repo INTEGER NOT NULL,
    pack BLOB NOT NULL,
    frame INTEGER NOT NULL,
    PRIMARY KEY (repo, pack, frame)
) WITHOUT ROWID;

-- Small objects other than rosters, sessions, manifests and receipts.
CREATE TABLE objects (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    domain BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (repo, kind, id)
) WITHOUT ROWID;

CREATE TABLE sessions (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    session BLOB NOT NULL,
    agent BLOB NOT NULL,
    domain BLOB NOT NULL,
    dataset BLOB NOT NULL,
    signer BLOB NOT NULL,
    roster_number INTEGER NOT NULL,
    recipients BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    received INTEGER NOT NULL,
    -- 1 once a manifest of this agent names it: the session is no longer open.
    published INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repo, session)
) WITHOUT ROWID;
CREATE INDEX sessions_by_agent ON sessions (repo, agent, received, session);
CREATE INDEX sessions_by_domain ON sessions (repo, domain, received, session);

-- Segments whose every pack was found here, with the sessions of those packs.
CREATE TABLE verified_segments (
    repo INTEGER NOT NULL,
    segment BLOB NOT NULL,
    sessions BLOB NOT NULL,
    PRIMARY KEY (repo, segment)
) WITHOUT ROWID;

-- Manifests that have this site's receipt. `arrival` is the receipt's number.
CREATE TABLE manifests (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    agent BLOB NOT NULL,
    dataset BLOB NOT NULL,
    domain BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    signer BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    receipt BLOB NOT NULL,
    received INTEGER NOT NULL,
    locked_until INTEGER NOT NULL,
    pulled_from BLOB,
    bytes INTEGER NOT NULL,
    partial INTEGER NOT NULL,
    -- The earliest receipt that came with it: which slot of the calendar it is in.
    dated INTEGER NOT NULL,
    -- The retention clock when it came; after a rebuild, when that was.
    came_s INTEGER NOT NULL,
    -- The retention clock when it was first found without a place.
    displaced_s INTEGER,
    PRIMARY KEY (repo, manifest)
) WITHOUT ROWID;
CREATE UNIQUE INDEX manifests_by_arrival ON manifests (repo, arrival);
CREATE INDEX manifests_by_place ON manifests (repo, agent, dataset, epoch, sequence);
CREATE INDEX manifests_by_domain ON manifests (repo, domain, arrival);
CREATE INDEX manifests_by_dataset ON manifests (repo, dataset, dated);

-- Receipts of this site whose manifest is not on the disk: used again when the manifest comes back.
CREATE TABLE orphan_receipts (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (repo, manifest)
) WITHOUT ROWID;

-- Receipts of other sites that came with a manifest: one a site, the first.
CREATE TABLE foreign_receipts (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    site BLOB NOT NULL,
    receipt BLOB NOT NULL,
    PRIMARY KEY (repo, manifest, site)
) WITHOUT ROWID;

-- Snapshots that this site removed.
CREATE TABLE tombstones (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    manifest BLOB NOT NULL,
    tombstone BLOB NOT NULL,
    receipt BLOB NOT NULL,
    -- 1 if an order destroyed it: it never comes back.
    ordered INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (repo, manifest)
) WITHOUT ROWID;

-- Holds of this site, also those that were released or have lapsed.
CREATE TABLE holds (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    hold BLOB NOT NULL,
    object BLOB NOT NULL,
    -- The retention clock when it was placed; after a rebuild, when that was.
    placed_s INTEGER NOT NULL,
    PRIMARY KEY (repo, hold)
) WITHOUT ROWID;

-- Holds that an order has released.
CREATE TABLE released (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    hold BLOB NOT NULL,
    PRIMARY KEY (repo, hold)
) WITHOUT ROWID;

-- What orders destroy, wherever it comes from: it is not taken.
CREATE TABLE destroyed (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    -- The manifest's id, the dataset's, or nothing for the whole repository.
    subject BLOB NOT NULL,
    -- When the newest such order was drawn up: a dataset's or repository's reaches back from there.
    issued INTEGER NOT NULL,
    PRIMARY KEY (repo, subject)
) WITHOUT ROWID;

-- Grants: what the owner opened, to whom and until when. More than one may carry out one consent.
CREATE TABLE grants (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    grant_id BLOB NOT NULL,
    consent BLOB NOT NULL,
    grantee BLOB NOT NULL,
    signer BLOB NOT NULL,
    from_t INTEGER NOT NULL,
    until_t INTEGER NOT NULL,
    -- The manifests' ids, joined.
    snapshots BLOB NOT NULL,
    came INTEGER NOT NULL,
    -- The retention clock when it came; after a rebuild, when that was.
    came_s INTEGER NOT NULL,
    PRIMARY KEY (repo, grant_id)
) WITHOUT ROWID;
CREATE INDEX grants_by_grantee ON grants (repo, grantee);

-- Standing approvals: to whom the owner opens what runs of a dataset make, and until when.
CREATE TABLE standing_approvals (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    approval BLOB NOT NULL,
    consent BLOB NOT NULL,
    grantee BLOB NOT NULL,
    recipient BLOB NOT NULL,
    signer BLOB NOT NULL,
    dataset BLOB NOT NULL,
    from_t INTEGER NOT NULL,
    until_t INTEGER NOT NULL,
    came INTEGER NOT NULL,
    -- The retention clock when it came; after a rebuild, when that was.
    came_s INTEGER NOT NULL,
    PRIMARY KEY (repo, approval)
) WITHOUT ROWID;
CREATE INDEX standing_approvals_by_grantee ON standing_approvals (repo, grantee);
CREATE INDEX standing_approvals_by_consent ON standing_approvals (repo, consent);

-- Sessions that their agents opened to who has a standing approval.
CREATE TABLE openings (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    opening BLOB NOT NULL,
    session BLOB NOT NULL,
    consent BLOB NOT NULL,
    PRIMARY KEY (repo, opening)
) WITHOUT ROWID;
CREATE INDEX openings_by_session ON openings (repo, session);

-- Consents that the owner revoked.
CREATE TABLE revoked (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    consent BLOB NOT NULL,
    revoked INTEGER NOT NULL,
    PRIMARY KEY (repo, consent)
) WITHOUT ROWID;

-- Sessions under way: what they build on stays, and what came since they began.
CREATE TABLE leases (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    session BLOB NOT NULL,
    domain BLOB NOT NULL,
    opened_s INTEGER NOT NULL,
    seen_s INTEGER NOT NULL,
    -- Manifests that were the newest of their dataset when it began, joined.
    bases BLOB NOT NULL,
    PRIMARY KEY (repo, session)
) WITHOUT ROWID;
CREATE INDEX leases_by_domain ON leases (repo, domain);

-- Packs that lack frames, or have some that no snapshot uses; bitmaps of the pack's frames.
CREATE TABLE pack_states (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    pack BLOB NOT NULL,
    frames INTEGER NOT NULL,
    absent BLOB,
    absent_bytes INTEGER NOT NULL DEFAULT 0,
    -- 1 while the index is ahead of the file: the absent frames are still to be taken from it.
    pending INTEGER NOT NULL DEFAULT 0,
    waiting BLOB,
    waiting_s INTEGER,
    condemned BLOB,
    condemned_s INTEGER,
    PRIMARY KEY (repo, pack)
) WITHOUT ROWID;
CREATE INDEX pack_states_pending ON pack_states (repo) WHERE pending = 1;

-- Sessions, segments and usage lists that no snapshot names.
CREATE TABLE object_states (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    waiting_s INTEGER NOT NULL,
    PRIMARY KEY (repo, kind, id)
) WITHOUT ROWID;

-- This site's own inventories and scrub reports, newest last.
CREATE TABLE statements (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id BLOB NOT NULL,
    made INTEGER NOT NULL,
    -- Of an inventory: what it lists, so that an unchanged repository is recognised.
    digest BLOB NOT NULL,
    PRIMARY KEY (repo, kind, number)
) WITHOUT ROWID;

-- Where the pull from each source has come to; without it the pull starts over and finds everything here.
CREATE TABLE cursors (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    source BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (repo, source)
) WITHOUT ROWID;

CREATE TABLE alarms (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    repository BLOB,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (repository, kind, detail)
);

-- What each dedup domain keeps here: the triggers carry it along with every row that comes or goes, so that nobody
-- counts. (Two statements rather than an upsert: a trigger takes over the conflict clause of what fires it.)
CREATE TABLE kept (
    repo INTEGER NOT NULL REFERENCES repositories (id),
    domain BLOB NOT NULL,
    packs INTEGER NOT NULL,
    pack_bytes INTEGER NOT NULL,
    other_bytes INTEGER NOT NULL,
    PRIMARY KEY (repo, domain)
) WITHOUT ROWID;

CREATE TRIGGER pack_comes AFTER INSERT ON packs BEGIN
    INSERT INTO kept SELECT NEW.repo, NEW.domain, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM kept WHERE repo = NEW.repo AND domain = NEW.domain);
    UPDATE kept SET packs = packs + 1, pack_bytes = pack_bytes + NEW.bytes
        - COALESCE((SELECT absent_bytes FROM pack_states WHERE repo = NEW.repo AND pack = NEW.pack), 0)
        WHERE repo = NEW.repo AND domain = NEW.domain;
END;
CREATE TRIGGER pack_goes AFTER DELETE ON packs BEGIN
    UPDATE kept SET packs = packs - 1, pack_bytes = pack_bytes - OLD.bytes
        + COALESCE((SELECT absent_bytes FROM pack_states WHERE repo = OLD.repo AND pack = OLD.pack), 0)
        WHERE repo = OLD.repo AND domain = OLD.domain;
END;

-- Frames that a pack lacks do not count.
CREATE TRIGGER state_comes AFTER INSERT ON pack_states WHEN NEW.absent_bytes > 0 BEGIN
    UPDATE kept SET pack_bytes = pack_bytes - NEW.absent_bytes
        WHERE repo = NEW.repo AND domain = (SELECT domain FROM packs WHERE repo = NEW.repo AND pack = NEW.pack);
END;
CREATE TRIGGER state_goes AFTER DELETE ON pack_states WHEN OLD.absent_bytes > 0 BEGIN
    UPDATE kept SET pack_bytes = pack_bytes + OLD.absent_bytes
        WHERE repo = OLD.repo AND domain = (SELECT domain FROM packs WHERE repo = OLD.repo AND pack = OLD.pack);
END;

CREATE TRIGGER object_comes AFTER INSERT ON objects BEGIN
    INSERT INTO kept SELECT NEW.repo, NEW.domain, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM kept WHERE repo = NEW.repo AND domain = NEW.domain);
    UPDATE kept SET other_bytes = other_bytes + NEW.bytes WHERE repo = NEW.repo AND domain = NEW.domain;
END;
CREATE TRIGGER object_goes AFTER DELETE ON objects BEGIN
    UPDATE kept SET other_bytes = other_bytes - OLD.bytes WHERE repo = OLD.repo AND domain = OLD.domain;
END;

CREATE TRIGGER session_comes AFTER INSERT ON sessions BEGIN
    INSERT INTO kept SELECT NEW.repo, NEW.domain, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM kept WHERE repo = NEW.repo AND domain = NEW.domain);
    UPDATE kept SET other_bytes = other_bytes + NEW.bytes WHERE repo = NEW.repo AND domain = NEW.domain;
END;
CREATE TRIGGER session_goes AFTER DELETE ON sessions BEGIN
    UPDATE kept SET other_bytes = other_bytes - OLD.bytes WHERE repo = OLD.repo AND domain = OLD.domain;
END;

CREATE TRIGGER manifest_comes AFTER INSERT ON manifests BEGIN
    INSERT INTO kept SELECT NEW.repo, NEW.domain, 0, 0, 0
        WHERE NOT EXISTS (SELECT 1 FROM kept WHERE repo = NEW.repo AND domain = NEW.domain);
    UPDATE kept SET other_bytes = other_bytes + NEW.bytes WHERE repo = NEW.repo AND domain = NEW.domain;
END;
CREATE TRIGGER manifest_goes AFTER DELETE ON manifests BEGIN
    UPDATE kept SET other_bytes = other_bytes - OLD.bytes WHERE repo = OLD.repo AND domain = OLD.domain;
END;
