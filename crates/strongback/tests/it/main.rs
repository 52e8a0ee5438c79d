//! One integration binary. Its folders mirror the slices; every test that touches a store runs on SQLite, and on
//! PostgreSQL where STRONGBACK_TEST_POSTGRES_URL names a server (`make test` always does).

mod db;
mod events;
mod router;
mod support;
mod tidy;
