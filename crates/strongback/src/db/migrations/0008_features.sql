-- Feature tables and training sets.

-- Whose business the rows of a table are, where nobody else may write them.
ALTER TABLE data_table ADD COLUMN kept_by {text};

-- A feature table is a table whose rows are computed. `newest` is its newest definition. `run_as_id` is whose rights count when
-- it is computed because its source changed. What is published says of which definition and version of the source the rows
-- of which version of the table are; `newest_micros` is the newest event time in them, microseconds since the epoch.
CREATE TABLE feature_table (
    asset_id {int} PRIMARY KEY REFERENCES asset (id),
    newest {int} NOT NULL,
    source_id {int} NOT NULL REFERENCES asset (id),
    refresh {text} NOT NULL,
    run_as_id {int} NOT NULL,
    published_definition {int},
    published_source_version {int},
    published_version {int},
    newest_micros {int},
    published_at {int}
) {keyed};

CREATE INDEX feature_table_source ON feature_table (source_id);

-- A version of a definition, as JSON and as it was written. It never changes. The digest names the source by its UUID.
CREATE TABLE feature_definition (
    asset_id {int} NOT NULL REFERENCES asset (id),
    n {int} NOT NULL,
    definition {text} NOT NULL,
    yaml {text} NOT NULL,
    digest {text} NOT NULL,
    source_id {int} NOT NULL REFERENCES asset (id),
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    PRIMARY KEY (asset_id, n)
) {keyed};

-- Which definition, of which version of its source, a version of a feature table was computed by.
CREATE TABLE feature_publication (
    asset_id {int} NOT NULL REFERENCES asset (id),
    version {int} NOT NULL,
    definition {int} NOT NULL,
    source_version {int} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (asset_id, version)
) {keyed};

-- Which definition of a feature table what is served stands on: the holder is an endpoint, and its rows are those of the version
-- that it serves and of the one before, to which it may be rolled back. Derived from its configurations.
CREATE TABLE feature_use (
    holder_id {int} NOT NULL REFERENCES asset (id),
    asset_id {int} NOT NULL REFERENCES feature_table (asset_id),
    definition {int} NOT NULL,
    PRIMARY KEY (holder_id, asset_id, definition)
) {keyed};

CREATE INDEX feature_use_table ON feature_use (asset_id, definition);

-- A superseded definition that something served stands on: the version of its source that requests look up, and why it cannot be
-- brought further, if it cannot. Rows of it are in no newer version of the table; panes of it are in the online store.
CREATE TABLE feature_upheld (
    asset_id {int} NOT NULL REFERENCES feature_table (asset_id),
    definition {int} NOT NULL,
    source_version {int},
    problem {text},
    at {int} NOT NULL,
    PRIMARY KEY (asset_id, definition)
) {keyed};

-- A training set: the recipe as JSON, with the table that has the label; how many rows it made, their digest, and the version
-- of its Delta table that holds them. That lies where the asset's UUID says. Nothing of it changes.
CREATE TABLE training_set (
    asset_id {int} PRIMARY KEY REFERENCES asset (id),
    definition {text} NOT NULL,
    digest {text} NOT NULL,
    row_count {int} NOT NULL,
    byte_count {int} NOT NULL,
    version {int} NOT NULL,
    columns {text} NOT NULL,
    job {text} NOT NULL
) {keyed};
