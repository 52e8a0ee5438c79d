//! What a request must be before anybody looks at it: addressed to this server, and not driven by a foreign web page.
//!
//! A page on the internet can make a browser send requests to a server on loopback. `Host` stops names that were
//! rebound to 127.0.0.1, `Origin` stops requests from other sites, and asking for JSON stops plain forms.

use axum::body::Body;
use http::{HeaderMap, Request, header, uri::Authority};
use syntax::glob;

use crate::{
    config::Config,
    error::{Code, Error, Result},
};

/// Checks host and origin.
pub fn check(config: &Config, request: &Request<Body>) -> Result<()> {
    let headers = request.headers();
    let host = request
        .uri()
        .host()
        .map(str::to_owned)
        .or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(host_of));
    match &host {
        Some(host) if is_allowed(config, host) => {}
        Some(host) => return Err(refused("Host", host)),
        None => return Err(Error::new(Code::BadRequest, "The request has no Host header that can be read.")),
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("unreadable");
    let from = origin.split_once("://").and_then(|(_, authority)| host_of(authority));
    // Any port: MLflow's own web UI may be developed on another one. A page of the server's own address is no foreign
    // one; `*` is about names of the server, and lets no other site in.
    match from {
        Some(from) if is_named(config, &from) || host.as_deref().is_some_and(|host| same(host, &from)) => {
            Ok(())
        }
        _ => Err(refused("Origin", origin)),
    }
}

/// Whether the body is declared as JSON; parameters such as the charset are allowed.
pub fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn host_of(authority: &str) -> Option<String> {
    authority.parse::<Authority>().ok().map(|authority| authority.host().to_owned())
}

fn is_allowed(config: &Config, host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let fits = |pattern: &String| pattern.contains('*') && glob::fits(&pattern.to_ascii_lowercase(), &bare);
    is_named(config, host) || config.allowed_hosts.value.iter().any(fits)
}

/// Whether a host is loopback, the address that the server listens on, or one that was named.
fn is_named(config: &Config, host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ["localhost", "127.0.0.1", "::1", &config.host.value].iter().any(|ours| same(bare, ours))
        || config.allowed_hosts.value.iter().any(|allowed| same(bare, allowed))
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn refused(header: &str, value: &str) -> Error {
    Error::denied(format!(
        "The {header} {value:?} is not one that this server answers to. If it should, start it with --allowed-hosts."
    ))
}
