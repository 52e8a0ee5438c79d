//! What a model or a version can have at most, however many requests it takes to get there.

use serde_json::{Value, json};
use strongback::{
    db::Sql,
    registry::{aliases::alias_set, governance::Authority, names::Levels},
};

use super::{GOVERNED, MLFLOW, UNITY, make_model, make_version, prod_risk, send};
use crate::support::{Answer, TestApp, ok, on_every_store};

const NAME: &str = "prod.risk.m";

fn tags(range: std::ops::Range<usize>, value: &str) -> Value {
    range.map(|at| json!({ "key": format!("k{at}"), "value": value })).collect()
}

async fn set_tag(test: &TestApp, what: &str, key: &str, value: &str) -> Answer {
    let body = json!({ "name": NAME, "version": "1", "key": key, "value": value });
    test.post(&format!("{MLFLOW}/{what}/set-tag"), body).await
}

async fn delete_tag(test: &TestApp, what: &str, key: &str) {
    let body = json!({ "name": NAME, "version": "1", "key": key });
    ok(&send(test, "DELETE", &format!("{MLFLOW}/{what}/delete-tag"), body).await);
}

#[track_caller]
fn check_refused(answer: &Answer, limit: &str) {
    assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
    assert!(answer.json["message"].as_str().unwrap().contains(limit), "{answer:?}");
}

/// A model and its version 1 with these tags.
async fn make_tagged(test: &TestApp, tags: &Value) {
    prod_risk(test).await;
    let body = json!({ "name": NAME, "tags": tags });
    ok(&test.post(&format!("{MLFLOW}/registered-models/create"), body).await);
    let body = json!({ "name": NAME, "source": "s3://bucket/model", "tags": tags });
    ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
}

#[test]
fn tags_are_counted_over_all_requests() {
    on_every_store(|test| async move {
        make_tagged(&test, &tags(0..1_000, "v")).await;
        for what in ["registered-models", "model-versions"] {
            check_refused(&set_tag(&test, what, "one-more", "v").await, "1000 tags");
            // What is there can be changed, and makes room when it goes.
            ok(&set_tag(&test, what, "k7", "other").await);
            delete_tag(&test, what, "k7").await;
            ok(&set_tag(&test, what, "one-more", "v").await);
            check_refused(&set_tag(&test, what, "k7", "v").await, "1000 tags");
        }
        let changes = json!({ "changes": { "add_tags": [{ "key": "c", "value": "x" }], "remove": ["k8"] } });
        let path = format!("{UNITY}/subentity-tags/FUNCTION/{NAME}/1");
        ok(&send(&test, "PATCH", &path, changes).await);
        let changes = json!({ "changes": { "add_tags": [{ "key": "d", "value": "x" }] } });
        check_refused(&send(&test, "PATCH", &path, changes).await, "1000 tags");
    });
}

#[test]
fn texts_of_all_tags_together_are_limited() {
    on_every_store(|test| async move {
        let long = "v".repeat(100_000);
        make_tagged(&test, &tags(0..9, &long)).await;
        for what in ["registered-models", "model-versions"] {
            ok(&set_tag(&test, what, "short", "v").await);
            check_refused(&set_tag(&test, what, "short", &long).await, "1000000 characters");
            ok(&set_tag(&test, what, "k1", "v").await);
            ok(&set_tag(&test, what, "short", &long).await);
        }
        let body = json!({ "name": "prod.risk.other", "tags": tags(0..11, &long) });
        let refused = test.post(&format!("{GOVERNED}/registered-models/create"), body).await;
        check_refused(&refused, "1000000 characters");
    });
}

#[test]
fn a_model_has_at_most_so_many_aliases() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, NAME).await;
        for _ in 0..2 {
            make_version(&test, NAME).await;
        }
        let set = async |alias: String, version: &str| {
            let body = json!({ "name": NAME, "alias": alias, "version": version });
            test.post(&format!("{MLFLOW}/registered-models/alias"), body).await
        };
        // As many as fit, in one transaction: so many requests would take long.
        let fill = |tx: &mut Sql<'_>| {
            let mut set = |at: i32| {
                alias_set(
                    tx,
                    NAME,
                    Levels::Three,
                    &format!("a{at}"),
                    Some(1),
                    "a test",
                    &Authority::Ungoverned,
                )
            };
            (0..199).try_for_each(|at| set(at).map(|_| ()))?;
            set(199)
        };
        test.system().write(fill).await.unwrap();
        check_refused(&set("one-more".into(), "1").await, "200 aliases");
        let path = format!("{UNITY}/models/{NAME}/aliases/one-more");
        check_refused(&send(&test, "PUT", &path, json!({ "version_num": 1 })).await, "200 aliases");
        // Those that are there move, and make room when they go.
        ok(&set("a5".into(), "2").await);
        let body = json!({ "name": NAME, "alias": "a6" });
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/alias"), body).await);
        ok(&set("one-more".into(), "1").await);
        check_refused(&set("a6".into(), "1").await, "200 aliases");
    });
}
