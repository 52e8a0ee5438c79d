//! Rights that are taken away while bytes are on their way, and addresses whose principal may not act any more.

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, header};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{objects, recovery::open_operations};
use crate::support::{Answer, TestApp, call, ok, on_every_store_with, request, token_of};

const PROXY: &str = "/api/2.0/mlflow-artifacts";

fn with_tokens<F: Future<Output = ()>>(test: impl Fn(TestApp) -> F) {
    on_every_store_with(&[("auth", "tokens")], test);
}

/// A run of the token's principal; answers where its files are, below the proxy.
async fn make_run(test: &TestApp, token: &str) -> String {
    let body = json!({ "experiment_id": "0" });
    let made = call(test, token, "POST", "/api/2.0/mlflow/runs/create", Some(body)).await;
    let uri = ok(&made)["run"]["info"]["artifact_uri"].as_str().unwrap();
    uri.strip_prefix("mlflow-artifacts:/").unwrap().to_owned()
}

async fn revoke_all(test: &TestApp, admin: &str, principal: &str) {
    let tokens = call(test, admin, "GET", &format!("/api/1.0/tokens?principal={principal}"), None).await;
    for token in ok(&tokens)["token_infos"].as_array().unwrap() {
        let body = json!({ "token_id": token["token_id"] });
        ok(&call(test, admin, "POST", "/api/2.0/token/delete", Some(body)).await);
    }
}

/// A PUT of which half is on its way.
struct Upload {
    rest: oneshot::Sender<()>,
    answer: tokio::task::JoinHandle<Answer>,
}

impl Upload {
    /// Answers when the server has taken the first half, so that everything is checked that is checked before the bytes.
    async fn begin(test: &TestApp, token: Option<&str>, path: &str) -> Self {
        let (rest, send_rest) = oneshot::channel();
        let (taken, mut was_taken) = mpsc::channel(1);
        let half = |text: &'static str| Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes()));
        let second = async move {
            taken.send(()).await.unwrap();
            send_rest.await.unwrap();
            half("second")
        };
        let bytes = stream::iter([half("first")]).chain(stream::once(second));
        let mut put = Request::builder().method("PUT").uri(path).header(header::HOST, "localhost:5000");
        if let Some(token) = token {
            put = put.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let put = put.body(Body::from_stream(bytes)).unwrap();
        let (router, app, dir) = (test.router.clone(), test.app.clone(), tempfile::tempdir().unwrap());
        let answer = tokio::spawn(async move { TestApp::of(app, router, dir, None).send(put).await });
        was_taken.recv().await.expect("the bytes were never asked for");
        Self { rest, answer }
    }

    async fn end(self) -> Answer {
        self.rest.send(()).unwrap();
        self.answer.await.unwrap()
    }
}

/// Begins an upload in one part; answers the address that the part goes to.
async fn begin_parts(test: &TestApp, token: &str, root: &str) -> String {
    let body = json!({ "path": "parts.txt", "num_parts": 1 });
    let made = call(test, token, "POST", &format!("{PROXY}/mpu/create/{root}"), Some(body)).await;
    let url = ok(&made)["credentials"][0]["url"].as_str().unwrap();
    url[url.find("/api/").unwrap()..].to_owned()
}

#[test]
fn a_token_that_is_revoked_while_its_bytes_come_stores_nothing() {
    with_tokens(async |test: TestApp| {
        let (admin, bob) = (token_of(&test, "root", true).await, token_of(&test, "bob", false).await);
        let root = make_run(&test, &bob).await;
        let file = format!("{PROXY}/artifacts/{root}/late.txt");
        // Without anything happening meanwhile, both ways work.
        let part = begin_parts(&test, &bob, &root).await;
        ok(&Upload::begin(&test, Some(&bob), &file.replace("late", "soon")).await.end().await);
        ok(&Upload::begin(&test, None, &part).await.end().await);
        let before = objects(&test.system());

        let whole = Upload::begin(&test, Some(&bob), &file).await;
        let part = Upload::begin(&test, None, &part).await;
        revoke_all(&test, &admin, "bob").await;
        for (upload, code) in [(whole, (401, "UNAUTHENTICATED")), (part, (403, "PERMISSION_DENIED"))] {
            let refused = upload.end().await;
            assert_eq!((refused.status, refused.error_code()), code, "{refused:?}");
        }
        assert_eq!(call(&test, &admin, "GET", &file, None).await.status, 404);
        // The bytes of the part are gone at once, and nothing of what was stored before is.
        assert_eq!(objects(&test.system()), before);
        assert_eq!(strongback::files::sweep(&test.system()).await.unwrap(), 0);
        assert_eq!(open_operations(&test.system()).await, 1, "that of the parts");
    });
}

#[test]
fn a_group_that_is_left_while_bytes_come_gives_no_right_any_more() {
    with_tokens(async |test: TestApp| {
        let (admin, bob) = (token_of(&test, "root", true).await, token_of(&test, "bob", true).await);
        let root = make_run(&test, &admin).await;
        let file = format!("{PROXY}/artifacts/{root}/late.txt");
        let upload = Upload::begin(&test, Some(&bob), &file).await;
        ok(&call(&test, &admin, "DELETE", "/api/1.0/groups/admins/members/bob", None).await);
        let refused = upload.end().await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        assert_eq!(call(&test, &admin, "GET", &file, None).await.status, 404);
        assert_eq!(objects(&test.system()), 0);
    });
}

#[test]
fn a_signed_address_is_of_no_use_to_a_principal_without_a_token() {
    with_tokens(async |test: TestApp| {
        let (admin, bob) = (token_of(&test, "root", true).await, token_of(&test, "bob", false).await);
        let root = make_run(&test, &bob).await;
        let file = format!("{PROXY}/artifacts/{root}/a.txt");
        ok(&call(&test, &bob, "PUT", &file, None).await);
        let made = call(&test, &bob, "GET", &format!("{PROXY}/presigned/{root}/a.txt"), None).await;
        let url = ok(&made)["url"].as_str().unwrap();
        let (get, put) =
            (url[url.find("/api/").unwrap()..].to_owned(), begin_parts(&test, &bob, &root).await);
        let used = async || {
            [test.send(request("GET", &get, None)).await, test.send(request("PUT", &put, None)).await]
        };
        assert!(used().await.iter().all(|answer| answer.status == 200));
        revoke_all(&test, &admin, "bob").await;
        for refused in used().await {
            assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
            assert!(refused.json["message"].as_str().unwrap().contains("no valid token"), "{refused:?}");
        }
        // An address stands for the principal and not for the token that it was asked for with.
        let body = json!({ "principal": "bob" });
        ok(&call(&test, &admin, "POST", "/api/1.0/tokens", Some(body)).await);
        assert!(used().await.iter().all(|answer| answer.status == 200));
    });
}
