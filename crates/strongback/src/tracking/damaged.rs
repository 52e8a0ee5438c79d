//! Runs and logged models that cannot be read, where many are read at once.
//!
//! One damaged document keeps nobody from what is beside it: it is left out, and the log says so.

use std::{collections::HashSet, sync::LazyLock};

use parking_lot::Mutex;

use crate::{
    db::Row,
    error::{Error, Result},
};

/// Things that are remembered as said; once there are more, all of them are said again.
const SAID_MAX: usize = 10_000;

/// Ids that the log of this process tells of.
static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// What `read` makes of a row that has the thing's id in column `id`; none if it cannot be read.
pub(super) fn read_if_whole<T>(
    row: &Row<'_>,
    id: usize,
    read: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    match read(row) {
        Ok(whole) => Ok(Some(whole)),
        Err(error) => {
            say_damaged(&row.get::<String>(id)?, &error);
            Ok(None)
        }
    }
}

/// Says in the log that a run or a logged model cannot be read and is left out: once, however often it is met.
pub(crate) fn say_damaged(id: &str, error: &Error) {
    let is_new = {
        let mut said = SAID.lock();
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(id.to_owned())
    };
    if is_new {
        tracing::error!(?error, id, "what is stored of it cannot be read; it is left out of what is shown");
    }
}
