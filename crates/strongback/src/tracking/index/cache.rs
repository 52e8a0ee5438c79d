//! Columns that searches read lately, as bytes.
//!
//! What must stay true: a column is given out only under the revision of its segment that the reader's own snapshot shows, so it is
//! what the store would have given; what is kept is bounded.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::tracking::{columns::Kind, scan::Segment};

/// Bytes that are kept: three columns of a million runs.
const BYTES: usize = 32 << 20;
/// Where there is no room, one part of so many is freed at once.
const SLACK: usize = 8;
/// What an entry takes beside its bytes, about.
const ENTRY: usize = 128;

/// Columns of segments, the latest used first to stay.
pub struct Columns {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    columns: HashMap<Key, Column>,
    bytes: usize,
    /// Counts uses, so that the oldest is known.
    uses: u64,
}

type Key = (i64, Kind, String);
/// The bytes of a column; none where no run of the segment has such a value.
type Body = Option<Arc<[u8]>>;

struct Column {
    revision: i64,
    body: Body,
    used: u64,
}

impl Default for Columns {
    fn default() -> Self {
        Self::new(BYTES)
    }
}

impl Columns {
    fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), bytes_max }
    }

    /// A column of a segment, from `read` where it is not kept.
    pub fn get<E>(
        &self,
        segment: &Segment,
        kind: Kind,
        key: &str,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Body, E> {
        let place: Key = (segment.id, kind, key.to_owned());
        {
            let mut kept = self.kept.lock();
            kept.uses += 1;
            let now = kept.uses;
            if let Some(column) = kept.columns.get_mut(&place).filter(|one| one.revision == segment.revision)
            {
                column.used = now;
                return Ok(column.body.clone());
            }
        }
        let body: Body = read()?.map(Arc::from);
        self.kept.lock().put(place, segment.revision, body.clone(), self.bytes_max);
        Ok(body)
    }
}

impl Kept {
    fn put(&mut self, place: Key, revision: i64, body: Body, bytes_max: usize) {
        // A reader of an older snapshot is not to take the place of a newer one.
        if self.columns.get(&place).is_some_and(|kept| kept.revision > revision) {
            return;
        }
        let column = Column { revision, body, used: self.uses };
        let size = size(&place, &column);
        if size > bytes_max {
            return;
        }
        self.remove(&place);
        if self.bytes + size > bytes_max {
            self.shrink(bytes_max.saturating_sub(size + bytes_max / SLACK));
        }
        self.bytes += size;
        self.columns.insert(place, column);
    }

    /// Lets go of what was not used for longest, until so much is left at most. It looks at everything, so it is to be seldom.
    fn shrink(&mut self, bytes_max: usize) {
        let mut by_use: Vec<(u64, usize)> =
            self.columns.iter().map(|(place, column)| (column.used, size(place, column))).collect();
        by_use.sort_unstable();
        let (mut left, mut until) = (self.bytes, 0);
        for (used, size) in by_use {
            if left <= bytes_max {
                break;
            }
            (left, until) = (left - size, used);
        }
        self.columns.retain(|_, column| column.used > until);
        self.bytes = self.columns.iter().map(|(place, column)| size(place, column)).sum();
    }

    fn remove(&mut self, place: &Key) {
        if let Some((place, column)) = self.columns.remove_entry(place) {
            self.bytes -= size(&place, &column);
        }
    }
}

fn size((_, _, key): &Key, column: &Column) -> usize {
    ENTRY + key.len() + column.body.as_ref().map_or(0, |body| body.len())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn segment(id: i64, revision: i64) -> Segment {
        Segment { id, revision, experiment: 1, runs: 1, first_run: 1, last_run: 1 }
    }

    /// What is given, and whether it was read.
    fn ask(columns: &Columns, segment: &Segment, key: &str, bytes: usize) -> (usize, bool) {
        let mut was_read = false;
        let body = columns
            .get(segment, Kind::Metric, key, || {
                was_read = true;
                Ok::<_, Infallible>(Some(vec![0; bytes]))
            })
            .unwrap();
        (body.unwrap().len(), was_read)
    }

    #[test]
    fn a_column_is_read_once_a_revision() {
        let columns = Columns::default();
        assert_eq!(ask(&columns, &segment(1, 4), "loss", 10), (10, true));
        assert_eq!(ask(&columns, &segment(1, 4), "loss", 99), (10, false));
        assert_eq!(ask(&columns, &segment(2, 4), "loss", 11), (11, true));
        assert_eq!(ask(&columns, &segment(1, 4), "auc", 12), (12, true));
        // A reader whose snapshot is older reads for itself, and leaves what is newer.
        assert_eq!(ask(&columns, &segment(1, 5), "loss", 20), (20, true));
        assert_eq!(ask(&columns, &segment(1, 4), "loss", 10), (10, true));
        assert_eq!(ask(&columns, &segment(1, 5), "loss", 99), (20, false));
        // That there is none is known too.
        for body in [None, Some(vec![1])] {
            let given = columns.get(&segment(1, 5), Kind::Tag, "t", || Ok::<_, Infallible>(body));
            assert_eq!(given.unwrap(), None);
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let columns = Columns::new(3 * (ENTRY + 1 + 100));
        for key in ["a", "b", "c"] {
            assert_eq!(ask(&columns, &segment(1, 1), key, 100), (100, true));
        }
        assert_eq!(ask(&columns, &segment(1, 1), "a", 100), (100, false));
        assert_eq!(ask(&columns, &segment(1, 1), "d", 100), (100, true));
        assert_eq!(ask(&columns, &segment(1, 1), "a", 100), (100, false));
        assert_eq!(ask(&columns, &segment(1, 1), "b", 100), (100, true));
        assert_eq!(ask(&columns, &segment(1, 1), "a", 100), (100, false));
        // What is larger than all that may be kept is given and not kept.
        for _ in 0..2 {
            assert_eq!(ask(&columns, &segment(1, 1), "big", 1_000), (1_000, true));
        }
        assert!(columns.kept.lock().bytes <= columns.bytes_max);
    }

    #[test]
    fn many_small_ones_make_room_in_few_passes() {
        let columns = Columns::new(1_000 * (ENTRY + 4));
        for at in 0..20_000 {
            ask(&columns, &segment(at, 1), "none", 0);
            let kept = columns.kept.lock();
            assert!(kept.bytes <= columns.bytes_max && kept.bytes == kept.columns.len() * (ENTRY + 4));
        }
        // The latest are there, most of what fits.
        let oldest = (0..20_000).rev().find(|at| ask(&columns, &segment(*at, 1), "none", 0).1).unwrap();
        assert!((19_000 - 1..20_000 - 875).contains(&oldest), "{oldest}");
    }
}
