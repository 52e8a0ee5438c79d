//! Python processes beside the server, which load models that do not run in it.
//!
//! No process of its user can read the server's memory or environment (`strongback up` sees to that), and where the kernel has
//! Landlock, a worker is kept out of the data directory but for its model and a directory of its own. Elsewhere it can read what
//! the server's user can, keys included. It is no wall: only models belong here whose authors may run code on this machine.
//! A worker is one process for one model, behind the guard that runners use as well: it ends with whoever holds the guard's
//! standard input, also where that one is killed, and with it everything that it started. It finds nothing of the server's
//! environment, has a directory and a process group of its own, and limits of memory and files.
//!
//! What must stay true: nothing that a worker does or leaves undone holds the server up. A request that takes longer than its
//! limit ends the process; one that dies is started again; who waits for a turn is one of a bounded number.

mod process;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use lake::meter::Meter;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    config::Config,
    error::{Code, Error, Result},
};
use process::Process;
pub use process::convert;
pub(super) use process::path;

/// Requests that wait for a worker at most.
const QUEUE: usize = 64;
/// How long loading a model may take.
const LOAD: Duration = Duration::from_mins(3);
/// How long a request waits for its turn at most, beside what loading takes.
const TURN: Duration = Duration::from_secs(30);
/// How soon after its start a worker is started again that died, and how much longer with each time that it dies at once.
const RESTART: Duration = Duration::from_millis(200);
/// The longest such pause.
const RESTART_MAX: Duration = Duration::from_secs(30);

/// The server's own program, found once: before the process is kept from reading about itself.
pub fn program() -> std::io::Result<PathBuf> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program.clone());
    }
    let found = std::env::current_exe()?;
    Ok(PROGRAM.get_or_init(|| found).clone())
}

/// What is needed to start a worker.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program that has the guard: the server's own.
    pub guard: PathBuf,
    /// The Python.
    pub python: String,
    /// Resident memory at most, in MiB.
    pub memory_mb: u64,
    /// What workers are kept out of.
    pub data_dir: PathBuf,
    /// Where directories of workers are made.
    pub dir: PathBuf,
    /// How long one request may take.
    pub deadline: Duration,
    /// Who is charged for the processor time of its processes: whom the thread works for that makes this.
    pub meter: Option<Meter>,
}

impl Launch {
    /// As the configuration says it.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            guard: program().map_err(Error::internal)?,
            python: config.worker_python.value.clone(),
            memory_mb: config.worker_memory_mb.value,
            data_dir: config.data_dir.value.clone(),
            dir: config.data_dir.value.join("serving").join("workers"),
            deadline: Duration::from_secs(u64::from(config.scoring_seconds.value)),
            meter: Meter::current(),
        })
    }
}

/// A request on its way to a worker, and where its answer goes.
struct Job {
    request: Bytes,
    answer: oneshot::Sender<Result<Vec<u8>>>,
    /// Until when its turn must have come.
    until: Instant,
}

/// The end of whoever asks. The worker ends with the last of them.
#[derive(Debug, Clone)]
pub struct Worker {
    queue: mpsc::Sender<Job>,
    deadline: Duration,
    identity: Arc<parking_lot::Mutex<Option<u32>>>,
    /// Closed once the worker has ended.
    ended: watch::Receiver<()>,
}

impl Worker {
    /// Starts a worker and waits until it has loaded the model in this directory.
    pub async fn start(launch: Launch, model: &Path) -> Result<Self> {
        let process = Process::start(&launch, model, LOAD).await?;
        let (queue, inbox) = mpsc::channel(QUEUE);
        let deadline = launch.deadline;
        let identity = Arc::new(parking_lot::Mutex::new(process.id()));
        let supervisor = Supervisor {
            launch,
            model: model.to_owned(),
            process: Some(process),
            deaths: 0,
            identity: Arc::clone(&identity),
        };
        let (running, ended) = watch::channel(());
        tokio::spawn(async move {
            supervisor.run(inbox).await;
            drop(running);
        });
        Ok(Self { queue, deadline, identity, ended })
    }

