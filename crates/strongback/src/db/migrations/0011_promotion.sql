-- Gates: what candidates were judged on, and which aliases of which models move with such evidence alone.

-- One row a report, never changed. `uuid` is the id of the job that made it, so that a job that is taken up again makes no
-- second one; ids grow with time. `champion` is where `alias` pointed, null if nowhere. Digests are those of the files of the
-- versions that were judged. `config_digest` is that of the gates as they were declared. `verdict` is pass, fail or
-- could_not_judge; `body` is the whole report, as JSON.
CREATE TABLE gate_report (
    uuid {text} NOT NULL PRIMARY KEY,
    model_id {int} NOT NULL REFERENCES model (asset_id),
    version {int} NOT NULL,
    digest {text},
    alias {text} NOT NULL,
    champion {int},
    champion_digest {text},
    config_digest {text} NOT NULL,
    verdict {text} NOT NULL,
    run_uuid {text} NOT NULL,
    made_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    by_principal {int} NOT NULL,
    body {text} NOT NULL
) {strict};

CREATE INDEX gate_report_model ON gate_report (model_id, uuid);

-- Which aliases of a model are governed, as a JSON array; a model without a row has none. With a `config_digest`, only
-- reports of exactly those gates count.
CREATE TABLE model_policy (
    model_id {int} NOT NULL PRIMARY KEY REFERENCES model (asset_id),
    aliases {text} NOT NULL,
    config_digest {text}
) {strict};
