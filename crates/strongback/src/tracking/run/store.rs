//! Statements of runs.
//!
//! The columns of a run come with its experiment's id, location and life cycle as sub-selects rather than a join, so
//! that locking the run's row does not lock the experiment that many runs share.

use crate::statements;

statements! {
    RUN_BY_UUID = "SELECT r.id, r.uuid, r.experiment_id, r.owner_id, r.user_name, r.status, r.lifecycle, r.start_time, r.end_time,
            r.revision, r.document, e.mlflow_id, e.artifact_location, e.lifecycle
        FROM run r JOIN experiment e ON e.asset_id = r.experiment_id WHERE r.uuid = $1";
    RUN_LOCK = "SELECT r.id, r.uuid, r.experiment_id, r.owner_id, r.user_name, r.status, r.lifecycle, r.start_time, r.end_time,
            r.revision, r.document,
            (SELECT e.mlflow_id FROM experiment e WHERE e.asset_id = r.experiment_id),
            (SELECT e.artifact_location FROM experiment e WHERE e.asset_id = r.experiment_id),
            (SELECT e.lifecycle FROM experiment e WHERE e.asset_id = r.experiment_id)
        FROM run r WHERE r.uuid = $1 {lock}";
    RUN_BY_IDS = "SELECT r.id, r.uuid, r.experiment_id, r.owner_id, r.user_name, r.status, r.lifecycle, r.start_time, r.end_time,
            r.revision, r.document, e.mlflow_id, e.artifact_location, e.lifecycle
        FROM run r JOIN experiment e ON e.asset_id = r.experiment_id WHERE r.id IN {ints:$1}";
    RUN_FRESH = "SELECT r.id, r.uuid, r.experiment_id, r.owner_id, r.user_name, r.status, r.lifecycle, r.start_time, r.end_time,
            r.revision, r.document, e.mlflow_id, e.artifact_location, e.lifecycle
        FROM run_fresh f JOIN run r ON r.id = f.run_id JOIN experiment e ON e.asset_id = r.experiment_id
        WHERE f.experiment_id IN {ints:$1}";
    /// What a run takes up in an answer: its document, and what it read.
    RUN_SIZES = "SELECT r.id, CAST(OCTET_LENGTH(r.document) AS BIGINT), CAST(COALESCE((
            SELECT SUM(OCTET_LENGTH(i.tags) + OCTET_LENGTH(d.source) + COALESCE(OCTET_LENGTH(d.schema), 0)
                + COALESCE(OCTET_LENGTH(d.profile), 0))
            FROM run_input i JOIN dataset d ON d.id = i.dataset_id WHERE i.run_id = r.id), 0) AS BIGINT)
        FROM run r WHERE r.id IN {ints:$1}";
    RUN_INSERT = "INSERT INTO run (uuid, experiment_id, owner_id, user_name, status, lifecycle, start_time, end_time,
            revision, document)
        VALUES ($1, $2, $3, $4, $5, 0, $6, NULL, 1, $7) RETURNING id";
    /// A run that comes from another store, with its past.
    RUN_CARRY = "INSERT INTO run (uuid, experiment_id, owner_id, user_name, status, lifecycle, start_time, end_time, deleted_at,
            revision, document)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10) RETURNING id";
    RUN_DELETED = "SELECT id, deleted_at FROM run WHERE id IN {ints:$1} AND deleted_at IS NOT NULL";
    RUN_UPDATE = "UPDATE run SET status = $2, lifecycle = $3, start_time = $4, end_time = $5, deleted_at = $6, revision = $7,
            document = $8 WHERE id = $1";
    RUN_TOUCH = "UPDATE run SET revision = $2 WHERE id = $1";
    FRESH_PUT = "INSERT INTO run_fresh (experiment_id, run_id, revision) VALUES ($1, $2, $3)
        ON CONFLICT (experiment_id, run_id) DO UPDATE SET revision = excluded.revision";
    /// `seq` is the run's revision: ascending, and known without looking.
    PIECE_INSERT = "INSERT INTO metric_piece (run_id, seq, points, body) VALUES ($1, $2, $3, $4)";

    DATASET_FIND = "SELECT id FROM dataset WHERE experiment_id = $1 AND name = $2 AND digest = $3";
    DATASET_INSERT = "INSERT INTO dataset (experiment_id, name, digest, source_type, source, schema, profile)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
    INPUT_LIST = "SELECT i.run_id, d.id, i.tags FROM run_input i JOIN dataset d ON d.id = i.dataset_id
        WHERE i.run_id IN {ints:$1} ORDER BY i.run_id, d.name, d.digest";
    DATASET_BY_IDS = "SELECT id, name, digest, source_type, source, schema, profile FROM dataset WHERE id IN {ints:$1}";
    INPUT_FIND = "SELECT tags FROM run_input WHERE run_id = $1 AND dataset_id = $2";
    INPUT_PUT = "INSERT INTO run_input (run_id, dataset_id, tags) VALUES ($1, $2, $3)
        ON CONFLICT (run_id, dataset_id) DO UPDATE SET tags = excluded.tags";
    MODEL_LIST = "SELECT run_id, direction, model_uuid, step FROM run_model WHERE run_id IN {ints:$1}
        ORDER BY run_id, direction, model_uuid";
    MODEL_FIND = "SELECT step FROM run_model WHERE run_id = $1 AND direction = $2 AND model_uuid = $3";
    MODEL_PUT = "INSERT INTO run_model (run_id, direction, model_uuid, step) VALUES ($1, $2, $3, $4)
        ON CONFLICT (run_id, direction, model_uuid) DO UPDATE SET step = excluded.step";
}
