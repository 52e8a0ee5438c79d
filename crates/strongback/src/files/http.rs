//! What the faces share: bodies of requests, and absolute addresses.

use std::collections::HashSet;

use axum::body::{Body, Bytes};
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use crate::{
    error::Result,
    objects,
    router::{Limits, PathParams, wire},
};

/// Bytes of a JSON body at most where the route takes streams too: ten thousand parts with their addresses.
const JSON_BYTES_MAX: usize = 8 << 20;

/// What stands as it is in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The body of a request as a stream of bytes.
pub fn body_stream(request: Request<Body>) -> BoxStream<'static, Result<Bytes>> {
    objects::body(request.into_body().into_data_stream())
}

/// A JSON request whose handler also needs the headers: body, query and path values, as in [`wire::parse`]. The
/// clients of these calls may have all fields in the query and no body.
pub async fn read_json<T: DeserializeOwned>(params: PathParams, request: Request<Body>) -> Result<T> {
    let limits = request.extensions().get::<Limits>();
    let most = limits.and_then(|limits| limits.body).unwrap_or(JSON_BYTES_MAX);
    wire::parse(&wire::read_input(request, params, most).await?, &HashSet::new())
}

/// The fields of a query, for requests whose body is a stream or nothing.
pub fn read_query<T: DeserializeOwned>(query: Option<&str>) -> Result<T> {
    let query = query.unwrap_or_default().to_owned();
    let input = wire::Input { body: Bytes::new(), query, params: PathParams::new() };
    wire::parse(&input, &HashSet::new())
}

/// The value of a path's placeholder.
pub fn param<'p>(params: &'p PathParams, name: &str) -> &'p str {
    params.get(name).map_or("", String::as_str)
}

/// A logical path as it stands in an address.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Scheme and authority by which the caller reached this server, for absolute addresses.
pub fn base_url(headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let https = text(HeaderName::from_static("x-forwarded-proto")) == Some("https");
    let scheme = if https { "https" } else { "http" };
    format!("{scheme}://{}", text(header::HOST).unwrap_or("localhost"))
}
