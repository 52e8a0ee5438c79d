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
//! - Beyond MLflow: of several data sets an order looks at the alphabetically first name, digest or context.
//! - The smallest or largest of a metric's values is of its numbers; where all are NaN it is missing. A name that is written without
//!   quotes is first the metric that is called so, run by run.
//! - A page goes on after an [`Anchor`], a place in the order and not an offset: runs that are created meanwhile
//!   neither repeat nor skip others.
//! - The index knows whether a run was deleted by itself; a deleted experiment deletes its runs without a word to it.
//! - A search that takes too long ends in the middle ([`ColumnSource::keep_going`]), since it holds a reader.
//! - Only columns that filter and order name are asked for, besides run ids and lifecycle.

mod aggregate;
mod anchor;
mod filter;
mod order;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use syntax::search::{Expr, Function, OrderBy, Subject};

use super::best::Best;
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

impl Query<'_> {
    /// Keys of the metrics whose smallest or largest values are asked for.
    pub fn aggregated(&self) -> BTreeSet<String> {
        let filtered = self.filter.iter().flat_map(|filter| filter.comparisons()).map(|one| &one.subject);
        let keys =
            filtered.chain(self.order.iter().map(|by| &by.subject)).filter_map(|subject| match subject {
                Subject::Aggregate(aggregate) if aggregate.function() != Function::Last => {
                    Some(aggregate.key().to_owned())
                }
                _ => None,
            });
        keys.collect()
    }
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
    /// Changes with what its columns hold.
    pub revision: i64,
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
    /// What it holds now; deleted also where its experiment was. Metrics of [`Query::aggregated`] are settled.
    pub facts: RunFacts<'a>,
}

/// What a run has of its experiment, and no column of its own.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    /// MLflow's id of the experiment.
    pub mlflow_id: i64,
    /// The artifact root of the experiment: a run's artifact URI is this, its id and `artifacts`, joined by slashes.
    pub artifact_root: &'a str,
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

    /// Fails when the search has worked for long enough. Asked before every column and every few texts of one, so that
    /// between two answers there is a bounded piece of work.
    fn keep_going(&self) -> Result<(), Self::Error>;

    /// Whether an experiment was deleted, and all of its runs with it, whatever the index says of each.
    fn is_deleted(&self, experiment: i64) -> bool;

    /// What the runs of an experiment have of it.
    fn home(&self, experiment: i64) -> Home<'_>;
}

/// One page of a search.
#[derive(Debug, Clone)]
pub struct Page {
    /// Internal ids of the runs found, in order.
    pub run_ids: Vec<i64>,
    /// Where the next page goes on; `None` on the last.
    pub next: Option<Anchor>,
    found: Vec<Candidate>,
}

impl Page {
    /// Ends the page after so many runs, at least one; the next goes on behind them.
    pub fn end_after(&mut self, runs: usize) {
        let runs = runs.max(1);
        if runs < self.run_ids.len() {
            self.run_ids.truncate(runs);
            self.found.truncate(runs);
            self.next = self.found.last().map(Candidate::anchor);
        }
    }
}

/// A search under way: first it is shown the fresh runs, one by one, then it goes through the index. Of what it was
/// shown it keeps the ids, and the runs that may be on the page.
pub struct Search<'q> {
    filter: Filter,
    order: Order,
    after: Option<Candidate>,
    best: Best<Candidate>,
    hidden: Vec<i64>,
    query: &'q Query<'q>,
}

impl<'q> Search<'q> {
    /// Makes filter and order ready.
    pub fn new(query: &'q Query<'q>) -> Self {
        let order = Order::new(query.order);
        Self {
            filter: Filter::new(query.filter, query.view),
            after: query.after.map(|anchor| Candidate::at(anchor, &order)),
            order,
            // One more than the page shows whether there is a next one.
            best: Best::new(query.limit.saturating_add(1)),
            hidden: Vec::new(),
            query,
        }
    }

    /// Takes a fresh run with what it has of its experiment; `keep_going` ends the search early.
    pub fn fresh<E>(
        &mut self,
        run: FreshRun<'_>,
        home: Home<'_>,
        keep_going: impl Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        keep_going()?;
        self.hide(run.run_id);
        if !self.filter.holds(&run.facts, home, keep_going)? {
            return Ok(());
        }
        let candidate = self.order.candidate(run.run_id, &run.facts, home);
        if self.after.as_ref().is_none_or(|after| self.order.compare(after, &candidate).is_lt()) {
            self.best.push(candidate);
            self.best.settle_if_crowded(|a, b| self.order.compare(a, b));
        }
        Ok(())
    }

    /// Leaves out what the index knows of a run.
    pub fn hide(&mut self, run_id: i64) {
        self.hidden.push(run_id);
    }

    /// Goes through the index, and answers the page.
    pub fn page<S: ColumnSource>(mut self, source: &S) -> Result<Page, S::Error> {
        self.hidden.sort_unstable();
        self.best.settle(|a, b| self.order.compare(a, b));
        for segment in source.segments().iter().rev() {
            let mut scan = Scan::new(source, segment);
            scan.run(&self.filter, &self.order, &self.hidden, self.after.as_ref(), &mut self.best)?;
        }
        let mut found = self.best.into_sorted(|a, b| self.order.compare(a, b));
        let more = found.len() > self.query.limit;
        found.truncate(self.query.limit);
        let next = if more { found.last().map(Candidate::anchor) } else { None };
        Ok(Page { run_ids: found.iter().map(|candidate| candidate.run_id).collect(), next, found })
    }
}
