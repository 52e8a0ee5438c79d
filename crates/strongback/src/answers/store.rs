//! Statements of the answers. They only read.

use crate::statements;

statements! {
    RUN_EXPERIMENT = "SELECT experiment_id FROM run WHERE uuid = $1";
    ALIAS_VERSION = "SELECT version FROM alias WHERE model_id = $1 AND alias = $2";
    VERSION_EXISTS = "SELECT version FROM model_version WHERE model_id = $1 AND version = $2 AND deleted_at IS NULL";
    MOVES = "SELECT n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 ORDER BY n DESC LIMIT $3";
    MOVE_AT = "SELECT n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 AND at <= $3 ORDER BY at DESC, n DESC LIMIT 1";
}
