//! How commands speak to a running server: one address, one token, and errors that say what to do.

use std::time::Duration;

use clap::Args;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{
    auth::Secret,
    config::read_variable,
    error::{Code, Error, Result},
    events::key,
    ops,
};

/// Where a server is looked for when nobody says.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:5000";
/// The variable that names the server.
const URL: &str = "STRONGBACK_URL";
/// The variable that holds the token.
const TOKEN: &str = "STRONGBACK_TOKEN";
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How long a call may take that moves files or computes.
const LONG: Duration = Duration::from_hours(6);
/// Bytes of a file that are sent at a time.
const BLOCK: usize = 256 << 10;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is left as it is in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Which server a command speaks to. The token stands in STRONGBACK_TOKEN.
#[derive(Debug, Clone, Args)]
pub(super) struct Remote {
    /// The server to speak to, with the token in STRONGBACK_TOKEN [env: STRONGBACK_URL] [default: http://127.0.0.1:5000]
    #[arg(long, value_name = "URL", help_heading = "Server")]
    server: Option<String>,
}

impl Remote {
    /// Whether the command itself names a server.
    pub(super) fn is_asked_for(&self) -> bool {
        self.server.is_some()
    }

    /// Whether a server was named.
    pub(super) fn is_named(&self) -> Result<bool> {
        Ok(self.named()?.is_some())
    }

    /// A client for it.
    pub(super) fn client(&self) -> Result<Client> {
        Client::new(self.named()?.as_deref().unwrap_or(DEFAULT_URL))
    }

    /// Read here and not by the parser, whose usage lines would ask for the flag once the variable is set.
    fn named(&self) -> Result<Option<String>> {
        let said = match &self.server {
            Some(server) => Some(server.clone()),
            None => read_variable(URL)?,
        };
        Ok(said.filter(|server| !server.is_empty()))
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
    /// A client of the server at an address, with the token of the environment.
    pub(super) fn new(server: &str) -> Result<Self> {
        let token = read_variable(TOKEN)?.filter(|token| !token.is_empty()).map(Secret::from_text);
        Self::with_token(server, token)
    }

    /// A client that asks what anybody may ask.
    pub(super) fn without_token(server: &str) -> Result<Self> {
        Self::with_token(server, None)
    }

    fn with_token(server: &str, token: Option<Secret>) -> Result<Self> {
        let base = server.trim_end_matches('/').to_owned();
        let wrong = |why: &str| Error::invalid(format!("'{server}' is no address of a server: {why}"));
        if !["http://", "https://"].iter().any(|scheme| base.starts_with(scheme)) {
            return Err(wrong(&format!("it begins with http:// or https://, as {DEFAULT_URL} does.")));
        }
        let url = url::Url::parse(&base).map_err(|error| wrong(&format!("{error}.")))?;
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
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

    /// The server's address.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// Whether anything listens there, asked without a wait.
    pub(super) fn answers(&self) -> bool {
        let request = self.http.get(format!("{}/health", self.base)).timeout(CONNECT_TIMEOUT);
        self.runtime.block_on(async { request.send().await.is_ok_and(|answer| answer.status().is_success()) })
    }

    /// Whether what listens there has the key of a data directory. It is asked without the token.
    pub(super) fn has_key(&self, signing_key: &ed25519_dalek::SigningKey) -> bool {
        let challenge = hex::encode(rand::random::<[u8; key::CHALLENGE]>());
        let request = self.http.get(format!("{}/health", self.base)).timeout(CONNECT_TIMEOUT);
        let request = request.header(ops::CHALLENGE, &challenge);
        // A request looks for its runtime as soon as it is sent, which is inside.
        let Ok(answer) = self.runtime.block_on(async { request.send().await }) else { return false };
        let proof = answer.headers().get(ops::PROOF).and_then(|proof| proof.to_str().ok());
        proof.is_some() && proof == key::prove(signing_key, &challenge).as_deref()
    }

    /// Gets JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T> {
        self.call(Method::GET, path, query, None)
    }

    /// Sends JSON and gets JSON.
    pub(super) fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Json) -> Result<T> {
        self.call(method, path, &[], Some(body))
    }

    /// Sends a search and gets its pages until there are `most` results, or no more; `key` is where each page has them.
    pub(super) fn search(&self, path: &str, body: &Json, most: usize, key: &str) -> Result<Vec<Json>> {
        let mut found = Vec::new();
        let mut body = body.clone();
        loop {
            body["max_results"] = (most - found.len()).into();
            let mut page: Json = self.send(Method::POST, path, &body)?;
            if let Some(Json::Array(results)) = page.get_mut(key).map(Json::take) {
                found.extend(results.into_iter().take(most - found.len()));
            }
            match page.get_mut("next_page_token").map(Json::take) {
                Some(Json::String(next)) if !next.is_empty() && found.len() < most => {
                    body["page_token"] = next.into();
                }
                _ => return Ok(found),
            }
        }
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
        self.runtime.block_on(self.ask(method, path, query, body))
    }

