-- What is watched, over which windows, and what was found.

-- A monitor, an asset of its own, and how far it is. Times of events are microseconds since the epoch, all others
-- milliseconds. Every window that begins before `computed_to` was computed, or passed over because nothing is in it.
-- `newest_event` is that of the newest row at the last look, and `looked_version` and `looked_labels` are the versions that
-- were looked at. `run_id` is the run that has the figures as metric series. `reference_start` is the window that predictions
-- are compared with where the baseline has none. `triggered_at` and `triggered_window` are of the last command that was queued.
CREATE TABLE monitor (
    asset_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    watched_id {int} NOT NULL REFERENCES asset (id),
    definition_n {int} NOT NULL,
    run_id {text},
    computed_to {int},
    newest_event {int},
    looked_version {int},
    looked_labels {int},
    looked_at {int} NOT NULL,
    reference_start {int},
    triggered_at {int},
    triggered_window {int}
) {keyed};

-- A version of what a monitor is declared as; immutable. `definition` is JSON, `baseline_id` the table that it is compared with
-- at `baseline_version`, `command_id` the command that its trigger named, whatever that is called since.
CREATE TABLE monitor_definition (
    asset_id {int} NOT NULL REFERENCES monitor (asset_id),
    n {int} NOT NULL,
    definition {text} NOT NULL,
    sha256 {blob} NOT NULL,
    baseline_id {int} NOT NULL REFERENCES asset (id),
    baseline_version {int} NOT NULL,
    command_id {int} REFERENCES asset (id),
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    PRIMARY KEY (asset_id, n)
) {keyed};

-- A window as it was computed; once more, with the next revision, when rows or labels came late. `plan` names the batch of
-- windows that are computed together from `table_version` and `labels_version`; it is also the batch id of what lands in the
-- tables of sketches and of drift. `part` is all, or labels where only those changed. `state` is planned, or computed. `outcome`
-- is ok, small or empty.
CREATE TABLE monitor_window (
    asset_id {int} NOT NULL REFERENCES monitor (asset_id),
    starts_at {int} NOT NULL,
    revision {int} NOT NULL,
    ends_at {int} NOT NULL,
    plan {text} NOT NULL,
    part {text} NOT NULL,
    definition_n {int} NOT NULL,
    state {text} NOT NULL,
    outcome {text} NOT NULL,
    row_count {int} NOT NULL,
    labelled_count {int} NOT NULL,
    labelled_to {int},
    table_version {int} NOT NULL,
    labels_version {int},
    computed_at {int},
    is_judged {int} NOT NULL,
    PRIMARY KEY (asset_id, starts_at, revision)
) {keyed};

CREATE INDEX monitor_window_open ON monitor_window (asset_id, plan) WHERE is_judged = 0;

-- A figure that is on the wrong side of its limit, one a monitor, metric and column while it is not resolved. `state` is open,
-- acknowledged or resolved. `figure` is what was found last, as JSON. `judged_to` is the newest window that was looked at, `under`
-- how many in a row have been on the right side since.
CREATE TABLE alert (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    asset_id {int} NOT NULL REFERENCES monitor (asset_id),
    metric {text} NOT NULL,
    column_name {text} NOT NULL,
    state {text} NOT NULL,
    severity {text} NOT NULL,
    owner_id {int} NOT NULL,
    figure {text} NOT NULL,
    first_window {int} NOT NULL,
    last_window {int} NOT NULL,
    judged_to {int} NOT NULL,
    window_count {int} NOT NULL,
    under {int} NOT NULL,
    opened_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    acknowledged_at {int},
    acknowledged_by {int},
    resolved_at {int},
    resolved_by {int},
    note {text} NOT NULL,
    job_id {text},
    revision {int} NOT NULL
) {strict};

CREATE UNIQUE INDEX alert_standing ON alert (asset_id, metric, column_name) WHERE state <> 'resolved';
CREATE INDEX alert_of_monitor ON alert (asset_id, id);
CREATE INDEX alert_of_state ON alert (state, id);
