//! Statements of the registry.
//!
//! A model is the row of its asset joined with the names above it, so that one read gives all that a face shows.

use crate::statements;

/// A model as [`super::models::read`] reads it; a condition on `a` or `m` follows.
macro_rules! select_models {
    ($rest:literal) => {
        concat!(
            "SELECT a.id, a.uuid, a.parent_id, a.leaf, a.wire_name, s.leaf, c.leaf, o.name, cb.name, ub.name,
                a.comment, a.created_at, a.updated_at, m.tags
            FROM model m JOIN asset a ON a.id = m.asset_id JOIN asset s ON s.id = a.parent_id
            JOIN asset c ON c.id = s.parent_id LEFT JOIN principal o ON o.id = a.owner_id
            LEFT JOIN principal cb ON cb.id = a.created_by LEFT JOIN principal ub ON ub.id = a.updated_by
            WHERE a.deleted_at IS NULL",
            $rest
        )
    };
}

/// A version as [`super::versions::read`] reads it; conditions on `v`, or on the asset `a` of its model, follow.
macro_rules! select_versions {
    ($rest:literal) => {
        concat!(
            "SELECT v.model_id, v.version, v.status, v.status_message, v.stage, v.source, v.origin, v.run_uuid,
                v.run_link, v.logged_model, v.comment, v.signature, v.tags, p.name, v.created_at, v.updated_at,
                v.digest, v.file_count, v.file_bytes, v.pinned_at
            FROM model_version v JOIN asset a ON a.id = v.model_id LEFT JOIN principal p ON p.id = v.owner_id
            WHERE v.deleted_at IS NULL",
            $rest
        )
    };
}

