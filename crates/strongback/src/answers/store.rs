//! Statements of the answers. They only read.

use crate::statements;

statements! {
    RUN_EXPERIMENT = "SELECT experiment_id FROM run WHERE uuid = $1";
    /// What a name may have meant: the newest assets of some kinds, with what their names are made of.
    NAMES = "SELECT a.id, COALESCE(a.wire_name, g.leaf || '.' || p.leaf || '.' || a.leaf) FROM asset a
        JOIN asset p ON p.id = a.parent_id JOIN asset g ON g.id = p.parent_id
        WHERE a.kind IN {texts:$1} AND a.deleted_at IS NULL ORDER BY a.id DESC LIMIT $2";
    ALIASES = "SELECT DISTINCT alias FROM alias_move WHERE model_id = $1 ORDER BY alias LIMIT $2";
    VERSION_EXISTS = "SELECT version FROM model_version WHERE model_id = $1 AND version = $2 AND deleted_at IS NULL";
    MOVES = "SELECT n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 ORDER BY n DESC LIMIT $3";
    MOVE_AT = "SELECT n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 AND at <= $3 ORDER BY at DESC, n DESC LIMIT 1";
    /// The last move onto a version by some time.
    MOVE_ONTO = "SELECT n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 AND to_version = $3 AND at <= $4 ORDER BY at DESC, n DESC LIMIT 1";
}
