//! Aliases and their history: every move is kept, and what an alias meant at a time is one question.

use serde_json::json;
use strongback::{
    db::{Origin, Sql},
    registry::aliases::{self, Move},
};

use super::{MLFLOW, make_model, make_version, send};
use crate::support::{TestApp, ok, on_every_store};

async fn set(test: &TestApp, alias: &str, version: &str) -> u16 {
    let body = json!({ "name": "m", "alias": alias, "version": version });
    test.post(&format!("{MLFLOW}/registered-models/alias"), body).await.status
}

async fn unset(test: &TestApp, alias: &str) -> u16 {
    let body = json!({ "name": "m", "alias": alias });
    send(test, "DELETE", &format!("{MLFLOW}/registered-models/alias"), body).await.status
}

async fn moves(test: &TestApp, id: i64, alias: &'static str) -> Vec<Move> {
    test.app.db.read(&Origin::system(), move |sql| aliases::moves(sql, id, alias)).await.unwrap()
}

fn steps(moves: &[Move]) -> Vec<(i64, Option<i64>, Option<i64>)> {
    moves.iter().map(|step| (step.n, step.from, step.to)).collect()
}

#[test]
fn every_move_is_kept_and_repeating_one_is_none() {
    on_every_store(|test| async move {
        let id = make_model(&test, "m").await;
        for _ in 0..2 {
            make_version(&test, "m").await;
        }
        for version in ["1", "1", "2"] {
            assert_eq!(set(&test, "champion", version).await, 200);
        }
        assert_eq!((unset(&test, "champion").await, unset(&test, "champion").await), (200, 200));
        assert_eq!(set(&test, "champion", "1").await, 200);
        let found = moves(&test, id, "champion").await;
        let expected = [(1, None, Some(1)), (2, Some(1), Some(2)), (3, Some(2), None), (4, None, Some(1))];
        assert_eq!(steps(&found), expected);
        assert!(found.iter().all(|step| step.by == strongback::catalog::principal::LOCAL));
        assert!(found.windows(2).all(|pair| pair[0].at <= pair[1].at));
    });
}

#[test]
fn what_an_alias_meant_then() {
    on_every_store(|test| async move {
        let id = make_model(&test, "m").await;
        for version in ["1", "2"] {
            make_version(&test, "m").await;
            assert_eq!(set(&test, "champion", version).await, 200);
            // So that the next move has a time of its own.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        assert_eq!(unset(&test, "champion").await, 200);
        let found = moves(&test, id, "champion").await;
        let at = async |time: i64| {
            let ask = move |sql: &mut Sql<'_>| aliases::history(sql, id, "champion", time);
            test.app.db.read(&Origin::system(), ask).await.unwrap().map(|step| step.to)
        };
        assert_eq!(at(found[0].at - 1).await, None);
        assert_eq!(at(found[0].at).await, Some(Some(1)));
        assert_eq!(at(found[1].at - 1).await, Some(Some(1)));
        assert_eq!(at(found[1].at).await, Some(Some(2)));
        assert_eq!(at(i64::MAX).await, Some(None));
    });
}

#[test]
fn what_is_deleted_takes_its_aliases_along_and_the_history_says_so() {
    on_every_store(|test| async move {
        let id = make_model(&test, "m").await;
        for alias in ["champion", "challenger"] {
            let number = make_version(&test, "m").await;
            assert_eq!(set(&test, alias, &number).await, 200);
        }
        let body = json!({ "name": "m", "version": "1" });
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/model-versions/delete"), body).await);
        let model = test.get(&format!("{MLFLOW}/registered-models/get?name=m")).await;
        let left = json!([{ "alias": "challenger", "version": "2" }]);
        assert_eq!(ok(&model)["registered_model"]["aliases"], left);
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/delete"), json!({ "name": "m" }))
            .await);
        for (alias, version, reason) in
            [("champion", 1, "the version was deleted"), ("challenger", 2, "the model was deleted")]
        {
            let found = moves(&test, id, alias).await;
            assert_eq!(steps(&found), [(1, None, Some(version)), (2, Some(version), None)]);
            assert_eq!(found[1].reason, reason);
        }
        // A new model of that name begins anew.
        let again = make_model(&test, "m").await;
        assert_ne!(again, id);
        assert_eq!(moves(&test, again, "champion").await, []);
    });
}

#[test]
fn moves_at_once_are_numbered_without_gaps() {
    on_every_store(|test| async move {
        let id = make_model(&test, "m").await;
        for _ in 0..4 {
            make_version(&test, "m").await;
        }
        let all = (0..24).map(|at| set(&test, "champion", ["1", "2", "3", "4"][at % 4]));
        let statuses = futures::future::join_all(all).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        let found = moves(&test, id, "champion").await;
        assert!(found.iter().zip(1..).all(|(step, n)| step.n == n), "{found:?}");
        assert!(
            found.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].at <= pair[1].at),
            "{found:?}"
        );
        assert!(found.len() >= 4);
    });
}

#[test]
fn an_alias_points_to_nothing_unfinished() {
    on_every_store(|test| async move {
        super::prod_risk(&test).await;
        let name = "prod.risk.m";
        make_model(&test, name).await;
        let body = json!({ "name": name, "source": "s3://bucket/model" });
        ok(&test.post(&format!("{}/model-versions/create", super::GOVERNED), body).await);
        let body = json!({ "name": name, "alias": "champion", "version": "1" });
        let path = format!("{MLFLOW}/registered-models/alias");
        let refused = test.post(&path, body.clone()).await;
        assert_eq!(refused.error_code(), "INVALID_PARAMETER_VALUE", "{refused:?}");
        let finalize = json!({ "name": name, "version": "1" });
        ok(&test.post(&format!("{}/model-versions/finalize", super::GOVERNED), finalize).await);
        ok(&test.post(&path, body).await);
    });
}

#[test]
fn a_move_on_one_face_is_one_move_and_one_event_for_all() {
    on_every_store(|test| async move {
        super::prod_risk(&test).await;
        let name = "prod.risk.m";
        let id = make_model(&test, name).await;
        for _ in 0..3 {
            make_version(&test, name).await;
        }
        let body = |version: &str| json!({ "name": name, "alias": "champion", "version": version });
        let unity = format!("{}/models/{name}/aliases/champion", super::UNITY);
        for (number, (method, path, body)) in [
            ("POST", format!("{MLFLOW}/registered-models/alias"), body("1")),
            ("POST", format!("{}/registered-models/alias", super::GOVERNED), body("2")),
            ("PUT", unity.clone(), json!({ "version_num": 3 })),
        ]
        .into_iter()
        .enumerate()
        {
            // A client that got no answer sends it again.
            for _ in 0..2 {
                ok(&send(&test, method, &path, body.clone()).await);
            }
            let expected = (number + 1).to_string();
            for face in [MLFLOW, super::GOVERNED] {
                let path = format!("{face}/registered-models/alias?name={name}&alias=champion");
                assert_eq!(ok(&test.get(&path).await)["model_version"]["version"], expected, "{face}");
            }
            assert_eq!(ok(&test.get(&unity).await)["version"].to_string(), expected);
            assert_eq!(moves(&test, id, "champion").await.len(), number + 1);
            let events = test.get("/api/1.0/audit-log?action=alias.move").await;
            assert_eq!(ok(&events)["events"].as_array().unwrap().len(), number + 1);
            assert_eq!(events.json["events"][0]["detail"]["alias"], "champion");
        }
    });
}
