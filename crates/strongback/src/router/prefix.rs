//! A path below which everything is answered once more (`--static-prefix`), for a server behind a proxy that passes the path on.
//!
//! What must stay true: a request means the same with the path and without it (but what is below `/mlflow` anyway, where that is the path),
//! and an answer that names an address of this server
//! names it as the request came. Pages link relative to themselves, so they need not know.

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::response::{IntoResponse, Redirect};
use http::{Extensions, Method, Request, Uri, uri::PathAndQuery};
use tower::Service;

use super::{Limits, Policy, Route};

/// Longest path.
const CHARS_MAX: usize = 200;
/// What begins paths of the server's own. `/mlflow` is left out: it is what start scripts say, and is below itself then.
const TAKEN: &[&str] = &[
    ".well-known",
    "ajax-api",
    "api",
    "endpoints",
    "gateway",
    "get-artifact",
    "graphql",
    "health",
    "metrics",
    "model-versions",
    "ready",
    "serving-endpoints",
    "v1",
    "version",
    "why",
];

/// The path: it begins with `/` and does not end with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Arc<str>);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |segment: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            !segment.is_empty() && segment.bytes().all(plain) && !matches!(segment, "." | "..")
        };
        let segments = text.strip_prefix('/').filter(|_| text.len() <= CHARS_MAX);
        if !segments.is_some_and(|segments| segments.split('/').all(is_plain)) {
            return Err(format!(
                "it must be a path such as /mlflow or /team/tracking: it begins with / and does not end with one, has letters, digits, \
                 - . _ ~ between them, and at most {CHARS_MAX} characters."
            ));
        }
        let prefix = Self(text.into());
        if prefix.first() == "mlflow" && text != "/mlflow" {
            return Err(
                "below /mlflow are the paths of MLflow's pages. Take /mlflow itself, or another.".to_owned()
            );
        }
        match TAKEN.iter().find(|taken| **taken == prefix.first()) {
            Some(taken) => Err(format!("/{taken} is where the server's own paths begin. Take another.")),
            None => Ok(prefix),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// The path by which a request came that is answered now; empty where it came by none.
    pub fn of(extensions: &Extensions) -> &str {
        extensions.get::<Self>().map_or("", |prefix| &prefix.0)
    }

    fn first(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// Leads from the path itself to the front page below it. `/mlflow` does so anyway.
    pub(super) fn route(&self) -> Option<Route> {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        let target = format!("{last}/");
        let to = move |_, _, _| std::future::ready(Ok(Redirect::permanent(&target).into_response()));
        let route = Route::raw(Method::GET, "/", Policy::Public, Limits::SMALL, "To the front page", to);
        (&*self.0 != "/mlflow").then(|| Route { path: Cow::Owned(self.0.to_string()), ..route })
    }

    /// The request as it would be without the path.
    fn strip<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(uri) = self.without(request.uri()) {
            *request.uri_mut() = uri;
            request.extensions_mut().insert(self.clone());
        }
        request
    }

    fn without(&self, uri: &Uri) -> Option<Uri> {
        let rest =
            uri.path_and_query()?.as_str().strip_prefix(&*self.0).filter(|rest| rest.starts_with('/'))?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_str(rest).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Where every request comes in.
#[derive(Clone)]
pub(super) struct Entry {
    pub router: axum::Router,
    pub prefix: Option<Prefix>,
}

impl<B> Service<Request<B>> for Entry
where
    axum::Router: Service<Request<B>, Error = Infallible>,
{
    type Response = <axum::Router as Service<Request<B>>>::Response;
    type Error = Infallible;
    type Future = <axum::Router as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.router.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.call(match &self.prefix {
            Some(prefix) => prefix.strip(request),
            None => request,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_off_whole_or_not_at_all() {
        let prefix: Prefix = "/team/x".parse().unwrap();
        for (given, left) in [
            ("/team/x/", Some("/")),
            ("/team/x/api/2.0/y?a=b%2F", Some("/api/2.0/y?a=b%2F")),
            ("http://host/team/x/ready", Some("http://host/ready")),
            ("/team/x/team/x/ready", Some("/team/x/ready")),
            ("/team/x", None),
            ("/team/xy/ready", None),
            ("/team/x?a=/", None),
            ("/ready", None),
        ] {
            let found = prefix.without(&given.parse().unwrap());
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), left, "{given}");
        }
    }

    #[test]
    fn what_is_no_path_or_taken_is_refused() {
        for wrong in
            ["", "/", "x", "/x/", "//x", "/x//y", "/a b", "/%41", "/ä", "/..", "/x/../y", "/x?y", "/x#y"]
        {
            assert!(wrong.parse::<Prefix>().is_err_and(|why| why.contains("/mlflow")), "{wrong:?}");
        }
        assert!(format!("/{}", "x".repeat(CHARS_MAX)).parse::<Prefix>().is_err());
        assert!("/mlflow/version".parse::<Prefix>().is_err_and(|why| why.contains("/mlflow itself")));
        assert!("/api/x".parse::<Prefix>().is_err_and(|why| why.contains("Take another")));
        for right in ["/mlflow", "/a/b.c/d-e_f~g"] {
            assert_eq!(right.parse::<Prefix>().unwrap().to_string(), right);
        }
    }

    #[test]
    fn what_is_taken_is_what_paths_begin_with() {
        let mut first: Vec<String> = crate::router::table()
            .iter()
            .filter_map(|route| route.path.split('/').nth(1).map(str::to_owned))
            .filter(|first| !first.is_empty() && first != "mlflow")
            .collect();
        first.sort();
        first.dedup();
        assert_eq!(first, TAKEN);
    }
}
