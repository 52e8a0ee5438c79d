//! What the faces share: bodies of requests, and absolute addresses.

use std::collections::HashSet;

use axum::body::{Body, Bytes};
use futures::stream::BoxStream;
use http::{HeaderName, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::{
    context::Ctx,
    error::Result,
    objects,
    router::{
        PathParams,
        body::{self, Input},
        prefix::Prefix,
        wire,
    },
};

/// What stands as it is in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The body of a request as a stream of bytes.
pub fn body_stream(request: Request<Body>) -> BoxStream<'static, Result<Bytes>> {
    objects::body(request.into_body().into_data_stream())
}

/// A JSON request whose handler also needs the headers: body, query and path values, as in [`wire::parse`]. The
/// clients of these calls may have all fields in the query and no body.
pub async fn read_json<T: DeserializeOwned>(
    ctx: &Ctx,
    params: PathParams,
    request: Request<Body>,
) -> Result<T> {
    wire::parse(&body::read(ctx, params, request).await?, &HashSet::new())
}

/// The fields of a query, for requests whose body is a stream or nothing.
pub fn read_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T> {
    let query = query.unwrap_or_default().to_owned();
    wire::parse(&Input::new(Bytes::new(), query, PathParams::new()), &HashSet::new())
}

/// The value of a path's placeholder.
pub fn param<'p>(params: &'p PathParams, name: &str) -> &'p str {
    params.get(name).map_or("", String::as_str)
}

/// A logical path as it stands in an address.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Scheme, authority and prefix by which the caller reached this server, for absolute addresses. A proxy that ends TLS says so.
pub fn base_url<B>(request: &Request<B>) -> String {
    let text = |name| request.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let https = text(HeaderName::from_static("x-forwarded-proto")) == Some("https");
    let scheme = if https { "https" } else { "http" };
    format!("{scheme}://{}{}", text(header::HOST).unwrap_or("localhost"), Prefix::of(request.extensions()))
}
