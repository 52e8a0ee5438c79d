//! The engine: a runtime of its own for what computes, and what queries may use of memory and disk.
//!
//! What must stay true:
//! - nothing of it exists before it is first needed: starting the server costs nothing of it;
//! - a query that computes for long never holds up a request that only waits: it runs on threads of its own;
//! - what nobody waits for any more is called off ([`Task`] ends its work when it is dropped);
//! - memory and spill space are bounded, for all queries together, and the limit's error says so;
//! - so is how many queries and imports go on at a time: more of them wait for a while, and are then told that it is full.

use std::{
    future::Future,
    num::NonZeroUsize,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use datafusion::{
    execution::{
        SessionStateBuilder,
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{FairSpillPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use parking_lot::Mutex;
use tokio::{
    runtime::Runtime,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    asof,
    error::{Error, Kind, Result},
    meter::{self, Meter},
    query::{self, Kept},
    root::Root,
};

/// Stack of an engine thread: plans are trees, and deep ones recurse.
const STACK_BYTES: usize = 8 << 20;
/// Consumers of memory that the error about too much of it names.
const NAMED_CONSUMERS: usize = 3;
/// Memory that the engine keeps for the footers of files it has read, in bytes.
const METADATA_CACHE_BYTES: usize = 16 << 20;
/// Rows that the engine handles at a time.
const BATCH_ROWS: usize = 8192;

/// Queries, and imports, that go on at a time, for each thread that computes.
const TURNS_A_THREAD: usize = 4;
/// How long one more of them waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// What the engine may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory of all queries together, in bytes, beyond which they spill.
    pub memory_bytes: usize,
    /// Temporary disk space of all queries together, in bytes.
    pub spill_bytes: u64,
    /// Directory for temporary files. It belongs to the engine, which may empty it.
    pub spill_dir: PathBuf,
    /// Threads that compute.
    pub threads: usize,
}

/// Tables and the engine over them. Cheap to clone, and cheap to make.
#[derive(Clone)]
pub struct Lake(Arc<Inner>);

struct Inner {
    root: Root,
    limits: Limits,
    queries: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    engine: Mutex<Option<Arc<Engine>>>,
    opened: Kept,
}

struct Engine {
    /// Taken when it ends, since a runtime must not be dropped where tasks run.
    runtime: Option<Runtime>,
    environment: Arc<RuntimeEnv>,
}

impl Lake {
    /// Tables below a root. Nothing is opened yet.
    pub fn new(root: Root, limits: Limits) -> Self {
        let turns = || Arc::new(Semaphore::new(limits.threads.max(1) * TURNS_A_THREAD));
        let (queries, imports) = (turns(), turns());
        Self(Arc::new(Inner {
            root,
            limits,
            queries,
            imports,
            engine: Mutex::new(None),
            opened: Kept::default(),
        }))
    }

    /// Where the tables lie.
    pub fn root(&self) -> &Root {
        &self.0.root
    }

    /// What queries opened.
    pub(crate) fn opened(&self) -> &Kept {
        &self.0.opened
    }

    /// What queries may hold in memory, all together, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.limits.memory_bytes
    }

    /// Whether anything was asked of the engine yet.
    pub fn is_open(&self) -> bool {
        self.0.engine.lock().is_some()
    }

    /// Runs work on the engine's threads, for whom this thread works at the moment.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Task<T> {
        match self.engine() {
            Ok(engine) => match &engine.runtime {
                Some(runtime) => Task(Ok(match Meter::current() {
                    Some(meter) => runtime.spawn(meter.follow(work)),
                    None => runtime.spawn(work),
                })),
                None => Task(Err(Some(Error::internal("the engine has ended")))),
            },
            Err(error) => Task(Err(Some(error))),
        }
    }

    /// A turn for a query, which goes on while it is kept.
    pub(crate) async fn query_turn(&self) -> Result<OwnedSemaphorePermit> {
        turn(&self.0.queries, "queries", self.0.limits.threads).await
    }

    /// The same for an import.
    pub(crate) async fn import_turn(&self) -> Result<OwnedSemaphorePermit> {
        turn(&self.0.imports, "imports", self.0.limits.threads).await
    }

    /// A session for one query.
    pub(crate) fn session(&self) -> Result<SessionContext> {
        let config = SessionConfig::new()
            .with_batch_size(BATCH_ROWS)
            .with_target_partitions(self.0.limits.threads)
            .with_default_catalog_and_schema("main", "default")
            .with_create_default_catalog_and_schema(false)
            .set_bool("datafusion.catalog.information_schema", false)
            .set_str("datafusion.execution.time_zone", "UTC")
            .set_bool("datafusion.execution.parquet.pushdown_filters", true);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.engine()?.environment))
            .with_default_features();
        Ok(SessionContext::new_with_state(query::register(asof::register(state)).build()))
    }

    /// The engine, started by whoever asks first. One that could not be started is tried again.
    fn engine(&self) -> Result<Arc<Engine>> {
        let mut engine = self.0.engine.lock();
        if let Some(open) = &*engine {
            return Ok(Arc::clone(open));
        }
        let started = Engine::start(&self.0.limits).map_err(|why| Error::new(Kind::Unavailable, why))?;
        Ok(Arc::clone(engine.insert(Arc::new(started))))
    }
}

async fn turn(turns: &Arc<Semaphore>, what: &str, threads: usize) -> Result<OwnedSemaphorePermit> {
    match timeout(TURN_WAIT, Arc::clone(turns).acquire_owned()).await {
        Ok(turn) => turn.map_err(Error::internal),
        Err(_) => Err(Error::new(
            Kind::Unavailable,
            format!(
                "{} {what} are going on, which is as many as this server lets go on at a time, and none ended within {} s. Try \
                 again later.",
                threads.max(1) * TURNS_A_THREAD,
                TURN_WAIT.as_secs()
            ),
        )),
    }
}

impl Engine {
    fn start(limits: &Limits) -> Result<Self, String> {
        let unusable = |error: &dyn std::fmt::Display| {
            format!("The query engine cannot be started in {}: {error}.", limits.spill_dir.display())
        };
        // What queries of a dead process spilled.
        match std::fs::remove_dir_all(&limits.spill_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(&error)),
            _ => {}
        }
        std::fs::create_dir_all(&limits.spill_dir).map_err(|error| unusable(&error))?;
        meter::follow_operators();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(limits.threads)
            .thread_name("lake")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| unusable(&error))?;
        let named = NonZeroUsize::new(NAMED_CONSUMERS).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), named);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![limits.spill_dir.clone()]))
            .with_max_temp_directory_size(limits.spill_bytes);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(METADATA_CACHE_BYTES)
            .build_arc()
            .map_err(|error| unusable(&error))?;
        Ok(Self { runtime: Some(runtime), environment })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work on the engine's threads; a future of its outcome. Dropping it calls the work off.
pub struct Task<T>(Result<JoinHandle<Result<T>>, Option<Error>>);

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(handle) => Pin::new(handle).poll(context).map(|ended| match ended {
                Ok(outcome) => outcome,
                Err(error) if error.is_cancelled() => {
                    Err(Error::new(Kind::Cancelled, "The work was called off."))
                }
                Err(error) => Err(Error::internal(error)),
            }),
            Err(error) => {
                Poll::Ready(Err(error.take().unwrap_or_else(|| Error::internal("polled after its end"))))
            }
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Ok(handle) = &self.0 {
            handle.abort();
        }
    }
}