statements! {
    MODEL_BY_ID = select_models!(" AND m.asset_id = $1");
    MODEL_BY_IDS = select_models!(" AND m.asset_id IN {ints:$1}");
    /// Every model by what a search looks at, apart from its tags, of which it looks at those that it asks for.
    MODEL_OUTLINES = "SELECT a.id, a.parent_id, a.leaf, a.wire_name, a.created_at, a.updated_at,
            CAST(COALESCE(OCTET_LENGTH(a.comment), 0) AS BIGINT), m.tags
        FROM model m JOIN asset a ON a.id = m.asset_id WHERE a.deleted_at IS NULL";
    MODEL_TAGS_BY_IDS = "SELECT asset_id, tags FROM model WHERE asset_id IN {ints:$1}";
    MODEL_TEXTS_BY_IDS = "SELECT m.asset_id, m.tags, a.comment FROM model m JOIN asset a ON a.id = m.asset_id
        WHERE m.asset_id IN {ints:$1}";
    /// Plain models that were made under this name, or one that differs from it in case only; that one first.
    MODEL_NEAR_NAME = "SELECT id FROM asset WHERE kind = 'model' AND deleted_at IS NULL
            AND LOWER(wire_name) = LOWER($1) ORDER BY CASE WHEN wire_name = $1 THEN 0 ELSE 1 END, id LIMIT $2";
    MODEL_INSERT = "INSERT INTO model (asset_id, next_version, tags) VALUES ($1, 1, $2)";
    MODEL_TAGS = "SELECT tags FROM model WHERE asset_id = $1";
    MODEL_SET_TAGS = "UPDATE model SET tags = $2 WHERE asset_id = $1";
    MODEL_TAKE_NUMBER = "UPDATE model SET next_version = next_version + 1 WHERE asset_id = $1 RETURNING next_version - 1";

    MODEL_NEXT_NUMBER = "SELECT next_version FROM model WHERE asset_id = $1";
    MODEL_SET_NEXT = "UPDATE model SET next_version = $2 WHERE asset_id = $1";

    /// A version, deleted or not.
    VERSION_EVER = "SELECT version FROM model_version WHERE model_id = $1 AND version = $2";
    /// The past of a version that comes from another store.
    VERSION_CARRY = "UPDATE model_version SET stage = $3, comment = $4, tags = $5, created_at = $6, updated_at = $7
        WHERE model_id = $1 AND version = $2";
    /// Where the files of a version are that came later than the version.
    VERSION_MADE_OF = "UPDATE model_version SET origin = $3, logged_model = $4 WHERE model_id = $1 AND version = $2";
    VERSION_BY_N = select_versions!(" AND v.model_id = $1 AND v.version = $2");
    VERSION_BY_NUMBERS = select_versions!(" AND v.model_id = $1 AND v.version IN {ints:$2}");
    VERSION_NEWEST = select_versions!(" AND v.model_id = $1 ORDER BY v.version DESC LIMIT 1");
    VERSION_LIST = select_versions!(" AND v.model_id = $1 ORDER BY v.version");
    VERSION_PAGE = select_versions!(" AND v.model_id = $1 AND v.version > $2 ORDER BY v.version LIMIT $3");
    VERSION_LAST = select_versions!(" AND v.model_id = $1 ORDER BY v.version DESC LIMIT $2");
    VERSION_BY_RUN = select_versions!(" AND v.run_uuid = $1");
    VERSION_ALL = select_versions!(" AND a.deleted_at IS NULL");
    /// The highest version of each stage.
    VERSION_LATEST = select_versions!(" AND v.model_id IN {ints:$1} AND NOT EXISTS (
            SELECT 1 FROM model_version w WHERE w.model_id = v.model_id AND w.stage = v.stage
                AND w.version > v.version AND w.deleted_at IS NULL)
        ORDER BY v.version");
    VERSION_INSERT = "INSERT INTO model_version (model_id, version, status, status_message, stage, source, origin, run_uuid,
            run_link, logged_model, comment, tags, owner_id, created_at, updated_at)
        VALUES ($1, $2, 'PENDING_REGISTRATION', '', 'None', $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)";
    VERSION_UPDATE = "UPDATE model_version SET stage = $3, comment = $4, tags = $5, updated_at = $6
        WHERE model_id = $1 AND version = $2";
    VERSION_READY = "UPDATE model_version SET status = 'READY', status_message = $3, signature = $4, digest = $5,
            file_count = $6, file_bytes = $7, pinned_at = $8, updated_at = $9
        WHERE model_id = $1 AND version = $2";
    VERSION_DELETE = "UPDATE model_version SET deleted_at = $3, updated_at = $3 WHERE model_id = $1 AND version = $2";
    VERSION_DELETE_ALL = "UPDATE model_version SET deleted_at = $2, updated_at = $2
        WHERE model_id = $1 AND deleted_at IS NULL";
    /// Versions of a model that have files in this server, or are waiting for some.
    VERSION_WITH_FILES = "SELECT version FROM model_version
        WHERE model_id = $1 AND (digest IS NOT NULL OR status <> 'READY') AND deleted_at IS NULL ORDER BY version";
    /// Models that were deleted with what they lay in, and whose versions were not told yet.
    MODEL_ORPHANS = "SELECT a.id FROM asset a WHERE a.kind = 'model' AND a.deleted_at IS NOT NULL AND EXISTS (
            SELECT 1 FROM model_version v WHERE v.model_id = a.id AND v.deleted_at IS NULL)
        ORDER BY a.id LIMIT $1";
    /// A model, deleted or not.
    MODEL_LOCK = "SELECT id FROM asset WHERE id = $1 {lock}";

    ALIAS_LIST = "SELECT model_id, alias, version FROM alias WHERE model_id IN {ints:$1} AND version IS NOT NULL
        ORDER BY model_id, alias";
    ALIAS_COUNT = "SELECT COUNT(*) FROM alias WHERE model_id = $1 AND version IS NOT NULL";
    ALIAS_VERSION = "SELECT version FROM alias WHERE model_id = $1 AND alias = $2 AND version IS NOT NULL";
    ALIAS_LOCK = "SELECT version, moves FROM alias WHERE model_id = $1 AND alias = $2 {lock}";
    ALIAS_PUT = "INSERT INTO alias (model_id, alias, version, moves) VALUES ($1, $2, $3, $4)
        ON CONFLICT (model_id, alias) DO UPDATE SET version = excluded.version, moves = excluded.moves";
    MOVE_INSERT = "INSERT INTO alias_move (model_id, alias, n, from_version, to_version, at, by_principal, reason,
            evidence)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    MOVE_BY_N = "SELECT alias, n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 AND n = $3";
    MOVE_AT = "SELECT alias, n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 AND at <= $3 ORDER BY at DESC, n DESC LIMIT 1";
    MOVE_LAST = "SELECT alias, n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 ORDER BY at DESC, alias, n DESC LIMIT $2";
    MOVE_LIST = "SELECT alias, n, from_version, to_version, at, by_principal, reason, evidence FROM alias_move
        WHERE model_id = $1 AND alias = $2 ORDER BY n";

    POLICY_GET = "SELECT aliases, config_digest FROM model_policy WHERE model_id = $1";
    POLICY_PUT = "INSERT INTO model_policy (model_id, aliases, config_digest) VALUES ($1, $2, $3)
        ON CONFLICT (model_id) DO UPDATE SET aliases = excluded.aliases, config_digest = excluded.config_digest";

    REPORT_INSERT = "INSERT INTO gate_report (uuid, model_id, version, digest, alias, champion, champion_digest,
            config_digest, verdict, run_uuid, made_at, expires_at, by_principal, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    REPORT_GET = "SELECT uuid, model_id, version, digest, alias, champion, champion_digest, config_digest, verdict,
            run_uuid, made_at, expires_at, by_principal, body FROM gate_report WHERE uuid = $1";
    /// Reports of a model before an id ($3), newest first; of a version where one is named ($2 is not 0).
    REPORT_NEWEST = "SELECT uuid, model_id FROM gate_report ORDER BY uuid DESC LIMIT $1";
    REPORT_PAGE = "SELECT uuid, model_id, version, digest, alias, champion, champion_digest, config_digest, verdict,
            run_uuid, made_at, expires_at, by_principal, body FROM gate_report
        WHERE model_id = $1 AND (version = $2 OR $2 = 0) AND uuid < $3 ORDER BY uuid DESC LIMIT $4";
}
