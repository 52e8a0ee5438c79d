//! The audit log beside the ledgers: it verifies, and it grew by what was written.
//!
//! Invariant: between two looks it grows at least by the entries of acknowledged writes, each of which leaves a known number,
//! and at most by these and what writes in flight, and their repetitions, can leave. A look comes before the recovery of an
//! upload that a kill cut off: its intent is seen at once, its reversal one look later. What PostgreSQL commits after its
//! client was killed may be seen one look later as well.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::server::Server;

/// What is expected since the last look.
#[derive(Debug, Default)]
pub(super) struct AuditLog {
    entries: Option<u64>,
    growth_min: u64,
    growth_max: u64,
    /// Entries that can still come after the next look.
    later_max: u64,
}

impl AuditLog {
    /// Takes note of writes that must leave `least` entries and can leave `most`.
    pub(super) fn expect(&mut self, least: u64, most: u64) {
        self.growth_min += least;
        self.growth_max += most;
    }

    /// Takes note of what an in-flight write can leave at the earliest when the server recovers, which may be after the
    /// next look.
    pub(super) fn expect_later(&mut self, most: u64) {
        self.later_max += most;
    }

    /// The entries at the last look.
    pub(super) fn entries(&self) -> u64 {
        self.entries.unwrap_or(0)
    }

    /// Runs `audit-log verify` on the server's data; the answer lists what is wrong.
    pub(super) fn look(&mut self, server: &Server) -> Result<Vec<String>> {
        let output = server.command(&["audit-log", "verify", "--json"])?;
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Ok(vec![format!("audit-log verify: {}: {said}{complained}", output.status)]);
        }
        let report: Value =
            serde_json::from_slice(&output.stdout).context("audit-log verify --json prints JSON")?;
        let entries = report["entries"].as_u64().context("a verification counts its entries")?;
        Ok(self.compare(entries).into_iter().collect())
    }

    fn compare(&mut self, entries: u64) -> Option<String> {
        let (least, most) = (std::mem::take(&mut self.growth_min), self.growth_max);
        self.growth_max = std::mem::take(&mut self.later_max);
        let before = self.entries.replace(entries)?;
        let grown = entries.checked_sub(before);
        let fits = grown.is_some_and(|grown| (least..=most).contains(&grown));
        (!fits).then(|| {
            format!("the audit log went from {before} to {entries} entries; {least} to {most} new ones were expected")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AuditLog;

    #[test]
    fn growth_has_bounds_on_both_sides() {
        let mut log = AuditLog::default();
        assert_eq!(log.compare(7), None, "the first look only counts");
        for (grown, fits) in [(1, false), (2, true), (5, true), (6, false)] {
            log.expect(1, 2);
            log.expect(1, 2);
            log.expect(0, 1);
            let now = log.entries() + grown;
            assert_eq!(log.compare(now).is_none(), fits, "grown by {grown}");
        }
        assert!(log.compare(3).is_some(), "a log never shrinks");
    }

    #[test]
    fn what_recovery_leaves_counts_once_at_the_look_after() {
        let mut log = AuditLog::default();
        log.compare(10);
        log.expect(0, 2);
        log.expect_later(1);
        assert_eq!(log.compare(11), None, "the intent");
        assert_eq!(log.compare(12), None, "its reversal, at the start after the look");
        assert!(log.compare(13).is_some(), "nothing more");
    }
}
