//! Where in the log the requests of a moment are, and how many records of which endpoint wait.
//!
//! Request ids begin with their time, and records come about in its order. So it is enough to know of every stretch of the log
//! which times it spans: one or two stretches are read to find a request, and a log of 64 MiB needs some kilobytes of memory.

use std::collections::{BTreeMap, HashMap};

use journal::Position;

use super::record::{Key, millis_of};

/// Bytes of a stretch.
const STRETCH_BYTES: u64 = 256 << 10;

/// A stretch of a segment that may have a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its first record.
    pub first: Position,
    /// The byte before which its last record begins.
    pub until: u64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    first: Position,
    from_ms: i64,
    to_ms: i64,
}

#[derive(Debug, Default)]
struct Held {
    /// By offset ÷ [`STRETCH_BYTES`].
    spans: BTreeMap<u64, Span>,
    /// Records by endpoint that no table has yet.
    waiting: HashMap<i64, u64>,
}

/// What the log has that no table has yet.
#[derive(Debug, Default)]
pub(super) struct Index(BTreeMap<u64, Held>);

impl Index {
    /// Takes a record. Answers whether it is the first of its segment.
    pub(super) fn add(&mut self, at: Position, key: Key) -> bool {
        let ms = millis_of(key.request_id);
        let is_first = !self.0.contains_key(&at.segment);
        let held = self.0.entry(at.segment).or_default();
        let span =
            held.spans.entry(at.offset / STRETCH_BYTES).or_insert(Span { first: at, from_ms: ms, to_ms: ms });
        if at.offset < span.first.offset {
            span.first = at;
        }
        (span.from_ms, span.to_ms) = (span.from_ms.min(ms), span.to_ms.max(ms));
        *held.waiting.entry(key.endpoint).or_default() += 1;
        is_first
    }

    /// Takes what another index has.
    pub(super) fn merge(&mut self, other: Self) {
        for (segment, theirs) in other.0 {
            let held = self.0.entry(segment).or_default();
            for (number, span) in theirs.spans {
                let own = held.spans.entry(number).or_insert(span);
                if span.first.offset < own.first.offset {
                    own.first = span.first;
                }
                (own.from_ms, own.to_ms) = (own.from_ms.min(span.from_ms), own.to_ms.max(span.to_ms));
            }
            for (endpoint, records) in theirs.waiting {
                *held.waiting.entry(endpoint).or_default() += records;
            }
        }
    }

    /// Records by segment and endpoint.
    pub(super) fn batches(&self) -> Vec<(u64, i64, u64)> {
        let of = |(segment, held): (&u64, &Held)| {
            let segment = *segment;
            let waiting = held.waiting.iter();
            waiting.map(move |(endpoint, records)| (segment, *endpoint, *records)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Stretches that may have a request of this millisecond, the newest first.
    pub(super) fn at(&self, ms: i64) -> Vec<Stretch> {
        let spans = self.0.values().rev().flat_map(|held| held.spans.iter().rev());
        spans
            .filter(|(_, span)| (span.from_ms..=span.to_ms).contains(&ms))
            .map(|(number, span)| Stretch { first: span.first, until: (number + 1) * STRETCH_BYTES })
            .collect()
    }

    /// The records of an endpoint in a segment are in its table.
    pub(super) fn drained(&mut self, segment: u64, endpoint: i64) {
        if let Some(held) = self.0.get_mut(&segment) {
            held.waiting.remove(&endpoint);
        }
    }

    /// The segment is gone.
    pub(super) fn remove(&mut self, segment: u64) {
        self.0.remove(&segment);
    }

    /// Whether the records of an endpoint in a segment wait.
    pub(super) fn is_waiting(&self, segment: u64, endpoint: i64) -> bool {
        self.0.get(&segment).is_some_and(|held| held.waiting.contains_key(&endpoint))
    }

    /// Endpoints with records in a segment that wait.
    pub(super) fn waiting_in(&self, segment: u64) -> Vec<i64> {
        self.0.get(&segment).into_iter().flat_map(|held| held.waiting.keys().copied()).collect()
    }

    /// Records of an endpoint that wait in a segment.
    pub(super) fn waiting_of(&self, segment: u64, endpoint: i64) -> u64 {
        self.0.get(&segment).and_then(|held| held.waiting.get(&endpoint)).copied().unwrap_or_default()
    }

    /// Records of an endpoint that wait.
    pub(super) fn waiting(&self, endpoint: i64) -> u64 {
        self.0.values().filter_map(|held| held.waiting.get(&endpoint)).sum()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(ms: u64, endpoint: i64) -> Key {
        Key { endpoint, request_id: Uuid::from_u128(u128::from(ms) << 80 | 7), rows: 1 }
    }

    fn place(segment: u64, offset: u64) -> Position {
        Position { segment, offset, sequence: segment + offset }
    }

    #[test]
    fn a_moment_is_in_the_stretches_that_span_it() {
        let mut index = Index::default();
        assert!(index.add(place(0, 24), key(100, 1)));
        assert!(!index.add(place(0, 500), key(110, 1)));
        assert!(!index.add(place(0, STRETCH_BYTES + 9), key(108, 2)));
        assert!(index.add(place(70, 24), key(120, 1)));
        let found = |ms| index.at(ms).iter().map(|stretch| stretch.first).collect::<Vec<_>>();
        assert_eq!(found(105), [place(0, 24)]);
        assert_eq!(found(108), [place(0, STRETCH_BYTES + 9), place(0, 24)], "the newest first");
        assert_eq!(found(120), [place(70, 24)]);
        assert_eq!(found(99), []);
        assert_eq!((index.waiting(1), index.waiting(2), index.waiting(3)), (3, 1, 0));
    }

    #[test]
    fn what_was_read_apart_comes_in_once_beside_what_came_meanwhile() {
        let (mut index, mut apart) = (Index::default(), Index::default());
        // The open segment has got a record since; another endpoint's is of the same stretch.
        index.add(place(70, 500), key(130, 1));
        apart.add(place(0, 24), key(100, 1));
        apart.add(place(70, 24), key(120, 1));
        apart.add(place(70, 90), key(121, 2));
        apart.drained(0, 1);
        index.merge(apart);
        assert_eq!((index.waiting(1), index.waiting(2)), (2, 1));
        let found = |ms| index.at(ms).iter().map(|stretch| stretch.first).collect::<Vec<_>>();
        assert_eq!(
            (found(100), found(121), found(130)),
            (vec![place(0, 24)], vec![place(70, 24)], vec![place(70, 24)])
        );
        let mut batches = index.batches();
        batches.sort_unstable();
        assert_eq!(batches, [(70, 1, 2), (70, 2, 1)]);
        assert_eq!(
            (index.waiting_in(0), index.is_waiting(70, 2), index.is_waiting(0, 1)),
            (vec![], true, false)
        );
    }

    #[test]
    fn what_was_drained_waits_no_more_and_is_found_until_its_segment_goes() {
        let mut index = Index::default();
        index.add(place(0, 24), key(100, 1));
        index.add(place(0, 90), key(101, 2));
        index.drained(0, 1);
        assert_eq!((index.waiting(1), index.waiting(2), index.at(100).len()), (0, 1, 1));
        index.remove(0);
        assert!(index.at(100).is_empty() && index.waiting(2) == 0);
    }
}
