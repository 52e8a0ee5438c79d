//! Numbers of versions: dense while nothing is deleted, never given twice.

use serde_json::json;

use super::{MLFLOW, make_model, make_version, send};
use crate::support::{ok, on_every_store};

#[test]
fn versions_made_at_once_have_numbers_of_their_own() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        let made = futures::future::join_all((0..40).map(|_| make_version(&test, "m"))).await;
        let mut numbers: Vec<i64> = made.iter().map(|number| number.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    });
}

#[test]
fn a_refused_version_takes_no_number_and_a_deleted_one_gives_none_back() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        assert_eq!(make_version(&test, "m").await, "1");
        let body = json!({ "name": "m", "source": "models:/nothing/1" });
        assert_eq!(test.post(&format!("{MLFLOW}/model-versions/create"), body).await.status, 404);
        assert_eq!(make_version(&test, "m").await, "2");
        let body = json!({ "name": "m", "version": "2" });
        let path = format!("{MLFLOW}/model-versions/delete");
        ok(&send(&test, "DELETE", &path, body.clone()).await);
        assert_eq!(send(&test, "DELETE", &path, body).await.status, 404);
        assert_eq!(make_version(&test, "m").await, "3");
    });
}

#[test]
fn pages_of_a_search_join_whatever_comes_in_between() {
    on_every_store(|test| async move {
        for name in ["a", "b", "c"] {
            make_model(&test, name).await;
        }
        for name in ["a", "b"] {
            for _ in 0..3 {
                make_version(&test, name).await;
            }
        }
        let (mut seen, mut token) = (Vec::new(), String::new());
        let search = format!("{MLFLOW}/model-versions/search?max_results=2");
        loop {
            let order = "order_by=name%20DESC&order_by=version_number%20ASC";
            let page = test.get(&format!("{search}&{order}&page_token={token}")).await;
            for version in ok(&page)["model_versions"].as_array().unwrap() {
                let text = |field: &str| version[field].as_str().unwrap().to_owned();
                seen.push(text("name") + &text("version"));
            }
            // It comes before the place where the next page begins, and shifts nothing.
            make_version(&test, "c").await;
            match page.json["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(seen, ["b1", "b2", "b3", "a1", "a2", "a3"]);
        let another = test.get(&format!("{search}&page_token={token}")).await;
        assert_eq!(another.error_code(), "INVALID_PARAMETER_VALUE");
    });
}

#[test]
fn of_many_that_make_one_model_at_once_one_does() {
    on_every_store(|test| async move {
        super::prod_risk(&test).await;
        let calls = (0..24).map(|at| {
            let (name, face) = match at % 3 {
                0 => ("prod.risk.m", MLFLOW),
                1 => ("prod.risk.M", MLFLOW),
                _ => ("PROD.risk.m", super::GOVERNED),
            };
            let path = format!("{face}/registered-models/create");
            let test = &test;
            async move { test.post(&path, json!({ "name": name })).await }
        });
        let answers = futures::future::join_all(calls).await;
        let made = answers.iter().filter(|answer| answer.status == 200).count();
        let refused =
            answers.iter().filter(|answer| answer.error_code() == "RESOURCE_ALREADY_EXISTS").count();
        assert_eq!((made, refused), (1, 23), "{answers:?}");
    });
}
