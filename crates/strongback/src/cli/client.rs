//! How commands speak to a running server: one address, one token, and errors that say what to do.

use std::time::Duration;

use clap::Args;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{
    auth::Secret,
    error::{Code, Error, Result},
};

/// Where a server is looked for when nobody says.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:5000";
/// The variable that holds the token.
const TOKEN: &str = "STRONGBACK_TOKEN";
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is left as it is in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Which server a command speaks to. The token stands in STRONGBACK_TOKEN.
#[derive(Debug, Clone, Args)]
pub(super) struct Remote {
    /// The server to speak to [default: http://127.0.0.1:5000]; its token stands in STRONGBACK_TOKEN
    #[arg(long, env = "STRONGBACK_URL", value_name = "URL")]
    server: Option<String>,
}

impl Remote {
    /// Whether a server was named.
    pub(super) fn is_named(&self) -> bool {
        self.named().is_some()
    }

    /// A client for it.
    pub(super) fn client(&self) -> Result<Client> {
        Client::new(self.named().unwrap_or(DEFAULT_URL))
    }

    fn named(&self) -> Option<&str> {
        self.server.as_deref().filter(|server| !server.is_empty())
    }
}

/// A client of one server. It blocks.
pub(super) struct Client {
    base: String,
    token: Option<Secret>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    fn new(server: &str) -> Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        let wrong = |why: &str| Error::invalid(format!("The server '{server}' cannot be spoken to: {why}."));
        let url = url::Url::parse(&base).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("the address begins with http:// or https://"));
        }
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty()).map(Secret::from_text);
        if token.is_some() && url.scheme() == "http" && !is_loopback {
            super::printer::talk("warning: the token goes over the network in the clear; use https://");
        }
        let mut builder = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect could carry the token elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(Error::internal)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::internal)?;
        Ok(Self { base, token, http, runtime })
    }

    /// Gets JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.call(Method::GET, path, query, None)
    }

    /// Sends JSON and gets JSON.
    pub(super) fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Json) -> Result<T> {
        self.call(method, path, &[], Some(body))
    }

    /// Gets all pages of a list; `key` is where each page has its entries.
    pub(super) fn list(&self, path: &str, query: &[(&str, &str)], key: &str) -> Result<Vec<Json>> {
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = query.to_vec();
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let mut page: Json = self.get(path, &query)?;
            if let Some(Json::Array(entries)) = page.get_mut(key).map(Json::take) {
                found.extend(entries);
            }
            match page.get("next_page_token").and_then(Json::as_str) {
                Some(next) if !next.is_empty() => next.clone_into(&mut token),
                _ => return Ok(found),
            }
        }
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<T> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base)).map_err(Error::internal)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| self.unreachable(error))?;
            let status = response.status();
            let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
            if status.is_success() {
                return serde_json::from_slice(&bytes)
                    .map_err(|error| self.foreign("an answer that cannot be read").because(error));
            }
            Err(self.refusal(status.as_u16(), &bytes))
        })
    }

    /// The server's own error, with what this command can add.
    fn refusal(&self, status: u16, bytes: &[u8]) -> Error {
        let body: Json = serde_json::from_slice(bytes).unwrap_or_default();
        let (Some(name), Some(message)) = (body["error_code"].as_str(), body["message"].as_str()) else {
            return self.foreign(&format!("status {status} and no error that this command knows"));
        };
        let code = Code::ALL.iter().copied().find(|code| code.name() == name).unwrap_or(Code::BadRequest);
        let mut message = message.to_owned();
        match code {
            Code::Unauthenticated => {
                message = format!("{} needs a token: put one that it knows into {TOKEN}.", self.base);
            }
            Code::EndpointNotFound => {
                message.push_str(" Is it a Strongback server, and not older than this command?");
            }
            _ => {}
        }
        Error::new(code, message)
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let message = if error.is_timeout() && !error.is_connect() {
            format!("{} did not answer within {} s.", self.base, TIMEOUT.as_secs())
        } else {
            format!(
                "No server answers at {}. Start one with `strongback up`, or name another with --server or STRONGBACK_URL.",
                self.base
            )
        };
        Error::unavailable(message).because(error.without_url())
    }

    fn foreign(&self, what: &str) -> Error {
        Error::new(
            Code::BadRequest,
            format!("{} answered with {what}. Is it a Strongback server?", self.base),
        )
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment() {
        assert_eq!(segment("prod.risk"), "prod.risk");
        assert_eq!(segment("a/b?c d"), "a%2Fb%3Fc%20d");
    }

    #[test]
    fn a_server_is_an_http_address() {
        assert!(Client::new("http://127.0.0.1:5000/").is_ok());
        for wrong in ["127.0.0.1:5000", "ftp://host", ""] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_servers_message_is_kept() {
        let client = Client::new(DEFAULT_URL).unwrap();
        let error =
            client.refusal(404, br#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such thing"}"#);
        assert_eq!((error.code(), error.message()), (Code::ResourceDoesNotExist, "no such thing"));
        assert!(client.refusal(502, b"<html>").message().contains("502"));
    }
}
