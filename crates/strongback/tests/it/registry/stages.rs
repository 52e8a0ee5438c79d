//! Stages: an alias of the same name follows each of the active ones, and none is a way around the gates.

use serde_json::{Value, json};

use super::{MLFLOW, make_model, make_version, send};
use crate::support::{Answer, TestApp, ok, on_every_store};

const GOVERN: &str = "/api/1.0/model/govern";

async fn to_stage(test: &TestApp, version: &str, stage: &str, archive: bool) -> Answer {
    let body =
        json!({ "name": "m", "version": version, "stage": stage, "archive_existing_versions": archive });
    test.post(&format!("{MLFLOW}/model-versions/transition-stage"), body).await
}

async fn set(test: &TestApp, alias: &str, version: &str) {
    let body = json!({ "name": "m", "alias": alias, "version": version });
    ok(&test.post(&format!("{MLFLOW}/registered-models/alias"), body).await);
}

/// Where an alias points, as clients are told; empty if nowhere.
async fn pointed(test: &TestApp, alias: &str) -> String {
    let path = format!("{MLFLOW}/registered-models/alias?name=m&alias={alias}");
    let answer = test.get(&path).await;
    answer.json["model_version"]["version"].as_str().unwrap_or_default().to_owned()
}

async fn made(test: &TestApp, versions: usize) {
    make_model(test, "m").await;
    for _ in 0..versions {
        make_version(test, "m").await;
    }
}

#[test]
fn an_alias_follows_each_active_stage() {
    on_every_store(|test| async move {
        made(&test, 3).await;
        for version in ["1", "2"] {
            ok(&to_stage(&test, version, "Production", false).await);
            assert_eq!(pointed(&test, "production").await, version);
        }
        ok(&to_stage(&test, "3", "staging", false).await);
        assert_eq!(pointed(&test, "staging").await, "3");
        // From one stage to the other, with the rest archived.
        ok(&to_stage(&test, "3", "Production", true).await);
        assert_eq!([pointed(&test, "production").await, pointed(&test, "staging").await], ["3", ""]);
        // Clients that ask for a stage get its highest version, and so do those that ask for the alias.
        for version in ["1", "2"] {
            ok(&to_stage(&test, version, "Production", false).await);
            assert_eq!(pointed(&test, "production").await, "3");
        }
        ok(&to_stage(&test, "3", "None", false).await);
        assert_eq!(pointed(&test, "production").await, "2");
        // Also where that was deleted, and where a transition says what is so already.
        let gone = json!({ "name": "m", "version": "2" });
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/model-versions/delete"), gone).await);
        assert_eq!(pointed(&test, "production").await, "1");
        let gone = json!({ "name": "m", "alias": "production" });
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/alias"), gone).await);
        ok(&to_stage(&test, "1", "Production", false).await);
        assert_eq!(pointed(&test, "production").await, "1");
        // Nothing is left.
        ok(&to_stage(&test, "1", "Archived", false).await);
        assert_eq!(pointed(&test, "production").await, "");
    });
}

#[test]
fn what_somebody_pointed_elsewhere_stays_there() {
    on_every_store(|test| async move {
        made(&test, 2).await;
        ok(&to_stage(&test, "1", "Production", false).await);
        set(&test, "production", "2").await;
        ok(&to_stage(&test, "1", "Archived", false).await);
        assert_eq!(pointed(&test, "production").await, "2");
    });
}

#[test]
fn a_transition_is_one_event_and_each_move_says_why() {
    on_every_store(|test| async move {
        made(&test, 1).await;
        let answer = to_stage(&test, "1", "Production", false).await;
        assert_eq!(answer.headers["deprecation"], "@1701734400", "clients older than MLflow 2.9");
        let path = format!("{MLFLOW}/registered-models/get-latest-versions");
        for latest in
            [test.get(&format!("{path}?name=m")).await, test.post(&path, json!({ "name": "m" })).await]
        {
            ok(&latest);
            assert_eq!(latest.headers["deprecation"], "@1701734400", "{latest:?}");
        }
        let history = test.get("/api/1.0/history?name=m&alias=production").await;
        let moves = &ok(&history)["moves"];
        assert_eq!(moves[0]["reason"], json!("follows the stage Production"), "{moves}");
        let log = test.get("/api/1.0/audit-log?max_results=2").await;
        let entries = ok(&log)["events"].as_array().unwrap();
        let actions: Vec<&Value> = entries.iter().map(|entry| &entry["action"]).collect();
        assert_eq!(actions, ["model_version.stage", "model_version.create"], "{log:?}");
    });
}

#[test]
fn a_stage_is_no_way_around_the_gates() {
    on_every_store(|test| async move {
        made(&test, 2).await;
        set(&test, "champion", "1").await;
        ok(&test.post(GOVERN, json!({ "name": "m", "aliases": ["champion"] })).await);
        let refused = to_stage(&test, "2", "Production", true).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"));
        assert!(
            refused.json["message"].as_str().unwrap().contains("gate run --model m --candidate 2"),
            "{refused:?}"
        );
        assert_eq!(pointed(&test, "production").await, "");
        // What is not said to be in use is free, and so is what the gates let pass.
        ok(&to_stage(&test, "2", "Staging", false).await);
        ok(&to_stage(&test, "1", "Production", false).await);
        assert_eq!(pointed(&test, "production").await, "1");
        // Where the alias of the stage is governed itself, it goes nowhere without gates, and its version keeps the stage.
        ok(&test.post(GOVERN, json!({ "name": "m", "aliases": ["champion", "production"] })).await);
        let refused = to_stage(&test, "1", "Archived", false).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"));
        let stage = test.get(&format!("{MLFLOW}/model-versions/get?name=m&version=1")).await;
        assert_eq!(ok(&stage)["model_version"]["current_stage"], json!("Production"));
    });
}

/// What was in Production before anybody governed the model is not brought back by taking away what stands above it.
#[test]
fn nothing_unjudged_comes_back_from_below() {
    on_every_store(|test| async move {
        made(&test, 3).await;
        for version in ["1", "2"] {
            ok(&to_stage(&test, version, "Production", false).await);
        }
        set(&test, "champion", "2").await;
        set(&test, "challenger", "3").await;
        ok(&test.post(GOVERN, json!({ "name": "m", "aliases": ["challenger", "champion"] })).await);
        let refused = to_stage(&test, "2", "Archived", false).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        assert!(refused.json["message"].as_str().unwrap().contains("version 1 would become"), "{refused:?}");
        // The report that moved the challenger says nothing of the champion.
        let refused = to_stage(&test, "3", "Production", false).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        assert!(refused.json["message"].as_str().unwrap().contains("--move champion"), "{refused:?}");
        assert_eq!(pointed(&test, "production").await, "2");
        // Without governance the champion may go elsewhere; the version that is in Production cannot be deleted past the gates.
        ok(&test.post(GOVERN, json!({ "name": "m", "aliases": [] })).await);
        set(&test, "champion", "3").await;
        ok(&test.post(GOVERN, json!({ "name": "m", "aliases": ["champion"] })).await);
        let gone = json!({ "name": "m", "version": "2" });
        let refused = send(&test, "DELETE", &format!("{MLFLOW}/model-versions/delete"), gone.clone()).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        // What is below can be put away, and then nothing is in the way.
        ok(&to_stage(&test, "1", "Archived", false).await);
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/model-versions/delete"), gone).await);
        assert_eq!(pointed(&test, "production").await, "");
    });
}
