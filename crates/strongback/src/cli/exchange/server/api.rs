//! Calls of a server of MLflow: one address, one login, answers within bounds.
//!
//! What must stay true: the login goes to that server and nowhere else, and is in no message; so many calls are under way at once;
//! an answer that is too long is an error before it is held.

use std::{
    io::{Seek, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::sync::Semaphore;

use super::super::super::printer;
use crate::{
    auth::Secret,
    error::{Code, Error, Result},
    tracking::limits::cut,
};

/// Calls that are under way at once.
pub(super) const CALLS_MAX: usize = 8;

/// Bytes of an answer that is held.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Bytes of an answer that says what went wrong.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Times that a call is tried.
const TRIES: u32 = 6;

/// The first wait before a call is tried again; each further one is twice as long.
const WAIT: Duration = Duration::from_millis(500);

/// The longest wait that a server may ask for.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be silent. A search over many runs takes MLflow's server minutes.
const SILENCE_MAX: Duration = Duration::from_mins(10);

/// MLflow's own variables.
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const USERNAME: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";
const INSECURE_TLS: &str = "MLFLOW_TRACKING_INSECURE_TLS";
const CERTIFICATES: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";

/// A server.
pub(super) struct Api {
    /// Without a login, a question and a slash at the end.
    base: String,
    http: reqwest::Client,
    login: Login,
    calls: Semaphore,
    /// Whether it ever answered. One that never did is not waited for.
    has_answered: AtomicBool,
    /// Whether the last try found nobody at the address.
    is_gone: AtomicBool,
}

enum Login {
    Nobody,
    Password(String, Secret),
    Token(Secret),
}

/// What is asked.
pub(super) struct Call {
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Json>,
}

impl Call {
    pub(super) fn get(path: impl Into<String>, query: Vec<(&'static str, String)>) -> Self {
        Self { path: path.into(), query, body: None }
    }

    pub(super) fn post(path: &str, body: Json) -> Self {
        Self { path: path.to_owned(), query: Vec::new(), body: Some(body) }
    }
}

/// Why a try brought nothing.
enum Miss {
    /// The same may work later.
    Later(Error, Option<Duration>),
    Never(Error),
}

impl Api {
    /// The server at an address. `variable` reads MLflow's variables.
    pub(super) fn new(address: &str, variable: impl Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let wrong = |why: String| Error::invalid(format!("This is no address of a server of MLflow: {why}"));
        let mut url = url::Url::parse(address).map_err(|error| wrong(format!("{error}.")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(
                "it begins with http:// or https://, as http://127.0.0.1:5000 does.".to_owned(),
            ));
        }
        let read = |name: &str| Ok::<_, Error>(variable(name)?.filter(|text| !text.is_empty()));
        if read(INSECURE_TLS)?
            .is_some_and(|text| !matches!(text.to_ascii_lowercase().as_str(), "false" | "0"))
        {
            return Err(Error::invalid(format!(
                "{INSECURE_TLS} is set, and a certificate that nobody checks is not taken here. Unset it, and name the \
                 certificate in {CERTIFICATES}."
            )));
        }
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = match (read(USERNAME)?, read(PASSWORD)?, read(TOKEN)?) {
            _ if !url.username().is_empty() => Login::Password(
                decoded(url.username()),
                Secret::from_text(decoded(url.password().unwrap_or_default())),
            ),
            (Some(name), Some(password), _) => Login::Password(name, Secret::from_text(password)),
            (_, _, Some(token)) => Login::Token(Secret::from_text(token)),
            _ => Login::Nobody,
        };
        let (_, _) = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.set_fragment(None);
        let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() == "http" && !is_loopback && !matches!(login, Login::Nobody) {
            printer::talk("warning: the login goes over the network in the clear; use https://");
        }
        let mut builder = reqwest::Client::builder()
            .read_timeout(SILENCE_MAX)
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect could carry the login elsewhere.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback {
            builder = builder.no_proxy();
        }
        if let Some(path) = read(CERTIFICATES)? {
            let wrong = |why: String| {
                Error::invalid(format!("{CERTIFICATES} names '{path}', which cannot be used: {why}."))
            };
            let text = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            base: url.as_str().trim_end_matches('/').to_owned(),
            http: builder.build().map_err(Error::internal)?,
            login,
            calls: Semaphore::new(CALLS_MAX),
            has_answered: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
        })
    }

    /// The server's address, without a login.
    pub(super) fn address(&self) -> &str {
        &self.base
    }

    /// Whether the server is not there any more: then no other call brings anything.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// The answer to a call; none where the server has no such route or thing.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<Option<T>> {
        let Some(bytes) = self.bytes(call).await? else { return Ok(None) };
        let read =
            serde_json::from_slice(&bytes).or_else(|_| serde_json::from_slice(&without_bare_words(&bytes)));
        read.map(Some).map_err(|error| self.odd(call, "an answer that cannot be read").because(error))
    }

    /// The bytes of an answer; none where the server has no such route or thing.
    pub(super) async fn bytes(&self, call: &Call) -> Result<Option<Vec<u8>>> {
        self.again(|| async {
            let Some(answer) = self.accepted(call).await? else { return Ok(None) };
            self.held(call, answer, ANSWER_BYTES_MAX).await.map(Some)
        })
        .await
    }

    /// Writes an answer into a file.
    pub(super) async fn download(&self, call: &Call, into: &mut std::fs::File) -> Result<()> {
        let into = &*into;
        let found = self
            .again(|| async {
                let unwritten =
                    |error| Miss::Never(Error::invalid(format!("The file cannot be written: {error}.")));
                let mut file = into;
                file.set_len(0).and_then(|()| file.rewind()).map_err(unwritten)?;
                let Some(mut answer) = self.accepted(call).await? else { return Ok(None) };
                while let Some(bytes) = answer.chunk().await.map_err(|error| self.lost(error))? {
                    file.write_all(&bytes).map_err(unwritten)?;
                }
                Ok(Some(()))
            })
            .await?;
        found.ok_or_else(|| Error::missing(format!("{} has no file at {}.", self.base, call.path)))
    }

    /// Tries until something comes of it.
    async fn again<T, F: Future<Output = std::result::Result<T, Miss>>>(
        &self,
        once: impl Fn() -> F,
    ) -> Result<T> {
        let _turn = self.calls.acquire().await.map_err(Error::internal)?;
        let mut wait = WAIT;
        for _ in 1..TRIES {
            match once().await {
                Ok(found) => return Ok(found),
                Err(Miss::Never(error)) => return Err(error),
                Err(Miss::Later(error, _)) if !self.has_answered.load(Ordering::Relaxed) => {
                    return Err(error);
                }
                Err(Miss::Later(_, asked)) => {
                    tokio::time::sleep(asked.unwrap_or(wait).min(WAIT_MAX)).await;
                    wait *= 2;
                }
            }
        }
        match once().await {
            Ok(found) => Ok(found),
            Err(Miss::Never(error)) => Err(error),
            Err(Miss::Later(error, _)) => {
                self.is_gone.store(!self.is_alive().await, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// Whether the server answers at all: it, and not a proxy that says that it does not.
    async fn is_alive(&self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(10);
        let asked = self.http.get(format!("{}/health", self.base)).timeout(PATIENCE).send().await;
        let away = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        asked.is_ok_and(|answer| !away.contains(&answer.status()))
    }

    async fn accepted(&self, call: &Call) -> std::result::Result<Option<reqwest::Response>, Miss> {
        let mut url = url::Url::parse(&format!("{}{}", self.base, call.path))
            .map_err(|error| Miss::Never(Error::internal(error)))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let method = if call.body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.http.request(method, url);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        request = match &self.login {
            Login::Nobody => request,
            Login::Password(name, password) => request.basic_auth(name, Some(password.reveal())),
            Login::Token(token) => request.bearer_auth(token.reveal()),
        };
        let answer = request.send().await.map_err(|error| self.lost(error))?;
        let is_first = !self.has_answered.swap(true, Ordering::Relaxed);
        match answer.status() {
            status if status.is_success() => Ok(Some(answer)),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
            status => Err(self.refused(call, status, answer, is_first).await),
        }
    }

    async fn held(
        &self,
        call: &Call,
        mut answer: reqwest::Response,
        bytes_max: usize,
    ) -> std::result::Result<Vec<u8>, Miss> {
        let mut bytes = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|error| self.lost(error))? {
            if bytes.len() + more.len() > bytes_max {
                return Err(Miss::Never(self.odd(call, &format!("more than {bytes_max} bytes"))));
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    async fn refused(
        &self,
        call: &Call,
        status: StatusCode,
        answer: reqwest::Response,
        is_first: bool,
    ) -> Miss {
        let wait =
            answer.headers().get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.parse().ok());
        let target =
            answer.headers().get(header::LOCATION).and_then(|target| without_login(target.to_str().ok()?));
        let bytes = self.held(call, answer, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        if status.is_redirection() {
            let target = target.unwrap_or_default();
            return Miss::Never(Error::invalid(format!(
                "{} redirects to '{}', which is not followed, so that no login goes elsewhere. Name the address that it \
                 redirects to.",
                self.base,
                cut(&target, 300)
            )));
        }
        let said: Json = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = said["message"].as_str().unwrap_or(&text).trim();
        let said = format!("{} answered {} to {}: {}", self.base, status.as_u16(), call.path, cut(said, 300));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Miss::Never(Error::new(
                Code::PermissionDenied,
                format!(
                    "{said} A login that may read everything stands in {USERNAME} and {PASSWORD}, or in {TOKEN}{}.",
                    if matches!(self.login, Login::Nobody) { "; none is set" } else { "" }
                ),
            )),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let error = Error::unavailable(format!("{said} Try again later; what has come stays."));
                // A server that serves no files says so with this status.
                if text.contains("--no-serve-artifacts") {
                    Miss::Never(error)
                } else {
                    Miss::Later(error, wait.map(Duration::from_secs))
                }
            }
            _ if is_first => Miss::Never(Error::unavailable(format!("{said} Is it a server of MLflow?"))),
            _ => Miss::Never(Error::unavailable(said)),
        }
    }

    fn lost(&self, error: reqwest::Error) -> Miss {
        let message = if error.is_timeout() && !error.is_connect() {
            format!("{} was silent for {} s.", self.base, SILENCE_MAX.as_secs())
        } else if error.is_connect() && self.has_answered.load(Ordering::Relaxed) {
            format!("{} does not answer any more. Start it and try again; what has come stays.", self.base)
        } else if error.is_connect() {
            format!(
                "No server answers at {}. Start it, or name its address as MLFLOW_TRACKING_URI has it.",
                self.base
            )
        } else {
            format!("The answer of {} broke off. Try again; what has come stays.", self.base)
        };
        Miss::Later(Error::unavailable(message).because(error.without_url()), None)
    }

    fn odd(&self, call: &Call, what: &str) -> Error {
        Error::unavailable(format!(
            "{} answered {} with {what}. Is it a server of MLflow?",
            self.base, call.path
        ))
    }
}

/// An address without what tells who asks.
fn without_login(address: &str) -> Option<String> {
    let Ok(mut url) = url::Url::parse(address) else { return Some(address.split('?').next()?.to_owned()) };
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    url.set_query(None);
    Some(url.into())
}

/// JSON in which numbers that JSON does not have stand as texts: Python writes `NaN` and `Infinity` bare.
fn without_bare_words(bytes: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut is_text = false;
    while let Some((first, after)) = rest.split_first() {
        let word = ["NaN", "Infinity", "-Infinity"]
            .iter()
            .find(|word| !is_text && rest.starts_with(word.as_bytes()));
        if let Some(word) = word {
            made.extend_from_slice(format!("\"{word}\"").as_bytes());
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        made.push(*first);
        rest = after;
        match first {
            b'"' => is_text = !is_text,
            b'\\' if is_text => {
                if let Some((escaped, after)) = rest.split_first() {
                    made.push(*escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_become_texts() {
        let text = br#"{"a":NaN,"b":[-Infinity,Infinity,-1],"c":"NaN \" NaN \\","d":NaN}"#;
        let json: Json = serde_json::from_slice(&without_bare_words(text)).unwrap();
        let expect = serde_json::json!(
            {"a": "NaN", "b": ["-Infinity", "Infinity", -1], "c": "NaN \" NaN \\", "d": "NaN"}
        );
        assert_eq!(json, expect);
        assert_eq!(without_bare_words(b"\"\\"), b"\"\\");
    }

    #[test]
    fn an_address_is_kept_without_its_login() {
        let api = Api::new("https://ann:s%20ecret@host/mlflow/?a=b#c", |_| Ok(None)).unwrap();
        assert_eq!(api.address(), "https://host/mlflow");
        assert!(
            matches!(&api.login, Login::Password(name, word) if name == "ann" && word.reveal() == "s ecret")
        );
        for wrong in ["host:5000", "ftp://host", "http://", "", "/path", "http://a b"] {
            assert!(Api::new(wrong, |_| Ok(None)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mlflows_variables_are_the_login() {
        let with = |set: &[(&str, &str)]| {
            let found =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            Api::new("http://127.0.0.1:1", |name| Ok(found(name)))
        };
        assert!(matches!(with(&[(TOKEN, "t")]).unwrap().login, Login::Token(_)));
        let all = [(TOKEN, "t"), (USERNAME, "u"), (PASSWORD, "p"), (INSECURE_TLS, "false")];
        assert!(matches!(with(&all).unwrap().login, Login::Password(..)));
        assert!(matches!(with(&[(USERNAME, "u"), (PASSWORD, "")]).unwrap().login, Login::Nobody));
        assert!(with(&[(INSECURE_TLS, "true")]).is_err_and(|error| error.message().contains(CERTIFICATES)));
        assert!(with(&[(CERTIFICATES, "/absent")]).is_err());
    }
}
