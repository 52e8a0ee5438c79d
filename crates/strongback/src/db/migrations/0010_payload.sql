-- What was served, on its way from a node's log into the payload tables, and how much of it there is.

-- Where the rows of an endpoint go: a table of this leaf in this schema, which `table_id` names once it was made.
CREATE TABLE payload_endpoint (
    endpoint_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    schema_id {int} NOT NULL REFERENCES asset (id),
    leaf {text} NOT NULL,
    owner_id {int} NOT NULL REFERENCES principal (id),
    table_id {int} REFERENCES asset (id)
) {strict};

-- Names and types of inputs, as JSON, which records of logs name by number.
CREATE TABLE payload_schema (
    id {id},
    columns {text} NOT NULL UNIQUE
) {strict};

-- A batch that a node brought into a payload table: the records of one endpoint in one segment of its log. `version` is
-- the table's version with them, NULL where they were given up because there is no place for them any more. The two times
-- are those of the oldest and the newest request id, in milliseconds since the epoch.
CREATE TABLE payload_batch (
    endpoint_id {int} NOT NULL REFERENCES asset (id),
    node {text} NOT NULL,
    first {int} NOT NULL,
    last {int} NOT NULL,
    version {int},
    records {int} NOT NULL,
    row_count {int} NOT NULL,
    from_ms {int} NOT NULL,
    to_ms {int} NOT NULL,
    PRIMARY KEY (endpoint_id, node, first)
) {keyed};

CREATE INDEX payload_batch_time ON payload_batch (from_ms, to_ms, endpoint_id);

-- What a node logged for an endpoint and brought away, in sum. `unanswered` is of those that were logged whose caller had
-- gone before.
CREATE TABLE payload_total (
    endpoint_id {int} NOT NULL REFERENCES asset (id),
    node {text} NOT NULL,
    drained {int} NOT NULL,
    row_count {int} NOT NULL,
    given_up {int} NOT NULL,
    unanswered {int} NOT NULL,
    PRIMARY KEY (endpoint_id, node)
) {keyed};
