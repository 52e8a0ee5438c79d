//! Experiments of an export: which of those that are there are ours, and what is new.
//!
//! What must stay true: one that somebody else made there is never written over, also with `--replace`, so that no runs come to those of
//! another.

use std::collections::HashMap;

use super::{
    super::{numbers::EXPERIMENT_TAG, source::FoundExperiment},
    DEFAULT, Export, PROXIED,
};
use crate::{
    error::{Code, Error, Result},
    exchange::{ItemKind, digest},
    tracking::experiment::carried::CarriedExperiment,
};

/// Where the files of an experiment are, as clients know it.
pub(super) fn location_of(item: &CarriedExperiment) -> String {
    let own = || format!("{PROXIED}/{}", item.experiment_id);
    item.artifact_location.clone().unwrap_or_else(own)
}

/// Whether an experiment that has the id of one of ours there is that one: every store begins with the default one, an import and an
/// export carry names and times, and no two are made in the same millisecond under the same id.
fn is_same(ours: &CarriedExperiment, there: &CarriedExperiment) -> bool {
    ours.experiment_id == DEFAULT
        || ours.name == there.name
        || (ours.created_time == there.created_time && there.created_time != 0)
}

/// The digest of an experiment and the place of its files.
fn whole(found: &FoundExperiment) -> Result<String> {
    let artifact_location = Some(found.artifact_location.clone());
    digest(&CarriedExperiment { artifact_location, ..found.item.clone() })
}

impl Export<'_> {
    /// Leaves out the tag that an export sets itself: one that a person set would make another experiment of it.
    pub(super) fn leave_tags(&mut self, experiments: &mut [CarriedExperiment]) {
        let left = experiments.iter_mut().filter_map(|item| item.tags.remove(EXPERIMENT_TAG)).count();
        self.leave_behind(&format!("tags {EXPERIMENT_TAG} (by which an export tells ids)"), left);
    }

    /// Refuses to begin where the runs of an experiment would come to those of another.
    pub(super) fn refuse_taken(&self, experiments: &[CarriedExperiment]) -> Result<()> {
        let here: HashMap<&str, &CarriedExperiment> =
            experiments.iter().map(|item| (item.experiment_id.as_str(), item)).collect();
        let there = &self.there.experiments;
        let by_name: HashMap<&str, &CarriedExperiment> =
            there.values().map(|found| (found.item.name.as_str(), &found.item)).collect();
        let is_ours = |there: &CarriedExperiment| {
            here.get(there.experiment_id.as_str()).is_some_and(|ours| is_same(ours, there))
        };
        let mut taken = Vec::new();
        for item in experiments {
            let (id, name) = (item.experiment_id.as_str(), item.name.as_str());
            if let Some(other) = there.get(id).filter(|found| !is_same(item, &found.item)) {
                taken.push(format!("the id of experiment '{name}' ({id}) has '{}' there", other.item.name));
            } else if let Some(other) =
                by_name.get(name).filter(|found| found.experiment_id != id && !is_ours(found))
            {
                let other = &other.experiment_id;
                taken.push(format!("the name of experiment '{name}' ({id}) has experiment {other} there"));
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Code::ResourceConflict,
            format!(
                "Nothing was written: {}. Export into a database of its own; where it is the name alone, rename what is there.",
                taken.join("; ")
            ),
        ))
    }

    /// What is to be there of an experiment. The default one is there before anything comes, with times and a place of its own.
    fn as_there(&self, item: &CarriedExperiment, there: Option<&FoundExperiment>) -> FoundExperiment {
        let mut wanted =
            FoundExperiment { item: item.clone(), artifact_location: self.rebased(&location_of(item)) };
        if let Some(there) = there.filter(|_| item.experiment_id == DEFAULT) {
            wanted.item.created_time = there.item.created_time;
            wanted.item.updated_time = there.item.updated_time;
            wanted.artifact_location.clone_from(&there.artifact_location);
        }
        wanted
    }

    pub(super) fn experiments(&mut self, experiments: &[CarriedExperiment]) -> Result<()> {
        let kind = ItemKind::Experiment;
        let mut ordered: Vec<&CarriedExperiment> = experiments.iter().collect();
        // First what is there, whose old names are free then; last what gets another number, so that it takes nobody's.
        ordered.sort_by_cached_key(|item| {
            let id = &item.experiment_id;
            (!self.there.experiments.contains_key(id), !self.database.can_keep_number(id))
        });
        for item in ordered {
            self.report.line(kind).there += 1;
            let id = &item.experiment_id;
            let before = self.there.experiments.get(id);
            let wanted = self.as_there(item, before);
            let is_new = before.is_none();
            let mut may_write = is_new || self.replaces;
            if let Some(before) = before {
                if whole(&wanted)? == whole(before)? {
                    self.report.line(kind).equal += 1;
                    continue;
                }
                // As every store has it, it has nothing that could be lost.
                let tags = &before.item.tags;
                may_write |= *id == DEFAULT
                    && before.item.name == item.name
                    && tags.iter().all(|(key, value)| item.tags.get(key) == Some(value));
            }
            if may_write {
                let put = |export: &mut Self| export.database.put_experiment(&wanted, is_new);
                self.write(kind, id, is_new, put)?;
            } else {
                self.report.line(kind).different.push(id.clone());
            }
        }
        self.read_back_experiments(experiments)
    }

    /// Compares the experiments that were written.
    fn read_back_experiments(&mut self, experiments: &[CarriedExperiment]) -> Result<()> {
        let kind = ItemKind::Experiment;
        if !self.writes || self.report.line(kind).made + self.report.line(kind).changed == 0 {
            return Ok(());
        }
        let found = self.database.experiments()?.into_iter();
        let there: HashMap<String, FoundExperiment> =
            found.map(|found| (found.item.experiment_id.clone(), found)).collect();
        let mut line = std::mem::take(self.report.line(kind));
        line.equal = 0;
        for item in experiments.iter().filter(|item| !self.is_absent(kind, &item.experiment_id)) {
            let id = &item.experiment_id;
            match there.get(id) {
                Some(found) if whole(&self.as_there(item, Some(found)))? == whole(found)? => line.equal += 1,
                Some(_) if line.different.contains(id) => {}
                Some(_) => line.different.push(id.clone()),
                None => line.missing.push(id.clone()),
            }
        }
        *self.report.line(kind) = line;
        Ok(())
    }
}
