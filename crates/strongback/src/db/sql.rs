//! Values, rows and the statement runner that both databases share.
//!
//! [`Sql`] runs the statements of one transaction, or of one reader, on behalf of one [`Caller`]. What must stay true:
//! a reader never writes; a statement is always prepared and kept; and what a transaction does is guarded by
//! `catalog::authorize`, which leaves its mark here ([`Sql::is_authorized`]) so that an unguarded change cannot commit;
//! what runs on somebody's behalf ends within its [`Limit`].

use std::{collections::HashMap, sync::Arc};

use postgres::types::{IsNull, ToSql, Type};
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{
    Origin,
    dialect::{Dialect, Stmt},
    limit::Limit,
};
use crate::{
    auth::{Caller, Proof},
    error::{Code, Error, Result},
};

/// A value bound to a placeholder. Times are milliseconds since the epoch, truth is 0 or 1.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// BIGINT
    Int(i64),
    /// DOUBLE PRECISION
    Real(f64),
    /// TEXT
    Text(&'a str),
    /// BLOB or BYTEA
    Blob(&'a [u8]),
}

/// Binds values in the order of their placeholders: `bind![id, name, &bytes[..]]`.
#[macro_export]
macro_rules! bind {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}
impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}
impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}
impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}
impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(value)
    }
}
impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Blob(value)
    }
}
impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(value),
            Self::Real(value) => ValueRef::Real(value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *ty == Type::INT4 => i32::try_from(value)?.to_sql(ty, out),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Real(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Blob(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    postgres::types::to_sql_checked!();
}

/// A row of an answer, read by column number.
pub enum Row<'r> {
    /// of SQLite
    Sqlite(&'r rusqlite::Row<'r>),
    /// of PostgreSQL
    Postgres(&'r postgres::Row),
}

impl Row<'_> {
    /// Column `index`, or an internal error that names it when the type is another.
    pub fn get<T: Column>(&self, index: usize) -> Result<T> {
        match self {
            Self::Sqlite(row) => row.get(index).map_err(Error::internal),
            Self::Postgres(row) => row.try_get(index).map_err(Error::internal),
        }
    }

    /// Column `index` as truth.
    pub fn flag(&self, index: usize) -> Result<bool> {
        Ok(self.get::<i64>(index)? != 0)
    }
}

/// What a column can be read as: `i64`, `f64`, `String`, `Vec<u8>` and options of them.
pub trait Column: rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a> {}
impl<T: rusqlite::types::FromSql + for<'a> postgres::types::FromSql<'a>> Column for T {}

/// The prepared statements of one PostgreSQL connection.
pub(super) type Prepared = HashMap<usize, postgres::Statement>;

/// Rows of an answer between two looks at the limit.
const ROWS: usize = 1024;
/// Steps of SQLite's virtual machine between two looks at the limit: well below a millisecond.
const STEPS: i32 = 10_000;

pub(super) enum Conn<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut postgres::Client, &'a mut Prepared),
}

/// Runs statements for one caller.
#[expect(clippy::struct_excessive_bools, reason = "independent marks of one transaction, not one state")]
pub struct Sql<'a> {
    conn: Conn<'a>,
    caller: Arc<Caller>,
    proof: Proof,
    /// `None` for what the store does for itself.
    limit: Option<Limit>,
    may_write: bool,
    wrote: bool,
    authorized: bool,
    filtered: bool,
    broken: bool,
    rings: bool,
    /// When the request or job came in, milliseconds since the epoch: one clock reading for all that it stores.
    now: i64,
}

impl<'a> Sql<'a> {
    pub(super) fn new(conn: Conn<'a>, caller: Arc<Caller>, may_write: bool, now: i64) -> Self {
        Self {
            conn,
            caller,
            proof: Proof::Nothing,
            limit: None,
            may_write,
            wrote: false,
            authorized: false,
            filtered: false,
            broken: false,
            rings: false,
            now,
        }
    }

    /// Runs statements for who asked, within a limit.
    pub(super) fn on_behalf(conn: Conn<'a>, origin: &Origin, may_write: bool, limit: Limit) -> Result<Self> {
        if let Conn::Sqlite(conn) = conn {
            conn.progress_handler(STEPS, Some(limit.brake())).map_err(store_error)?;
        }
        let sql = Self::new(conn, Arc::clone(&origin.caller), may_write, origin.now);
        Ok(Self { proof: origin.proof, limit: Some(limit), ..sql })
    }

    /// On whose behalf the statements run.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// How long this may go on: for work on what was read, which asks now and then.
    pub fn limit(&self) -> Limit {
        self.limit.clone().unwrap_or_else(Limit::none)
    }

    /// By what the caller is known.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Puts the caller as it is now in place of the one that it was when the request came in. Only `auth` calls it.
    pub(crate) fn renew_caller(&mut self, caller: Arc<Caller>) {
        self.caller = caller;
    }

    /// The time of this request, milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Leaves the mark that an authorisation decision allowed this caller something. Only `catalog::authorize` calls it.
    pub(crate) fn mark_authorized(&mut self) {
        self.authorized = true;
    }

