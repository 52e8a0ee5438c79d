//! What a command writes, on its way to the server: bounded, as text, without its secret.
//!
//! The beginning is sent as it comes. Of what is above the limit the end is kept and sent at last, after a line that says
//! how much was left out: what went wrong mostly stands there.

use std::{collections::VecDeque, fmt::Write as _};

/// Bytes of the beginning.
const HEAD_BYTES: usize = 768 << 10;
/// Bytes of the end.
const TAIL_BYTES: usize = 128 << 10;
/// Bytes of one piece.
const PIECE_BYTES: usize = 60 << 10;
/// What stands in the place of the secret.
const HIDDEN: &str = "***";

/// The log of one attempt.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// Never shown, nor the beginning of what may become it.
    secret: Option<String>,
    /// Bytes that are no whole letter yet.
    bytes: Vec<u8>,
    /// Text that may be the beginning of the secret.
    held: String,
    /// Text that the server does not have, and the byte of the log at which it begins.
    unsent: String,
    begins_at: usize,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Capture {
    pub fn new(secret: Option<String>) -> Self {
        Self { secret, ..Self::default() }
    }

    /// Takes what was written.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let mut text = std::mem::take(&mut self.held);
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.bytes.clear();
                    break;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.bytes[..valid]));
                    let Some(wrong) = error.error_len() else {
                        self.bytes.drain(..valid);
                        break;
                    };
                    text.push('\u{fffd}');
                    self.bytes.drain(..valid + wrong);
                }
            }
        }
        if let Some(secret) = &self.secret {
            text = text.replace(secret.as_str(), HIDDEN);
            let held = beginning_of(secret, &text);
            self.held = text.split_off(text.len() - held);
        }
        self.keep(&text.replace('\0', " "));
    }

    fn keep(&mut self, text: &str) {
        let room = HEAD_BYTES.saturating_sub(self.begins_at + self.unsent.len());
        let cut = if self.left_out + self.tail.len() > 0 { 0 } else { text.floor_char_boundary(room) };
        self.unsent.push_str(&text[..cut]);
        self.tail.extend(&text.as_bytes()[cut..]);
        let above = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..above);
        self.left_out += above;
    }

    /// Takes the end: nothing is written any more.
    pub fn finish(&mut self) {
        let rest = String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned();
        let held = std::mem::take(&mut self.held);
        self.keep(&format!("{held}{rest}"));
        if self.left_out > 0 {
            // A text takes everything.
            let _ = write!(self.unsent, "\n[{} bytes are left out here]\n", self.left_out);
        }
        let tail = Vec::from(std::mem::take(&mut self.tail));
        // It may begin within a letter.
        let begin = tail.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(tail.len());
        self.unsent.push_str(&String::from_utf8_lossy(&tail[begin..]));
    }

    /// The next piece that the server does not have, and the byte of the log at which it begins; empty for none.
    pub fn piece(&self) -> (usize, &str) {
        (self.begins_at, &self.unsent[..self.unsent.floor_char_boundary(PIECE_BYTES)])
    }

    /// The server has the log up to a byte.
    pub fn sent_to(&mut self, next: usize) {
        let sent = next.saturating_sub(self.begins_at).min(self.unsent.len());
        if self.unsent.is_char_boundary(sent) {
            self.unsent.drain(..sent);
            self.begins_at += sent;
        }
    }
}

/// How many bytes at the end of a text are the beginning of a secret.
fn beginning_of(secret: &str, text: &str) -> usize {
    let most = secret.len().saturating_sub(1).min(text.len());
    (1..=most).rev().find(|len| text.as_bytes().ends_with(&secret.as_bytes()[..*len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(capture: &mut Capture) -> String {
        let mut log = String::new();
        loop {
            let (at, piece) = capture.piece();
            if piece.is_empty() {
                return log;
            }
            assert_eq!(at, log.len());
            log.push_str(piece);
            let next = at + piece.len();
            capture.sent_to(next);
        }
    }

    #[test]
    fn letters_and_secrets_that_come_in_parts_are_whole() {
        let secret = "sbt_aab";
        let written = "größer sbt_aab, sbt_sbt_aab\u{1f600} sbt_aax sbt_".as_bytes();
        for size in 1..written.len() {
            let mut capture = Capture::new(Some(secret.into()));
            let mut log = String::new();
            for part in written.chunks(size) {
                capture.push(part);
                assert!(!capture.piece().1.contains("sbt_aab"));
            }
            capture.finish();
            log.push_str(&all(&mut capture));
            assert_eq!(log, "größer ***, sbt_***\u{1f600} sbt_aax sbt_", "{size}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut capture = Capture::new(None);
        capture.push(b"a\xffb\0c\xc3");
        capture.finish();
        assert_eq!(all(&mut capture), "a\u{fffd}b c\u{fffd}");
    }

    #[test]
    fn beginning_and_end_of_much_are_kept() {
        let mut capture = Capture::new(None);
        let lines = 300_000_usize;
        for n in 0..lines {
            capture.push(format!("line {n:>8} ü\n").as_bytes());
        }
        capture.finish();
        let log = all(&mut capture);
        assert!(log.len() < crate::jobs::LOG_BYTES_MAX, "{}", log.len());
        assert!(log.starts_with("line        0 ü\nline        1 ü\n"));
        assert!(log.ends_with(&format!("line {:>8} ü\n", lines - 1)));
        assert!(log.contains(" bytes are left out here]\n"));
    }
}
