-- Experiments, runs, their metrics and their files.

CREATE TABLE experiment (
    asset_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    mlflow_id {int} NOT NULL UNIQUE,
    artifact_location {text} NOT NULL,
    lifecycle {text} NOT NULL,
    tags {text} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {strict};

-- A run is one row with one document (params, tags, newest metrics), never a row a param.
CREATE TABLE run (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    experiment_id {int} NOT NULL REFERENCES experiment (asset_id),
    owner_id {int} NOT NULL REFERENCES principal (id),
    user_name {text} NOT NULL,
    status {int} NOT NULL,
    lifecycle {int} NOT NULL,
    start_time {int} NOT NULL,
    end_time {int},
    deleted_at {int},
    revision {int} NOT NULL,
    document {blob} NOT NULL
) {strict};

CREATE INDEX run_experiment ON run (experiment_id, id);

-- Runs whose document is newer than the index. A writer marks the run with its revision; the index builder takes the
-- mark away in the transaction that indexes what it read, if it is still the mark that it saw.
CREATE TABLE run_fresh (
    experiment_id {int} NOT NULL,
    run_id {int} NOT NULL,
    revision {int} NOT NULL,
    PRIMARY KEY (experiment_id, run_id)
) {keyed};

-- The deferred index, in columns: the runs of an experiment are cut into segments, roughly by ascending id.
CREATE TABLE run_segment (
    id {id},
    experiment_id {int} NOT NULL,
    first_run {int} NOT NULL,
    last_run {int} NOT NULL,
    runs {int} NOT NULL,
    bytes {int} NOT NULL
) {strict};

CREATE INDEX run_segment_experiment ON run_segment (experiment_id, first_run);

CREATE TABLE run_column (
    segment_id {int} NOT NULL REFERENCES run_segment (id),
    kind {int} NOT NULL,
    key {text} NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (segment_id, kind, key)
) {strict};

-- History of metrics: small pieces as they come (one a batch, all keys), merged into chunks a key.
CREATE TABLE metric_piece (
    run_id {int} NOT NULL,
    seq {int} NOT NULL,
    points {int} NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (run_id, seq)
) {keyed};

CREATE TABLE metric_chunk (
    run_id {int} NOT NULL,
    key {text} NOT NULL,
    seq {int} NOT NULL,
    points {int} NOT NULL,
    body {blob} NOT NULL,
    PRIMARY KEY (run_id, key, seq)
) {strict};

-- Data sets that runs read: the description once a digest, the use a row a run.
CREATE TABLE dataset (
    id {id},
    experiment_id {int} NOT NULL,
    name {text} NOT NULL,
    digest {text} NOT NULL,
    source_type {text} NOT NULL,
    source {text} NOT NULL,
    schema {text},
    profile {text},
    UNIQUE (experiment_id, name, digest)
) {strict};

CREATE TABLE run_input (
    run_id {int} NOT NULL,
    dataset_id {int} NOT NULL REFERENCES dataset (id),
    tags {text} NOT NULL,
    PRIMARY KEY (run_id, dataset_id)
) {keyed};

CREATE INDEX run_input_dataset ON run_input (dataset_id);

-- Logged models that a run read (direction 0) or wrote (1).
CREATE TABLE run_model (
    run_id {int} NOT NULL,
    direction {int} NOT NULL,
    model_uuid {text} NOT NULL,
    step {int} NOT NULL,
    PRIMARY KEY (run_id, direction, model_uuid)
) {keyed};

-- `document` is JSON: params, tags, metrics.
CREATE TABLE logged_model (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    experiment_id {int} NOT NULL REFERENCES experiment (asset_id),
    name {text} NOT NULL,
    model_type {text} NOT NULL,
    source_run {text} NOT NULL,
    status {int} NOT NULL,
    status_message {text} NOT NULL,
    owner_id {int} NOT NULL REFERENCES principal (id),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    deleted_at {int},
    revision {int} NOT NULL,
    document {text} NOT NULL
) {strict};

CREATE INDEX logged_model_experiment ON logged_model (experiment_id, created_at);
CREATE INDEX logged_model_run ON logged_model (source_run);
