//! A window of event time.

use serde::Serialize;

/// `[start, end)`, microseconds since the epoch, and which time it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Span {
    /// The first moment that is in it.
    pub start: i64,
    /// The first that is not.
    pub end: i64,
    /// 1, and one more each time that late rows or labels change it.
    pub revision: i64,
}

/// A moment as people and commands read it: RFC 3339 in UTC, to the second.
pub(super) fn moment(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Windows that touch, joined: what a query asks for.
pub(super) fn ranges(spans: &[Span]) -> Vec<(i64, i64)> {
    let mut borders: Vec<(i64, i64)> = spans.iter().map(|span| (span.start, span.end)).collect();
    borders.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (start, end) in borders {
        match joined.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_touch_are_asked_for_at_once() {
        let span = |start, end| Span { start, end, revision: 1 };
        assert_eq!(ranges(&[span(20, 30), span(0, 10), span(10, 20), span(50, 60)]), [(0, 30), (50, 60)]);
        assert_eq!(ranges(&[]), []);
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
