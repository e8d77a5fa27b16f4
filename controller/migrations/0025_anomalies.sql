-- What agents counted in their runs, what of it was suspicious, and the snapshots that are held for it.

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
-- What nobody has settled goes on; there is one of it for each dataset.
CREATE UNIQUE INDEX anomalies_unsettled ON anomalies (dataset) WHERE state IN ('open', 'confirmed');
CREATE INDEX anomalies_by_first ON anomalies (first_s);

CREATE TABLE run_figures (
    report BLOB NOT NULL PRIMARY KEY CHECK (length(report) = 16),
    dataset BLOB NOT NULL REFERENCES datasets (id),
    at_s INTEGER NOT NULL,
    manifest BLOB,
    figures TEXT NOT NULL CHECK (json_valid(figures)),
    anomaly BLOB REFERENCES anomalies (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_figures_by_dataset ON run_figures (dataset, at_s);

CREATE TABLE anomaly_holds (
    anomaly BLOB NOT NULL REFERENCES anomalies (id),
    site BLOB NOT NULL REFERENCES sites (id) ON UPDATE CASCADE,
    manifest BLOB NOT NULL REFERENCES manifests (id),
    hold BLOB,
    placed_s INTEGER,
    error TEXT,
    PRIMARY KEY (anomaly, site, manifest)
) STRICT, WITHOUT ROWID;
