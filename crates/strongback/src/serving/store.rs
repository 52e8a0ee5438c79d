//! Statements of endpoints, their configurations, and how versions are run.

use crate::statements;

statements! {
    ENDPOINT_INSERT = "INSERT INTO endpoint (asset_id, config) VALUES ($1, $2)";
    ENDPOINT_SET_CONFIG = "UPDATE endpoint SET config = $2 WHERE asset_id = $1";
    ENDPOINT_CONFIG = "SELECT config FROM endpoint WHERE asset_id = $1";
    /// Of every living endpoint: what it is to serve, and where the alias that it follows points now.
    ENDPOINT_LIVING = "SELECT e.asset_id, a.wire_name, k.n, k.model_id, k.version, k.digest, k.alias, l.version
        FROM endpoint e
        JOIN asset a ON a.id = e.asset_id AND a.deleted_at IS NULL
        JOIN endpoint_config k ON k.endpoint_id = e.asset_id AND k.n = e.config
        LEFT JOIN alias l ON l.model_id = k.model_id AND l.alias = k.alias
        ORDER BY e.asset_id";
    /// Ids of all living endpoints, by name.
    ENDPOINT_IDS = "SELECT e.asset_id FROM endpoint e JOIN asset a ON a.id = e.asset_id AND a.deleted_at IS NULL
        ORDER BY a.wire_name";

    CONFIG_INSERT = "INSERT INTO endpoint_config (endpoint_id, n, model_id, version, digest, alias, served_name, created_at,
            created_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    CONFIG_GET = "SELECT n, model_id, version, digest, alias, served_name, created_at, created_by FROM endpoint_config
        WHERE endpoint_id = $1 AND n = $2";

    /// The newest of another version.
    CONFIG_BEFORE = "SELECT model_id, version FROM endpoint_config
        WHERE endpoint_id = $1 AND NOT (model_id = $2 AND version = $3) ORDER BY n DESC LIMIT 1";

    RUNTIME_GET = "SELECT report FROM model_runtime WHERE digest = $1 AND converter = $2";
    RUNTIME_PUT = "INSERT INTO model_runtime (digest, converter, report, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (digest, converter) DO UPDATE SET report = excluded.report, created_at = excluded.created_at";
}
