-- What the standings of each PD add up to, kept with every change of one: reading it reads no standing.
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
UPDATE standings SET bytes = 1 << 50 WHERE bytes > 1 << 50;
INSERT INTO standing_totals SELECT pd, count(*), sum(bytes), sum(met >> 0 & 1), sum(bytes * (met >> 0 & 1)), sum(met >> 1 & 1), sum(bytes * (met >> 1 & 1)), sum(met >> 2 & 1), sum(bytes * (met >> 2 & 1)), sum(met >> 3 & 1), sum(bytes * (met >> 3 & 1)), sum(never)
    FROM standings GROUP BY pd;

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

-- It held the sums until now.
DROP INDEX standings_totals;
CREATE INDEX standings_by_pd ON standings (pd);
