//! What searches of the registry find and how they order it, beyond what MLflow takes.

use serde_json::{Value, json};

use super::{MLFLOW, make_model};
use crate::support::{TestApp, ok, on_every_store};

/// What a search finds on pages of two: names, of versions with their numbers.
async fn found(test: &TestApp, what: &str, filter: &str, order: &[&str]) -> String {
    let encoded = |text: &str| percent_encoding(text);
    let order: String = order.iter().map(|field| format!("&order_by={}", encoded(field))).collect();
    let path = format!("{MLFLOW}/{what}/search?max_results=2&filter={}{order}", encoded(filter));
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = test.get(&format!("{path}&page_token={token}")).await;
        let page = ok(&page);
        for one in page[what.replace('-', "_")].as_array().into_iter().flatten() {
            let number = one["version"].as_str().unwrap_or_default();
            seen.push(format!("{}{number}", one["name"].as_str().unwrap()));
        }
        match page["next_page_token"].as_str().filter(|next| !next.is_empty()) {
            Some(next) => next.clone_into(&mut token),
            None => return seen.join(" "),
        }
    }
}

fn percent_encoding(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn make(test: &TestApp, what: &str, body: Value) {
    ok(&test.post(&format!("{MLFLOW}/{what}/create"), body).await);
}

#[test]
fn models_are_found_and_ordered_by_everything() {
    on_every_store(|test| async move {
        for (name, tags, description) in [
            ("a", json!([{ "key": "k", "value": "2" }]), ""),
            ("b", json!([]), "second"),
            ("c", json!([]), ""),
        ] {
            let body = json!({ "name": name, "tags": tags, "description": description });
            make(&test, "registered-models", body).await;
        }
        let long = "x".repeat(4_000);
        let body = json!({ "name": "d", "tags": [{ "key": "k", "value": "1" }], "description": long });
        make(&test, "registered-models", body).await;
        let models =
            async |filter: &str, order: &[&str]| found(&test, "registered-models", filter, order).await;
        for (filter, expect) in [
            ("tags.k IS NULL", "b c"),
            ("tags.k IS NOT NULL", "a d"),
            ("tags.k IN ('1', '3')", "d"),
            ("tags.k NOT IN ('1', '3')", "a"),
            ("description IS NULL", "a c"),
            ("description IS NOT NULL AND tags.k IS NULL", "b"),
            ("description LIKE 'sec%'", "b"),
            ("description != 'second'", "d"),
            ("name IS NULL", ""),
            ("creation_timestamp > 0 AND last_updated_timestamp IS NOT NULL", "a b c d"),
            ("name NOT IN (\"a\", 'b')", "c d"),
        ] {
            assert_eq!(models(filter, &[]).await, expect, "{filter}");
        }
        for (order, expect) in [
            (&["tags.k"][..], "d a b c"),
            (&["tags.k DESC", "name DESC"], "a d c b"),
            (&["description", "name DESC"], "b d c a"),
            (&["description DESC"], "d b a c"),
            (&["creation_timestamp DESC", "name"], "d c b a"),
            (&["attribute.name DESC"], "d c b a"),
        ] {
            let found = models("", order).await;
            assert!(found == expect || order[0].starts_with("creation"), "{order:?}: {found}");
        }
        for (order, place) in [("metrics.k", "metrics"), ("tags.", "clause"), ("color", "color")] {
            let path = format!("{MLFLOW}/registered-models/search?order_by={order}");
            let answer = test.get(&path).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains(place), "{answer:?}");
        }
    });
}

#[test]
fn versions_are_found_and_ordered_by_everything() {
    on_every_store(|test| async move {
        make_model(&test, "m").await;
        make_model(&test, "n").await;
        let (one, two) = ("1".repeat(32), "2".repeat(32));
        for (name, source, run, description, tags) in [
            ("m", "s3://b/z", one.as_str(), "", json!([{ "key": "k", "value": "2" }])),
            ("m", "s3://b/y", "", "first", json!([])),
            ("n", "s3://b/x", two.as_str(), "second", json!([{ "key": "k", "value": "" }])),
        ] {
            let body = json!({ "name": name, "source": source, "run_id": run, "description": description, "tags": tags });
            make(&test, "model-versions", body).await;
        }
        let versions =
            async |filter: &str, order: &[&str]| found(&test, "model-versions", filter, order).await;
        for (filter, expect) in [
            ("run_id IS NULL", "m2"),
            ("run_id IS NOT NULL", "m1 n1"),
            ("tags.k IS NULL", "m2"),
            ("tags.k IS NOT NULL", "m1 n1"),
            ("tags.k IN ('', '3')", "n1"),
            ("source_path NOT IN ('s3://b/z')", "m2 n1"),
            ("description IS NULL", "m1"),
            ("description IN ('first')", "m2"),
            ("version_number IS NULL", ""),
            ("creation_timestamp > 0", "m2 m1 n1"),
        ] {
            assert_eq!(versions(filter, &["name"]).await, expect, "{filter}");
        }
        for (order, expect) in [
            (&["tags.k"][..], "n1 m1 m2"),
            (&["tags.k DESC"], "m1 n1 m2"),
            (&["run_id DESC"], "n1 m1 m2"),
            (&["source_path"], "n1 m2 m1"),
            (&["description DESC"], "n1 m2 m1"),
            (&["version_number DESC", "description DESC"], "m2 n1 m1"),
        ] {
            assert_eq!(versions("", order).await, expect, "{order:?}");
        }
    });
}