    /// Ends it, where nobody else holds it, and waits until its process is gone.
    pub async fn end(self) {
        let Self { queue, mut ended, .. } = self;
        drop(queue);
        // Nothing is ever sent: this is over when the other end is dropped.
        let _ = ended.changed().await;
    }

    /// The number of its process, for those who look at it from outside.
    pub fn process_id(&self) -> Option<u32> {
        *self.identity.lock()
    }

    /// Asks it something.
    pub async fn ask(&self, request: Bytes) -> Result<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + TURN.max(self.deadline);
        self.queue.try_send(Job { request, answer, until }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Error::unavailable(format!(
                "{QUEUE} requests wait for the model's Python process already. Repeat the request later."
            )),
            mpsc::error::TrySendError::Closed(_) => {
                Error::unavailable("The model's Python process has ended.")
            }
        })?;
        // A turn, and two tries of which each may have to load the model; beyond that something is wrong here.
        match tokio::time::timeout(TURN.max(self.deadline) + (LOAD + self.deadline) * 2, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::unavailable("The model's Python process has ended.")),
            Err(_) => Err(took_too_long(self.deadline)),
        }
    }
}

fn took_too_long(deadline: Duration) -> Error {
    Error::new(
        Code::DeadlineExceeded,
        format!(
            "The model took longer than {} s to answer and its Python process was ended; it is started again. The setting \
             scoring_seconds is the limit.",
            deadline.as_secs()
        ),
    )
}

/// Keeps one process, and starts another one when it is gone.
struct Supervisor {
    launch: Launch,
    model: PathBuf,
    process: Option<Process>,
    /// Times that it died since it last answered.
    deaths: u32,
    identity: Arc<parking_lot::Mutex<Option<u32>>>,
}

impl Supervisor {
    async fn run(mut self, mut inbox: mpsc::Receiver<Job>) {
        while let Some(job) = inbox.recv().await {
            if job.answer.is_closed() {
                continue;
            }
            let outcome = self.answer(&job).await;
            let _ = job.answer.send(outcome);
        }
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }

    async fn answer(&mut self, job: &Job) -> Result<Vec<u8>> {
        // Whose process dies while it works for him is asked for once more, since another may have ended it.
        for is_last in [false, true] {
            if !is_last && job.until <= Instant::now() {
                return Err(Error::unavailable(
                    "The request waited for the model's Python process for too long. Repeat it later.",
                ));
            }
            let deadline = self.launch.deadline;
            let process = self.ready().await?;
            match process.exchange(&job.request, Instant::now() + deadline).await {
                Ok(answer) => {
                    self.deaths = 0;
                    return Ok(answer);
                }
                Err(process::Broken::Late) => {
                    self.lost("a request took too long").await;
                    return Err(took_too_long(self.launch.deadline));
                }
                Err(process::Broken::Gone(why)) => {
                    let last_words = self.lost(&why).await;
                    if is_last {
                        return Err(Error::new(
                            Code::ResourceConflict,
                            format!("The model's Python process died twice over this request. {last_words}"),
                        ));
                    }
                }
            }
        }
        Err(Error::internal("a request was neither answered nor refused"))
    }

    async fn ready(&mut self) -> Result<&mut Process> {
        if self.process.is_none() {
            if self.deaths > 1 {
                let pause = RESTART.saturating_mul(1 << self.deaths.min(10)).min(RESTART_MAX);
                tokio::time::sleep(pause.min(self.launch.deadline / 2)).await;
            }
            let started = Process::start(&self.launch, &self.model, LOAD).await;
            if started.is_err() {
                self.deaths += 1;
            }
            let process = started?;
            *self.identity.lock() = process.id();
            self.process = Some(process);
        }
        self.process.as_mut().ok_or_else(|| Error::internal("a process that was started is not there"))
    }

    /// Ends what is left of the process. Answers the last that it wrote.
    async fn lost(&mut self, why: &str) -> String {
        self.deaths += 1;
        *self.identity.lock() = None;
        let Some(process) = self.process.take() else { return String::new() };
        let last_words = process.end().await;
        tracing::warn!(model = %self.model.display(), why, last_words, "a model's Python process is lost; it is started again");
        last_words
    }
}
