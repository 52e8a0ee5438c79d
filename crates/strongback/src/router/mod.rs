//! The route table: one registration a route, which feeds everything that must know the routes.
//!
//! A [`Route`] has method, path, policy, limits and handler; leaving one out does not compile. From the table come the
//! HTTP router, the OpenAPI document and the list that the authorisation and event tests walk through.
//!
//! What must stay true:
//! - every request goes through [`dispatch`]: host and origin, authentication, limits, handler, and one log line;
//! - a route whose policy speaks of assets cannot answer from a read or a write that was not authorised;
//! - an error is turned into a response in one place.

pub mod body;
mod dispatch;
pub mod guard;
pub mod openapi;
pub(crate) mod prefix;
mod rest;
pub mod serve;
mod stalled;
pub mod wire;

use std::{borrow::Cow, collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::RawPathParams,
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::{Method, Request, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    catalog::Action,
    context::{App, Ctx},
    error::{Code, Error, Result},
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Anybody, without a credential. Such a route says nothing about assets.
    Public,
    /// Anybody with a credential. Such a route says nothing about assets either.
    Authenticated,
    /// Anybody with a credential; the answer holds only what the caller may see.
    Visible,
    /// The handler authorises this action on the asset that the request is about.
    Asset(Action),
    /// Administrators.
    Admin,
    /// Who runs the commands of others: members of the group `runners`, and administrators.
    Runner,
}

/// What a request may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body in bytes; `None` for streams, whose handler has a limit of its own.
    pub body: Option<usize>,
    /// How long it may take, once a JSON body is there: how that comes has limits of its own, in [`body`].
    pub time: Duration,
}

impl Limits {
    /// An ordinary JSON call.
    pub const JSON: Self = Self { body: Some(4 << 20), time: Duration::from_mins(1) };
    /// A call that brings much: points and parameters, data sets with their schemas and profiles.
    pub const LARGE: Self = Self { body: Some(32 << 20), ..Self::JSON };
    /// A call without much of a body.
    pub const SMALL: Self = Self { body: Some(64 << 10), time: Duration::from_secs(20) };
    /// A file on its way in or out.
    pub const STREAM: Self = Self { body: None, time: Duration::from_hours(6) };
    /// A list of the parts that make a file, which are copied into one before the answer: ten thousand of about a
    /// hundred bytes each.
    pub const PARTS: Self = Self { body: Some(2 << 20), time: Self::STREAM.time };

    /// Whether a request may go on for long after its body was read.
    fn is_long(&self) -> bool {
        self.time > Self::JSON.time
    }
}

/// Values of a path's placeholders, percent-decoded once.
pub type PathParams = BTreeMap<String, String>;

type Answer = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;
type TypedHandler = dyn Fn(Ctx, body::Input) -> Answer + Send + Sync;
type RawHandler = dyn Fn(Ctx, PathParams, Request<Body>) -> Answer + Send + Sync;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and gives, for the OpenAPI document.
#[derive(Clone, Copy)]
struct Shape {
    /// Fields of path, query and, where it is JSON, body.
    fields: Option<SchemaOf>,
    body: Takes,
    gives: Gives,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Json,
    Bytes,
}

#[derive(Clone, Copy)]
enum Gives {
    /// Status and headers only.
    Nothing,
    Json(SchemaOf),
    /// Something of this content type.
    Content(&'static str),
}

#[derive(Clone)]
enum Handler {
    Typed(Arc<TypedHandler>),
    Raw(Arc<RawHandler>),
}

/// One registration.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{placeholders}`.
    pub path: Cow<'static, str>,
    /// Who may call it.
    pub policy: Policy,
    /// What a call may use.
    pub limits: Limits,
    /// One line for the OpenAPI document.
    pub summary: &'static str,
    /// Whether it is a route of the table once more, under another path that some clients use.
    pub is_copy: bool,
    /// Since when clients should do without it, in seconds since the epoch.
    deprecated: Option<i64>,
    /// Whether a credential counts that was valid a moment ago.
    is_remembering: bool,
    shape: Shape,
    handler: Handler,
}

