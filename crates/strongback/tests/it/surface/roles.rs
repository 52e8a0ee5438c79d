//! Who may call what, and which events that leaves: the whole matrix, reviewed as a picture.
//!
//! Every example is called by nobody (no credential), a stranger (a user who owns nothing), the owner of what it names,
//! and an administrator. A cell is the status and, after a plus, how many events the call left.

use std::fmt::Write as _;

use futures::{StreamExt, stream};
use strongback::router::{self, Policy};

use super::{
    Example, events_of, examples,
    world::{Tokens, World},
};
use crate::support::{TestApp, on_every_store_with};

const TOKENS: &[(&str, &str)] = &[("auth", "tokens"), ("webhooks_allow", "127.0.0.1")];

/// Calls that succeed and change nothing, although their method says otherwise: searches and questions that are asked
/// by POST, addresses and credentials that are given out, and directories of the Files API, which are there because
/// files are.
const NO_EVENT: &[&str] = &[
    "POST /api/1.0/sql",
    "POST /api/1.0/exchange/plan",
    "POST /api/1.0/exchange/known",
    "POST /api/1.0/exchange/check",
    "POST /api/1.0/exchange/give",
    "POST /api/1.0/exchange/files",
    "POST /api/1.0/training-sets/{full_name}/rebuild",
    "POST /api/1.0/endpoints/{name}/flush",
    "POST /api/2.0/fs/create-abort-upload-url",
    "POST /api/2.0/fs/create-download-url",
    "POST /api/2.0/fs/create-upload-part-urls",
    "POST /api/2.0/fs/create-upload-url",
    "PUT /api/2.0/fs/directories/{*path}",
    "DELETE /api/2.0/fs/directories/{*path}",
    "POST /api/2.0/mlflow/experiments/search",
    "POST /api/2.0/mlflow/experiments/search-datasets",
    "POST /api/2.0/mlflow/logged-models/search",
    "POST /api/2.0/mlflow/model-versions/search",
    "POST /api/2.0/mlflow/registered-models/get-latest-versions",
    "POST /api/2.0/mlflow/registered-models/search",
    "POST /api/2.0/mlflow/runs/search",
    "POST /api/2.0/mlflow/webhooks/{webhook_id}/test",
    "POST /api/2.0/mlflow/unity-catalog/model-versions/emit-lineage",
    "POST /api/2.0/mlflow/unity-catalog/model-versions/generate-temporary-credentials",
    "POST /api/2.1/unity-catalog/temporary-model-version-credentials",
    "POST /graphql",
    "POST /api/1.0/runner/jobs/{job_id}/heartbeat",
    "POST /ajax-api/3.0/mlflow/ui-telemetry",
    "POST /ajax-api/3.0/mlflow/datasets/search",
    "POST /ajax-api/3.0/mlflow/traces/search",
    "POST /ajax-api/3.0/mlflow/traces/metrics",
];

/// A file that is stored at once is an operation: its intent before the bytes, its outcome after them.
const TWO_EVENTS: &[&str] = &[
    "PUT /api/2.0/fs/files/{*path}",
    "PUT /api/1.0/exchange/files/{kind}/{id}/{*path}",
    "PUT /api/2.0/fs/signed/files/{*path}",
    "PUT /api/2.0/mlflow-artifacts/artifacts/{*path}",
    "POST /api/2.0/mlflow/upload-artifact",
    "PUT /api/1.0/tables/{full_name}/batches/{batch_id}",
    "POST /api/1.0/tables/{full_name}/vacuum",
    "POST /api/1.0/tables/{full_name}/compact",
    "POST /api/1.0/feature-tables",
    "PUT /api/1.0/labels/{full_name}/batches/{batch_id}",
];

fn expected_events(example: &Example, status: u16) -> usize {
    let name = format!("{} {}", example.method, example.path);
    let is_listed = |list: &[&str]| list.contains(&name.as_str());
    match status {
        200..=299 if example.reads() || is_listed(NO_EVENT) => 0,
        200..=299 if is_listed(TWO_EVENTS) => 2,
        200..=299 => 1,
        _ => 0,
    }
}

/// The row of one example, and what is wrong with the events that it left.
async fn row(test: &TestApp, tokens: &Tokens, example: &Example) -> (String, Option<String>) {
    let mut world = World::new(test, tokens);
    let (mut cells, mut wrong, mut statuses) = (String::new(), None, Vec::new());
    for token in [&None, &tokens.stranger, &tokens.owner, &tokens.admin] {
        let answer = example.send(&mut world, token.as_deref()).await;
        statuses.push(answer.status);
        let events = events_of(test, &answer, tokens.admin.as_deref()).await;
        let expected = expected_events(example, answer.status);
        if events != expected {
            wrong = Some(format!(
                "{} {} left {events} events and not {expected}: {answer:?}",
                example.method, example.path
            ));
        }
        let cell =
            if events == 0 { answer.status.to_string() } else { format!("{}+{events}", answer.status) };
        write!(cells, " {cell:<5}").unwrap();
        if events > 0 {
            world = World::new(test, tokens);
        }
    }
    // Tokens and requests are no assets: somebody else's are nobody's business.
    let is_data = ["/api/2.0/token/delete", "/api/1.0/requests/{request_id}/why", "/why/{request_id}"]
        .contains(&example.path);
    if statuses[1] == 404 && statuses[3] != 404 && !is_data {
        wrong = Some(format!("{} {} tells a stranger that nothing is there", example.method, example.path));
    }
    let note = if example.note.is_empty() { String::new() } else { format!("  ({})", example.note) };
    let line = format!("{:<6} {:<86}{cells}{note}", example.method, example.path);
    (line.trim_end().to_owned(), wrong)
}

