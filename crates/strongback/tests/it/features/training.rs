//! Training sets: the point-in-time join, what is pinned, and making one again.

use serde_json::{Value, json};

use super::{MINUTE, SOURCE, TABLE, begin, import, materialize, working};
use crate::{
    support::{TestApp, call, ok, on_every_store, on_every_store_with, request, token_of},
    tables::{batch, sql, versions},
};

const SETS: &str = "/api/1.0/training-sets";
const SET: &str = "prod.risk.day";
const LABELS: &str = "prod.risk.labels";

async fn make(test: &TestApp, more: Value) -> Value {
    let mut body =
        json!({ "name": SET, "labels": LABELS, "features": [TABLE], "label": "class", "wait_ms": 30_000 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = test.post(SETS, body).await;
    let begun = ok(&answer);
    if begun["is_repeat"] == false {
        assert_eq!(begun["job"]["state"], "succeeded", "{begun}");
        let cost = &begun["job"]["cost"];
        let is_counted = |what: &str| cost[what].as_i64().is_some_and(|count| count > 0);
        assert!(is_counted("bytes_read") && is_counted("bytes_written"), "{begun}");
    }
    let made = test.get(&format!("{SETS}/{}", begun["full_name"].as_str().unwrap())).await;
    ok(&made).clone()
}

async fn rows(test: &TestApp, name: &str) -> String {
    let path = format!("{SETS}/{name}/rows?format=csv");
    let (status, text) = crate::tables::text_of(test, request("GET", &path, None)).await;
    assert_eq!(status, 200, "{text}");
    text
}

async fn rebuild(test: &TestApp, name: &str) -> Value {
    ok(&test.post(&format!("{SETS}/{name}/rebuild"), json!({})).await).clone()
}

async fn labels(test: &TestApp) {
    let csv = "id,at,card,class\n3,2026-11-24T00:05:00Z,7,1\n1,2026-11-24T00:04:59.999999Z,7,0\n2,2026-11-24T00:05:00Z,8,0\n\
               4,,7,1\n5,2026-11-23T00:00:00Z,9,1\n";
    let types = "types=id:long,card:long,at:timestamp,class:long";
    ok(&batch(test, LABELS, "first", types, csv).await);
}

#[test]
fn labels_get_what_was_known_by_their_time() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        labels(&test).await;
        working(&test, async || {
            let asked = json!({ "name": SET, "labels": LABELS, "features": [TABLE] });
            let early = test.post(SETS, asked).await;
            assert!(early.json["message"].as_str().unwrap().contains("published"), "{early:?}");
            materialize(&test, TABLE, false).await;
            let made = make(&test, json!({ "columns": ["ID"], "where": "class IS NOT NULL AND id <> 4" })).await;
            assert_eq!((made["rows"].clone(), made["timestamp"].clone()), (json!(4), json!("at")));
            // In the order of time, and then of all else; a row at the very moment of a publication sees it.
            let expected = "id,at,card,class,n,mean,std\n\
                5,2026-11-23T00:00:00Z,9,1,0,,\n\
                1,2026-11-24T00:04:59.999999Z,7,0,3,1.5,0.7071067811865476\n\
                2,2026-11-24T00:05:00Z,8,0,1,4.0,\n\
                3,2026-11-24T00:05:00Z,7,1,4,3.6666666666666665,3.7859388972001824\n";
            assert_eq!(rows(&test, SET).await, expected);
            assert_eq!(rebuild(&test, SET).await["verdict"], "equal");

            // What comes later changes nothing of it.
            import(&test, "more", "append", &[(9, 7, 4 * MINUTE, Some(100.0))]).await;
            materialize(&test, TABLE, false).await;
            ok(&batch(&test, LABELS, "more", "", "id,at,card,class\n9,2026-11-24T00:05:00Z,7,1\n").await);
            let again = rebuild(&test, SET).await;
            assert_eq!((again["verdict"].clone(), again["rebuilt_sha256"].clone()), (json!("equal"), made["sha256"].clone()));
            assert_eq!(rows(&test, SET).await, expected);
            let same = json!({ "columns": ["id"], "where": "class IS NOT NULL AND id <> 4", "labels": format!("{LABELS}@1"), "features": [format!("{TABLE}@1")] });
            assert_eq!(make(&test, same).await["training_set_id"], made["training_set_id"]);
            let taken = test.post(SETS, json!({ "name": SET, "labels": LABELS, "features": [TABLE] })).await;
            assert_eq!((taken.status, taken.error_code()), (409, "ALREADY_EXISTS"));
        })
        .await;
    });
}

