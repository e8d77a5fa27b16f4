-- Totals, and who never backed anything up, without reading what is said of each dataset.
DROP INDEX standings_by_pd;
CREATE INDEX standings_totals ON standings (pd, never, met, bytes);
