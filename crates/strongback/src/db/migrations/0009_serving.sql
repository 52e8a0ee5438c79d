-- Where models answer requests.

-- An endpoint. `config` is the number of the configuration that it is to serve; the one that it serves is this one as soon
-- as that is loaded.
CREATE TABLE endpoint (
    asset_id {int} NOT NULL PRIMARY KEY REFERENCES asset (id),
    config {int} NOT NULL
) {strict};

-- Configurations never change, and names are resolved in them, so that a request of the past can be explained. `alias` is
-- the alias of the model that the endpoint follows; without one it stays at the version. `digest` is that of the version's
-- files. `served_name` is how flat faces call what is served.
CREATE TABLE endpoint_config (
    endpoint_id {int} NOT NULL REFERENCES endpoint (asset_id),
    n {int} NOT NULL,
    model_id {int} NOT NULL REFERENCES model (asset_id),
    version {int} NOT NULL,
    digest {text} NOT NULL,
    alias {text},
    served_name {text} NOT NULL,
    created_at {int} NOT NULL,
    created_by {int} NOT NULL,
    PRIMARY KEY (endpoint_id, n)
) {keyed};

-- How the files of this digest are run: `report` is JSON and says on what that stands. It is derived from the files by the
-- converter of this number, and found again when the number grows.
CREATE TABLE model_runtime (
    digest {text} NOT NULL,
    converter {int} NOT NULL,
    report {text} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (digest, converter)
) {keyed};
