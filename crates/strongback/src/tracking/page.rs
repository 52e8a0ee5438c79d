//! Tokens that continue a search.
//!
//! A token holds the place after which the next page begins (an anchor, not a count), and a digest of the question:
//! what comes in between two pages shifts nothing, and a token does not continue another search.
//!
//! A page ends after so many results, or after [`BYTES`] of them, whichever comes first.

use std::cmp::Ordering;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::best::Best;
use crate::error::{Error, Result};

/// Bytes of results after which a page ends, however many were asked for.
pub const BYTES: u64 = 32 << 20;

/// A page as it is found, result by result in any order. Of a result it keeps its place, what it is loaded by, and how
/// large it is; and it keeps no more results than may be on the page, by their number and by their bytes.
#[derive(Debug)]
pub struct Finding<P, T, F> {
    most: usize,
    after: Option<P>,
    compare: F,
    best: Best<Hit<P, T>>,
    /// Bytes of what `best` keeps, at most: what it dropped by number is still in it.
    held: u64,
}

/// A result that may be on the page.
#[derive(Debug)]
struct Hit<P, T> {
    place: P,
    what: T,
    bytes: u64,
}

impl<P, T, F: Fn(&P, &P) -> Ordering> Finding<P, T, F> {
    /// The first `most` results behind `after`, in this order.
    pub fn new(most: usize, after: Option<P>, compare: F) -> Self {
        let most = most.max(1);
        // One more than the page shows whether there is a next one.
        Self { most, after, compare, best: Best::new(most.saturating_add(1)), held: 0 }
    }

    /// Takes a result.
    pub fn offer(&mut self, place: P, what: T, bytes: u64) {
        if self.after.as_ref().is_none_or(|after| (self.compare)(&place, after).is_gt()) {
            self.held = self.held.saturating_add(bytes);
            self.best.push(Hit { place, what, bytes });
            self.best.settle_if_crowded(|a, b| (self.compare)(&a.place, &b.place));
            if self.held > 2 * BYTES {
                self.drop_what_is_beyond();
            }
        }
    }

    /// A page ends before the result with which it would have too many bytes, unless that is its first; what comes behind that one will never be
    /// on it.
    fn drop_what_is_beyond(&mut self) {
        let (mut held, mut is_first) = (0_u64, true);
        self.best.cut(
            |a, b| (self.compare)(&a.place, &b.place),
            |hit| {
                held = held.saturating_add(hit.bytes);
                held > BYTES && !std::mem::take(&mut is_first)
            },
        );
        self.held = held;
    }

    /// The results of the page in order, and the place behind which the next one goes on. `beside` tells the bytes of
    /// what else is shown for the sake of a result.
    pub fn page(self, mut beside: impl FnMut(&T) -> u64) -> (Vec<T>, Option<P>) {
        let sorted = self.best.into_sorted(|a, b| (self.compare)(&a.place, &b.place));
        let found = sorted.len();
        let (mut page, mut last, mut bytes) = (Vec::new(), None, 0_u64);
        for hit in sorted.into_iter().take(self.most) {
            bytes = bytes.saturating_add(hit.bytes).saturating_add(beside(&hit.what));
            if bytes > BYTES && !page.is_empty() {
                break;
            }
            page.push(hit.what);
            last = Some(hit.place);
        }
        let more = page.len() < found;
        (page, last.filter(|_| more))
    }
}

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

    #[test]
    fn pages_join_whatever_they_end_by() {
        let all: Vec<u64> = (0..1_500).map(|n| n * 7_919 % 1_500).collect();
        for (most, bytes) in [
            (7, 1),
            (600, 1),
            (1_500, 1),
            (10_000, 1),
            (600, BYTES / 10),
            (600, BYTES + 1),
            (10_000, BYTES / 10),
            (10_000, BYTES + 1),
            (10_000, BYTES / 1_000),
        ] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            // Every result ends a page where each is larger than one: not all of them need be seen then.
            while pages < 250 {
                let mut finding = Finding::new(most, after, |a: &u64, b: &u64| b.cmp(a));
                for n in &all {
                    finding.offer(*n, *n, bytes);
                }
                let (page, next) = finding.page(|_| 0);
                assert!(page.len() <= most && (page.len() as u64 * bytes <= BYTES || page.len() == 1));
                seen.extend(page);
                pages += 1;
                after = next;
                if after.is_none() {
                    break;
                }
            }
            let expected: Vec<u64> = (0..1_500).rev().take(seen.len()).collect();
            assert_eq!(seen, expected, "pages of {most}");
            assert!(after.is_some() || seen.len() == all.len());
        }
    }
}
