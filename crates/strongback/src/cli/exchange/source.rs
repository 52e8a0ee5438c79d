//! An MLflow store that is read: what it holds, and its items in whole.
//!
//! Three kinds of stores answer the same questions: a database ([`super::database`]), a folder `mlruns` ([`super::folder`]) and a
//! server ([`super::server`]). What must stay true: nothing is written there, and what is read is handed out settled, under the ids that
//! it has there.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    error::Result,
    exchange::ItemKind,
    registry::carried::{CarriedAliases, CarriedModel, CarriedVersion},
    tracking::{
        experiment::carried::CarriedExperiment, model::carried::CarriedLoggedModel, run::carried::CarriedRun,
    },
};

/// What a store holds: the small things in whole, runs and logged models by id.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// What the store calls itself, e.g. a schema or a version, for the report.
    pub version: String,
    /// Every experiment, deleted ones too, in the order in which they are taken; `artifact_location` is none here.
    pub experiments: Vec<FoundExperiment>,
    /// Ids of runs, deleted ones too, in the order in which they are read best.
    pub runs: Vec<String>,
    /// Ids of logged models.
    pub logged_models: Vec<String>,
    /// Registered models.
    pub models: Vec<CarriedModel>,
    /// Their versions.
    pub versions: Vec<FoundVersion>,
    /// Versions that were deleted and are kept nevertheless, as a database does.
    pub deleted_versions: Vec<FoundVersion>,
    /// Their aliases.
    pub aliases: Vec<CarriedAliases>,
    /// What is there and cannot come: how many of each, by a name that a person knows, e.g. `traces`.
    pub left_behind: BTreeMap<String, u64>,
}

/// An experiment, and where its runs' files are there.
#[derive(Debug, Clone)]
pub(super) struct FoundExperiment {
    pub item: CarriedExperiment,
    pub artifact_location: String,
}

/// A run or a logged model, and where its files are there.
#[derive(Debug, Clone)]
pub(super) struct Found<T> {
    pub item: T,
    pub artifact_uri: String,
}

/// A version, and where its files are there; empty if the store does not say more than the source.
#[derive(Debug, Clone)]
pub(super) struct FoundVersion {
    pub item: CarriedVersion,
    pub storage_location: String,
}

/// Who has files there, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'h> {
    /// A run, a logged model or a version.
    pub kind: ItemKind,
    /// Its id there.
    pub id: &'h str,
    /// The root of its files.
    pub artifact_uri: &'h str,
}

/// A store that is read.
pub(super) trait Source: Send {
    /// What it holds.
    fn outline(&mut self) -> Result<Outline>;

    /// How many of the first of these runs have at most so many points together, as far as the store tells beforehand.
    fn fitting(&mut self, ids: &[String], points_max: usize) -> Result<usize>;

    /// Runs in whole, in any order; those that went meanwhile are left out.
    fn runs(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedRun>>>;

    /// Logged models in whole, in any order; those that went meanwhile are left out.
    fn logged_models(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedLoggedModel>>>;

    /// Somebody's files, as paths below the root with sizes; none where this store cannot be asked for them, as for a root on a disk,
    /// which the caller reads itself.
    fn files(&mut self, owner: &Held<'_>) -> Result<Option<Vec<(String, u64)>>>;

    /// Writes one of those files into a local one.
    fn fetch(&mut self, owner: &Held<'_>, path: &str, into: &mut std::fs::File) -> Result<()>;

    /// What could not be read so far.
    fn unread(&self) -> Unread;

    /// Whether nobody is there any more who could be asked, after a call that failed: no fault of the one thing that was asked for.
    fn is_gone(&self) -> bool {
        false
    }
}

/// What could not be read of a store.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Unread {
    pub count: u64,
    /// The first [`UNREAD_NAMED_MAX`], each with its place and why.
    pub named: Vec<String>,
}

/// Unread things that are named.
pub(super) const UNREAD_NAMED_MAX: usize = 1_000;

/// How many of the first of some runs have at most so many points together; one at least.
pub(super) fn fitting(points: impl Iterator<Item = usize>, points_max: usize) -> usize {
    let mut sum = 0_usize;
    let fits = points.take_while(|points| {
        sum = sum.saturating_add(*points);
        sum <= points_max
    });
    fits.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_batch_ends_at_points_and_is_never_empty() {
        for (points, fits) in
            [(vec![], 1), (vec![0; 7], 7), (vec![4, 6, 1], 2), (vec![11, 1], 1), (vec![usize::MAX; 2], 1)]
        {
            assert_eq!(fitting(points.iter().copied(), 10), fits, "{points:?}");
        }
    }
}
