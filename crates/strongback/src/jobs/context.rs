//! What a handler has: its job, the rights of whom it runs as, and the means to say how far it is.

use std::sync::Arc;

use lake::meter::Meter;
use parking_lot::Mutex;
use serde_json::Value as Json;
use stats::Ends;
use tokio::sync::watch;

use super::{
    job::{Cost, Job, JobId, Progress},
    lease,
    log::Buffer,
    meter::Spent,
};
use crate::{
    auth::Proof,
    context::{App, Ctx},
    db::{Change, Origin, Sql},
    error::{Code, Error, Result},
    time,
};

/// Characters of a message of progress that are kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// One attempt at a job. Cheap to clone.
#[derive(Clone)]
pub struct JobCtx(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    job: Job,
    holder: String,
    spent: Arc<Spent>,
    progress: Mutex<Progress>,
    log: Mutex<Buffer>,
    told: watch::Receiver<bool>,
}

impl JobCtx {
    pub(super) fn new(app: &Arc<App>, job: Job, told: watch::Receiver<bool>) -> Self {
        let holder = job.holder.clone().unwrap_or_default();
        let (spent, progress, log) = (Arc::new(Spent::new()), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { app: Arc::clone(app), job, holder, spent, progress, log, told }))
    }

    /// The job's id, which an effect outside the metadata store should carry.
    pub fn id(&self) -> JobId {
        self.0.job.id
    }

    /// The job as it was when this attempt began.
    pub fn job(&self) -> &Job {
        &self.0.job
    }

    /// What to do, and in which version of its form.
    pub fn payload(&self) -> (i64, &Json) {
        (self.0.job.payload_version, &self.0.job.payload)
    }

    /// The token of this lease: greater than those of all before. A second system that remembers the greatest it has seen
    /// can refuse whoever comes with an older one.
    pub fn fencing(&self) -> i64 {
        self.0.job.fencing
    }

    /// The application on behalf of the principal that the job runs as, with the rights that it has now: to be asked for at
    /// every step and not kept. Refused when the principal is gone, or has lost the right that the job was queued with.
    pub async fn ctx(&self) -> Result<Ctx> {
        let job = self.0.job.clone();
        let caller = self.0.app.db.read(&Origin::system(), move |sql| lease::run_as(sql, &job)).await?;
        let origin = Origin { caller, proof: Proof::Job, request_id: self.id(), now: time::now_ms() };
        Ok(Ctx { app: Arc::clone(&self.0.app), origin })
    }

    /// Writes as the job's principal, unless the lease was lost: then nothing is changed, and the error says so. The closure
    /// may run more than once.
    pub async fn write<T: Send + 'static>(
        &self,
        mut write: impl FnMut(&mut Sql<'_>) -> Result<Change<T>> + Send + 'static,
    ) -> Result<T> {
        let ctx = self.ctx().await?;
        let (id, holder, fencing) = (self.id(), self.0.holder.clone(), self.fencing());
        ctx.write(move |tx| {
            lease::held(tx, id, &holder, fencing)?;
            write(tx)
        })
        .await
    }

    /// Says how far it is. Stored within a second or so; `of` is 0 where nobody knows.
    pub fn progress(&self, done: i64, of: i64, message: &str) {
        let message = message.replace('\0', "").chars().take(MESSAGE_CHARS_MAX).collect();
        *self.0.progress.lock() = Progress { done, of, message };
    }

    /// Adds a line to the job's log, which is stored within a second or so and has a bounded size.
    pub fn log(&self, line: &str) {
        let mut log = self.0.log.lock();
        log.push(line);
        log.push("\n");
    }

    /// Whether it is to end: somebody cancelled it, its budget is used up, its lease was lost, or the server stops. What
    /// does not look is given up at its next `await` some seconds later.
    pub fn is_to_end(&self) -> bool {
        *self.0.told.borrow()
    }

    /// An error if it is to end: for loops, which leave by it.
    pub fn check(&self) -> Result<()> {
        if self.is_to_end() {
            return Err(Error::new(Code::InvalidState, "The job was told to end."));
        }
        Meter::settle();
        self.within_budget()
    }

    /// The same for statistics that take long. What they had found is given up: [`Self::check`] says why.
    pub fn ends(&self) -> Ends {
        let job = self.clone();
        Ends::when(move || job.check().is_err())
    }

    /// Ends when the job is to end.
    pub async fn told_to_end(&self) {
        let mut told = self.0.told.clone();
        // Whoever could tell is gone: so is the job.
        let _ = told.wait_for(|told| *told).await;
    }

    /// Charges bytes that were read; an error once the budget is used up.
    pub fn charge_read(&self, bytes: u64) -> Result<()> {
        self.0.spent.read(bytes);
        self.within_budget()
    }

    /// Charges bytes that were written.
    pub fn charge_written(&self, bytes: u64) {
        self.0.spent.written(bytes);
    }

    /// Runs what blocks or computes for long beside the workers, and charges the processor time that it took.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let meter = self.0.spent.processor().clone();
        let value =
            tokio::task::spawn_blocking(move || meter.measured(work)).await.map_err(Error::internal)??;
        self.within_budget().map(|()| value)
    }

    fn within_budget(&self) -> Result<()> {
        self.0
            .job
            .budget
            .exceeded_by(&self.cost())
            .map_or(Ok(()), |why| Err(Error::new(Code::RequestLimitExceeded, why)))
    }

    /// What the job cost so far, with the attempts before this one.
    pub fn cost(&self) -> Cost {
        self.0.job.cost + self.0.spent.cost()
    }

    pub(super) fn spent(&self) -> &Arc<Spent> {
        &self.0.spent
    }

    pub(super) fn holder(&self) -> &str {
        &self.0.holder
    }

    pub(super) fn progress_now(&self) -> Progress {
        self.0.progress.lock().clone()
    }

    /// What was logged and not stored yet, and at which byte it begins.
    pub(super) fn take_log(&self) -> Option<(i64, String)> {
        self.0.log.lock().take()
    }
}