#[test]
fn a_set_holds_what_it_stands_on() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        labels(&test).await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            make(&test, json!({})).await;
            import(&test, "new", "overwrite", &[(9, 7, MINUTE, Some(1.0))]).await;
            materialize(&test, TABLE, false).await;
            let clean = json!({ "keep_from": 2 });
            let path = format!("/api/1.0/tables/{TABLE}/vacuum");
            let refused = test.post(&path, clean.clone()).await;
            assert_eq!(refused.status, 409, "{refused:?}");
            assert!(refused.json["message"].as_str().unwrap().contains("training_set/"), "{refused:?}");
            assert_eq!(rebuild(&test, SET).await["verdict"], "equal");

            // A file of what is kept is changed behind the server's back.
            let set = ok(&test.get(&format!("{SETS}/{SET}")).await).clone();
            let dir = test.dir.path().join("data/tables").join(set["training_set_id"].as_str().unwrap());
            let file = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
            let file =
                file.into_iter().find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
            let whole = std::fs::read(&file).unwrap();
            std::fs::write(&file, vec![0; whole.len()]).unwrap();
            let judged = rebuild(&test, SET).await;
            assert_eq!(judged["verdict"], "unjudged", "{judged}");
            std::fs::write(&file, &whole).unwrap();

            ok(&test.send(request("DELETE", &format!("{SETS}/{SET}"), None)).await);
            ok(&test.post(&path, clean).await);
            for table in [TABLE, LABELS] {
                let left = versions(&test, table).await;
                assert!(left.iter().all(|version| version.get("pins").is_none()), "{left:?}");
            }
        })
        .await;
    });
}

/// Who may read a set may not read what it is made of by having it made again.
#[test]
fn a_difference_shows_no_value_of_a_table_that_the_caller_may_not_read() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let eve = token_of(&test, "eve", false).await;
        let test = test.acting_as(&root);
        begin(&test, "card").await;
        labels(&test).await;
        for (path, body) in [
            ("/api/2.1/unity-catalog/schemas", json!({ "name": "open", "catalog_name": "prod" })),
            ("/api/1.0/owner", json!({ "name": "prod.open", "owner": "eve" })),
        ] {
            let method = if path.ends_with("owner") { "PATCH" } else { "POST" };
            ok(&test.send(request(method, path, Some(body))).await);
        }
        let set = "prod.open.day";
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let made = make(&test, json!({ "name": set })).await;
            import(&test, "more", "append", &[(9, 8, 4 * MINUTE, Some(100.0))]).await;
            materialize(&test, TABLE, false).await;
            let changed = make(&test, json!({ "name": "prod.open.other" })).await;
            let place = |set: &Value| {
                test.dir.path().join("data/tables").join(set["training_set_id"].as_str().unwrap())
            };
            std::fs::remove_dir_all(place(&made)).unwrap();
            std::fs::rename(place(&changed), place(&made)).unwrap();
            let judge = async |token: &str| {
                let path = format!("{SETS}/{set}/rebuild");
                let judged = call(&test, token, "POST", &path, Some(json!({}))).await;
                ok(&judged)["difference"].clone()
            };
            let (seen, hidden) = (judge(&root).await, judge(&eve).await);
            assert_eq!(
                (&seen["row"], &seen["column"], &seen["kept"]),
                (&hidden["row"], &hidden["column"], &hidden["kept"])
            );
            assert!(seen["made"].as_str().unwrap().parse::<f64>().is_ok(), "{seen}");
            assert!(hidden["made"].as_str().unwrap().contains("may read the tables"), "{hidden}");
        })
        .await;
    });
}

/// The table under a set is another one: the rows that come out are not those that are kept.
#[test]
fn a_difference_is_told_by_row_and_column() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        labels(&test).await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let made = make(&test, json!({})).await;
            let other = json!({ "name": "prod.risk.other" });
            import(&test, "more", "append", &[(9, 8, 4 * MINUTE, Some(100.0))]).await;
            materialize(&test, TABLE, false).await;
            let changed = make(&test, other).await;
            assert_ne!(made["sha256"], changed["sha256"]);
            // The rows of one set in the place of the other's.
            let place = |set: &Value| {
                test.dir.path().join("data/tables").join(set["training_set_id"].as_str().unwrap())
            };
            std::fs::remove_dir_all(place(&made)).unwrap();
            std::fs::rename(place(&changed), place(&made)).unwrap();
            let judged = rebuild(&test, SET).await;
            assert_eq!(judged["verdict"], "differs", "{judged}");
            assert_eq!(
                (judged["difference"]["row"].clone(), judged["difference"]["column"].clone()),
                (json!(4), json!("n")),
                "{judged}"
            );
            assert_eq!(
                (judged["difference"]["kept"].clone(), judged["difference"]["made"].clone()),
                (json!("2"), json!("1"))
            );
        })
        .await;
    });
}

