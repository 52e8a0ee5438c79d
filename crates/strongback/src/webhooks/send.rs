//! One request to a webhook: MLflow's headers and signature, and what became of it.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use http::{StatusCode, header};
use sha2::Sha256;

use super::webhook::Webhook;
use crate::{
    auth::Secret,
    context::App,
    error::{Error, Result},
    outbound, time,
};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// What became of a request.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The beginning of the answer's body.
    pub answer: Option<String>,
    /// Why it counts as not delivered; none where it was.
    pub error: Option<String>,
    /// Whether it may be otherwise later.
    pub may_retry: bool,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// Nothing was sent, and nothing will be.
    pub fn refused(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// `v1,` and the HMAC-SHA256 over id, time and body, as MLflow signs.
pub(super) fn sign(secret: &Secret, id: &str, seconds: i64, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).map_err(Error::internal)?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

/// Sends a body under a delivery's id. An error is ours; whatever the receiver does is an outcome.
pub(super) async fn send(app: &App, hook: &Webhook, id: &str, body: String) -> Result<Outcome> {
    let url = match app.outbound.target(&hook.url) {
        Ok(url) => url,
        Err(why) => return Ok(Outcome::refused(format!("The webhook's URL {why}"))),
    };
    let seconds = time::now_ms() / 1_000;
    let mut request = app
        .outbound
        .client(&url)?
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("X-MLflow-Delivery-Id", id)
        .header("X-MLflow-Timestamp", seconds.to_string());
    if let Some(sealed) = &hook.secret {
        let Some(secret) = app.sealer.open(&hook.uuid, sealed) else {
            return Ok(Outcome::refused(
                "The webhook's secret was sealed with another key than the one in this data directory (keys/secrets.key). Set the \
                 secret again.",
            ));
        };
        request = request.header("X-MLflow-Signature", sign(&secret, id, seconds, &body)?);
    }
    Ok(match request.body(body).send().await {
        Ok(answer) => judge(answer).await,
        Err(error) => {
            let (cause, refused) = outbound::cause(error);
            match refused {
                Some(why) => Outcome {
                    may_retry: !why.is_final(),
                    ..Outcome::refused(format!("The webhook's URL {why}"))
                },
                None => Outcome { may_retry: true, ..Outcome::refused(format!("No answer: {cause}.")) },
            }
        }
    })
}

async fn judge(mut answer: reqwest::Response) -> Outcome {
    let status = answer.status();
    let retry_after =
        answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let error = match status {
        _ if status.is_success() => None,
        _ if status.is_redirection() => {
            Some(format!("It answered {status}: redirects are not followed. Name the place itself."))
        }
        _ => Some(format!("It answered {status}.")),
    };
    // MLflow's list.
    let may_retry = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let mut body = Vec::new();
    // How the rest of an answer fares changes nothing of what its status said.
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Outcome {
        status: Some(status.as_u16()),
        answer: Some(String::from_utf8_lossy(&body).into_owned()),
        error,
        may_retry,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with MLflow 3.17's `_generate_hmac_signature("hush", "id-1", "1700000000", '{"a":"ü"}')`.
    #[test]
    fn a_signature_is_mlflows() {
        let signed = sign(&Secret::from_text("hush".into()), "id-1", 1_700_000_000, "{\"a\":\"ü\"}").unwrap();
        assert_eq!(signed, "v1,DQok1MKoLsp4LHwbhOgWhYogo76or9spK3wXrlDC54g=");
    }
}
