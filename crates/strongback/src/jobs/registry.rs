//! What does the work of the server's own kinds.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::RwLock;
use serde_json::Value as Json;

use super::context::JobCtx;
use crate::error::Result;

type Run = dyn Fn(JobCtx) -> BoxFuture<'static, Result<Json>> + Send + Sync;

/// Does jobs of one kind. It may be begun again after it was broken off anywhere, so what it does a second time has to
/// come to the same: by [`JobCtx::write`], which a lost lease cannot pass, or by an operation that carries the job's id.
#[derive(Clone)]
pub struct Handler {
    /// The kind.
    pub kind: &'static str,
    /// Whether it needs much of the machine: one job of such kinds runs at a time.
    pub is_heavy: bool,
    run: Arc<Run>,
}

impl Handler {
    /// A handler of a kind. Its future answers the job's result; what it awaits is given up when the job is cancelled or
    /// over its budget, so that nothing may be left half done at an `await`.
    pub fn new<F, Fut>(kind: &'static str, run: F) -> Self
    where
        F: Fn(JobCtx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Json>> + Send + 'static,
    {
        Self { kind, is_heavy: false, run: Arc::new(move |job| run(job).boxed()) }
    }

    /// The same, one at a time.
    #[must_use]
    pub fn heavy(self) -> Self {
        Self { is_heavy: true, ..self }
    }

    pub(super) fn run(&self, job: JobCtx) -> BoxFuture<'static, Result<Json>> {
        (self.run)(job)
    }
}

/// The handlers of a running application.
#[derive(Default)]
pub struct Handlers(RwLock<BTreeMap<&'static str, Handler>>);

impl Handlers {
    /// Adds a handler, in place of another one of its kind.
    pub fn register(&self, handler: Handler) {
        self.0.write().insert(handler.kind, handler);
    }

    /// The handler of a kind.
    pub fn get(&self, kind: &str) -> Option<Handler> {
        self.0.read().get(kind).cloned()
    }

    /// Kinds that there are handlers for, with the heavy ones or without.
    pub fn kinds(&self, with_heavy: bool) -> Vec<&'static str> {
        let all = self.0.read();
        all.values().filter(|handler| with_heavy || !handler.is_heavy).map(|handler| handler.kind).collect()
    }
}
