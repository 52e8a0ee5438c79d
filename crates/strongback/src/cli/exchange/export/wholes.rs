//! Runs and logged models of an export, an experiment after the other, a page at a time.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{
    super::{
        database::Database,
        source::{Found, Source as _},
    },
    Export, Kept,
    experiments::location_of,
};
use crate::{
    cli::progress::Progress,
    error::{Code, Result},
    exchange::{GiveResponse, ItemKind, digest},
    tracking::{
        experiment::carried::CarriedExperiment, model::carried::CarriedLoggedModel, run::carried::CarriedRun,
    },
};

/// A run or a logged model, which travel alike.
pub(super) trait Whole: Serialize + Clone {
    const KIND: ItemKind;
    fn id(&self) -> &str;
    /// The directory of its files below its experiment's.
    fn directory(&self) -> String;
    fn points(&self) -> u64;
    /// Leaves out what only says that its experiment was deleted: MLflow deletes the runs of one with it, and restores them with it.
    fn compare_in(&mut self, home: &CarriedExperiment);
    /// As it is written.
    fn write_in(&mut self, home: &CarriedExperiment);
    /// Leaves out what MLflow has no place for. Answers how much, in words and as a number.
    fn fit(&mut self) -> (&'static str, usize);
    fn of(page: GiveResponse) -> Vec<Self>;
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>>;
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()>;
}

impl Whole for CarriedRun {
    const KIND: ItemKind = ItemKind::Run;
    fn id(&self) -> &str {
        &self.run_id
    }
    fn directory(&self) -> String {
        format!("{}/artifacts", self.run_id)
    }
    fn points(&self) -> u64 {
        Self::points(self) as u64
    }
    fn compare_in(&mut self, home: &CarriedExperiment) {
        self.deleted_time = self.deleted_time.filter(|_| !home.deleted);
    }
    fn write_in(&mut self, home: &CarriedExperiment) {
        if home.deleted {
            self.deleted_time.get_or_insert(home.updated_time);
        }
    }
    fn fit(&mut self) -> (&'static str, usize) {
        ("", 0)
    }
    fn of(page: GiveResponse) -> Vec<Self> {
        page.runs
    }
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>> {
        database.runs(ids)
    }
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()> {
        database.put_runs(items, there)
    }
}

impl Whole for CarriedLoggedModel {
    const KIND: ItemKind = ItemKind::LoggedModel;
    fn id(&self) -> &str {
        &self.model_id
    }
    fn directory(&self) -> String {
        format!("models/{}/artifacts", self.model_id)
    }
    fn points(&self) -> u64 {
        0
    }
    fn compare_in(&mut self, _: &CarriedExperiment) {}
    fn write_in(&mut self, _: &CarriedExperiment) {}
    fn fit(&mut self) -> (&'static str, usize) {
        let before = self.metrics.len();
        let mut seen = HashSet::new();
        self.metrics.retain(|of| seen.insert((of.key.clone(), of.run_id.clone(), of.timestamp, of.step)));
        (
            "points of logged models that differ from another by their data set alone",
            before - self.metrics.len(),
        )
    }
    fn of(page: GiveResponse) -> Vec<Self> {
        page.logged_models
    }
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>> {
        database.logged_models(ids)
    }
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()> {
        database.put_logged_models(items, there)
    }
}

/// What is to be there of the items of a page, by id.
type Expected = HashMap<String, Kept>;

/// Whether an item that was read is what is to be there.
fn is_expected<T: Whole>(found: &Found<T>, expected: &Expected) -> Result<bool> {
    let kept = Kept { digest: digest(&found.item)?, address: found.artifact_uri.clone() };
    Ok(expected.get(found.item.id()) == Some(&kept))
}

impl Export<'_> {
    /// Runs, or logged models, of all experiments.
    pub(super) fn wholes<T: Whole>(
        &mut self,
        experiments: &[CarriedExperiment],
        what: &'static str,
        total: Option<u64>,
    ) -> Result<()> {
        let has_place = self.database.has_kind(T::KIND);
        let mut progress = Progress::new(what, total.and_then(|total| usize::try_from(total).ok()));
        for experiment in experiments {
            let has_home = !self.is_absent(ItemKind::Experiment, &experiment.experiment_id);
            self.pages(T::KIND, &experiment.experiment_id, |export, page| {
                let items = T::of(page);
                progress.add(items.len());
                match (has_place, has_home) {
                    (true, true) => export.page(items, experiment),
                    (true, false) => {
                        export.without_home(&items, experiment);
                        Ok(())
                    }
                    (false, _) => export.without_table(&items, what),
                }
            })?;
        }
        Ok(())
    }

    /// Counts what an older database has no tables for. Its files go nevertheless: versions may be made of them.
    fn without_table<T: Whole>(&mut self, items: &[T], what: &str) -> Result<()> {
        let what = format!("{what} (the database is of a version of MLflow that has none)");
        self.leave_behind(&what, items.len());
        self.files_of(T::KIND, items.iter().map(|item| item.id().to_owned()).collect())
    }

