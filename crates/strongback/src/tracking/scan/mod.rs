//! The search executor: filter, order and page over index segments and the runs that are newer than them.
//!
//! A segment is filtered column by column into a set of rows; what remains is ranked by the order's columns, and only
//! the best rows of a segment become values. Segments whose bounds cannot reach the page are not filtered at all.
//!
//! What must stay true:
//! - The result equals filtering and sorting all runs one by one, a fresh run standing for its row in the index.
//! - MLflow's rules: a missing key satisfies nothing but `IS NULL`; NaN satisfies only `!=`; a data set comparison
//!   holds if some input satisfies it; NaN is ordered after numbers and missing after everything, in both directions;
//!   ties go by start time, newest first, then by run id.
//! - A page goes on after an [`Anchor`], a place in the order and not an offset: runs that are created meanwhile
//!   neither repeat nor skip others.
//! - Only columns that filter and order name are asked for, besides run ids and lifecycle.

mod anchor;
mod filter;
mod order;
mod segment;
#[cfg(test)]
mod tests;

use syntax::search::{Expr, OrderBy};

use super::columns::{Kind, RunFacts};
use super::document::Damaged;

pub use anchor::Anchor;

use filter::Filter;
use order::{Candidate, Order};
use segment::Scan;

/// What is searched.
#[derive(Debug, Clone)]
pub struct Query<'q> {
    /// Comparisons that must all hold; `None` lets every run through.
    pub filter: Option<&'q Expr>,
    /// Fields of the order, the most important first. Start time descending and run id follow by themselves.
    pub order: &'q [OrderBy],
    /// Which lifecycle stages are seen.
    pub view: View,
    /// Most runs of the page.
    pub limit: usize,
    /// Where the page before this one ended.
    pub after: Option<&'q Anchor>,
}

/// Which lifecycle stages a search sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Runs that are not deleted.
    Active,
    /// Deleted runs.
    Deleted,
    /// Both.
    All,
}

/// A segment of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// How the source knows it.
    pub id: i64,
    /// The internal id of its runs' experiment.
    pub experiment: i64,
    /// How many runs it has.
    pub runs: usize,
    /// Its smallest internal run id.
    pub first_run: i64,
    /// Its largest internal run id.
    pub last_run: i64,
}

/// A run whose document is newer than the index; it hides its row there, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct FreshRun<'a> {
    /// Internal run id.
    pub run_id: i64,
    /// The internal id of its experiment.
    pub experiment: i64,
    /// What it holds now.
    pub facts: RunFacts<'a>,
}

/// Where columns come from.
pub trait ColumnSource {
    /// A column's bytes, however they are kept.
    type Bytes: AsRef<[u8]>;
    /// What can go wrong in reading them.
    type Error: From<Damaged>;

    /// The segments to search, by ascending first run within each experiment. The scan starts at the end.
    fn segments(&self) -> &[Segment];

    /// One column of a segment; `None` if no run has such a value.
    fn column(&self, segment: &Segment, kind: Kind, key: &str) -> Result<Option<Self::Bytes>, Self::Error>;

    /// The artifact root of an experiment: a run's artifact URI is this, its id and `artifacts`, joined by slashes.
    fn artifact_root(&self, experiment: i64) -> String;
}

/// One page of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Internal ids of the runs found, in order.
    pub run_ids: Vec<i64>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<Anchor>,
}

/// Runs a search over the index and the fresh runs.
pub fn search<S: ColumnSource>(
    source: &S,
    fresh: &[FreshRun<'_>],
    query: &Query<'_>,
) -> Result<Page, S::Error> {
    let filter = Filter::new(query.filter, query.view);
    let order = Order::new(query.order);
    let after = query.after.map(|anchor| Candidate::at(anchor, &order));
    // One more than the page shows whether there is a next one.
    let mut best = Best::new(query.limit.saturating_add(1), &order);
    let mut hidden: Vec<i64> = fresh.iter().map(|run| run.run_id).collect();
    hidden.sort_unstable();
    for run in fresh {
        let root = || source.artifact_root(run.experiment);
        if filter.holds(&run.facts, root) {
            let candidate = order.candidate(run.run_id, &run.facts, root);
            if after.as_ref().is_none_or(|after| order.compare(after, &candidate).is_lt()) {
                best.push(candidate);
            }
        }
    }
    best.settle();
    for segment in source.segments().iter().rev() {
        let mut scan = Scan::new(source, segment);
        scan.run(&filter, &order, &hidden, after.as_ref(), &mut best)?;
    }
    Ok(best.into_page(query.limit))
}

/// The best candidates so far.
struct Best<'o> {
    limit: usize,
    order: &'o Order,
    candidates: Vec<Candidate>,
    /// Whether the last of `candidates` is the worst and there are `limit` of them.
    full: bool,
}

impl<'o> Best<'o> {
    fn new(limit: usize, order: &'o Order) -> Self {
        Self { limit, order, candidates: Vec::new(), full: false }
    }

    fn push(&mut self, candidate: Candidate) {
        self.candidates.push(candidate);
    }

    /// Drops what cannot be on the page; to be called after every series of pushes.
    fn settle(&mut self) {
        if self.candidates.len() < self.limit {
            return;
        }
        let order = self.order;
        self.candidates.select_nth_unstable_by(self.limit - 1, |a, b| order.compare(a, b));
        self.candidates.truncate(self.limit);
        self.full = true;
    }

    /// What a candidate must come before to matter.
    fn worst(&self) -> Option<&Candidate> {
        if self.full { self.candidates.last() } else { None }
    }

    fn into_page(mut self, limit: usize) -> Page {
        let order = self.order;
        self.candidates.sort_unstable_by(|a, b| order.compare(a, b));
        let more = self.candidates.len() > limit;
        self.candidates.truncate(limit);
        let next = if more { self.candidates.last().map(Candidate::anchor) } else { None };
        Page { run_ids: self.candidates.iter().map(|candidate| candidate.run_id).collect(), next }
    }
}