impl Route {
    /// A route that takes and gives JSON: body, query and path values are merged into the request type.
    pub fn json<Req, Res, F, Fut>(
        method: Method,
        path: &'static str,
        policy: Policy,
        limits: Limits,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        Req: DeserializeOwned + JsonSchema + Send + 'static,
        Res: Serialize + JsonSchema + 'static,
        F: Fn(Ctx, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res>> + Send + 'static,
    {
        let lists = wire::list_fields::<Req>();
        let handler = Handler::Typed(Arc::new(move |ctx, input| match wire::parse::<Req>(&input, &lists) {
            Ok(request) => {
                let answer = handler(ctx, request);
                Box::pin(async move { wire::json_response(&answer.await?) })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }));
        Self {
            method,
            path: Cow::Borrowed(path),
            policy,
            limits,
            summary,
            is_copy: false,
            deprecated: None,
            is_remembering: false,
            shape: Shape {
                fields: Some(<Req as JsonSchema>::json_schema),
                body: Takes::Json,
                gives: Gives::Json(<Res as JsonSchema>::json_schema),
            },
            handler,
        }
    }

    /// A route that reads the request and writes the response itself: streams, pages, protocols with own statuses. What
    /// it takes and gives is said by the methods below, for the document.
    pub fn raw<F, Fut>(
        method: Method,
        path: &'static str,
        policy: Policy,
        limits: Limits,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        F: Fn(Ctx, PathParams, Request<Body>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response>> + Send + 'static,
    {
        let handler =
            Handler::Raw(Arc::new(move |ctx, params, request| Box::pin(handler(ctx, params, request))));
        Self {
            method,
            path: Cow::Borrowed(path),
            policy,
            limits,
            summary,
            is_copy: false,
            deprecated: None,
            is_remembering: false,
            shape: Shape { fields: None, body: Takes::Nothing, gives: Gives::Nothing },
            handler,
        }
    }

    /// A route whose requests are too many to ask the store about each credential: see [`crate::auth::Remembered`].
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.is_remembering = true;
        self
    }

    /// A route that is kept for clients that still call it: answers say since when it should not be, by the header `Deprecation`
    /// (RFC 9745), in seconds since the epoch.
    #[must_use]
    pub fn deprecated(mut self, since: i64) -> Self {
        self.deprecated = Some(since);
        self
    }

    /// The same once more under another path.
    #[must_use]
    pub fn also_at(&self, path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), is_copy: true, ..self.clone() }
    }

    /// A raw route that reads these fields from path, query and a JSON body.
    #[must_use]
    pub fn taking<Req: JsonSchema>(mut self) -> Self {
        self.shape.body = Takes::Json;
        self.taking_query::<Req>()
    }

    /// A raw route that reads these fields from path and query.
    #[must_use]
    pub fn taking_query<Req: JsonSchema>(mut self) -> Self {
        self.shape.fields = Some(<Req as JsonSchema>::json_schema);
        self
    }

    /// A raw route whose body is a stream of bytes.
    #[must_use]
    pub fn taking_bytes(mut self) -> Self {
        self.shape.body = Takes::Bytes;
        self
    }

    /// A raw route that answers with this as JSON.
    #[must_use]
    pub fn giving<Res: JsonSchema>(mut self) -> Self {
        self.shape.gives = Gives::Json(<Res as JsonSchema>::json_schema);
        self
    }

    /// A raw route that answers with something of this content type.
    #[must_use]
    pub fn giving_content(mut self, content_type: &'static str) -> Self {
        self.shape.gives = Gives::Content(content_type);
        self
    }

    /// Whether calls of this route change something.
    pub fn is_mutation(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// Every route of the product.
pub fn table() -> Vec<Route> {
    let mut routes = crate::slice_routes();
    routes.extend(openapi::routes());
    // MLflow's web UI calls the same interface under another prefix.
    let ajax: Vec<Route> = routes
        .iter()
        .filter(|route| {
            ["/api/2.0/mlflow", "/api/3.0/mlflow", "/api/4.0/mlflow", "/api/3.0/jobs"]
                .iter()
                .any(|prefix| route.path.starts_with(prefix))
        })
        .map(|route| Route {
            path: Cow::Owned(route.path.replacen("/api/", "/ajax-api/", 1)),
            is_copy: true,
            ..route.clone()
        })
        .collect();
    routes.extend(ajax);
    // Its pages lie below /mlflow/ and call relative to themselves.
    let mirrored: Vec<Route> = routes
        .iter()
        .filter(|route| {
            ["/ajax-api/", "/get-artifact", "/model-versions/get-artifact", "/graphql", "/version"]
                .iter()
                .any(|prefix| route.path.starts_with(prefix))
        })
        .map(|route| Route {
            path: Cow::Owned(format!("/mlflow{}", route.path)),
            is_copy: true,
            ..route.clone()
        })
        .collect();
    routes.extend(mirrored);
    routes
}

/// The HTTP router over the table.
pub fn build(app: &Arc<App>) -> axum::Router {
    let mut router = axum::Router::new();
    let front = app.config.static_prefix.value.as_ref().and_then(prefix::Prefix::route);
    for route in table().into_iter().chain(front) {
        let filter = match MethodFilter::try_from(route.method.clone()) {
            Ok(filter) => filter,
            Err(error) => {
                tracing::error!(path = %route.path, %error, "a route has a method that cannot be routed");
                continue;
            }
        };
        let (app, route) = (Arc::clone(app), Arc::new(route));
        let path = route.path.clone();
        let handler = move |params: Result<RawPathParams, _>, request: Request<Body>| {
            dispatch::run(Arc::clone(&app), Arc::clone(&route), params, request)
        };
        router = router.route(&path, on(filter, handler));
    }
    let (missing, wrong) = (Arc::clone(app), Arc::clone(app));
    router
        .fallback(move |request: Request<Body>| dispatch::refuse(missing, request, not_found))
        .method_not_allowed_fallback(move |request: Request<Body>| {
            dispatch::refuse(wrong, request, wrong_method)
        })
}

fn not_found(request: &Request<Body>) -> Error {
    let path = request.uri().path();
    Error::new(
        Code::EndpointNotFound,
        format!("No endpoint {} {path}. /api/openapi.json lists what is here.", request.method()),
    )
}

fn wrong_method(request: &Request<Body>) -> Error {
    let path = request.uri().path();
    Error::new(Code::BadRequest, format!("The endpoint {path} does not take {}.", request.method()))
        .with_status(StatusCode::METHOD_NOT_ALLOWED.as_u16())
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error_code": self.code().name(), "message": self.message() });
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                http::header::WWW_AUTHENTICATE,
                http::HeaderValue::from_static("Basic realm=\"strongback\""),
            );
        }
        response
    }
}
