//! Changes of tables, on both databases: several in one transaction, by names of tables and columns alone.

use serde_json::{Map, Value, json};

use super::{Connection, Database};
use crate::error::{Error, Result};

/// Bytes of one statement above which its rows go in several.
const STATEMENT_BYTES: usize = 4 << 20;

/// What is done to a table.
pub(super) enum Step {
    /// Takes away the rows whose column has one of these values.
    Clear { table: &'static str, column: &'static str, values: Vec<Value> },
    /// Takes away the rows that this condition tells, whose `{ids}` are these.
    ClearWhere { table: &'static str, condition: String, ids: Vec<String> },
    /// Adds rows.
    Add { table: &'static str, columns: &'static [&'static str], rows: Vec<Vec<Value>> },
    /// Changes the row that has these keys, the first columns, or adds it if it went meanwhile.
    Put { table: &'static str, keys: usize, columns: &'static [&'static str], row: Vec<Value> },
}

impl Database {
    /// Takes steps in one transaction. Tables and columns that there are not are passed over.
    pub(super) fn apply(&mut self, steps: Vec<Step>) -> Result<()> {
        let steps: Vec<Step> = steps.into_iter().filter(|step| self.has_table(step.table())).collect();
        let Self { connection, columns, .. } = self;
        let has = |table: &str, column: &str| columns.get(table).is_some_and(|of| of.contains(column));
        let applied = match connection {
            Connection::Sqlite(connection) => {
                let tx = connection.transaction().map_err(sqlite_refused)?;
                steps
                    .iter()
                    .try_for_each(|step| step.on_sqlite(&tx, &has))
                    .and_then(|()| tx.commit())
                    .map_err(sqlite_refused)
            }
            Connection::Postgres(client) => {
                let mut tx = client.transaction().map_err(postgres_refused)?;
                steps
                    .iter()
                    .try_for_each(|step| step.on_postgres(&mut tx, &has))
                    .and_then(|()| tx.commit().map_err(postgres_refused))
            }
        };
        if applied.is_err() {
            self.datasets.clear();
        }
        applied
    }
}

/// What only the item is the cause of is told as invalid; what would meet every other item too is not.
fn sqlite_refused(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Sqlite;
    match error.sqlite_error_code() {
        Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => {
            Error::unavailable("The database is in use by somebody who writes. Stop that, or try again.")
                .because(error)
        }
        Some(Sqlite::ConstraintViolation | Sqlite::TooBig | Sqlite::TypeMismatch) => {
            Error::invalid(format!("The database did not take it: {error}."))
        }
        _ => ended(&error.to_string()).because(error),
    }
}

/// The same by classes of SQLSTATE: data, constraints, limits such as of a key in an index, and what a trigger raises.
pub(super) fn postgres_refused(error: postgres::Error) -> Error {
    match error.as_db_error() {
        Some(told) if ["22", "23", "54", "P0"].iter().any(|class| told.code().code().starts_with(class)) => {
            Error::invalid(format!("The database did not take it: {}.", told.message()))
        }
        Some(told) => ended(told.message()).because(error),
        None => Error::unavailable("The connection to the database broke off.").because(error),
    }
}

fn ended(why: &str) -> Error {
    Error::unavailable(format!(
        "The database takes nothing: {why}. See to that and make the same call again, which goes on where this one ended."
    ))
}

impl Step {
    /// Adds a row that is new, which one with the same keys stands in the way of, or changes one that is there.
    pub(super) fn put(
        table: &'static str,
        keys: usize,
        columns: &'static [&'static str],
        row: Vec<Value>,
        is_new: bool,
    ) -> Self {
        match is_new {
            true => Self::Add { table, columns, rows: vec![row] },
            false => Self::Put { table, keys, columns, row },
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Self::Clear { table, .. }
            | Self::ClearWhere { table, .. }
            | Self::Add { table, .. }
            | Self::Put { table, .. } => table,
        }
    }

    fn on_sqlite(
        &self,
        tx: &rusqlite::Transaction<'_>,
        has: &impl Fn(&str, &str) -> bool,
    ) -> rusqlite::Result<()> {
        let bound = |row: &[&Value]| row.iter().map(|value| sqlite_value(value)).collect::<Vec<_>>();
        match self {
            Self::Clear { table, column, values } => {
                let listed = Value::from(values.clone()).to_string();
                let statement =
                    format!("DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?1))");
                tx.prepare_cached(&statement)?.execute([listed])?;
            }
            Self::ClearWhere { table, condition, ids } => {
                let condition = condition.replace("{ids}", "IN (SELECT value FROM json_each(?1))");
                let statement = format!("DELETE FROM {table} WHERE {condition}");
                tx.prepare_cached(&statement)?.execute([json!(ids).to_string()])?;
            }
            Self::Add { table, columns, rows } => {
                let kept = kept(table, columns, has);
                let mut statement = tx.prepare_cached(&sqlite_insert(table, columns, &kept))?;
                for row in rows {
                    let row: Vec<&Value> = kept.iter().map(|at| &row[*at]).collect();
                    statement.execute(rusqlite::params_from_iter(bound(&row)))?;
                }
            }
            Self::Put { table, keys, columns, row } => {
                let kept = kept(table, columns, has);
                let (change, order) = sqlite_update(table, *keys, columns, &kept);
                let values: Vec<&Value> = order.iter().map(|at| &row[*at]).collect();
                let changed =
                    tx.prepare_cached(&change)?.execute(rusqlite::params_from_iter(bound(&values)))?;
                if changed == 0 {
                    let row: Vec<&Value> = kept.iter().map(|at| &row[*at]).collect();
                    tx.prepare_cached(&sqlite_insert(table, columns, &kept))?
                        .execute(rusqlite::params_from_iter(bound(&row)))?;
                }
            }
        }
        Ok(())
    }

    /// PostgreSQL reads rows out of JSON by the types that the table has.
    fn on_postgres(
        &self,
        tx: &mut postgres::Transaction<'_>,
        has: &impl Fn(&str, &str) -> bool,
    ) -> Result<()> {
        match self {
            Self::Clear { table, column, values } => {
                let statement = format!(
                    "DELETE FROM {table} WHERE CAST({column} AS TEXT) IN
                     (SELECT json_array_elements_text(CAST($1 AS TEXT)::json))"
                );
                let listed = Value::from(values.clone()).to_string();
                if !values.is_empty() {
                    tx.execute(&statement, &[&listed]).map_err(postgres_refused)?;
                }
            }
            Self::ClearWhere { table, condition, ids } => {
                let statement =
                    format!("DELETE FROM {table} WHERE {}", condition.replace("{ids}", "= ANY ($1)"));
                tx.execute(&statement, &[ids]).map_err(postgres_refused)?;
            }
            Self::Add { table, columns, rows } => {
                let kept = kept(table, columns, has);
                postgres_add(tx, table, columns, &kept, rows)?;
            }
            Self::Put { table, keys, columns, row } => {
                let kept = kept(table, columns, has);
                let from = format!("FROM json_populate_record(NULL::{table}, CAST($1 AS TEXT)::json) AS new");
                let (same, set): (Vec<usize>, Vec<usize>) = kept.iter().partition(|at| **at < *keys);
                let set: Vec<String> =
                    set.iter().map(|at| format!("{} = new.{}", columns[*at], columns[*at])).collect();
                let same: Vec<String> = same
                    .iter()
                    .map(|at| format!("{table}.{} = new.{}", columns[*at], columns[*at]))
                    .collect();
                let change =
                    format!("UPDATE {table} SET {} {from} WHERE {}", set.join(", "), same.join(" AND "));
                let text = record(columns, &kept, row).to_string();
                if tx.execute(&change, &[&text]).map_err(postgres_refused)? == 0 {
                    postgres_add(tx, table, columns, &kept, std::slice::from_ref(row))?;
                }
            }
        }
        Ok(())
    }
}

/// Places of the columns that the table has.
fn kept(table: &str, columns: &[&str], has: &impl Fn(&str, &str) -> bool) -> Vec<usize> {
    (0..columns.len()).filter(|at| has(table, columns[*at])).collect()
}

fn sqlite_value(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Stored;
    match value {
        Value::Null => Stored::Null,
        Value::Bool(truth) => Stored::Integer(i64::from(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Stored::Integer(integer),
            None => Stored::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Stored::Text(text.clone()),
        other => Stored::Text(other.to_string()),
    }
}

fn sqlite_insert(table: &str, columns: &[&str], kept: &[usize]) -> String {
    let names: Vec<&str> = kept.iter().map(|at| columns[*at]).collect();
    let marks = vec!["?"; kept.len()];
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), marks.join(", "))
}

/// A change of the row with these keys, and the columns whose values it takes, in order.
fn sqlite_update(table: &str, keys: usize, columns: &[&str], kept: &[usize]) -> (String, Vec<usize>) {
    let (same, set): (Vec<usize>, Vec<usize>) = kept.iter().partition(|at| **at < keys);
    let terms = |of: &[usize], between| {
        of.iter().map(|at| format!("{} = ?", columns[*at])).collect::<Vec<_>>().join(between)
    };
    let statement = format!("UPDATE {table} SET {} WHERE {}", terms(&set, ", "), terms(&same, " AND "));
    (statement, [set, same].concat())
}

fn record(columns: &[&str], kept: &[usize], row: &[Value]) -> Value {
    let fields: Map<String, Value> =
        kept.iter().map(|at| (columns[*at].to_owned(), row[*at].clone())).collect();
    Value::Object(fields)
}

fn postgres_add(
    tx: &mut postgres::Transaction<'_>,
    table: &str,
    columns: &[&str],
    kept: &[usize],
    rows: &[Vec<Value>],
) -> Result<()> {
    let names: Vec<&str> = kept.iter().map(|at| columns[*at]).collect();
    let names = names.join(", ");
    let statement = format!(
        "INSERT INTO {table} ({names}) SELECT {names}
         FROM json_populate_recordset(NULL::{table}, CAST($1 AS TEXT)::json)"
    );
    let mut send = |records: &mut Vec<String>| {
        let text = format!("[{}]", records.join(","));
        records.clear();
        tx.execute(&statement, &[&text]).map(drop).map_err(postgres_refused)
    };
    let (mut records, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let text = record(columns, kept, row).to_string();
        bytes += text.len();
        records.push(text);
        if bytes > STATEMENT_BYTES {
            send(&mut records)?;
            bytes = 0;
        }
    }
    if records.is_empty() { Ok(()) } else { send(&mut records) }
}
