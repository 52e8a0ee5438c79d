//! Statements of logged models.

use crate::statements;

statements! {
    LOGGED_MODEL_BY_UUID = "SELECT m.uuid, m.experiment_id, m.name, m.model_type, m.source_run, m.status, m.status_message, m.owner_id,
            m.created_at, m.updated_at, m.deleted_at, m.document, e.mlflow_id, e.artifact_location, m.revision
        FROM logged_model m JOIN experiment e ON e.asset_id = m.experiment_id WHERE m.uuid = $1";
    LOGGED_MODEL_BY_UUIDS = "SELECT m.uuid, m.experiment_id, m.name, m.model_type, m.source_run, m.status, m.status_message, m.owner_id,
            m.created_at, m.updated_at, m.deleted_at, m.document, e.mlflow_id, e.artifact_location, m.revision
        FROM logged_model m JOIN experiment e ON e.asset_id = m.experiment_id WHERE m.uuid IN {texts:$1}";
    LOGGED_MODEL_LOCK = "SELECT m.uuid, m.experiment_id, m.name, m.model_type, m.source_run, m.status, m.status_message, m.owner_id,
            m.created_at, m.updated_at, m.deleted_at, m.document,
            (SELECT e.mlflow_id FROM experiment e WHERE e.asset_id = m.experiment_id),
            (SELECT e.artifact_location FROM experiment e WHERE e.asset_id = m.experiment_id),
            m.revision
        FROM logged_model m WHERE m.uuid = $1 {lock}";
    LOGGED_MODEL_LIVING = "SELECT m.uuid, m.experiment_id, m.name, m.model_type, m.source_run, m.status, m.status_message, m.owner_id,
            m.created_at, m.updated_at, m.deleted_at, m.document, e.mlflow_id, e.artifact_location, m.revision
        FROM logged_model m JOIN experiment e ON e.asset_id = m.experiment_id
        WHERE m.experiment_id = $1 AND m.deleted_at IS NULL";
    /// The newest one of a name that a run made.
    LOGGED_MODEL_OF_RUN = "SELECT m.uuid, m.experiment_id, m.name, m.model_type, m.source_run, m.status, m.status_message, m.owner_id,
            m.created_at, m.updated_at, m.deleted_at, m.document, e.mlflow_id, e.artifact_location, m.revision
        FROM logged_model m JOIN experiment e ON e.asset_id = m.experiment_id
        WHERE m.source_run = $1 AND m.name = $2 AND m.experiment_id = $3 AND m.deleted_at IS NULL
        ORDER BY m.created_at DESC, m.id DESC LIMIT 1";
    LOGGED_MODEL_INSERT = "INSERT INTO logged_model (uuid, experiment_id, name, model_type, source_run, status, status_message, owner_id,
            created_at, updated_at, revision, document)
        VALUES ($1, $2, $3, $4, $5, 1, '', $6, $7, $7, 1, $8)";
    /// One that comes from another store, with its past.
    LOGGED_MODEL_CARRY = "INSERT INTO logged_model (uuid, experiment_id, name, model_type, source_run, status, status_message, owner_id,
            created_at, updated_at, deleted_at, revision, document)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12)";
    LOGGED_MODEL_UPDATE = "UPDATE logged_model SET status = $2, status_message = $3, updated_at = $4, deleted_at = $5, document = $6,
            revision = $7
        WHERE uuid = $1";
}
