//! A PostgreSQL database of its own for one test, on the server that `STRONGBACK_TEST_POSTGRES_URL` names.
//!
//! Invariant: a database is created under a name nobody else has and dropped with its [`FreshDatabase`], open
//! connections or not.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use postgres::{Client, NoTls};

use crate::random::Random;

/// Where tests find a PostgreSQL server, e.g. `postgres://user:password@127.0.0.1:5432/postgres`.
pub const SERVER_VARIABLE: &str = "STRONGBACK_TEST_POSTGRES_URL";

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A database that exists as long as this value.
#[derive(Debug)]
pub struct FreshDatabase {
    server_url: String,
    name: String,
    url: String,
}

impl FreshDatabase {
    /// The URL of the fresh database, for `--database-url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The server for tests, where the environment names one.
pub fn server_url() -> Option<String> {
    std::env::var(SERVER_VARIABLE).ok().filter(|url| !url.is_empty())
}

/// Creates a database on the server at `server_url`, whose user must be allowed to.
pub fn fresh_database(server_url: &str) -> Result<FreshDatabase> {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = format!("strongback_test_{}_{count}_{:08x}", std::process::id(), Random::arbitrary_seed());
    let url = with_database(server_url, &name)?;
    execute(server_url, &format!("CREATE DATABASE {name}"))?;
    Ok(FreshDatabase { server_url: server_url.to_string(), name, url })
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        // A server that is gone took the database along; there is nobody to tell.
        let _ = execute(&self.server_url, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Whether anybody else has a session on this database: of a server that was killed, one that has not noticed yet, or is
/// still at work on what it was sent.
pub fn has_sessions(url: &str) -> Result<bool> {
    let mut client = Client::connect(url, NoTls).context("cannot connect to the test's database")?;
    let others = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())";
    Ok(client.query_one(others, &[])?.get(0))
}

/// On a thread of its own: the client waits in a way that the threads of an asynchronous runtime do not allow.
fn execute(url: &str, statement: &str) -> Result<()> {
    let execute = || {
        let mut client =
            Client::connect(url, NoTls).context("cannot connect to the PostgreSQL server for tests")?;
        client.batch_execute(statement).with_context(|| statement.to_string())
    };
    let done = std::thread::scope(|threads| threads.spawn(execute).join());
    done.unwrap_or_else(|_| bail!("the PostgreSQL client panicked at {statement}"))
}

/// The same URL with another database name; its query stays.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").context("a PostgreSQL URL begins with postgres://")?;
    let (before_query, query) =
        rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let authority = before_query.split('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}{query}"))
}

#[cfg(test)]
mod tests {
    use super::{execute, fresh_database, server_url, with_database};

    #[test]
    fn only_the_database_changes_in_a_url() {
        for (before, after) in [
            ("postgres://u:p@h:5/db", "postgres://u:p@h:5/new"),
            ("postgres://h", "postgres://h/new"),
            (
                "postgresql://u@/old?host=/run/pg&sslmode=disable",
                "postgresql://u@/new?host=/run/pg&sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(before, "new").unwrap(), after);
        }
        assert!(with_database("host=localhost", "new").is_err());
    }

    /// Runs where the environment names a server; elsewhere it has nothing to look at and says so.
    #[test]
    fn a_database_comes_and_goes() {
        let Some(server) = server_url() else {
            println!("no {} in the environment: nothing to check", super::SERVER_VARIABLE);
            return;
        };
        let (first, second) = (fresh_database(&server).unwrap(), fresh_database(&server).unwrap());
        assert_ne!(first.name(), second.name());
        execute(first.url(), "CREATE TABLE t (x INT)").unwrap();
        execute(second.url(), "CREATE TABLE t (x INT)").unwrap();
        let gone = first.url().to_string();
        drop(first);
        assert!(execute(&gone, "SELECT 1").is_err(), "the database was dropped");
    }
}
