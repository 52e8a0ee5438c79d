//! Numbered forward migrations.
//!
//! What must stay true: a migration that was released is never edited; each runs in a transaction of its own; a store
//! that a newer version has touched is refused, since an older one does not know what it would break.

use postgres::Client;
use rusqlite::Connection;

use super::{
    Dialect, Sql,
    dialect::render,
    sql::{postgres_error, store_error},
};
use crate::error::{Code, Error, Result};

/// Number, name and text of every migration, ascending and dense.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "events", include_str!("migrations/0001_events.sql")),
    (2, "catalog", include_str!("migrations/0002_catalog.sql")),
    (3, "tracking", include_str!("migrations/0003_tracking.sql")),
    (4, "registry", include_str!("migrations/0004_registry.sql")),
    (5, "files", include_str!("migrations/0005_files.sql")),
    (6, "jobs", include_str!("migrations/0006_jobs.sql")),
    (7, "tables", include_str!("migrations/0007_tables.sql")),
    (8, "features", include_str!("migrations/0008_features.sql")),
    (9, "serving", include_str!("migrations/0009_serving.sql")),
    (10, "payload", include_str!("migrations/0010_payload.sql")),
    (11, "promotion", include_str!("migrations/0011_promotion.sql")),
    (12, "monitoring", include_str!("migrations/0012_monitoring.sql")),
    (13, "webhooks", include_str!("migrations/0013_webhooks.sql")),
    (14, "aggregates", include_str!("migrations/0014_aggregates.sql")),
    (15, "exchange", include_str!("migrations/0015_exchange.sql")),
    (16, "columns", include_str!("migrations/0016_columns.sql")),
    (17, "carried_files", include_str!("migrations/0017_carried_files.sql")),
];

/// The schema this binary writes.
pub const NEWEST: i64 = MIGRATIONS.len() as i64;

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// Brings a SQLite store to [`NEWEST`].
pub(super) fn sqlite(conn: &mut Connection) -> Result<()> {
    conn.execute_batch(VERSION_TABLE).map_err(store_error)?;
    let found: i64 = conn
        .query_row("SELECT COALESCE(MAX(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(store_error)?;
    for (version, name, text) in due(found)? {
        let tx = conn.transaction().map_err(store_error)?;
        for statement in statements(text) {
            tx.execute_batch(&render(&statement, Dialect::Sqlite)).map_err(store_error)?;
        }
        tx.execute("INSERT INTO schema_version VALUES (?1, ?2, ?3)", (version, name, crate::time::now_ms()))
            .map_err(store_error)?;
        tx.commit().map_err(store_error)?;
    }
    Ok(())
}

/// Brings a PostgreSQL store to [`NEWEST`]; an advisory lock lets one process do it. The connection has no time limits
/// afterwards.
pub(super) fn postgres(client: &mut Client) -> Result<()> {
    // A migration may take longer than a statement of a request. The number is arbitrary and belongs to this product.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(7305809155)")
        .map_err(postgres_error)?;
    let outcome = postgres_locked(client);
    client.batch_execute("SELECT pg_advisory_unlock(7305809155)").map_err(postgres_error)?;
    outcome
}

fn postgres_locked(client: &mut Client) -> Result<()> {
    client.batch_execute(VERSION_TABLE).map_err(postgres_error)?;
    let found: i64 = client
        .query_one("SELECT COALESCE(MAX(version), 0) FROM schema_version", &[])
        .map_err(postgres_error)?
        .get(0);
    for (version, name, text) in due(found)? {
        let mut tx = client.transaction().map_err(postgres_error)?;
        for statement in statements(text) {
            tx.batch_execute(&render(&statement, Dialect::Postgres)).map_err(postgres_error)?;
        }
        tx.execute(
            "INSERT INTO schema_version VALUES ($1, $2, $3)",
            &[&version, &name, &crate::time::now_ms()],
        )
        .map_err(postgres_error)?;
        tx.commit().map_err(postgres_error)?;
    }
    Ok(())
}

crate::statements! {
    /// The schema that a store has.
    VERSION = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
}

/// The schema that a store has.
pub fn version(sql: &mut Sql<'_>) -> Result<i64> {
    sql.one(&VERSION, crate::bind![], |row| row.get(0))
}

/// Refuses a store of another schema than [`NEWEST`], for those who only look at it.
pub fn require_newest(sql: &mut Sql<'_>) -> Result<()> {
    let found = version(sql)?;
    if found < NEWEST {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "The metadata store has schema {found}; this version of Strongback reads schema {NEWEST}. Start the \
                 server of this version once: it brings the store forward."
            ),
        ));
    }
    due(found).map(|_| ())
}

fn due(found: i64) -> Result<impl Iterator<Item = (i64, &'static str, &'static str)>> {
    if found > NEWEST {
        return Err(Error::new(
            Code::InvalidState,
            format!(
                "The metadata store has schema {found}; this version of Strongback knows schemas up to {NEWEST}. \
                 Start the version that wrote it, or a newer one."
            ),
        ));
    }
    Ok(MIGRATIONS.iter().copied().filter(move |(version, ..)| *version > found))
}

/// The statements of a file: lines that begin with `--` are comments, `;` ends a statement.
fn statements(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
        .flat_map(|line| [line, "\n"])
        .collect();
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_a_newer_store_is_refused() {
        for (at, (version, ..)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version, at as i64 + 1);
        }
        let error = due(NEWEST + 1).map(Iterator::count).unwrap_err();
        assert!(error.message().contains(&format!("schema {}", NEWEST + 1)), "{error}");
    }
}
