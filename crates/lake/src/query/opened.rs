//! Tables that queries opened, kept for the next query of the same: reading a table's log takes longer than finding a row in it.
//!
//! What must stay true: what is kept is a table at one version, which never changes, so that it is never stale; it is bounded by the
//! files that it lists.

use std::{collections::VecDeque, sync::Arc};

use datafusion::{arrow::datatypes::SchemaRef, catalog::TableProvider};
use parking_lot::Mutex;

use crate::{
    error::Result,
    root::{Root, TableId},
    table::schema_of,
};

/// Tables that are kept at most.
const TABLES_MAX: usize = 16;
/// Files that they list at most, all together; of each its name and the bounds of its columns are in memory.
const FILES_MAX: usize = 4_096;

/// The columns of a table at a version, and its rows.
pub(crate) type Known = (SchemaRef, Arc<dyn TableProvider>);

/// What is kept, the one asked for last at the end.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<Entry>>);

struct Entry {
    id: TableId,
    version: u64,
    files: usize,
    known: Known,
}

impl Kept {
    /// A table at a version, as it was opened before or opened now.
    pub(crate) async fn open(&self, root: &Root, id: TableId, version: u64) -> Result<Known> {
        if let Some(known) = self.find(id, version) {
            return Ok(known);
        }
        let table = root.open(id, Some(version)).await?;
        let files = table.snapshot()?.log_data().num_files();
        let known = (schema_of(&table)?, table.table_provider().await?);
        self.keep(Entry { id, version, files, known: known.clone() });
        Ok(known)
    }

    fn find(&self, id: TableId, version: u64) -> Option<Known> {
        let mut kept = self.0.lock();
        let at = kept.iter().position(|entry| (entry.id, entry.version) == (id, version))?;
        let entry = kept.remove(at)?;
        let known = entry.known.clone();
        kept.push_back(entry);
        Some(known)
    }

    fn keep(&self, entry: Entry) {
        if entry.files > FILES_MAX {
            return;
        }
        let mut kept = self.0.lock();
        // Somebody else may have opened it meanwhile.
        kept.retain(|other| (other.id, other.version) != (entry.id, entry.version));
        kept.push_back(entry);
        let mut files: usize = kept.iter().map(|entry| entry.files).sum();
        while kept.len() > TABLES_MAX || files > FILES_MAX {
            let Some(oldest) = kept.pop_front() else { break };
            files -= oldest.files;
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{arrow::datatypes::Schema, datasource::empty::EmptyTable};
    use uuid::Uuid;

    use super::*;

    fn entry(id: TableId, version: u64, files: usize) -> Entry {
        let schema: SchemaRef = Arc::new(Schema::empty());
        Entry { id, version, files, known: (Arc::clone(&schema), Arc::new(EmptyTable::new(schema))) }
    }

    #[test]
    fn what_was_asked_for_last_is_kept_within_its_bounds() {
        let (kept, id) = (Kept::default(), TableId(Uuid::from_u128(7)));
        for version in 0..=TABLES_MAX as u64 {
            kept.keep(entry(id, version, 1));
            assert!(kept.find(id, 0).is_some());
        }
        // The one that is asked for all the time stays; the next oldest went.
        assert!(kept.find(id, 0).is_some() && kept.find(id, 1).is_none() && kept.find(id, 2).is_some());
        kept.keep(entry(id, 2, 1));
        assert_eq!(kept.0.lock().len(), TABLES_MAX, "once");
        kept.keep(entry(id, 99, FILES_MAX));
        assert!(kept.find(id, 99).is_some() && kept.0.lock().len() == 1);
        kept.keep(entry(id, 100, FILES_MAX + 1));
        assert!(kept.find(id, 100).is_none() && kept.find(id, 99).is_some(), "too large for all of it");
    }
}
