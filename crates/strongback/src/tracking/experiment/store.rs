//! Statements of experiments.

use crate::statements;

/// `experiment.lifecycle` of one that is there.
pub const ACTIVE: &str = "active";
/// `experiment.lifecycle` of one that was deleted.
pub const DELETED: &str = "deleted";

statements! {
    EXPERIMENT_BY_ID = "SELECT e.asset_id, e.mlflow_id, COALESCE(a.wire_name, a.leaf), e.artifact_location, e.lifecycle, e.tags,
            e.created_at, e.updated_at
        FROM experiment e JOIN asset a ON a.id = e.asset_id WHERE e.mlflow_id = $1";
    EXPERIMENT_BY_ASSET = "SELECT e.asset_id, e.mlflow_id, COALESCE(a.wire_name, a.leaf), e.artifact_location, e.lifecycle, e.tags,
            e.created_at, e.updated_at
        FROM experiment e JOIN asset a ON a.id = e.asset_id WHERE e.asset_id = $1";
    EXPERIMENT_LOCK = "SELECT e.asset_id, e.mlflow_id, COALESCE(a.wire_name, a.leaf), e.artifact_location, e.lifecycle, e.tags,
            e.created_at, e.updated_at
        FROM experiment e JOIN asset a ON a.id = e.asset_id WHERE e.mlflow_id = $1 {lock}";
    EXPERIMENT_BY_IDS = "SELECT e.asset_id, e.mlflow_id, COALESCE(a.wire_name, a.leaf), e.artifact_location, e.lifecycle, e.tags,
            e.created_at, e.updated_at
        FROM experiment e JOIN asset a ON a.id = e.asset_id WHERE e.mlflow_id IN {ints:$1} ORDER BY e.asset_id";
    EXPERIMENT_ALL = "SELECT e.asset_id, e.mlflow_id, COALESCE(a.wire_name, a.leaf), e.artifact_location, e.lifecycle, e.tags,
            e.created_at, e.updated_at
        FROM experiment e JOIN asset a ON a.id = e.asset_id";
    EXPERIMENT_INSERT = "INSERT INTO experiment (asset_id, mlflow_id, artifact_location, lifecycle, tags, created_at, updated_at)
        VALUES ($1, $2, $3, 'active', $4, $5, $5)";
    /// The past of an experiment that comes from another store.
    EXPERIMENT_CARRY = "UPDATE experiment SET lifecycle = $2, tags = $3, created_at = $4, updated_at = $5 WHERE asset_id = $1";
    EXPERIMENT_HAS_RUNS = "SELECT id FROM run WHERE experiment_id = $1 LIMIT 1";
    EXPERIMENT_MOVE = "UPDATE experiment SET artifact_location = $2 WHERE asset_id = $1";
    EXPERIMENT_UPDATE = "UPDATE experiment SET lifecycle = $2, tags = $3, updated_at = $4 WHERE asset_id = $1";
    /// Data sets of an experiment's runs, each with the contexts in which they were used.
    EXPERIMENT_DATASETS = "SELECT DISTINCT d.name, d.digest, i.tags FROM dataset d JOIN run_input i ON i.dataset_id = d.id
        WHERE d.experiment_id = $1 ORDER BY d.name, d.digest, i.tags LIMIT $2";
}
