//! What a person sees instead of JSON when a browser is refused: the same status, code and words, as a page.
//!
//! Only a browser that goes to an address says that it takes HTML; clients and the scripts of MLflow's pages do not,
//! and get the protocol's own error.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use maud::{Markup, html};

use super::home;
use crate::error::Error;

/// The page that a person waits for.
pub(crate) struct Page {
    /// The way from it to the front page.
    front: String,
}

impl Page {
    /// What a request would get, if a person is waiting for its answer.
    pub fn wanted(request: &Request<Body>) -> Option<Self> {
        let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let is_wanted =
            request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"));
        is_wanted.then(|| Self { front: home::front(request.uri().path()) })
    }

    /// The error as a page; status and headers are those of the error as JSON.
    pub fn draw(&self, error: Error) -> Response {
        let drawn = home::send(draw(&error, &self.front));
        let (mut parts, _) = error.into_response().into_parts();
        let (page, body) = drawn.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.extend(page.headers);
        parts.headers.insert(header::VARY, HeaderValue::from_static("accept"));
        Response::from_parts(parts, body)
    }
}

fn draw(error: &Error, front: &str) -> Markup {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = match status {
        StatusCode::UNAUTHORIZED => "Who are you?",
        StatusCode::FORBIDDEN => "Not for you",
        StatusCode::NOT_FOUND => "Nothing here",
        _ if error.is_ours() => "That did not work",
        _ => "That cannot be answered",
    };
    let body = html! {
        main.refusal #main {
            section {
                h2 { (title) }
                @if status == StatusCode::UNAUTHORIZED {
                    p {
                        "Load the page again and sign in: the user is your principal's name, the password is its token."
                    }
                    p { "An administrator makes one where the server runs:" }
                    pre { "strongback token create --principal you@example.com" }
                    p.quiet { (error.message()) }
                } @else {
                    p { (error.message()) }
                    p { a href=(front) { "What is here" } }
                }
            }
            footer { (status.as_u16()) " " (error.code().name()) }
        }
    };
    home::layout(front, &format!("{title} – Strongback"), "", &html! {}, &body)
}
