//! kill -9 at random moments under four writing clients: nothing acknowledged is lost, halved or doubled.
//!
//! Ten rounds here, on each database; `make torture` runs a hundred. The seed is printed when a round fails.

use testkit::{
    postgres,
    random::Random,
    server,
    torture::{Config, kill_rounds},
};

const ROUNDS: u32 = 10;

fn rounds(database_url: Option<&str>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let config = Config::strongback(binary, database_url, ROUNDS, Random::arbitrary_seed());
    let report = kill_rounds(&config).unwrap().into_result().unwrap();
    println!("{report}");
}

#[test]
fn nothing_acknowledged_is_lost_on_sqlite() {
    rounds(None);
}

#[test]
fn nothing_acknowledged_is_lost_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    rounds(Some(database.url()));
}
