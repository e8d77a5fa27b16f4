-- The caps that a site's vault was given: the newest list of each site, and whether the vault keeps to it (ADR 24).
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
