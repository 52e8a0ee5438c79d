-- Versions of the tables that this server keeps, and who needs them.

-- A declared table lives elsewhere, at its `location`. One that this server keeps has a newest version, and lies where its
-- asset's UUID says.
ALTER TABLE data_table ADD COLUMN version {int};

-- One row a commit of a Delta table, written once the commit is there. `kind` says what made it. `operation` is the id that
-- the commit carries. A batch is there once a table: `batch_digest` is the SHA-256 of what was sent. `report` is what was
-- said about it, as JSON, empty where nothing was. The totals are those of the version; `row_total` is null where nobody
-- counted. From `lost_at` on its files may be gone, and it is not read any more.
CREATE TABLE table_version (
    table_id {int} NOT NULL REFERENCES data_table (asset_id),
    version {int} NOT NULL,
    kind {text} NOT NULL,
    operation {text},
    batch_id {text},
    batch_digest {text},
    rows_added {int} NOT NULL,
    row_total {int},
    byte_total {int} NOT NULL,
    file_total {int} NOT NULL,
    report {text} NOT NULL,
    at {int} NOT NULL,
    by_principal {int} NOT NULL,
    lost_at {int},
    PRIMARY KEY (table_id, version)
) {keyed};

CREATE UNIQUE INDEX table_version_batch ON table_version (table_id, batch_id) WHERE batch_id IS NOT NULL;

-- Who needs a version: a vacuum asks. `holder` is what holds it (`person`, or the kind and id of a training set, a gate, a
-- model version).
CREATE TABLE table_pin (
    table_id {int} NOT NULL,
    version {int} NOT NULL,
    holder {text} NOT NULL,
    reason {text} NOT NULL,
    at {int} NOT NULL,
    by_principal {int} NOT NULL,
    PRIMARY KEY (table_id, version, holder),
    FOREIGN KEY (table_id, version) REFERENCES table_version (table_id, version)
) {keyed};
