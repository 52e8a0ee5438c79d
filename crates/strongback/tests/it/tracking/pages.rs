//! Pages of searches that are answered without an index: what comes in between two pages shifts nothing.

use serde_json::{Value, json};

use super::{M, experiment, log, run};
use crate::support::{TestApp, ok, on_every_store};

/// Reads a search in pages of two, and lets `between` add things after each. What a page of everything shows before has to come,
/// each once and in this order, however much is new.
async fn check(
    ask: impl AsyncFn(usize, &str) -> Value,
    (list, name): (&str, impl Fn(&Value) -> String),
    between: impl AsyncFn(usize),
) {
    let names =
        |page: &Value| -> Vec<String> { page[list].as_array().into_iter().flatten().map(&name).collect() };
    let before = names(&ask(1_000, "").await);
    assert!(before.len() >= 6, "{before:?}");
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = ask(2, &token).await;
        seen.extend(names(&page));
        let Some(next) = page["next_page_token"].as_str() else { break };
        next.clone_into(&mut token);
        // Enough to shift every place; then the end comes nearer again.
        if pages < 4 {
            between(pages).await;
        }
        pages += 1;
    }
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "nothing comes twice: {seen:?}");
    seen.retain(|name| before.contains(name));
    assert_eq!(seen, before);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn of_experiments() {
    on_every_store(|test| async move {
        for letter in ["d", "b", "f", "h", "j", "l"] {
            experiment(&test, &format!("page-{letter}")).await;
        }
        let orders = [json!([]), json!(["name ASC"]), json!(["name DESC"]), json!(["creation_time ASC"])];
        for (at, order) in orders.iter().enumerate() {
            let ask = async |most: usize, token: &str| {
                let body = json!({ "max_results": most, "filter": "name LIKE 'page-%'", "order_by": order, "page_token": token });
                ok(&test.post(&format!("{M}/experiments/search"), body).await).clone()
            };
            // One that comes before and one that comes behind, whichever the order.
            let between = async |page: usize| {
                for letter in ["a", "z"] {
                    experiment(&test, &format!("page-{letter}{at}{page}")).await;
                }
            };
            check(ask, ("experiments", |found| text(&found["name"])), between).await;
        }
    });
}

async fn model(test: &TestApp, home: &str, run_id: &str, name: &str, auc: f64) {
    let body = json!({ "experiment_id": home, "name": name, "source_run_id": run_id });
    let made = test.post(&format!("{M}/logged-models"), body).await;
    let id = text(&ok(&made)["model"]["info"]["model_id"]);
    let point = json!({ "key": "auc", "value": auc, "timestamp": 1, "model_id": id });
    log(test, run_id, json!({ "metrics": [point] })).await;
}

#[test]
fn of_logged_models() {
    on_every_store(|test| async move {
        let home = experiment(&test, "paged-models").await;
        let run_id = run(&test, &home, "r").await;
        for (name, auc) in [("d", 0.3), ("b", 0.1), ("f", 0.3), ("h", 0.5), ("j", 0.3), ("l", 0.9)] {
            model(&test, &home, &run_id, name, auc).await;
        }
        let field = |name: &str| json!([{ "field_name": name, "ascending": false }]);
        for (at, order) in [json!([]), field("metrics.auc"), field("name")].iter().enumerate() {
            let ask = async |most: usize, token: &str| {
                let body = json!({ "experiment_ids": [home], "max_results": most, "order_by": order, "page_token": token });
                ok(&test.post(&format!("{M}/logged-models/search"), body).await).clone()
            };
            let between = async |page: usize| {
                for (letter, auc) in [("a", 0.0), ("m", 0.3), ("z", 1.0)] {
                    model(&test, &home, &run_id, &format!("{letter}{at}{page}"), auc).await;
                }
            };
            check(ask, ("models", |found| text(&found["info"]["name"])), between).await;
        }
    });
}

#[test]
fn of_registered_models() {
    on_every_store(|test| async move {
        let make = async |name: &str| {
            ok(&test.post(&format!("{M}/registered-models/create"), json!({ "name": name })).await);
        };
        for name in ["d", "b", "f", "h", "j", "l"] {
            make(name).await;
        }
        let orders = ["", "&order_by=name%20DESC", "&order_by=last_updated_timestamp%20ASC"];
        for (at, order) in orders.into_iter().enumerate() {
            let ask = async |most: usize, token: &str| {
                let search = format!("{M}/registered-models/search?max_results={most}&page_token={token}");
                ok(&test.get(&format!("{search}{order}")).await).clone()
            };
            let between = async |page: usize| {
                for letter in ["a", "z"] {
                    make(&format!("{letter}{at}{page}")).await;
                }
            };
            check(ask, ("registered_models", |found| text(&found["name"])), between).await;
        }
    });
}