    /// Takes that mark back to what it was, after a decision about somebody else. Only `catalog::authorize` calls it.
    pub(crate) fn restore_authorized(&mut self, was: bool) {
        self.authorized = was;
    }

    /// Leaves the mark that an answer is filtered by what the caller may see: enough to read, never to change.
    pub(crate) fn mark_filtered(&mut self) {
        self.filtered = true;
    }

    /// Whether what was read may be answered.
    pub fn may_answer(&self) -> bool {
        self.authorized || self.filtered
    }

    /// Whether [`Self::mark_authorized`] was called.
    pub fn is_authorized(&self) -> bool {
        self.authorized
    }

    /// Asks for the store's [`Bell`](super::Bell) once this transaction stands.
    pub fn ring(&mut self) {
        self.rings = true;
    }

    pub(super) fn rings(&self) -> bool {
        self.rings
    }

    pub(super) fn wrote(&self) -> bool {
        self.wrote
    }

    /// Whether a statement failed, which on PostgreSQL aborts the transaction.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// All rows.
    pub fn all<T>(
        &mut self,
        stmt: &'static Stmt,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(stmt, params, |row| {
            found.push(read(row)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// The first row, if any.
    pub fn first<T>(
        &mut self,
        stmt: &'static Stmt,
        params: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        self.each(stmt, params, |row| {
            found = Some(read(row)?);
            Ok(false)
        })?;
        Ok(found)
    }

    /// The one row that must be there.
    pub fn one<T>(
        &mut self,
        stmt: &'static Stmt,
        params: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.first(stmt, params, read)?
            .ok_or_else(|| Error::internal(format!("no row for: {}", stmt.text(Dialect::Sqlite))))
    }

    /// Visits rows until the closure answers `false`.
    pub fn each(
        &mut self,
        stmt: &'static Stmt,
        params: &[Value<'_>],
        mut visit: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        self.about_to_run(stmt)?;
        let (limit, broken) = (self.limit.as_ref(), &mut self.broken);
        let mut seen = 0_usize;
        let mut visit = |row: &Row<'_>| {
            seen += 1;
            if seen.is_multiple_of(ROWS) {
                check(limit)?;
            }
            visit(row)
        };
        match &mut self.conn {
            Conn::Sqlite(conn) => {
                let mut broke = |error| {
                    *broken = true;
                    sqlite_error(limit, error)
                };
                let mut prepared = conn.prepare_cached(stmt.text(Dialect::Sqlite)).map_err(&mut broke)?;
                let mut rows = prepared.query(rusqlite::params_from_iter(params)).map_err(&mut broke)?;
                let mut more = true;
                while let Some(row) = rows.next().map_err(&mut broke)? {
                    // A writing statement runs to its end, or SQLite would take it back.
                    more = more && visit(&Row::Sqlite(row))?;
                    if !more && !stmt.is_write() {
                        break;
                    }
                }
                Ok(())
            }
            Conn::Postgres(client, prepared) => {
                let rows = match run_postgres(client, prepared, stmt, params) {
                    Ok(rows) => rows,
                    Err(error) => {
                        *broken = true;
                        return Err(postgres_error(error));
                    }
                };
                for row in &rows {
                    if !visit(&Row::Postgres(row))? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Runs a change and answers how many rows it touched.
    pub fn execute(&mut self, stmt: &'static Stmt, params: &[Value<'_>]) -> Result<u64> {
        self.about_to_run(stmt)?;
        let outcome = match &mut self.conn {
            Conn::Sqlite(conn) => conn
                .prepare_cached(stmt.text(Dialect::Sqlite))
                .and_then(|mut prepared| prepared.execute(rusqlite::params_from_iter(params)))
                .map(|count| count as u64)
                .map_err(|error| sqlite_error(self.limit.as_ref(), error)),
            Conn::Postgres(client, prepared) => prepare(client, prepared, stmt)
                .and_then(|statement| client.execute(&statement, &as_dyn(params)))
                .map_err(postgres_error),
        };
        self.broken |= outcome.is_err();
        outcome
    }

    fn about_to_run(&mut self, stmt: &'static Stmt) -> Result<()> {
        check(self.limit.as_ref())?;
        if stmt.is_write() {
            if !self.may_write {
                return Err(Error::internal("a reader was given a statement that writes"));
            }
            self.wrote = true;
        }
        Ok(())
    }
}

fn check(limit: Option<&Limit>) -> Result<()> {
    limit.map_or(Ok(()), Limit::check)
}

/// What a failed statement of SQLite means; one that was interrupted says what the limit was.
fn sqlite_error(limit: Option<&Limit>, error: rusqlite::Error) -> Error {
    match check(limit) {
        Err(over) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
            over.because(error)
        }
        _ => store_error(error),
    }
}

fn as_dyn<'v>(params: &'v [Value<'v>]) -> Vec<&'v (dyn ToSql + Sync)> {
    params.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn prepare(
    client: &mut postgres::Client,
    prepared: &mut Prepared,
    stmt: &'static Stmt,
) -> Result<postgres::Statement, postgres::Error> {
    let key = std::ptr::from_ref(stmt) as usize;
    if let Some(statement) = prepared.get(&key) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(stmt.text(Dialect::Postgres))?;
    prepared.insert(key, statement.clone());
    Ok(statement)
}

fn run_postgres(
    client: &mut postgres::Client,
    prepared: &mut Prepared,
    stmt: &'static Stmt,
    params: &[Value<'_>],
) -> Result<Vec<postgres::Row>, postgres::Error> {
    let statement = prepare(client, prepared, stmt)?;
    client.query(&statement, &as_dyn(params))
}

/// What a failure of SQLite means to the caller.
pub(super) fn store_error(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as E;
    match error.sqlite_error_code() {
        Some(E::ConstraintViolation) if is_taken(&error) => conflict(error),
        Some(E::DiskFull) => {
            Error::unavailable("The disk of the metadata store is full. Free space, then repeat the request.")
                .because(error)
        }
        Some(E::ReadOnly) => Error::unavailable(READ_ONLY).because(error),
        Some(E::SystemIoFailure | E::CannotOpen | E::DatabaseBusy | E::DatabaseLocked) => {
            Error::unavailable("The metadata store cannot be used at the moment. Repeat the request later.")
                .because(error)
        }
        _ => Error::internal(error),
    }
}

/// Whether a key is taken. Other broken constraints are defects of ours, and trying again does not mend them.
fn is_taken(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE};
    let taken = [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID, SQLITE_CONSTRAINT_UNIQUE];
    error.sqlite_error().is_some_and(|found| taken.contains(&found.extended_code))
}

/// What callers are told while the metadata store can be read alone.
const READ_ONLY: &str = "The disk of the metadata store is read-only. Make it writable again (a failing disk may have been \
    remounted so: see the system's log), then repeat the request.";

/// What a failure of PostgreSQL means to the caller.
pub(super) fn postgres_error(error: postgres::Error) -> Error {
    use postgres::error::SqlState as S;
    match error.code() {
        Some(code)
            if *code == S::UNIQUE_VIOLATION
                || *code == S::T_R_SERIALIZATION_FAILURE
                || *code == S::T_R_DEADLOCK_DETECTED =>
        {
            conflict(error)
        }
        Some(code) if *code == S::DISK_FULL => {
            Error::unavailable("The disk of the database is full. Free space there, then repeat the request.")
                .because(error)
        }
        // Its transaction, with all that it did before, is rolled back by whoever ran it.
        Some(code) if *code == S::LOCK_NOT_AVAILABLE => Error::unavailable(
            "Another session of the database holds a lock that this request needs and did not let go of it in time. \
             Nothing was changed. Repeat the request; if that does not help, end the long transaction that holds it \
             (pg_stat_activity and pg_blocking_pids show which).",
        )
        .because(error),
        Some(code) if *code == S::QUERY_CANCELED => Error::unavailable(
            "The database cancelled a statement of this request: it took longer than its limit, or somebody cancelled \
             it. Nothing was changed. Repeat the request later or ask for less at once; if that does not help, look at \
             what keeps the database busy (pg_stat_activity).",
        )
        .because(error),
        Some(code) if *code == S::READ_ONLY_SQL_TRANSACTION => Error::unavailable(
            "The database takes no writes: it is read-only, as a standby is, or was made so. Reads go on. Let --database-url lead to \
             the primary, then repeat the request.",
        )
        .because(error),
        Some(code)
            if *code == S::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                // Shutting down, out of something, an error of its disk, a connection that a pooler lost.
                || ["57P", "53", "58", "08"].iter().any(|class| code.code().starts_with(class)) =>
        {
            Error::unavailable("The metadata store cannot be used at the moment. Repeat the request later.")
                .because(error)
        }
        Some(_) => Error::internal(error),
        None => Error::unavailable("The connection to the metadata store was lost. Repeat the request.")
            .because(error),
    }
}

/// Takes a mebibyte of the database's disk and gives it back; an error where there is none. SQLite's file lies in the data
/// directory, where the objects' probe writes.
pub(super) fn take_room(sql: &mut Sql<'_>) -> Result<()> {
    const TAKE: &str = "CREATE UNLOGGED TABLE strongback_room AS SELECT generate_series(1, 30000) AS n; \
                        DROP TABLE strongback_room";
    let Conn::Postgres(client, _) = &mut sql.conn else { return Ok(()) };
    sql.wrote = true;
    let outcome = client.batch_execute(TAKE).map_err(postgres_error);
    sql.broken |= outcome.is_err();
    outcome
}

/// Whether the disk of the database had no room for it.
pub(super) fn lacked_room(error: &Error) -> bool {
    let of_postgres = error.cause().and_then(postgres::Error::code);
    of_postgres.is_some_and(|code| *code == postgres::error::SqlState::DISK_FULL)
}

fn conflict(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        Code::ResourceConflict,
        "Somebody else changed the same thing at the same moment. Repeat the request.",
    )
    .because(error)
}