#[test]
fn what_could_not_be_made_again_is_refused() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        labels(&test).await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            for (more, part) in [
                (json!({ "where": "at < now()" }), "now()"),
                (json!({ "where": "random() < 0.5" }), "random()"),
                (json!({ "where": "id IN (SELECT id FROM labels)" }), "row alone"),
                (json!({ "where": "nothing = 1" }), "nothing"),
                (json!({ "columns": ["nothing"] }), "'nothing'"),
                (json!({ "timestamp": "class" }), "timestamp or a date"),
                (json!({ "labels": "prod.risk.labels@99" }), "99"),
                (json!({ "labels": "prod.risk.labels@x" }), "@7"),
                (json!({ "features": ["prod.risk.labels"] }), "no feature table"),
                (json!({ "features": [TABLE, TABLE] }), "two columns"),
            ] {
                let mut body = json!({ "name": SET, "labels": LABELS, "features": [TABLE] });
                body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let answer = test.post(SETS, body.clone()).await;
                assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
                let said = answer.json["message"].as_str().unwrap();
                assert!(said.contains(part), "{body}: {said}");
            }
            let left = versions(&test, LABELS).await;
            assert!(left.iter().all(|version| version.get("pins").is_none()), "{left:?}");
        })
        .await;
    });
}

#[test]
fn a_run_that_read_one_is_in_its_lineage() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        labels(&test).await;
        let set = working(&test, async || {
            materialize(&test, TABLE, false).await;
            make(&test, json!({})).await
        })
        .await;
        let made = test.post("/api/2.0/mlflow/experiments/create", json!({ "name": "fraud" })).await;
        let experiment = ok(&made)["experiment_id"].clone();
        let tags = json!([{ "key": "strongback.training_set", "value": SET }]);
        let run = test
            .post("/api/2.0/mlflow/runs/create", json!({ "experiment_id": experiment, "tags": tags }))
            .await;
        let tagged = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let run = test.post("/api/2.0/mlflow/runs/create", json!({ "experiment_id": experiment })).await;
        let id = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
        let dataset = json!({
            "name": "day", "digest": "d", "source_type": "strongback_training_set", "source": json!({ "name": SET }).to_string(),
        });
        let inputs = json!({ "run_id": id, "datasets": [{ "dataset": dataset, "tags": [] }] });
        ok(&test.post("/api/2.0/mlflow/runs/log-inputs", inputs).await);
        for run in [tagged, id] {
            let found = test.get(&format!("/api/1.0/lineage?name=runs:/{run}&direction=up")).await;
            let found = ok(&found);
            let edges = found["edges"].as_array().unwrap();
            let reads = edges.iter().find(|edge| edge["kind"] == "reads").unwrap();
            assert_eq!(reads["source_version"], set["sha256"], "{found}");
            let names: Vec<&str> =
                found["nodes"].as_array().unwrap().iter().filter_map(|node| node["name"].as_str()).collect();
            for name in [SET, LABELS, TABLE, SOURCE] {
                assert!(names.contains(&name), "{name}: {names:?}");
            }
        }
        let wrong = json!({ "experiment_id": experiment, "tags": [{ "key": "strongback.training_set", "value": "prod.risk.none" }] });
        let run = test.post("/api/2.0/mlflow/runs/create", wrong).await;
        assert!(ok(&run)["run"]["data"]["tags"].to_string().contains("is not known here"), "{run:?}");
        let (status, text) = sql(&test, &format!("SELECT count(*) AS n FROM {SET}")).await;
        assert_eq!(status, 200, "a training set is read like a table: {text}");
        let clean = test.post(&format!("/api/1.0/tables/{SET}/compact"), json!({})).await;
        assert!(clean.json["message"].as_str().unwrap().contains("never changes"), "{clean:?}");
        let more = batch(&test, SET, "more", "", "id\n1\n").await;
        assert!(more.json["message"].as_str().unwrap().contains("a training set"), "{more:?}");
    });
}
