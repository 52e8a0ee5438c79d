//! Numbers of versions: dense while nothing is deleted, never given twice.

use serde_json::json;
use strongback::{bind, db};

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

static TAG: db::Stmt = db::Stmt::new("UPDATE model_version SET tags = $1 WHERE version = 1");
static TAG_MODELS: db::Stmt = db::Stmt::new("UPDATE model SET tags = $1");

#[test]
fn a_page_of_the_registry_ends_by_its_bytes_and_loses_nothing() {
    on_every_store(|test| async move {
        for name in ["a", "b", "c", "d"] {
            make_model(&test, name).await;
            for _ in 0..2 {
                make_version(&test, name).await;
            }
        }
        let tags = json!({ "t": "x".repeat(9 << 20) }).to_string();
        let enlarge = move |tx: &mut db::Sql<'_>| {
            tx.execute(&TAG, bind![&tags])?;
            tx.execute(&TAG_MODELS, bind![&tags])
        };
        test.app.db.derive(enlarge).await.unwrap();
        let read = async |what: &str, key: &str, order: &str| {
            let (mut seen, mut pages, mut token) = (Vec::new(), Vec::new(), String::new());
            loop {
                let path = format!("{MLFLOW}/{what}/search?order_by={order}&page_token={token}");
                let page = test.get(&path).await;
                let found = ok(&page)[key].as_array().unwrap();
                pages.push(found.len());
                for one in found {
                    let number = one["version"].as_str().unwrap_or_default();
                    seen.push(format!("{}{number}", one["name"].as_str().unwrap()));
                }
                match page.json["next_page_token"].as_str().filter(|next| !next.is_empty()) {
                    Some(next) => next.clone_into(&mut token),
                    None => return (seen, pages),
                }
            }
        };
        // On every page a model counts once, and with it the tags that are read for it.
        let (seen, pages) = read("model-versions", "model_versions", "name%20ASC").await;
        assert_eq!(seen, ["a2", "a1", "b2", "b1", "c2", "c1", "d2", "d1"]);
        assert_eq!(pages, [3, 2, 2, 1]);
        let (seen, pages) = read("registered-models", "registered_models", "name%20DESC").await;
        assert_eq!(seen, ["d", "c", "b", "a"]);
        assert_eq!(pages, [3, 1]);
    });
}
