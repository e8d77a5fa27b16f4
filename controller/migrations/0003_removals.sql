-- What the sites removed, by their own signed word: kept as evidence like everything else.

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
CREATE INDEX tombstones_by_manifest ON tombstones (manifest, site);
CREATE INDEX tombstones_by_site ON tombstones (site, repository);

-- Orders of the owner that a site named in a tombstone.
CREATE TABLE orders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    repository BLOB NOT NULL REFERENCES repositories (id),
    signer BLOB NOT NULL,
    letter TEXT NOT NULL,
    seen_s INTEGER NOT NULL,
    object BLOB NOT NULL
) STRICT;

CREATE VIEW counting_tombstones AS
SELECT t.* FROM tombstones AS t
JOIN entitled_sites AS e
    ON e.repository = t.repository AND e.site = t.site AND e.signer = t.signer;

-- Removals that hold now: not those of snapshots that came back, which an inventory later than the tombstone lists
-- (7200: as far as clocks may be apart). A removal is rightful if the owner ordered it, or if it expired and no receipt
-- of that site had promised to keep it longer.
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
