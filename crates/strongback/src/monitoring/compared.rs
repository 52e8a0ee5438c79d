//! Whether the tables have the columns that a monitor names, and whether these can be compared.
//!
//! What must stay true: a column that a window would have no figure of, or no alert, is refused while whoever declares the
//! monitor waits, with its place in the file.

use std::collections::HashSet;

use lake::schema::Column;
use syntax::{monitors::Monitor, names::fold_case};

use super::{
    columns::{Nature, comparable, compared, is_feature, nature},
    labelled::KEYS,
};
use crate::{error::Result, tables::written::Written};

/// The tables of a declaration, each with its name.
pub(super) struct Compared<'a> {
    pub written: &'a Written,
    pub watched: (&'a str, &'a [Column]),
    pub baseline: (&'a str, &'a [Column]),
}

impl<'a> Compared<'a> {
    /// Refuses the first column that is not there, or cannot be what it is named as.
    pub(super) fn check(&self, definition: &Monitor) -> Result<()> {
        let event_time = self.of_watched("event_time", &definition.event_time)?;
        if event_time.type_name != "TIMESTAMP" {
            return Err(self.written.refused(
                "event_time",
                format!(
                    "the column '{}' is of type {}; event time is a timestamp",
                    event_time.name, event_time.type_text
                ),
            ));
        }
        if let Some(prediction) = &definition.prediction {
            let own = self
                .comparable("prediction.column", self.of_watched("prediction.column", &prediction.column)?)?;
            if let Some(name) = &prediction.baseline {
                let other = self.of_baseline("prediction.baseline", name)?;
                self.alike("prediction.baseline", own, self.comparable("prediction.baseline", other)?, name)?;
            }
        }
        if let Some(labels) = &definition.labels {
            if let Some(name) = &labels.baseline {
                const PATH: &str = "labels.baseline";
                let column = self.of_baseline(PATH, name)?;
                if nature(&column.type_name) != Some(Nature::Numeric) {
                    let why = format!(
                        "the column '{}' of '{}' is of type {}; labels are numbers",
                        column.name, self.baseline.0, column.type_text
                    );
                    return Err(self.written.refused(PATH, why));
                }
            }
            for key in KEYS {
                self.of_watched("labels", key)?;
            }
        }
        self.features(definition)
    }

    fn of_watched(&self, path: &str, name: &str) -> Result<&'a Column> {
        self.written.column(path, self.watched.1, self.watched.0, name)
    }

    fn of_baseline(&self, path: &str, name: &str) -> Result<&'a Column> {
        self.written.column(path, self.baseline.1, self.baseline.0, name)
    }

    fn comparable(&self, path: &str, column: &Column) -> Result<Nature> {
        nature(&column.type_name).ok_or_else(|| {
            self.written.refused(
                path,
                format!(
                    "the column '{}' is of type {}, which is none of numbers, texts and truths",
                    column.name, column.type_text
                ),
            )
        })
    }

    fn alike(&self, path: &str, own: Nature, other: Nature, name: &str) -> Result<()> {
        if own == other {
            return Ok(());
        }
        Err(self.written.refused(
            path,
            format!(
                "'{name}' is of numbers in one of '{}' and '{}', and not in the other; they cannot be compared",
                self.watched.0, self.baseline.0
            ),
        ))
    }

    fn features(&self, definition: &Monitor) -> Result<()> {
        for (at, name) in definition.features.include.iter().enumerate() {
            let path = format!("features.include.{at}");
            let own = self.comparable(&path, self.of_watched(&path, name)?)?;
            let other = self.comparable(&path, self.of_baseline(&path, name)?)?;
            self.alike(&path, own, other, name)?;
        }
        for (at, name) in definition.features.exclude.iter().enumerate() {
            // Left out is what either of them has.
            let path = format!("features.exclude.{at}");
            let is_of_baseline =
                self.baseline.1.iter().any(|column| fold_case(&column.name) == fold_case(name));
            if !is_of_baseline {
                self.of_watched(&path, name)?;
            }
        }
        let is_compared = |name: &str| {
            let has = |columns: &[Column]| {
                columns
                    .iter()
                    .any(|one| fold_case(&one.name) == fold_case(name) && nature(&one.type_name).is_some())
            };
            has(self.watched.1) && has(self.baseline.1)
        };
        for (at, threshold) in definition.thresholds.iter().enumerate() {
            let Some(name) = &threshold.column else { continue };
            let path = format!("thresholds.{at}.column");
            self.of_watched(&path, name)?;
            self.of_baseline(&path, name)?;
            if !is_feature(definition, name) || !is_compared(name) {
                let why = format!(
                    "'{name}' is none of the columns that are compared, so that this limit would never be crossed; take it \
                     into 'features', or drop the threshold"
                );
                return Err(self.written.refused(&path, why));
            }
        }
        let known: HashSet<String> =
            comparable(self.baseline.1).into_iter().map(|one| one.name.to_lowercase()).collect();
        let is_known = |name: &str| known.contains(name);
        let watches_columns_alone = definition.prediction.is_none() && definition.labels.is_none();
        if watches_columns_alone && compared(definition, self.watched.1, is_known).is_empty() {
            let why = format!(
                "'{}' and '{}' have no column of numbers or texts in common that 'features' leaves to be compared; name another \
                 'baseline' or other 'features', or give the monitor a 'prediction' or 'labels' to watch",
                self.watched.0, self.baseline.0
            );
            return Err(self.written.refused("baseline", why));
        }
        Ok(())
    }
}