    /// Runs something that awaits calls of this client.
    pub(super) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The same as [`Self::send`], for those who do something else meanwhile.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Json) -> Result<T> {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<T> {
        let mut request = self.request(method, path, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.accepted(request).await?;
        self.read(response).await
    }

    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> Result<T> {
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| self.foreign("an answer that cannot be read").because(error))
    }

    /// Sends a text of some content type and gets JSON, and the request's id, by which it can be asked about.
    pub(super) fn send_named<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Result<(T, String)> {
        let request = self.request(Method::POST, path, &[])?.timeout(LONG);
        let request = request.header(http::header::CONTENT_TYPE, content_type).body(body);
        self.runtime.block_on(async {
            let response = self.accepted(request).await?;
            let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
            let id = id.unwrap_or_default().to_owned();
            Ok((self.read(response).await?, id))
        })
    }

    /// Sends JSON and gets JSON, for what may take long.
    pub(super) fn send_long<T: DeserializeOwned>(&self, path: &str, body: &Json) -> Result<T> {
        let mut text = Vec::new();
        self.stream(path, body, &mut text)?;
        serde_json::from_slice(&text)
            .map_err(|error| self.foreign("an answer that cannot be read").because(error))
    }

    /// Sends JSON and passes what comes on as it comes. What breaks off is an error.
    pub(super) fn stream(&self, path: &str, body: &Json, out: &mut dyn std::io::Write) -> Result<()> {
        let request = self.request(Method::POST, path, &[])?.timeout(LONG).json(body);
        self.pass_on(request, |bytes| {
            if let Err(error) = out.write_all(bytes) {
                super::printer::unwritable(&error);
            }
            Ok(())
        })
    }

    /// Gets bytes and writes them into a file as they come. What breaks off is an error.
    pub(super) fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
        file: &mut std::fs::File,
    ) -> Result<()> {
        let request = self.request(Method::GET, path, query)?.timeout(LONG);
        self.pass_on(request, |bytes| {
            std::io::Write::write_all(file, bytes)
                .map_err(|error| Error::invalid(format!("The file cannot be written: {error}.")))
        })
    }

    fn pass_on(
        &self,
        request: reqwest::RequestBuilder,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut response = self.accepted(request).await?;
            while let Some(bytes) = response.chunk().await.map_err(|error| self.broke_off(error))? {
                take(&bytes)?;
            }
            Ok(())
        })
    }

    /// Sends a file and gets JSON. `progress` is told how many bytes went.
    pub(super) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        file: std::fs::File,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<T> {
        let size = file.metadata().map_err(Error::internal)?.len();
        let request = self.request(Method::PUT, path, query)?.timeout(LONG);
        self.runtime.block_on(async {
            let blocks =
                futures::stream::unfold((tokio::fs::File::from_std(file), 0), move |(mut file, sent)| {
                    progress(sent);
                    async move {
                        let mut block = bytes::BytesMut::with_capacity(BLOCK);
                        match tokio::io::AsyncReadExt::read_buf(&mut file, &mut block).await {
                            Ok(0) => None,
                            Ok(read) => Some((Ok(block.freeze()), (file, sent + read as u64))),
                            Err(error) => Some((Err(error), (file, sent))),
                        }
                    }
                });
            let body = reqwest::Body::wrap_stream(blocks);
            let request = request.header(http::header::CONTENT_LENGTH, size).body(body);
            let response = self.accepted(request).await?;
            self.read(response).await
        })
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Result<reqwest::RequestBuilder> {
        let mut url = url::Url::parse(&format!("{}{path}", self.base)).map_err(Error::internal)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        })
    }

    /// The answer to a request, unless it was refused.
    async fn accepted(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let request_id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let request_id = request_id.unwrap_or_default().to_owned();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(error))?;
        Err(self.refusal(status.as_u16(), &bytes, &request_id))
    }

    fn broke_off(&self, error: reqwest::Error) -> Error {
        let message = format!(
            "The answer of {} broke off before its end, so what came is a part only. The server's log says why.",
            self.base
        );
        Error::unavailable(message).because(error.without_url())
    }

    /// The server's own error, with what this command can add.
    fn refusal(&self, status: u16, bytes: &[u8], request_id: &str) -> Error {
        let body: Json = serde_json::from_slice(bytes).unwrap_or_default();
        let (Some(name), Some(message)) = (body["error_code"].as_str(), body["message"].as_str()) else {
            return self.foreign(&format!("status {status} and no error that this command knows"));
        };
        let code = Code::ALL.iter().copied().find(|code| code.name() == name).unwrap_or(Code::BadRequest);
        let mut message = message.to_owned();
        match code {
            Code::Unauthenticated => {
                let (what, remedy) = match self.token {
                    None => ("asks for a token", "put one into"),
                    Some(_) => ("does not know this token, or it has ended", "put another into"),
                };
                message = format!(
                    "{} {what}: {remedy} {TOKEN}. An administrator makes one: strongback token create --principal NAME. \
                     The very first is made while the server is stopped: strongback token create --principal NAME --admin --data-dir DIR",
                    self.base
                );
            }
            Code::InternalError => message = format!("{message} The request's id is {request_id}."),
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
            let hint = if self.base.starts_with("https:") {
                " If it serves without TLS, write http://."
            } else {
                ""
            };
            format!(
                "No server answers at {}. Start one with `strongback up`, or name another with --server or {URL}.{hint}",
                self.base
            )
        };
        Error::unavailable(message).because(error.without_url())
    }

    fn foreign(&self, what: &str) -> Error {
        Error::unavailable(format!("{} answered with {what}. Is it a Strongback server?", self.base))
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
        for wrong in ["127.0.0.1:5000", "localhost:5000", "ftp://host", "http://", ""] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_servers_message_is_kept() {
        let client = Client::new(DEFAULT_URL).unwrap();
        let error =
            client.refusal(404, br#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such thing"}"#, "");
        assert_eq!((error.code(), error.message()), (Code::ResourceDoesNotExist, "no such thing"));
        assert!(client.refusal(502, b"<html>", "").message().contains("502"));
    }
}
