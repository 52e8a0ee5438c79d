//! Statements of features.

use crate::statements;

statements! {
    TABLE_INSERT = "INSERT INTO feature_table (asset_id, newest, source_id, refresh, run_as_id)
        VALUES ($1, $2, $3, $4, $5)";
    TABLE_GET = "SELECT newest, source_id, refresh, run_as_id, published_definition, published_source_version,
            published_version, newest_micros, published_at
        FROM feature_table WHERE asset_id = $1";
    TABLE_SET_NEWEST = "UPDATE feature_table SET newest = $2, source_id = $3, refresh = $4, run_as_id = $5
        WHERE asset_id = $1";
    TABLE_SET_PUBLISHED = "UPDATE feature_table SET published_definition = $2, published_source_version = $3,
            published_version = $4, newest_micros = $5, published_at = $6
        WHERE asset_id = $1";
    /// Those after a place ($1) that are computed when their source changes, are behind it, and that nobody computes.
    TABLES_BEHIND = "SELECT f.asset_id, f.newest, f.run_as_id, t.version FROM feature_table f
        JOIN data_table t ON t.asset_id = f.source_id
        JOIN asset a ON a.id = f.asset_id AND a.deleted_at IS NULL
        JOIN asset s ON s.id = f.source_id AND s.deleted_at IS NULL
        WHERE f.refresh = 'on_commit' AND (f.published_source_version IS NULL OR f.published_source_version < t.version
            OR f.published_definition < f.newest)
            AND f.asset_id > $1 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.asset_id = f.asset_id
                AND j.kind = 'feature_materialize' AND j.state IN ('queued', 'running'))
        ORDER BY f.asset_id LIMIT $2";
    /// The newest job that was queued for a version of a source: under a key, or one that begins with it.
    REFRESH_NEWEST = "SELECT uuid, state, error_code, ended_at FROM job
        WHERE asset_id = $1 AND kind = 'feature_materialize' AND (idempotency_key = $2 OR idempotency_key LIKE $3)
        ORDER BY id DESC LIMIT 1";
    /// All that something was published of.
    TABLES_PUBLISHED = "SELECT f.asset_id FROM feature_table f JOIN asset a ON a.id = f.asset_id AND a.deleted_at IS NULL
        WHERE f.published_version IS NOT NULL ORDER BY f.asset_id";

    /// Superseded definitions that something served stands on, after a table and definition ($1, $2), of which nothing is online, or,
    /// where the table is computed when its source changes, that are behind their source; and that nobody computes.
    /// The last column is negative where nothing of it is computed.
    UPHELD_BEHIND = "SELECT u.asset_id, u.definition, f.run_as_id, t.version, COALESCE(o.source_version, -1) FROM (
            SELECT DISTINCT u.asset_id, u.definition FROM feature_use u
            JOIN asset h ON h.id = u.holder_id AND h.deleted_at IS NULL) u
        JOIN feature_table f ON f.asset_id = u.asset_id
        JOIN asset a ON a.id = f.asset_id AND a.deleted_at IS NULL
        JOIN feature_definition d ON d.asset_id = u.asset_id AND d.n = u.definition
        JOIN asset s ON s.id = d.source_id AND s.deleted_at IS NULL
        JOIN data_table t ON t.asset_id = d.source_id
        LEFT JOIN feature_upheld o ON o.asset_id = u.asset_id AND o.definition = u.definition
        WHERE u.definition <> f.newest AND (o.source_version IS NULL
                OR (f.refresh = 'on_commit' AND o.source_version < t.version))
            AND (u.asset_id > $1 OR (u.asset_id = $1 AND u.definition > $2)) AND NOT EXISTS (SELECT 1 FROM job j
                WHERE j.asset_id = f.asset_id AND j.kind = 'feature_materialize' AND j.state IN ('queued', 'running'))
        ORDER BY u.asset_id, u.definition LIMIT $3";
    UPHELD_GET = "SELECT source_version, problem FROM feature_upheld WHERE asset_id = $1 AND definition = $2";
    UPHELD_PUT = "INSERT INTO feature_upheld (asset_id, definition, source_version, problem, at) VALUES ($1, $2, $3, NULL, $4)
        ON CONFLICT (asset_id, definition) DO UPDATE SET source_version = excluded.source_version, problem = NULL,
            at = excluded.at";
    UPHELD_FAILED = "INSERT INTO feature_upheld (asset_id, definition, problem, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (asset_id, definition) DO UPDATE SET problem = excluded.problem, at = excluded.at";
    UPHELD_DELETE = "DELETE FROM feature_upheld WHERE asset_id = $1 AND definition = $2";
    /// Of definitions that nothing served stands on any more.
    UPHELD_SWEEP = "DELETE FROM feature_upheld WHERE NOT EXISTS (SELECT 1 FROM feature_use u
        JOIN asset h ON h.id = u.holder_id AND h.deleted_at IS NULL
        WHERE u.asset_id = feature_upheld.asset_id AND u.definition = feature_upheld.definition)";
    USED_OF_TABLE = "SELECT DISTINCT u.definition FROM feature_use u
        JOIN asset h ON h.id = u.holder_id AND h.deleted_at IS NULL
        WHERE u.asset_id = $1 ORDER BY u.definition";
    USES_OF_TABLE = "SELECT u.definition, u.holder_id FROM feature_use u
        JOIN asset h ON h.id = u.holder_id AND h.deleted_at IS NULL
        WHERE u.asset_id = $1 ORDER BY u.definition, u.holder_id LIMIT $2";
    USES_OF_HOLDER = "SELECT asset_id, definition FROM feature_use WHERE holder_id = $1 ORDER BY asset_id, definition";
    USE_DELETE = "DELETE FROM feature_use WHERE holder_id = $1";
    USE_INSERT = "INSERT INTO feature_use (holder_id, asset_id, definition) VALUES ($1, $2, $3)";

    DEFINITION_INSERT = "INSERT INTO feature_definition (asset_id, n, definition, yaml, digest, source_id, created_at, created_by)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    DEFINITION_GET = "SELECT n, definition, yaml, digest, source_id, created_at, created_by FROM feature_definition
        WHERE asset_id = $1 AND n = $2";
    DEFINITION_LIST = "SELECT n, definition, yaml, digest, source_id, created_at, created_by FROM feature_definition
        WHERE asset_id = $1 ORDER BY n DESC LIMIT $2";

    PUBLICATION_INSERT = "INSERT INTO feature_publication (asset_id, version, definition, source_version, at)
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    /// The newest up to a version.
    PUBLICATION_AT = "SELECT version, definition FROM feature_publication WHERE asset_id = $1 AND version <= $2
        ORDER BY version DESC LIMIT 1";

    SET_INSERT = "INSERT INTO training_set (asset_id, definition, digest, row_count, byte_count, version, columns, job)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    SET_GET = "SELECT definition, digest, row_count, byte_count, version, columns, job FROM training_set WHERE asset_id = $1";
    /// Pins of training sets that are gone, or never came to be within a day though nobody is at it any more.
    SET_PINS_STALE = "SELECT DISTINCT p.table_id, p.holder FROM table_pin p
        WHERE p.holder LIKE 'training_set/%' AND p.at < $1 AND NOT EXISTS (
            SELECT 1 FROM asset a WHERE a.deleted_at IS NULL AND p.holder = 'training_set/' || a.uuid)
        AND NOT EXISTS (
            SELECT 1 FROM job j WHERE j.kind = 'training_set_build' AND j.state IN ('queued', 'running')
                AND j.payload LIKE '%' || SUBSTR(p.holder, 14) || '%')
        ORDER BY p.table_id, p.holder LIMIT $2";

    /// Pins of computations that nobody is at: their table or source went, or their end could not be written.
    PINS_STALE = "SELECT DISTINCT p.table_id, p.holder FROM table_pin p
        WHERE p.holder LIKE 'feature_table/%' AND NOT EXISTS (
            SELECT 1 FROM asset a JOIN job j ON j.asset_id = a.id
            WHERE a.deleted_at IS NULL AND p.holder = 'feature_table/' || a.uuid
                AND j.kind = 'feature_materialize' AND j.state = 'running')
        ORDER BY p.table_id, p.holder LIMIT $1";

    /// The first version that can be read and has the rows of a version ($2): itself, or one since which files were only joined.
    VERSION_READABLE_AS = "SELECT MIN(v.version) FROM table_version v
        WHERE v.table_id = $1 AND v.version >= $2 AND v.lost_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM table_version w WHERE w.table_id = $1 AND w.version > $2 AND w.version <= v.version
                AND w.kind <> 'compact')";
}
