//! The way of every request: guard, authentication, errors; and the table as a whole.

mod bodies;
mod serve;

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
        // Names of hosts have no case.
        for (host, origin) in [("LOCALHOST:5000", "http://LocalHost"), ("LocalHost", "http://[::1]:5000")] {
            let request =
                Request::builder().uri("/api/1.0/audit-log").header("host", host).header("origin", origin);
            ok(&test.send(request.body(Body::empty()).unwrap()).await);
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
fn hosts_are_named_by_patterns_and_pages_of_others_are_not_let_in_by_them() {
    let settings = [("auth", "tokens"), ("allowed_hosts", "*.Example.com, 192.168.*, ml.internal:5000")];
    on_every_store_with(&settings, |test| async move {
        let ask = async |host: &str, origin: Option<&str>| {
            let mut request = Request::builder().uri("/health").header("host", host);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            test.send(request.body(Body::empty()).unwrap()).await.status
        };
        for host in
            ["ml.example.com:5000", "ML.EXAMPLE.COM", "192.168.0.7", "ml.internal", "ml.internal:8080"]
        {
            assert_eq!(ask(host, None).await, 200, "{host}");
        }
        for host in ["example.com", "ml.example.com.evil", "10.192.168.0", "xml.internal"] {
            assert_eq!(ask(host, None).await, 403, "{host}");
        }
        assert_eq!(ask("ml.example.com", Some("https://ml.example.com")).await, 200);
        assert_eq!(ask("ml.example.com", Some("https://other.example.com")).await, 403);
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

#[test]
fn readiness_notices_a_store_that_takes_no_writes() {
    on_every_store_with(&[], |test| async move {
        assert_eq!(test.get("/ready").await.status, 200);
        let db = test.app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
        // What was found a moment ago is answered for a second.
        let began = std::time::Instant::now();
        let answer = loop {
            let answer = test.get("/ready").await;
            if answer.status != 200 {
                break answer;
            }
            assert!(began.elapsed() < std::time::Duration::from_secs(10), "it is called ready: {answer:?}");
            tokio::task::yield_now().await;
        };
        assert_eq!(answer.status, 503);
        assert_ne!(answer.json["metadata"], "ok");
        assert_eq!(answer.json["objects"], "ok");
        assert_eq!(test.get("/health").await.status, 200, "it lives");
    });
}

#[test]
fn readiness_notices_objects_that_cannot_be_written() {
    on_every_store_with(&[], |test| async move {
        let temporary = test.app.objects.disk().root().join("tmp");
        std::fs::remove_dir_all(temporary).unwrap();
        let answer = test.get("/ready").await;
        assert_eq!((answer.status, &answer.json["metadata"]), (503, &serde_json::json!("ok")), "{answer:?}");
        assert!(answer.json["objects"].as_str().unwrap().contains("cannot be written"), "{answer:?}");
    });
}

#[test]
fn sizes_of_commit_groups_are_counted_in_buckets_of_writes() {
    strongback::ops::recorder();
    on_every_store_with(&[], |test| async move {
        let answer = test.send(request("GET", "/metrics", None)).await;
        assert_eq!(answer.status, 200);
        let text = strongback::ops::recorder().unwrap().render();
        for line in [
            "strongback_commit_group_size_bucket{le=\"512\"}",
            "strongback_commit_group_size_bucket{le=\"1\"}",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(!text.contains("strongback_commit_group_size_bucket{le=\"0.25\"}"), "those are seconds");
    });
}

/// A body of lists within lists takes long to read; a worker that reads it does nothing else.
#[test]
fn a_large_body_does_not_hold_up_other_requests() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let test = crate::support::TestApp::open(&[], None).await;
        let pairs: Vec<_> =
            (0..150_000).map(|n| serde_json::json!({ "key": format!("k{n}"), "value": "v" })).collect();
        let body = serde_json::json!({ "run_id": "none", "tags": pairs });
        let request = request("POST", "/api/2.0/mlflow/runs/log-batch", Some(body));
        // Ticks on the only worker, from before the request until after it.
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (ticking, begun) = tokio::sync::oneshot::channel();
        let ticks = tokio::spawn(async move {
            let _ = ticking.send(());
            let mut longest = std::time::Duration::ZERO;
            while !*stopped.borrow() {
                let asked = std::time::Instant::now();
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                longest = longest.max(asked.elapsed());
            }
            longest
        });
        begun.await.unwrap();
        let large = std::time::Instant::now();
        let reading = tokio::spawn(async move { test.send(request).await.status });
        let status = reading.await.unwrap();
        let whole = large.elapsed();
        stop.send(true).unwrap();
        let longest = ticks.await.unwrap();
        assert_eq!(status, 400, "it is over the limit of tags");
        assert!(longest * 3 < whole, "others waited {longest:?} of {whole:?}");
    });
}
