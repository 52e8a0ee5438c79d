//! What is pinned, for how long, and what becomes of versions that a vacuum took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongback::{bind, db::Stmt};

use super::{MINUTE, SOURCE, TABLE, begin, import, looking, materialize, working};
use crate::{
    support::{TestApp, ok, on_every_store, request},
    tables::{batch, versions},
};

const SETS: &str = "/api/1.0/training-sets";
const SET: &str = "prod.risk.day";

static PINS: Stmt = Stmt::new("SELECT COUNT(*) FROM table_pin WHERE holder LIKE $1");
static PINS_DELETE: Stmt = Stmt::new("DELETE FROM table_pin WHERE holder LIKE 'training_set/%'");
static PINS_AGE: Stmt = Stmt::new("UPDATE table_pin SET at = 0 WHERE holder LIKE 'training_set/%'");
/// A pin on the first version of the source.
static PIN: Stmt = Stmt::new(
    "INSERT INTO table_pin (table_id, version, holder, reason, at, by_principal)
    SELECT id, 1, $1, 'left behind', 1, owner_id FROM asset WHERE leaf = 'transactions'",
);

async fn pins(test: &TestApp, holder: &'static str) -> i64 {
    test.app.db.derive(move |tx| tx.one(&PINS, bind![holder], |row| row.get(0))).await.unwrap()
}

async fn pin(test: &TestApp, holder: String) {
    test.app.db.derive(move |tx| tx.execute(&PIN, bind![&holder]).map(drop)).await.unwrap();
}

/// Waits until nobody holds anything under such a name.
async fn released(test: &TestApp, holder: &'static str) {
    let until = Instant::now() + Duration::from_mins(1);
    while pins(test, holder).await > 0 {
        assert!(Instant::now() < until, "{holder} stays pinned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the set is there.
async fn made(test: &TestApp, name: &str) -> Value {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let found = test.get(&format!("{SETS}/{name}")).await;
        if found.status == 200 {
            return found.json;
        }
        assert!(Instant::now() < until, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn asked() -> Value {
    json!({ "name": SET, "labels": SOURCE, "features": [TABLE] })
}

#[test]
fn a_set_that_waits_keeps_its_pins_and_one_that_is_made_has_them() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        ok(&test.post(SETS, asked()).await);
        assert_eq!(pins(&test, "training_set/%").await, 2);
        pin(&test, "training_set/none".to_owned()).await;
        test.app.db.derive(|tx| tx.execute(&PINS_AGE, &[]).map(drop)).await.unwrap();
        looking(&test, async || released(&test, "training_set/none").await).await;
        assert_eq!(pins(&test, "training_set/%").await, 2, "those of the job that waits stay");

        // However they went.
        test.app.db.derive(|tx| tx.execute(&PINS_DELETE, &[]).map(drop)).await.unwrap();
        working(&test, async || made(&test, SET).await).await;
        assert_eq!(pins(&test, "training_set/%").await, 2);
        ok(&test.send(request("DELETE", &format!("{SETS}/{SET}"), None)).await);
        assert_eq!(pins(&test, "training_set/%").await, 0);
    });
}

/// Two jobs of one name: the second fails, and takes nothing away from the first.
#[test]
fn who_comes_second_leaves_the_first_as_it_is() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let second = ok(&test.post(SETS, asked()).await).clone();
        let other = json!({ "where": "amount IS NOT NULL" });
        let mut body = asked();
        body.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        let first = ok(&test.post(SETS, body).await).clone();
        let ended = working(&test, async || {
            let mut states = Vec::new();
            for begun in [&first, &second] {
                let path =
                    format!("/api/1.0/jobs/{}?wait_seconds=30", begun["job"]["job_id"].as_str().unwrap());
                states.push(ok(&test.get(&path).await)["state"].as_str().unwrap().to_owned());
            }
            states
        })
        .await;
        let mut sorted = ended.clone();
        sorted.sort();
        assert_eq!(sorted, ["failed", "succeeded"], "{ended:?}");
        assert_eq!(pins(&test, "training_set/%").await, 2, "of the one that is there");
        let again = test.post(&format!("{SETS}/{SET}/rebuild"), json!({})).await;
        assert_eq!(ok(&again)["verdict"], "equal");
    });
}

#[test]
fn a_table_and_a_training_set_share_their_names() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let mut body = asked();
            body["name"] = json!(TABLE);
            let taken = test.post(SETS, body).await;
            assert_eq!((taken.status, taken.error_code()), (409, "ALREADY_EXISTS"), "{taken:?}");
            ok(&test.post(SETS, asked()).await);
            made(&test, SET).await;
        })
        .await;
        let table = json!({
            "catalog_name": "prod", "schema_name": "risk", "name": "Day", "table_type": "EXTERNAL",
            "data_source_format": "DELTA", "storage_location": "s3://bucket/day",
            "columns": [{ "name": "id", "type_name": "LONG", "type_text": "bigint", "position": 0, "nullable": true }],
        });
        let taken = test.post("/api/2.1/unity-catalog/tables", table).await;
        assert_eq!(taken.status, 409, "{taken:?}");
    });
}

/// Whatever became of who read it: a computation holds a version only while it goes on.
#[test]
fn a_pin_of_a_computation_that_nobody_is_at_goes() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        let shown = test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await;
        let id = ok(&shown)["table_id"].as_str().unwrap().to_owned();
        pin(&test, format!("feature_table/{id}")).await;
        pin(&test, "feature_table/of a table that is gone".to_owned()).await;
        looking(&test, async || released(&test, "feature_table/%").await).await;
    });
}

/// What is joined and cleaned up is used still, and computing everything makes a version of its own.
#[test]
fn a_vacuum_ends_nothing() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let joined = test.post(&format!("/api/1.0/tables/{TABLE}/compact"), json!({})).await;
            let version = ok(&joined)["version"].clone();
            assert_eq!(version, 2, "{joined:?}");
            let clean = json!({ "keep_from": 2 });
            ok(&test.post(&format!("/api/1.0/tables/{TABLE}/vacuum"), clean).await);
            ok(&test.post(SETS, asked()).await);
            let set = made(&test, SET).await;
            assert_eq!(set["features"][0]["version"], 2, "the oldest that has the rows: {set}");

            for version in [3, 4] {
                let done = materialize(&test, TABLE, true).await;
                assert_eq!(done["table_version"], version, "{done}");
                assert_eq!(done["how"], "full");
            }
            // Of the source too.
            import(&test, "more", "append", &[(9, 7, 5 * MINUTE, Some(3.0))]).await;
            let joined = test.post(&format!("/api/1.0/tables/{SOURCE}/compact"), json!({})).await;
            assert_eq!(ok(&joined)["version"], 3, "{joined:?}");
            let clean = json!({ "keep_from": 3, "keep_pinned": true });
            ok(&test.post(&format!("/api/1.0/tables/{SOURCE}/vacuum"), clean).await);
            let done = materialize(&test, TABLE, false).await;
            assert_eq!((done["source_version"].clone(), done["table_version"].clone()), (json!(3), json!(5)));
            let left = versions(&test, SOURCE).await;
            let held: Vec<&Value> = left.iter().filter(|one| one.get("pins").is_some()).collect();
            assert_eq!(held.len(), 1, "the training set's labels alone: {left:?}");
        })
        .await;
        let more = batch(&test, SET, "more", "", "id\n1\n").await;
        assert_eq!(more.status, 400, "{more:?}");
    });
}
