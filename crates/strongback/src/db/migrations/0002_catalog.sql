-- Who there is, what there is, and how it hangs together.

-- Users, groups and service principals. The first rows are built in: 1 is the server itself, 2 the unauthenticated
-- caller on loopback, 3 the group of administrators, 4 the group of everybody.
CREATE TABLE principal (
    id {int} NOT NULL PRIMARY KEY,
    kind {text} NOT NULL,
    name {text} NOT NULL UNIQUE,
    created_at {int} NOT NULL
) {strict};

INSERT INTO principal (id, kind, name, created_at) VALUES
    (1, 'service_principal', 'system', 0),
    (2, 'service_principal', 'local', 0),
    (3, 'group', 'admins', 0),
    (4, 'group', 'users', 0);

-- The id of the next principal. It only grows: events of the past name principals by number.
CREATE TABLE principal_next (
    id {int} NOT NULL PRIMARY KEY
) {strict};

INSERT INTO principal_next (id) VALUES (1000);

CREATE TABLE membership (
    group_id {int} NOT NULL REFERENCES principal (id),
    member_id {int} NOT NULL REFERENCES principal (id),
    PRIMARY KEY (group_id, member_id)
) {keyed};

CREATE INDEX membership_member ON membership (member_id);

INSERT INTO membership (group_id, member_id) VALUES (3, 1), (3, 2);

-- Tokens, by the SHA-256 of their text.
CREATE TABLE credential (
    token_hash {blob} NOT NULL PRIMARY KEY,
    id {text} NOT NULL UNIQUE,
    principal_id {int} NOT NULL REFERENCES principal (id),
    comment {text} NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int},
    revoked_at {int}
) {keyed};

CREATE INDEX credential_principal ON credential (principal_id);

-- Every named thing. `leaf_key` is the leaf as names compare; `wire_name` is what a client created it with. What went
-- with a catalog or schema that was deleted by force says so in `deleted_with`: one event is about all of it.
CREATE TABLE asset (
    id {id},
    uuid {text} NOT NULL UNIQUE,
    parent_id {int} REFERENCES asset (id),
    kind {text} NOT NULL,
    leaf {text} NOT NULL,
    leaf_key {text} NOT NULL,
    wire_name {text},
    owner_id {int} NOT NULL REFERENCES principal (id),
    comment {text},
    properties {text} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    updated_at {int} NOT NULL,
    updated_by {int} NOT NULL,
    deleted_at {int},
    deleted_with {int} REFERENCES asset (id),
    revision {int} NOT NULL
) {strict};

CREATE INDEX asset_deleted_with ON asset (deleted_with) WHERE deleted_with IS NOT NULL;
-- Names are unique among the living: a deleted name can be taken again.
CREATE UNIQUE INDEX asset_living ON asset (parent_id, kind, leaf_key) WHERE deleted_at IS NULL;
-- A root has no parent, and NULL is never equal to NULL: without this two replicas could each make a metastore.
CREATE UNIQUE INDEX asset_root ON asset (kind) WHERE parent_id IS NULL AND deleted_at IS NULL;
-- For who missed a name by its case.
CREATE INDEX asset_wire_folded ON asset (kind, LOWER(wire_name)) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX asset_wire ON asset (kind, wire_name) WHERE deleted_at IS NULL AND wire_name IS NOT NULL;

-- A table as somebody declared it: it lives elsewhere. `columns` is JSON.
CREATE TABLE data_table (
    asset_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    format {text} NOT NULL,
    location {text} NOT NULL,
    columns {text} NOT NULL
) {strict};

-- Lineage at the level of definitions: what feeds what. A node is an asset, or something that is none: then `key` is
-- its identity among its kind, and `name` what people read. Occurrences are facts: one a run or version that took part.
CREATE TABLE lineage_node (
    id {id},
    kind {text} NOT NULL,
    asset_id {int} REFERENCES asset (id),
    key {text} NOT NULL,
    name {text} NOT NULL,
    detail {text} NOT NULL
) {strict};

CREATE UNIQUE INDEX lineage_node_asset ON lineage_node (asset_id) WHERE asset_id IS NOT NULL;
CREATE UNIQUE INDEX lineage_node_key ON lineage_node (kind, key) WHERE asset_id IS NULL;

-- An edge is written once and never again, so that a thousand runs that read one table do not wait for each other.
-- When it was seen last, its facts know.
CREATE TABLE lineage_edge (
    id {id},
    source_id {int} NOT NULL REFERENCES lineage_node (id),
    target_id {int} NOT NULL REFERENCES lineage_node (id),
    kind {text} NOT NULL,
    first_seen {int} NOT NULL,
    UNIQUE (source_id, target_id, kind)
) {strict};

CREATE INDEX lineage_edge_target ON lineage_edge (target_id);

CREATE TABLE lineage_fact (
    edge_id {int} NOT NULL REFERENCES lineage_edge (id),
    source_version {text} NOT NULL,
    target_version {text} NOT NULL,
    run_uuid {text} NOT NULL,
    at {int} NOT NULL,
    detail {text} NOT NULL,
    PRIMARY KEY (edge_id, run_uuid, target_version, source_version)
) {keyed};

CREATE INDEX lineage_fact_run ON lineage_fact (run_uuid);
CREATE INDEX lineage_fact_newest ON lineage_fact (edge_id, at);
CREATE INDEX lineage_fact_version ON lineage_fact (edge_id, target_version);
CREATE INDEX lineage_fact_source ON lineage_fact (edge_id, source_version);
