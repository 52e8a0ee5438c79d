-- A segment's columns are kept in memory by whoever searches: the number by which it is known that they changed.
ALTER TABLE run_segment ADD COLUMN revision {int} NOT NULL DEFAULT 0;
