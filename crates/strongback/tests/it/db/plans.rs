//! Statements whose cost would grow with what is stored if they did not find their index.

use strongback::db::{self, Location};

use crate::support::TestApp;

/// The statement of the product that has these words, as SQLite plans it.
fn plan(store: &rusqlite::Connection, words: &str) -> String {
    let found: Vec<&str> = db::all_statements()
        .into_iter()
        .map(|statement| statement.text(db::Dialect::Sqlite))
        .filter(|text| text.contains(words))
        .collect();
    let [text] = found[..] else { panic!("{} statements have the words {words}", found.len()) };
    let mut explained = store.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let nothing = vec![rusqlite::types::Null; explained.parameter_count()];
    let steps =
        explained.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
    steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_name_in_another_case_is_looked_up_by_its_index() {
    let test = TestApp::open(&[], None).await;
    let Location::Sqlite(path) = test.app.db.location() else { panic!("not on SQLite") };
    let plan = plan(&rusqlite::Connection::open(path).unwrap(), "LOWER(wire_name) =");
    assert!(plan.contains("USING INDEX asset_wire_folded (kind=? AND <expr>=?)"), "{plan}");
}

#[tokio::test]
async fn lineage_of_a_version_is_looked_up_by_the_version() {
    let test = TestApp::open(&[], None).await;
    let Location::Sqlite(path) = test.app.db.location() else { panic!("not on SQLite") };
    let store = rusqlite::Connection::open(path).unwrap();
    for (words, index, columns) in [
        (
            "f.edge_id = e.id AND f.source_version IN",
            "lineage_fact_source",
            "(edge_id=? AND source_version=?)",
        ),
        (
            "f.edge_id = e.id AND f.target_version IN",
            "lineage_fact_version",
            "(edge_id=? AND target_version=?)",
        ),
        (
            "WHERE edge_id = ?1 AND source_version IN",
            "lineage_fact_source",
            "(edge_id=? AND source_version=?)",
        ),
        (
            "WHERE edge_id = ?1 AND target_version IN",
            "lineage_fact_version",
            "(edge_id=? AND target_version=?)",
        ),
    ] {
        let plan = plan(&store, words);
        assert!(plan.contains(&format!("{index} {columns}")), "{plan}");
    }
}

/// However many jobs have ended, those that wait and those that run are found without them.
#[tokio::test]
async fn jobs_that_are_due_and_leases_that_ran_out_are_looked_up() {
    let test = TestApp::open(&[], None).await;
    let Location::Sqlite(path) = test.app.db.location() else { panic!("not on SQLite") };
    let store = rusqlite::Connection::open(path).unwrap();
    for (words, index) in [
        ("AND label IN", "job_due"),
        ("AS moments", "job_due"),
        ("lease_until < ?1 ORDER BY", "job_leased"),
        ("state = 'queued' LIMIT", "job_"),
        ("AND run_as_id = ?1 LIMIT", "job_of_principal"),
        ("DELETE FROM job WHERE id IN", "job_ended"),
    ] {
        let plan = plan(&store, words);
        assert!(plan.contains(&format!("INDEX {index}")) && !plan.contains("SCAN job\n"), "{words}: {plan}");
    }
}
