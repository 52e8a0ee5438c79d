//! The application in process, on a store of its own.

use std::{future::Future, sync::Arc};

use axum::{Router, body::Body};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use strongback::{
    app,
    catalog::{
        principals::{CreateRequest, principal_create},
        tokens,
    },
    config::{Config, Layer, Source},
    context::{App, Ctx},
    router,
};
use testkit::postgres::{self, FreshDatabase};
use tower::ServiceExt;

/// How often a test kills what it is about: as often as is right beside all other tests, or as often as
/// `STRONGBACK_KILL_ROUNDS` says, for long runs (`make torture`).
pub fn kill_rounds() -> u64 {
    std::env::var("STRONGBACK_KILL_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap())
}

/// An application with its router.
pub struct TestApp {
    pub app: Arc<App>,
    pub router: Router,
    pub dir: tempfile::TempDir,
    database_url: Option<String>,
    /// The database, where it goes with this value; behind the application, which has connections to it.
    database: Option<FreshDatabase>,
    /// Whose token requests carry that bring none.
    bearer: Option<String>,
}

/// What is left of an application that was closed.
pub struct Closed {
    pub dir: tempfile::TempDir,
}

/// An answer: status and body as JSON (null where it is none).
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub json: Value,
    pub headers: http::HeaderMap,
}

impl Answer {
    /// `status error_code: message` or the body, for snapshots and assertions.
    #[allow(dead_code, reason = "tests of some slices use only parts of an answer")]
    pub fn error_code(&self) -> &str {
        self.json["error_code"].as_str().unwrap_or_default()
    }
}

impl TestApp {
    pub async fn open(settings: &[(&str, &str)], database_url: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = open_app(dir.path(), settings, database_url.clone()).await;
        let router = router::build(&app);
        Self { app, router, dir, database_url, database: None, bearer: None }
    }

    /// One on a store of its own, of the kind that this one has.
    pub async fn another(&self, settings: &[(&str, &str)]) -> Self {
        let server = self.database_url.as_ref().and_then(|_| postgres::server_url());
        let database = server.map(|server| postgres::fresh_database(&server).unwrap());
        let url = database.as_ref().map(|database| database.url().to_owned());
        Self { database, ..Self::open(settings, url).await }
    }

    /// Of an application that was opened elsewhere.
    pub fn of(app: Arc<App>, router: Router, dir: tempfile::TempDir, database_url: Option<String>) -> Self {
        Self { app, router, dir, database_url, database: None, bearer: None }
    }

    /// The same for somebody whose token all requests carry that bring none.
    pub fn acting_as(self, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..self }
    }

    /// Closes it as a server does that is told to stop; its directory stays.
    pub async fn closed(self) -> Closed {
        let Self { app, router, dir, .. } = self;
        drop(router);
        let db = app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
        drop(app);
        Closed { dir }
    }

    /// Closes it as a server does that is told to stop, and opens it again on the same store.
    pub async fn reopen(self) -> Self {
        self.reopen_after(|| ()).await
    }

    /// The same after something that is done while it is closed.
    pub async fn reopen_after(self, meanwhile: impl FnOnce()) -> Self {
        self.reopen_with(&[], meanwhile).await
    }

    /// The same with settings.
    pub async fn reopen_with(self, settings: &[(&str, &str)], meanwhile: impl FnOnce()) -> Self {
        let Self { app, router, dir, database_url, database, bearer } = self;
        drop(router);
        let db = app.db.clone();
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
        drop(app);
        meanwhile();
        let app = open_app(dir.path(), settings, database_url.clone()).await;
        let router = router::build(&app);
        Self { app, router, dir, database_url, database, bearer }
    }

    /// The server acting on its own behalf.
    pub fn system(&self) -> Ctx {
        Ctx::system(&self.app)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, None)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request("POST", path, Some(body))).await
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        if let Some(token) = &self.bearer
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let response: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            headers: parts.headers,
        }
    }
}

/// A request as an ordinary client on this machine sends it.
pub fn request(method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header(header::HOST, "localhost:5000");
    match body {
        Some(body) => builder
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

async fn open_app(
    dir: &std::path::Path,
    settings: &[(&str, &str)],
    database_url: Option<String>,
) -> Arc<App> {
    app::open(config(dir, settings, database_url)).await.unwrap()
}

/// Settings for a data directory below `dir`.
pub fn config(dir: &std::path::Path, settings: &[(&str, &str)], database_url: Option<String>) -> Config {
    let mut layer = Layer::default();
    layer.set("data_dir", dir.join("data").display().to_string());
    for (name, value) in settings {
        assert!(layer.set(name, (*value).to_owned()), "{name} is no setting");
    }
    if let Some(url) = database_url {
        layer.set("database_url", url);
    }
    Config::resolve(&[(layer, &|_| Source::Flag)]).unwrap()
}

/// Runs a test on a database of its own, where there is a PostgreSQL; elsewhere there is nothing to look at.
pub fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(String) -> F) {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    let url = database.url().to_owned();
    runtime().block_on(test(url));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a test on every store there is.
pub fn on_every_store<F: Future<Output = ()>>(test: impl Fn(TestApp) -> F) {
    on_every_store_with(&[], test);
}

/// The same with settings.
pub fn on_every_store_with<F: Future<Output = ()>>(settings: &[(&str, &str)], test: impl Fn(TestApp) -> F) {
    let runtime = runtime();
    runtime.block_on(async { test(TestApp::open(settings, None).await).await });
    if let Some(server) = postgres::server_url() {
        let database = postgres::fresh_database(&server).unwrap();
        let url = database.url().to_owned();
        runtime.block_on(async { test(TestApp::open(settings, Some(url)).await).await });
    }
}

/// A call with a token.
pub async fn call(test: &TestApp, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let mut request = request(method, path, body);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    test.send(request).await
}

/// A new user's token.
pub async fn token_of(test: &TestApp, name: &str, admin: bool) -> String {
    let ctx = test.system();
    principal_create(&ctx, CreateRequest { name: name.into(), kind: None, admin }).await.unwrap();
    let asked = tokens::CreateRequest { principal: Some(name.into()), ..Default::default() };
    tokens::token_create(&ctx, asked).await.unwrap().token_value
}

/// A 200.
pub fn ok(answer: &Answer) -> &Value {
    assert_eq!(answer.status, StatusCode::OK.as_u16(), "{answer:?}");
    &answer.json
}
