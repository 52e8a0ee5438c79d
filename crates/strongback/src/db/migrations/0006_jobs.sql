-- Work that goes on beside the requests, and commands that somebody declared for it.

-- Who may run the commands of others.
INSERT INTO principal (id, kind, name, created_at) VALUES (5, 'group', 'runners', 0);

-- A version of a command: what is run, as JSON. It never changes; a job names the one that it runs.
CREATE TABLE command_version (
    asset_id {int} NOT NULL REFERENCES asset (id),
    n {int} NOT NULL,
    definition {text} NOT NULL,
    sha256 {blob} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    PRIMARY KEY (asset_id, n)
) {keyed};

-- A job. `state` is queued, running, succeeded, failed or cancelled. `run_as_id` names whose rights count, and `action` the
-- right to `asset_id` that it needs for being begun. `holder`, `fencing` and `lease_until` are the lease of a running one:
-- `fencing` grows with each. `token_id` is the credential that was made for this lease. Limits are of all attempts
-- together, and so are the four figures of what it cost, of which two are kept as they were before the present one; NULL
-- is no limit. Times are milliseconds since the epoch.
CREATE TABLE job (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    kind {text} NOT NULL,
    idempotency_key {text} NOT NULL,
    payload_version {int} NOT NULL,
    payload {text} NOT NULL,
    label {text} NOT NULL,
    state {text} NOT NULL,
    queued_by_id {int} NOT NULL,
    run_as_id {int} NOT NULL,
    asset_id {int} REFERENCES asset (id),
    action {text},
    processor_ms_max {int},
    wall_ms_max {int},
    bytes_read_max {int},
    not_before {int} NOT NULL,
    attempts {int} NOT NULL,
    attempts_max {int} NOT NULL,
    fencing {int} NOT NULL,
    holder {text},
    lease_until {int},
    token_id {text},
    cancelled_by_id {int},
    progress_done {int} NOT NULL,
    progress_of {int} NOT NULL,
    progress_message {text} NOT NULL,
    result {text},
    error_code {text},
    error_message {text},
    processor_ms_before {int} NOT NULL,
    wall_ms_before {int} NOT NULL,
    processor_ms {int} NOT NULL,
    wall_ms {int} NOT NULL,
    bytes_read {int} NOT NULL,
    bytes_written {int} NOT NULL,
    queued_at {int} NOT NULL,
    started_at {int},
    ended_at {int},
    revision {int} NOT NULL,
    UNIQUE (kind, idempotency_key)
) {strict};

CREATE INDEX job_due ON job (not_before, id) WHERE state = 'queued';
CREATE INDEX job_of_principal ON job (run_as_id) WHERE state = 'queued';
CREATE INDEX job_leased ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_ended ON job (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX job_asset ON job (asset_id, id) WHERE asset_id IS NOT NULL;

-- What a job wrote while it ran: pieces of text, of each attempt by the byte at which they begin.
CREATE TABLE job_log (
    job_id {int} NOT NULL REFERENCES job (id),
    attempt {int} NOT NULL,
    begins_at {int} NOT NULL,
    text {text} NOT NULL,
    PRIMARY KEY (job_id, attempt, begins_at)
) {keyed};
