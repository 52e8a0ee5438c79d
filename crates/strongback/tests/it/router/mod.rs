//! The way of every request: guard, authentication, errors; and the table as a whole.

use axum::body::Body;
use http::{Method, Request};
use strongback::router::{self, Policy};

use crate::support::{ok, on_every_store_with, request};

const TOKENS: &[(&str, &str)] = &[("auth", "tokens")];

#[test]
fn with_tokens_every_route_refuses_strangers_but_the_public_ones() {
    on_every_store_with(TOKENS, |test| async move {
        for route in router::table() {
            let path = route.path.replace("{*", "{");
            let concrete: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "1" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let body = (route.method != Method::GET).then(|| serde_json::json!({}));
            let answer = test.send(request(route.method.as_str(), &concrete, body)).await;
            if route.policy == Policy::Public {
                assert_ne!(answer.status, 401, "{} {concrete}", route.method);
            } else {
                assert_eq!(answer.status, 401, "{} {concrete} let a stranger in: {answer:?}", route.method);
            }
        }
    });
}

#[test]
fn no_route_is_registered_twice() {
    let mut seen = std::collections::HashSet::new();
    for route in router::table() {
        assert!(seen.insert((route.method.clone(), route.path.clone())), "{} {}", route.method, route.path);
    }
}

#[test]
fn a_foreign_page_cannot_drive_the_server() {
    on_every_store_with(&[], |test| async move {
        let with = |name: &str, value: &str| {
            Request::builder()
                .uri("/api/1.0/audit-log")
                .header("host", "localhost")
                .header(name, value)
                .body(Body::empty())
                .unwrap()
        };
        ok(&test.send(with("origin", "http://localhost:3000")).await);
        for origin in
            ["http://evil.example", "null", "http://localhost.evil.example", "https://127.0.0.1.evil.example"]
        {
            let answer = test.send(with("origin", origin)).await;
            assert_eq!((answer.status, answer.error_code()), (403, "PERMISSION_DENIED"), "{origin}");
        }
        let rebound = Request::builder()
            .uri("/health")
            .header("host", "evil.example:5000")
            .body(Body::empty())
            .unwrap();
        assert_eq!(test.send(rebound).await.status, 403);
        let nameless = Request::builder().uri("/health").body(Body::empty()).unwrap();
        assert_eq!(test.send(nameless).await.status, 400);
    });
}

#[test]
fn unknown_routes_and_methods_answer_in_json() {
    on_every_store_with(&[], |test| async move {
        let answer = test.get("/api/2.0/mlflow/no-such-thing").await;
        assert_eq!((answer.status, answer.error_code()), (404, "ENDPOINT_NOT_FOUND"));
        let answer = test.send(request("PATCH", "/health", None)).await;
        assert_eq!((answer.status, answer.error_code()), (405, "BAD_REQUEST"));
        assert!(answer.headers.contains_key("x-request-id"));
    });
}

#[test]
fn health_readiness_and_version_answer() {
    on_every_store_with(TOKENS, |test| async move {
        assert_eq!(test.get("/health").await.status, 200);
        assert_eq!(test.get("/ready").await.json, serde_json::json!({ "metadata": "ok", "objects": "ok" }));
        assert_eq!(test.get("/version").await.status, 200);
    });
}

#[test]
fn a_foreign_form_changes_nothing_whatever_hosts_are_allowed() {
    on_every_store_with(&[("auth", "tokens"), ("allowed_hosts", "*")], |test| async move {
        let form = |origin: Option<&str>| {
            let mut builder = Request::builder()
                .method("POST")
                .uri("/api/2.1/unity-catalog/catalogs?name=planted")
                .header("host", "strongback.internal");
            if let Some(origin) = origin {
                builder = builder.header("origin", origin);
            }
            builder.body(Body::empty()).unwrap()
        };
        assert_eq!(test.send(form(Some("https://evil.example"))).await.status, 403);
        // Its own page passes the guard, and is then asked for a token like everybody.
        assert_eq!(test.send(form(Some("https://strongback.internal"))).await.status, 401);
    });
    on_every_store_with(&[], |test| async move {
        let form = Request::builder()
            .method("POST")
            .uri("/api/2.1/unity-catalog/catalogs?name=planted")
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap();
        let answer = test.send(form).await;
        assert_eq!((answer.status, answer.error_code()), (400, "INVALID_PARAMETER_VALUE"), "{answer:?}");
        assert_eq!(test.get("/api/2.1/unity-catalog/catalogs/planted").await.status, 404);
    });
}
