//! Statements of tables.

use crate::statements;

statements! {
    TABLE_INSERT = "INSERT INTO data_table (asset_id, format, location, columns, version) VALUES ($1, $2, $3, $4, $5)";
    TABLE_GET = "SELECT format, location, columns, version FROM data_table WHERE asset_id = $1";
    /// The newest version of a managed table, with its totals.
    TABLE_NEWEST = "SELECT v.version, v.row_total, v.byte_total, v.file_total FROM data_table t
        JOIN table_version v ON v.table_id = t.asset_id AND v.version = t.version WHERE t.asset_id = $1";
    TABLE_KEPT_BY = "SELECT kept_by FROM data_table WHERE asset_id = $1";
    TABLE_SET_KEPT_BY = "UPDATE data_table SET kept_by = $2 WHERE asset_id = $1";
    TABLE_SET_COLUMNS = "UPDATE data_table SET columns = $2 WHERE asset_id = $1";
    /// A table for bad rows may have a commit recorded behind one that came later.
    TABLE_SET_VERSION = "UPDATE data_table SET version = $2 WHERE asset_id = $1 AND version < $2";

    VERSION_INSERT = "INSERT INTO table_version (table_id, version, kind, operation, batch_id, batch_digest, rows_added,
            row_total, byte_total, file_total, report, at, by_principal)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    VERSION_GET = "SELECT version, kind, batch_id, rows_added, row_total, byte_total, file_total, at, by_principal, lost_at
        FROM table_version WHERE table_id = $1 AND version = $2";
    VERSION_PAGE = "SELECT version, kind, batch_id, rows_added, row_total, byte_total, file_total, at, by_principal, lost_at
        FROM table_version WHERE table_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    /// When the newest version came.
    VERSION_NEWEST_AT = "SELECT at FROM table_version WHERE table_id = $1 ORDER BY version DESC LIMIT 1";
    /// The version that was the newest at a moment.
    VERSION_AT = "SELECT version FROM table_version WHERE table_id = $1 AND at <= $2 ORDER BY version DESC LIMIT 1";
    APPENDS_SINCE_COMPACT = "SELECT COUNT(*) FROM table_version WHERE table_id = $1 AND kind = 'append'
        AND version > (SELECT COALESCE(MAX(version), -1) FROM table_version WHERE table_id = $1 AND kind = 'compact')";
    VERSION_OF_BATCH = "SELECT version, batch_digest, report FROM table_version WHERE table_id = $1 AND batch_id = $2";
    VERSION_NEWEST_LOST = "SELECT MAX(version) FROM table_version WHERE table_id = $1 AND lost_at IS NOT NULL";
    VERSIONS_LOSE = "UPDATE table_version SET lost_at = $3
        WHERE table_id = $1 AND version < $2 AND lost_at IS NULL AND NOT EXISTS (
            SELECT 1 FROM table_pin p WHERE p.table_id = table_version.table_id AND p.version = table_version.version)";

    PIN_INSERT = "INSERT INTO table_pin (table_id, version, holder, reason, at, by_principal)
        VALUES ($1, $2, $3, $4, $5, $6)";
    PIN_EXISTS = "SELECT at FROM table_pin WHERE table_id = $1 AND version = $2 AND holder = $3";
    /// A person's pin. The second form of the holder is of an earlier time, when it did not say who.
    PIN_OF_PERSON = "SELECT holder, reason, at FROM table_pin WHERE table_id = $1 AND version = $2
        AND (holder = $3 OR (holder = 'person' AND by_principal = $4))";
    PINS_HELD = "SELECT COUNT(*) FROM table_pin WHERE table_id = $1 AND holder = $2";
    PINS_DELETE = "DELETE FROM table_pin WHERE table_id = $1 AND holder = $2";
    PIN_DELETE = "DELETE FROM table_pin WHERE table_id = $1 AND version = $2 AND holder = $3";
    /// Every pinned version before one.
    PINNED_BEFORE = "SELECT DISTINCT version FROM table_pin WHERE table_id = $1 AND version < $2 ORDER BY version";
    /// Pins of the versions from one on and before another, the oldest first.
    PIN_LIST = "SELECT p.version, p.holder, p.reason, p.at, p.by_principal FROM table_pin p
        WHERE p.table_id = $1 AND p.version >= $2 AND p.version < $3 ORDER BY p.version, p.holder LIMIT $4";
}
