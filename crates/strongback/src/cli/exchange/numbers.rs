//! Experiments that have another number in an MLflow store than here: which, and the tag that tells it.
//!
//! What must stay true: a number there means one experiment of ours at most, and an experiment of ours one number there.

use std::collections::{HashMap, HashSet};

use super::source::FoundExperiment;

/// The tag that such an experiment has there: its id here.
pub(super) const EXPERIMENT_TAG: &str = "strongback.experiment_id";

/// Experiments that have another number there.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    ours: HashMap<i64, String>,
    there: HashMap<String, i64>,
    /// Numbers of experiments that are not read, since they are those of another workspace.
    others: HashSet<i64>,
}

impl Numbers {
    /// Gives experiments, in the order of their numbers, the ids back that they have in a tag.
    pub(super) fn learn(&mut self, found: &mut [FoundExperiment]) {
        let mut taken: HashSet<String> = found.iter().map(|found| found.item.experiment_id.clone()).collect();
        for FoundExperiment { item, .. } in found {
            let told = item.tags.get(EXPERIMENT_TAG).filter(|id| id.parse::<i64>().is_ok_and(|id| id > 0));
            let Some(told) = told.filter(|id| !taken.contains(*id)).cloned() else { continue };
            if let Ok(number) = item.experiment_id.parse() {
                self.add(number, &told);
                // Its number is free as an id, which a later one may have in its tag.
                taken.remove(&item.experiment_id);
                taken.insert(told.clone());
                item.tags.remove(EXPERIMENT_TAG);
                item.experiment_id = told;
            }
        }
    }

    pub(super) fn add(&mut self, there: i64, ours: &str) {
        self.ours.insert(there, ours.to_owned());
        self.there.insert(ours.to_owned(), there);
    }

    pub(super) fn add_other(&mut self, number: i64) {
        self.others.insert(number);
    }

    /// The number that an experiment of ours has there, if it is not its id.
    pub(super) fn there(&self, ours: &str) -> Option<i64> {
        self.there.get(ours).copied()
    }

    /// Our id for a number there.
    pub(super) fn id(&self, there: i64) -> String {
        self.ours.get(&there).cloned().unwrap_or_else(|| there.to_string())
    }

    /// The same for a number that is text.
    pub(super) fn id_of(&self, there: String) -> String {
        there.parse::<i64>().map_or(there, |number| self.id(number))
    }

    /// Whether a number is that of an experiment with another id, or of one that is not read.
    pub(super) fn is_taken(&self, number: i64) -> bool {
        self.ours.contains_key(&number) || self.others.contains(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::experiment::carried::CarriedExperiment;

    fn found(id: &str, told: Option<&str>) -> FoundExperiment {
        let tags = told.map(|told| (EXPERIMENT_TAG.to_owned(), told.to_owned())).into_iter().collect();
        let item = CarriedExperiment { experiment_id: id.to_owned(), tags, ..CarriedExperiment::default() };
        FoundExperiment { item, artifact_location: String::new() }
    }

    #[test]
    fn a_number_that_went_to_another_is_an_id_again() {
        let wide = "5000000000";
        let mut all =
            [found("5", None), found("6", Some(wide)), found("7", Some("6")), found("8", Some(wide))];
        let mut numbers = Numbers::default();
        numbers.learn(&mut all);
        let ids: Vec<&str> = all.iter().map(|found| found.item.experiment_id.as_str()).collect();
        // What is told twice is that of the first.
        assert_eq!(ids, ["5", wide, "6", "8"]);
        assert_eq!((numbers.there(wide), numbers.there("6"), numbers.there("5")), (Some(6), Some(7), None));
        assert_eq!(
            (numbers.id(7), numbers.id_of("6".to_owned()), numbers.id(8)),
            ("6".into(), wide.into(), "8".into())
        );
        assert!(numbers.is_taken(6) && !numbers.is_taken(5));
    }
}