#[test]
fn roles_and_events_of_every_route() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::new(&test).await;
        let routes = router::table();
        let mut picture = format!("{:<93} none  other owner admin\n", "");
        let mut wrong = Vec::new();
        let mut examples = examples::all();
        examples.retain(|example| {
            let is_route =
                |route: &&router::Route| route.method == example.method && route.path == example.path;
            !routes.iter().find(is_route).is_some_and(examples::is_absent)
        });
        let rows = stream::iter(&examples).map(|example| row(&test, &tokens, example)).buffered(8);
        for (line, problem) in rows.collect::<Vec<_>>().await {
            writeln!(picture, "{line}").unwrap();
            wrong.extend(problem);
        }
        insta::assert_snapshot!("roles", picture);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// What this product does not have is told to whoever has a credential, and changes nothing.
#[test]
fn what_is_not_here_says_so() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::new(&test).await;
        let routes = router::table();
        let mut seen = 0;
        for example in examples::all() {
            let is_absent = |route: &&router::Route| {
                route.method.as_str() == example.method
                    && route.path == example.path
                    && examples::is_absent(route)
            };
            let Some(route) = routes.iter().find(is_absent) else { continue };
            assert_eq!(route.policy, Policy::Authenticated);
            let mut world = World::new(&test, &tokens);
            assert_eq!(example.send(&mut world, None).await.status, 401, "{example:?}");
            let answer = example.send(&mut world, tokens.stranger.as_deref()).await;
            assert_eq!((answer.status, answer.error_code()), (501, "NOT_IMPLEMENTED"), "{example:?}");
            seen += 1;
        }
        assert!(seen > 100, "the absent routes were not found");
    });
}

/// The pages of lists hold nothing of somebody else, and all of it for the owner and for administrators.
#[test]
fn lists_show_what_one_may_read() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::new(&test).await;
        let mut world = World::new(&test, &tokens);
        let (catalog, _, _) = (world.get("catalog").await, world.get("table").await, world.get("gov").await);
        world.get("job").await;
        for (example, key) in [
            (Example::new("GET", "/api/2.1/unity-catalog/catalogs", serde_json::json!({})), "catalogs"),
            (
                Example::new(
                    "GET",
                    "/api/2.1/unity-catalog/schemas",
                    serde_json::json!({ "catalog_name": catalog }),
                ),
                "schemas",
            ),
            (
                Example::new(
                    "GET",
                    "/api/2.1/unity-catalog/tables",
                    serde_json::json!({ "catalog_name": catalog, "schema_name": "s" }),
                ),
                "tables",
            ),
            (
                Example::new("GET", "/api/2.1/unity-catalog/models", serde_json::json!({})),
                "registered_models",
            ),
            (
                Example::new("GET", "/api/2.0/mlflow/registered-models/search", serde_json::json!({})),
                "registered_models",
            ),
            (
                Example::new("GET", "/api/2.0/mlflow/model-versions/search", serde_json::json!({})),
                "model_versions",
            ),
            (
                Example::new(
                    "GET",
                    "/api/2.0/mlflow/unity-catalog/registered-models/search",
                    serde_json::json!({}),
                ),
                "registered_models",
            ),
            (
                Example::new(
                    "GET",
                    "/api/2.0/mlflow/unity-catalog/model-versions/search",
                    serde_json::json!({}),
                ),
                "model_versions",
            ),
            (Example::new("GET", "/api/1.0/jobs", serde_json::json!({})), "jobs"),
            (
                Example::new(
                    "GET",
                    "/api/1.0/commands",
                    serde_json::json!({ "catalog_name": catalog, "schema_name": "s" }),
                ),
                "commands",
            ),
            (Example::new("GET", "/api/1.0/overview", serde_json::json!({})), "models"),
        ] {
            for (token, sees) in [(&tokens.stranger, false), (&tokens.owner, true), (&tokens.admin, true)] {
                let answer = example.send(&mut world, token.as_deref()).await;
                let listed = crate::support::ok(&answer)[key].to_string();
                assert_eq!(listed.contains(&catalog), sees, "{} {key}: {answer:?}", example.path);
            }
        }
    });
}
