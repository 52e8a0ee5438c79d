//! Pieces: what one request appends to the histories of one run.
//!
//! Version 1: `01`, number of keys, per key its text and number of points, then the [fields](super::fields) of all
//! points, key after key.

use crate::tracking::document::bytes::{Reader, put_text, put_uint};
use crate::tracking::document::{Damaged, Point, Series};

use super::fields::{put_points, read_points};
use super::{POINTS_MAX, TooManyPoints};

const VERSION: u8 = 1;

/// Pieces live for minutes and are written on the hot path.
const ZSTD_LEVEL: i32 = 1;

/// Encodes a batch: keys ascending, points of each key ascending, as
/// [`log_points`](crate::tracking::document::RunDocument::log_points) plans them.
pub fn encode_piece(batch: &[Series]) -> Result<Vec<u8>, TooManyPoints> {
    let points = batch.iter().map(|series| series.points.len()).sum();
    if points > POINTS_MAX {
        return Err(TooManyPoints { points });
    }
    let mut out = Vec::with_capacity(64 + 8 * points);
    out.push(VERSION);
    put_uint(&mut out, batch.len() as u64);
    for series in batch {
        put_text(&mut out, &series.key);
        put_uint(&mut out, series.points.len() as u64);
    }
    put_points(&mut out, batch.iter().flat_map(|series| &series.points), ZSTD_LEVEL);
    Ok(out)
}

/// All series of a piece, keys ascending.
pub fn decode_piece(bytes: &[u8]) -> Result<Vec<Series>, Damaged> {
    let (head, points) = decode(bytes)?;
    let mut rest = points.as_slice();
    let mut batch = Vec::with_capacity(head.len());
    for (key, count) in head {
        let (own, others) = rest.split_at(count);
        batch.push(Series { key: key.to_owned(), points: own.to_vec() });
        rest = others;
    }
    Ok(batch)
}

/// The points of one key of a piece, ascending; empty if the piece has none of it.
pub fn piece_series(bytes: &[u8], key: &str) -> Result<Vec<Point>, Damaged> {
    let (head, mut points) = decode(bytes)?;
    let mut start = 0;
    for (stored, count) in head {
        if stored == key {
            points.truncate(start + count);
            points.drain(..start);
            return Ok(points);
        }
        start += count;
    }
    Ok(Vec::new())
}

type Head<'a> = Vec<(&'a str, usize)>;

/// Keys with their numbers of points, which add up to the number of points returned.
fn decode(bytes: &[u8]) -> Result<(Head<'_>, Vec<Point>), Damaged> {
    let mut reader = Reader::new("metric piece", bytes);
    reader.version(VERSION)?;
    let keys = reader.count(2)?;
    let mut head: Head<'_> = Vec::with_capacity(keys);
    let mut total = 0_usize;
    for _ in 0..keys {
        let key = reader.text()?;
        let count = usize::try_from(reader.uint()?).unwrap_or(usize::MAX);
        total = total.saturating_add(count);
        if head.last().is_some_and(|(last, _)| *last >= key) {
            return Err(reader.damaged("keys do not ascend"));
        }
        head.push((key, count));
    }
    let points = read_points(&mut reader, total)?;
    reader.end()?;
    let mut rest = points.as_slice();
    for (_, count) in &head {
        let (own, others) = rest.split_at(*count);
        if !own.is_sorted_by(|a, b| a < b) {
            return Err(reader.damaged("points do not ascend"));
        }
        rest = others;
    }
    Ok((head, points))
}
