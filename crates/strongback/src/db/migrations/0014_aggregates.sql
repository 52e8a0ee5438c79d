-- Searches by the smallest and the largest value of a metric. Documents of runs know them from version 2 on.

-- What a segment of the run index is made of: 1 without smallest and largest values, 2 with them. Older ones are built anew in the
-- background; until then, who asks for these values gets them from the documents and histories of the segment's runs.
ALTER TABLE run_segment ADD COLUMN format {int} NOT NULL DEFAULT 1;
