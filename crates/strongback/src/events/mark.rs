//! The mark by which events and checkpoints are dated: it does not go back when the machine's clock does.
//!
//! A clock that was fast and is set right would date what comes next before what is there, as somebody does who inserts a
//! block. So what is written then has the newest date that there was, until the clock is there as well. What must stay
//! true: there is one mark for a store's process, shared by all of its writers and by who signs. Leases, expiry and the
//! times of rows go by the clock itself.

use std::sync::atomic::{AtomicI64, Ordering};

use super::store;
use crate::{bind, db::Sql, error::Result};

/// How far the clock may be behind the mark. Further, the mark is what was wrong: the clock counts again, and verification
/// reports what is dated before a checkpoint that has not seen it.
const BEHIND_MS_MAX: i64 = 86_400_000;

/// The newest date so far, milliseconds since the epoch.
#[derive(Debug, Default)]
pub struct Mark(AtomicI64);

impl Mark {
    /// Takes the newest date that a store has, before anything is written to it.
    pub(crate) fn load(&self, sql: &mut Sql<'_>) -> Result<()> {
        for newest in [&store::NEWEST_TIME, &store::CHECKPOINT_TIME] {
            let at = sql.one(newest, bind![], |row| row.get::<Option<i64>>(0))?;
            self.0.fetch_max(at.unwrap_or_default(), Ordering::AcqRel);
        }
        Ok(())
    }

    /// The date of what is written now.
    pub(crate) fn date(&self, now: i64) -> i64 {
        let step = |mark| Some(dated(mark, now));
        let (Ok(before) | Err(before)) = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        dated(before, now)
    }
}

fn dated(mark: i64, now: i64) -> i64 {
    if (now..=now.saturating_add(BEHIND_MS_MAX)).contains(&mark) { mark } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_goes_back_only_when_the_clock_was_wrong_by_more_than_a_day() {
        let mark = Mark::default();
        let day = BEHIND_MS_MAX;
        let dates = [day, day + 2, day + 1, 2, 1, 3, day + 9].map(|now| mark.date(now));
        assert_eq!(dates, [day, day + 2, day + 2, day + 2, 1, 3, day + 9]);
    }
}
