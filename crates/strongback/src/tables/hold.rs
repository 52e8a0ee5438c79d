//! One writer a table within this process: commits to one table follow each other instead of colliding.
//!
//! It spares work and decides nothing: what must not happen twice is refused by the metadata store.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, Result};

/// The tables that are written to, by what names them.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// A table is this writer's until it is dropped.
pub(super) struct Held {
    _guard: OwnedMutexGuard<()>,
}

impl Holds {
    /// Waits until nobody else writes to any of these tables. All who want several take them in one order.
    pub(super) async fn take_all(&self, mut keys: Vec<String>) -> Vec<Held> {
        keys.sort_unstable();
        keys.dedup();
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            held.push(self.take(&key).await);
        }
        held
    }

    /// Waits until nobody else writes to the table.
    pub(super) async fn take(&self, key: &str) -> Held {
        let lock = {
            let mut holds = self.0.lock();
            // Nobody has it or waits for it any more.
            holds.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(holds.entry(key.to_owned()).or_default())
        };
        Held { _guard: lock.lock_owned().await }
    }
}

/// Work that goes on to its end, also where nobody waits for it any more: what has an intent has to have an outcome, and
/// whoever holds a table holds it until then.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    lake::meter::spawn(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_has_one_writer_and_is_forgotten_after_the_last() {
        let holds = Arc::new(Holds::default());
        let first = holds.take("a").await;
        let _other = holds.take("b").await;
        let second = tokio::spawn({
            let holds = Arc::clone(&holds);
            async move { drop(holds.take("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
        let _third = holds.take("c").await;
        assert_eq!(holds.0.lock().len(), 2, "b and c");
    }
}
