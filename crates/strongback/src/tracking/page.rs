//! Tokens that continue a search.
//!
//! A token holds the place after which the next page begins (an anchor, not a count), and a digest of the question:
//! what comes in between two pages shifts nothing, and a token does not continue another search.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What a token is bound to: everything of the request that decides which results there are and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question(u64);

impl Question {
    /// Of the parts of a request.
    pub fn of(parts: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(parts).map_err(Error::internal)?;
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        Ok(Self(u64::from_le_bytes(head)))
    }
}

/// Makes the token of the page after `anchor`.
pub fn token(question: Question, anchor: &impl Serialize) -> Result<String> {
    let body = serde_json::to_vec(&(1_u8, question.0, anchor)).map_err(Error::internal)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(body))
}

/// Reads a token that the client gave back; none and empty are the first page.
pub fn anchor<T: DeserializeOwned>(question: Question, token: Option<&str>) -> Result<Option<T>> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let refused = || {
        Error::invalid(
            "Invalid value for parameter 'page_token' supplied: it was not made by this server for this search. \
             Repeat the search without it.",
        )
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    match serde_json::from_slice::<(u8, u64, T)>(&bytes) {
        Ok((1, bound, anchor)) if bound == question.0 => Ok(Some(anchor)),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_continues_its_own_search_only() {
        let question = Question::of(&("metrics.auc > 0.5", ["1"])).unwrap();
        let made = token(question, &(0.5, "a")).unwrap();
        assert_eq!(anchor::<(f64, String)>(question, Some(&made)).unwrap(), Some((0.5, "a".into())));
        assert_eq!(anchor::<(f64, String)>(question, Some("")).unwrap(), None);
        let other = Question::of(&("metrics.auc > 0.6", ["1"])).unwrap();
        for bad in [made.as_str(), "###", "e30"] {
            assert!(anchor::<(f64, String)>(other, Some(bad)).unwrap_err().message().contains("page_token"));
        }
    }
}
