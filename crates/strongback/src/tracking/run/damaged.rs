//! Runs that cannot be read, where many are read at once.
//!
//! One damaged document keeps nobody from the runs beside it: the run is left out, and the log says so.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use super::{Run, read};
use crate::{
    db::Row,
    error::{Error, Result},
};

/// Runs that are remembered as said; once there are more, all of them are said again.
const SAID_MAX: usize = 10_000;

/// Ids of runs that the log of this process tells of.
static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// A row as [`read`] takes it; none if the run cannot be read.
pub(in crate::tracking) fn read_if_whole(row: &Row<'_>) -> Result<Option<Run>> {
    match read(row) {
        Ok(run) => Ok(Some(run)),
        Err(error) => {
            say_damaged(&row.get::<String>(1)?, &error);
            Ok(None)
        }
    }
}

/// Says in the log that a run cannot be read and is left out: once, however often it is met.
pub(crate) fn say_damaged(uuid: &str, error: &Error) {
    let is_new = {
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(uuid.to_owned())
    };
    if is_new {
        tracing::error!(?error, run = uuid, "a run cannot be read and is left out of what is shown");
    }
}