    /// Names what cannot go since its experiment did not.
    fn without_home<T: Whole>(&mut self, items: &[T], home: &CarriedExperiment) {
        self.report.line(T::KIND).there += items.len();
        let why = format!("its experiment {} was not taken", home.experiment_id);
        for item in items {
            self.report.points.0 += item.points();
            self.refuse(Some(T::KIND), item.id(), &why);
        }
    }

    fn page<T: Whole>(&mut self, mut items: Vec<T>, home: &CarriedExperiment) -> Result<()> {
        let kind = T::KIND;
        let root = self.rebased(&location_of(home));
        let mut expected = Expected::with_capacity(items.len());
        for item in &mut items {
            let (what, left) = item.fit();
            self.leave_behind(what, left);
            item.compare_in(home);
            self.report.points.0 += item.points();
            let address = format!("{}/{}", root.trim_end_matches('/'), item.directory());
            expected.insert(item.id().to_owned(), Kept { digest: digest(&*item)?, address });
        }
        self.report.line(kind).there += items.len();
        let ids: Vec<String> = items.iter().map(|item| item.id().to_owned()).collect();
        let before = self.there.ids.get(&kind);
        let known: Vec<String> =
            ids.iter().filter(|id| before.is_some_and(|before| before.contains(*id))).cloned().collect();
        let settled = self.settled::<T>(&known, home, &expected)?;
        let known: HashSet<String> = known.into_iter().collect();
        let wanted: Vec<Found<T>> = items
            .into_iter()
            .filter(|item| !settled.contains(item.id()))
            .map(|mut item| {
                item.write_in(home);
                let address = expected.get(item.id()).map(|kept| kept.address.clone());
                Found { artifact_uri: address.unwrap_or_default(), item }
            })
            .collect();
        self.put_all(&wanted, &known, home, &expected)?;
        self.files_of(kind, ids)
    }

    /// Which of those that are there stay as they are: what is equal, and without `--replace` what differs, which is named.
    fn settled<T: Whole>(
        &mut self,
        known: &[String],
        home: &CarriedExperiment,
        expected: &Expected,
    ) -> Result<HashSet<String>> {
        let mut settled = HashSet::new();
        for mut found in T::read(&mut self.database, known)? {
            found.item.compare_in(home);
            let is_equal = is_expected(&found, expected)?;
            let line = self.report.line(T::KIND);
            if is_equal {
                line.equal += 1;
                self.report.points.1 += found.item.points();
            } else if !self.replaces {
                line.different.push(found.item.id().to_owned());
            }
            if is_equal || !self.replaces {
                settled.insert(found.item.id().to_owned());
            }
        }
        Ok(settled)
    }

    /// Writes items together, or one by one where the database does not take one of them, and reads back what was written.
    fn put_all<T: Whole>(
        &mut self,
        wanted: &[Found<T>],
        known: &HashSet<String>,
        home: &CarriedExperiment,
        expected: &Expected,
    ) -> Result<()> {
        let kind = T::KIND;
        let is_new = |item: &T| !known.contains(item.id());
        let mut written = Vec::with_capacity(wanted.len());
        let together = match self.writes && !wanted.is_empty() {
            true => T::put(&mut self.database, wanted, known),
            false => Ok(()),
        };
        match together {
            Ok(()) => {
                for found in wanted {
                    self.write(kind, found.item.id(), is_new(&found.item), |_| Ok(()))?;
                    written.push(found.item.id().to_owned());
                }
            }
            Err(error) if error.code() == Code::InvalidParameterValue => {
                for found in wanted {
                    let put =
                        |export: &mut Self| T::put(&mut export.database, std::slice::from_ref(found), known);
                    if self.write(kind, found.item.id(), is_new(&found.item), put)? {
                        written.push(found.item.id().to_owned());
                    }
                }
            }
            Err(error) => return Err(error),
        }
        if self.writes { self.read_back::<T>(&written, home, expected) } else { Ok(()) }
    }

    /// Compares what was written.
    fn read_back<T: Whole>(
        &mut self,
        written: &[String],
        home: &CarriedExperiment,
        expected: &Expected,
    ) -> Result<()> {
        let mut missing: HashSet<&String> = written.iter().collect();
        for mut found in T::read(&mut self.database, written)? {
            found.item.compare_in(home);
            missing.remove(&found.item.id().to_owned());
            self.report.points.1 += found.item.points();
            let is_equal = is_expected(&found, expected)?;
            let line = self.report.line(T::KIND);
            if is_equal {
                line.equal += 1;
            } else {
                line.different.push(found.item.id().to_owned());
            }
        }
        self.report.line(T::KIND).missing.extend(missing.into_iter().cloned());
        Ok(())
    }
}
