//! Who may read and write a table: by every way the same.

use serde_json::json;

use super::{bytes_request, request, text_of};
use crate::support::{TestApp, ok, on_every_store_with, token_of};

fn with_token(mut request: http::Request<axum::body::Body>, token: &str) -> http::Request<axum::body::Body> {
    request.headers_mut().insert(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    request
}

#[test]
fn a_query_reads_only_what_its_caller_may() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let (ada, eve) = (token_of(&test, "ada", false).await, token_of(&test, "eve", false).await);
        let call = async |token: &str, method: &str, path: &str, body| {
            crate::support::call(&test, token, method, path, body).await
        };
        ok(&call(&root, "POST", "/api/2.1/unity-catalog/catalogs", Some(json!({ "name": "prod" }))).await);
        for (schema, owner) in [("ours", "ada"), ("theirs", "root")] {
            let body = json!({ "name": schema, "catalog_name": "prod" });
            ok(&call(&root, "POST", "/api/2.1/unity-catalog/schemas", Some(body)).await);
            let body = json!({ "name": format!("prod.{schema}"), "owner": owner });
            ok(&call(&root, "PATCH", "/api/1.0/owner", Some(body)).await);
            let path = format!("/api/1.0/tables/prod.{schema}.t/batches/1?format=csv&create=true");
            let answer = test.send(with_token(bytes_request("PUT", &path, "id\n1\n"), &root)).await;
            ok(&answer);
        }
        let ask = async |token: &str, statement: &str| {
            let body = json!({ "statement": statement, "format": "csv" });
            text_of(&test, with_token(request("POST", "/api/1.0/sql", Some(body)), token)).await
        };
        assert_eq!(ask(&ada, "SELECT id FROM prod.ours.t").await, (200, "id\n1\n".into()));
        for statement in [
            "SELECT id FROM prod.theirs.t",
            "SELECT a.id FROM prod.ours.t a JOIN prod.theirs.t b ON a.id = b.id",
            "SELECT id FROM prod.ours.t WHERE id IN (SELECT id FROM prod.theirs.t)",
            "WITH x AS (SELECT * FROM prod.theirs.t) SELECT * FROM x",
            "SELECT (SELECT max(id) FROM prod.theirs.t)",
            "EXPLAIN ANALYZE SELECT id FROM prod.theirs.t",
            "SELECT * FROM prod.theirs.`t`",
            "SELECT id FROM prod.theirs.t VERSION AS OF 0",
        ] {
            let (status, text) = ask(&ada, statement).await;
            assert_eq!(status, 403, "{statement}: {text}");
            assert!(text.contains("Its owner is"), "{text}");
        }
        // The engine's own name of a table is nobody's name.
        for statement in ["SELECT * FROM prod.ours.`t@v1`", "SELECT * FROM `t@v1`"] {
            let (status, text) = ask(&ada, statement).await;
            assert!(status == 404 || status == 400, "{statement}: {status} {text}");
        }
        for (token, status) in [(&ada, 200), (&eve, 403)] {
            let path = "/api/1.0/tables/prod.ours.t/batches/2?format=csv";
            let answer = test.send(with_token(bytes_request("PUT", path, "id\n2\n"), token)).await;
            assert_eq!(answer.status, status, "{answer:?}");
        }
        let path = "/api/1.0/tables/prod.ours.new/batches/2?format=csv&create=true";
        assert_eq!(test.send(with_token(bytes_request("PUT", path, "id\n2\n"), &eve)).await.status, 403);
        // Bad rows put aside are written as the caller.
        let path = "/api/1.0/tables/prod.ours.t/batches/3?format=csv&quarantine=prod.theirs.t";
        assert_eq!(test.send(with_token(bytes_request("PUT", path, "id\nx\n"), &ada)).await.status, 403);
        let (status, _) = ask("no token", "SELECT 1").await;
        assert_eq!(status, 401);
    });
}

/// A body that comes slowly is no way to keep a right that was taken away meanwhile.
#[test]
fn rights_are_asked_again_once_the_rows_are_there() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let ada = token_of(&test, "ada", false).await;
        for (path, body) in [
            ("/api/2.1/unity-catalog/catalogs", json!({ "name": "prod" })),
            ("/api/2.1/unity-catalog/schemas", json!({ "name": "risk", "catalog_name": "prod" })),
        ] {
            ok(&crate::support::call(&test, &root, "POST", path, Some(body)).await);
        }
        let give = async |owner: &str| {
            let body = json!({ "name": "prod.risk", "owner": owner });
            ok(&crate::support::call(&test, &root, "PATCH", "/api/1.0/owner", Some(body)).await);
        };
        give("ada").await;
        let (sender, rows) = tokio::sync::mpsc::channel::<Result<axum::body::Bytes, std::io::Error>>(1);
        let rows = futures::stream::unfold(rows, |mut rows| async move { Some((rows.recv().await?, rows)) });
        let path = "/api/1.0/tables/prod.risk.t/batches/1?format=csv&create=true";
        let mut slow = with_token(request("PUT", path, None), &ada);
        *slow.body_mut() = axum::body::Body::from_stream(rows);
        let (answer, ()) = tokio::join!(test.send(slow), async {
            sender.send(Ok("id\n".into())).await.unwrap();
            // The first rows are on their way: the caller was let in.
            sender.reserve().await.map(drop).unwrap();
            give("root").await;
            sender.send(Ok("1\n".into())).await.unwrap();
            drop(sender);
        });
        assert_eq!(answer.status, 403, "{answer:?}");
        let found =
            crate::support::call(&test, &root, "GET", "/api/2.1/unity-catalog/tables/prod.risk.t", None)
                .await;
        assert_eq!(found.status, 404);
    });
}
