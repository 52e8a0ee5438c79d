//! What a job wrote while it ran.
//!
//! A log is pieces of text, each with the byte of its attempt's log at which it begins, so that a piece that is sent twice is
//! stored once. What must stay true: of an attempt no more than [`BYTES_MAX`] are stored, and what was left out is said.

use super::{job::Job, store};
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
};

/// Bytes of one attempt's log that are stored. What a runner sends ends below it with its own last words.
pub const BYTES_MAX: usize = 1 << 20;
/// Bytes of one piece.
pub const PIECE_BYTES_MAX: usize = 64 << 10;
/// Pieces that are read at a time.
const PIECES: i64 = 16;
/// Bytes of what was left out of a log.
const LEFT_OUT: &str = "\n[the log is cut here: it may have 1 MiB]\n";

/// Text on its way to the store.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    begins_at: usize,
    text: String,
    is_full: bool,
}

impl Buffer {
    pub fn push(&mut self, text: &str) {
        if self.is_full {
            return;
        }
        let left = (BYTES_MAX - LEFT_OUT.len()).saturating_sub(self.begins_at + self.text.len());
        if text.len() <= left {
            self.text.push_str(&text.replace('\0', " "));
            return;
        }
        self.text.push_str(&text[..text.floor_char_boundary(left)].replace('\0', " "));
        self.text.push_str(LEFT_OUT);
        self.is_full = true;
    }

    /// What is there, and at which byte it begins.
    pub fn take(&mut self) -> Option<(i64, String)> {
        if self.text.is_empty() {
            return None;
        }
        let cut = self.text.floor_char_boundary(PIECE_BYTES_MAX);
        let rest = self.text.split_off(cut);
        let text = std::mem::replace(&mut self.text, rest);
        let begins_at = self.begins_at;
        self.begins_at += text.len();
        Some((begins_at as i64, text))
    }
}

/// Adds a piece to the log of a job's present attempt. Answers the byte at which the next one begins: one that begins
/// elsewhere is not added, and one that is there already changes nothing.
pub(super) fn append(tx: &mut Sql<'_>, job: &Job, begins_at: i64, text: &str) -> Result<i64> {
    if text.len() > PIECE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "'log' has {} bytes; the limit is {PIECE_BYTES_MAX} at a time.",
            text.len()
        )));
    }
    let end = end_of(tx, job.row, job.attempts)?;
    if begins_at != end || text.is_empty() {
        return Ok(end);
    }
    if end as usize + text.len() > BYTES_MAX {
        return Err(Error::invalid(format!(
            "'log' would bring the log of this attempt above {BYTES_MAX} bytes; it has {end}. Send no more of it."
        )));
    }
    tx.execute(&store::LOG_APPEND, bind![job.row, job.attempts, end, text])?;
    Ok(end + text.len() as i64)
}

/// Forgets the log of a job's present attempt, which is begun once more under the same number.
pub(super) fn forget(tx: &mut Sql<'_>, job: &Job) -> Result<()> {
    tx.execute(&store::LOG_FORGET, bind![job.row, job.attempts]).map(drop)
}

fn end_of(sql: &mut Sql<'_>, job: i64, attempt: i64) -> Result<i64> {
    let last = sql.first(&store::LOG_LAST, bind![job, attempt], |row| {
        Ok(row.get::<i64>(0)? + row.get::<String>(1)?.len() as i64)
    })?;
    Ok(last.unwrap_or(0))
}

/// The text of an attempt's log from a byte on, or from the letter that it is in the middle of, as much as one answer
/// holds; and where the next part begins.
pub(super) fn read(sql: &mut Sql<'_>, job: &Job, attempt: i64, after: i64) -> Result<(String, i64)> {
    let pieces = sql.all(&store::LOG_FROM, bind![job.row, attempt, after, PIECES], |row| {
        Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
    })?;
    let (mut text, mut next) = (String::new(), after);
    for (begins_at, piece) in pieces {
        let end = begins_at + piece.len() as i64;
        if end > next {
            let skip = piece.floor_char_boundary((next - begins_at).max(0) as usize);
            text.push_str(&piece[skip..]);
            next = end;
        }
    }
    Ok((text, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_bounded_and_says_what_it_left_out() {
        let mut buffer = Buffer::default();
        for _ in 0..100_000 {
            buffer.push("zwölf Bytes\n");
        }
        let (mut at, mut all) = (0, String::new());
        while let Some((begins_at, text)) = buffer.take() {
            assert_eq!(begins_at, at);
            assert!(text.len() <= PIECE_BYTES_MAX);
            at += text.len() as i64;
            all.push_str(&text);
        }
        assert!(all.len() <= BYTES_MAX && all.len() > BYTES_MAX - 50, "{}", all.len());
        assert!(all.ends_with(LEFT_OUT), "{}", &all[all.len() - 60..]);
        buffer.push("more");
        assert_eq!(buffer.take(), None);
    }
}
