//! A database of MLflow, SQLite or PostgreSQL, of the versions 2.9 to 3.17: by its tables, with the columns that they have.
//!
//! What must stay true: an import only reads, and no read lasts longer than one batch, so that a server that still writes there is not
//! held up; a table or column that an older version lacks is empty, and takes nothing; where there are workspaces, nothing but the
//! default one is read and written.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use postgres::{fallible_iterator::FallibleIterator as _, types::ToSql};

use super::numbers::Numbers;
use crate::{
    db::{Row, connect},
    error::{Error, Result},
    exchange::ItemKind,
};

mod read;
mod registry;
mod steps;
mod write;

/// How long a lock of somebody else is waited for.
const LOCK: Duration = Duration::from_secs(30);

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To read it.
    Read,
    /// To write there too.
    Write,
}

/// A database that an address names.
#[derive(Debug)]
pub(super) enum Named {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// PostgreSQL: its URL, and the same without credentials.
    Postgres { url: String, label: String },
}

impl Named {
    /// Reads an address as SQLAlchemy writes it, which may name a driver; none where it names no database.
    pub(super) fn parse(given: &str) -> Result<Option<Self>> {
        let Some((scheme, rest)) = given.split_once("://") else { return Ok(None) };
        let scheme = scheme.to_ascii_lowercase();
        match scheme.split('+').next().unwrap_or_default() {
            "postgresql" | "postgres" => {
                let label = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                let label = label.split('?').next().unwrap_or_default();
                Ok(Some(Self::Postgres {
                    url: format!("postgres://{rest}"),
                    label: format!("postgresql://{label}"),
                }))
            }
            // Three slashes before a relative path, four before an absolute one.
            "sqlite" => match rest.strip_prefix('/') {
                Some(path) => Ok(Some(Self::Sqlite(path.into()))),
                None => Err(Error::invalid(format!("{given} names no file: write sqlite:///file.db."))),
            },
            // The address may hold a password.
            other @ ("mysql" | "mssql" | "oracle") => Err(Error::invalid(format!(
                "A database {other}:// is not understood: those of MLflow are read and written in SQLite and PostgreSQL. Start \
                 MLflow's own server on it, and import from that: strongback import mlflow http://127.0.0.1:5000"
            ))),
            _ => Ok(None),
        }
    }
}

/// An open database.
pub(super) struct Database {
    connection: Connection,
    /// Columns by table.
    columns: HashMap<String, HashSet<String>>,
    numbers: Arc<Numbers>,
    /// Data sets that are known to be there, by the experiment's number there.
    datasets: HashMap<i64, write::Datasets>,
}

enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<postgres::Client>),
}

/// What a statement is asked about.
enum Of<'a> {
    Everything,
    These(&'a [String]),
}

impl Database {
    /// Opens a SQLite file.
    pub(super) fn sqlite(path: &Path, access: Access) -> Result<Self> {
        let unreadable = |error: rusqlite::Error| {
            Error::invalid(format!("The database {} cannot be read: {error}.", path.display()))
        };
        let flags = match access {
            Access::Read => rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = flags | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags).map_err(unreadable)?;
        connection.busy_timeout(LOCK).map_err(unreadable)?;
        connection.pragma_update(None, "cache_size", -262_144).map_err(unreadable)?;
        connection.pragma_update(None, "mmap_size", 1_i64 << 34).map_err(unreadable)?;
        Self::of(Connection::Sqlite(connection))
    }

    /// Connects to PostgreSQL. The URL may be one of SQLAlchemy's, which names a driver.
    pub(super) fn postgres(url: &str, access: Access) -> Result<Self> {
        let mut client = connect::postgres(url)?;
        let setting = match access {
            Access::Read => "SET default_transaction_read_only = on",
            Access::Write => "SET lock_timeout = '30s'",
        };
        client
            .batch_execute(setting)
            .map_err(|error| Error::unavailable("The database did not take a setting.").because(error))?;
        Self::of(Connection::Postgres(Box::new(client)))
    }

    fn of(connection: Connection) -> Result<Self> {
        let mut database =
            Self { connection, columns: HashMap::new(), numbers: Arc::default(), datasets: HashMap::new() };
        let columns = match database.connection {
            Connection::Sqlite(_) => {
                "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
            }
            Connection::Postgres(_) => {
                "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns
                 WHERE table_schema = ANY (current_schemas(false))"
            }
        };
        let mut found: HashMap<String, HashSet<String>> = HashMap::new();
        database.each(columns, &Of::Everything, |row| {
            found.entry(row.get(0)?).or_default().insert(row.get(1)?);
            Ok(())
        })?;
        database.columns = found;
        if !database.has("runs", "run_uuid") || !database.has("experiments", "experiment_id") {
            return Err(Error::invalid(
                "This is no database of MLflow: it has no tables 'experiments' and 'runs'. Name the one that \
                 `mlflow server --backend-store-uri` has.",
            ));
        }
        Ok(database)
    }

    /// Whether there are tables for items of a kind; those of older versions have none for logged models.
    pub(super) fn has_kind(&self, kind: ItemKind) -> bool {
        kind != ItemKind::LoggedModel || self.has_table("logged_models")
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.contains(column))
    }

    /// A condition of the rows that are read and written: those of the default workspace, where there are several.
    fn is_default(&self, table: &str) -> &'static str {
        if self.has(table, "workspace") { "workspace = 'default'" } else { "1 = 1" }
    }

    /// The same of rows that belong to an experiment.
    fn is_of_default(&self) -> String {
        if !self.has("experiments", "workspace") {
            return self.is_default("experiments").to_owned();
        }
        format!(
            "experiment_id IN (SELECT experiment_id FROM experiments WHERE {})",
            self.is_default("experiments")
        )
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.contains_key(table)
    }

    /// Runs a statement whose `{ids}` is the list of ids.
    fn each(
        &mut self,
        statement: &str,
        of: &Of<'_>,
        mut visit: impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let statement = statement.replace("{ids}", "IN (SELECT value FROM json_each(?1))");
                let unread = |error: rusqlite::Error| {
                    Error::unavailable(format!("The database cannot be read: {error}.")).because(error)
                };
                let mut prepared = connection.prepare_cached(&statement).map_err(unread)?;
                let mut rows = match of {
                    Of::Everything => prepared.query([]),
                    Of::These(ids) => prepared.query([serde_json::to_string(ids).map_err(Error::internal)?]),
                }
                .map_err(unread)?;
                while let Some(row) = rows.next().map_err(unread)? {
                    visit(&Row::Sqlite(row))?;
                }
            }
            Connection::Postgres(client) => {
                let statement = statement.replace("{ids}", "= ANY ($1)");
                let unread = |error: postgres::Error| {
                    Error::unavailable("The database cannot be read.").because(error)
                };
                let arguments: Vec<&(dyn ToSql + Sync)> = match of {
                    Of::Everything => Vec::new(),
                    Of::These(ids) => vec![ids],
                };
                let mut rows = client.query_raw(&statement, arguments).map_err(unread)?;
                while let Some(row) = rows.next().map_err(unread)? {
                    visit(&Row::Postgres(&row))?;
                }
            }
        }
        Ok(())
    }

    /// An expression for a column that an older version may lack.
    fn column(&self, table: &str, column: &str, absent: &str) -> String {
        if self.has(table, column) { column.to_owned() } else { absent.to_owned() }
    }
}
