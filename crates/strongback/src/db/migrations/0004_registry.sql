-- Registered models, their versions and their aliases with history.

-- `tags` is JSON. `next_version` only grows, so that a number is never given twice.
CREATE TABLE model (
    asset_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    next_version {int} NOT NULL,
    tags {text} NOT NULL
) {strict};

-- `source` is what the client said. `origin` is the same once copies are followed: where the files of a copy's first
-- ancestor were, by an address that holds no model's name, since names change and are given again. `signature` is JSON,
-- as it was when the version became ready.
-- `digest`, the number of files, their bytes and `pinned_at` say which files the version is made of, since when: those in
-- its own area. They are null until it is ready, and after that where the files are elsewhere, at `origin`.
CREATE TABLE model_version (
    model_id {int} NOT NULL REFERENCES model (asset_id),
    version {int} NOT NULL,
    status {text} NOT NULL,
    status_message {text} NOT NULL,
    stage {text} NOT NULL,
    source {text} NOT NULL,
    origin {text} NOT NULL,
    run_uuid {text} NOT NULL,
    run_link {text} NOT NULL,
    logged_model {text} NOT NULL,
    comment {text} NOT NULL,
    signature {text},
    digest {text},
    file_count {int},
    file_bytes {int},
    pinned_at {int},
    tags {text} NOT NULL,
    owner_id {int} NOT NULL REFERENCES principal (id),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    deleted_at {int},
    PRIMARY KEY (model_id, version)
) {keyed};

CREATE INDEX model_version_run ON model_version (run_uuid);
CREATE INDEX model_version_logged_model ON model_version (logged_model);

-- Where an alias points now (nowhere once it was deleted: the row stays and goes on counting), and every move that it
-- ever made. "Champion on date D" is one seek in the moves.
CREATE TABLE alias (
    model_id {int} NOT NULL REFERENCES model (asset_id),
    alias {text} NOT NULL,
    version {int},
    moves {int} NOT NULL,
    PRIMARY KEY (model_id, alias)
) {keyed};

CREATE TABLE alias_move (
    model_id {int} NOT NULL REFERENCES model (asset_id),
    alias {text} NOT NULL,
    n {int} NOT NULL,
    from_version {int},
    to_version {int},
    at {int} NOT NULL,
    by_principal {int} NOT NULL,
    reason {text} NOT NULL,
    evidence {text},
    PRIMARY KEY (model_id, alias, n)
) {keyed};

CREATE INDEX alias_move_at ON alias_move (model_id, alias, at, n);
