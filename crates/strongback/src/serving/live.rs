//! Endpoints as this process has them: what is loaded, what is on its way, who was let in a moment ago.
//!
//! What must stay true: a request takes the deployment that is there when it begins and keeps it to its end; another one is put
//! in its place only once it is loaded, so that no request meets a gap; the old one goes when its last request has ended.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::{
    lookup::Lookup,
    payload::Recorder,
    runtime::{Scorer, Scorers},
    signature::Schema,
    traffic::Traffic,
};
use crate::{
    catalog::{Action, authorize},
    context::Ctx,
    error::{Code, Error, Result},
};

/// How long a caller who was let in is let in again without a look at the store. With the age that a credential may have
/// here, whoever loses a right has lost it within a second.
const ADMITTED_FOR: Duration = Duration::from_millis(450);
/// Callers of one endpoint that are remembered.
const ADMITTED_MAX: usize = 10_000;
/// How long a request waits for an endpoint that is being loaded.
const READY_WAIT: Duration = Duration::from_secs(20);

/// What this process serves.
#[derive(Default)]
pub struct Serving {
    /// The versions that are loaded.
    pub(super) scorers: Scorers,
    endpoints: RwLock<HashMap<String, Arc<Live>>>,
    /// Rings when there is something to load.
    pub(super) wake: Notify,
}

/// A version that answers under a configuration.
pub struct Deployed {
    /// Number of the configuration.
    pub config: i64,
    /// What answers.
    pub scorer: Arc<Scorer>,
    /// What it takes, as records of requests share it.
    pub schema: Arc<Schema>,
    /// Inputs that come from elsewhere.
    pub lookup: Lookup,
    /// Where its requests are logged.
    pub recorder: Recorder,
}

/// Why a configuration could not be loaded.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Number of the configuration, of which that is told.
    pub config: i64,
    /// Whether it may well be otherwise the next time.
    pub is_passing: bool,
    /// Of this version.
    pub target: (i64, i64),
    /// In words for whoever may see the endpoint.
    pub why: String,
    /// When it is tried again.
    pub retry_at: Instant,
    /// Times that it failed.
    pub tries: u32,
}

/// Where an endpoint stands.
#[derive(Default)]
struct State {
    deployed: Option<Arc<Deployed>>,
    is_loading: bool,
    failure: Option<Failure>,
}

/// An endpoint of this process.
pub struct Live {
    /// `asset.id`
    pub id: i64,
    /// Its wire name.
    pub name: String,
    state: RwLock<State>,
    changed: watch::Sender<()>,
    admitted: Mutex<HashMap<i64, Instant>>,
    /// What it did of late.
    pub traffic: Traffic,
}

impl Serving {
    /// The endpoint with this wire name.
    pub fn find(&self, name: &str) -> Option<Arc<Live>> {
        self.endpoints.read().get(name).cloned()
    }

    /// Takes an endpoint in, or answers the one that is there.
    pub(super) fn adopt(&self, id: i64, name: &str) -> Arc<Live> {
        if let Some(live) = self.find(name).filter(|live| live.id == id) {
            return live;
        }
        // Looked for once more, where nobody else takes it in meanwhile: of two the one would load, and the other be asked.
        let mut endpoints = self.endpoints.write();
        if let Some(live) = endpoints.get(name).filter(|live| live.id == id) {
            return Arc::clone(live);
        }
        let live = Arc::new(Live {
            id,
            name: name.to_owned(),
            state: RwLock::default(),
            changed: watch::Sender::new(()),
            admitted: Mutex::default(),
            traffic: Traffic::default(),
        });
        endpoints.insert(name.to_owned(), Arc::clone(&live));
        live
    }

    /// Digests of the versions that answer now.
    pub(super) fn digests(&self) -> Vec<String> {
        let deployed: Vec<Arc<Deployed>> =
            self.endpoints.read().values().filter_map(|live| live.deployed()).collect();
        deployed.iter().map(|deployed| deployed.scorer.version().digest.clone()).collect()
    }

    /// Keeps these endpoints and no others.
    pub(super) fn retain(&self, ids: &[i64]) {
        self.endpoints.write().retain(|_, live| ids.contains(&live.id));
    }

    /// Lets an endpoint go at once.
    pub(super) fn drop_endpoint(&self, name: &str) {
        self.endpoints.write().remove(name);
    }
}

impl Live {
    /// Lets a caller pass who may execute the endpoint.
    pub async fn admit(&self, ctx: &Ctx) -> Result<()> {
        let caller = ctx.caller().id;
        let now = Instant::now();
        if self.admitted.lock().get(&caller).is_some_and(|until| *until > now) {
            return Ok(());
        }
        let id = self.id;
        ctx.read(move |sql| authorize(sql, Action::Execute, id)).await?;
        let mut admitted = self.admitted.lock();
        if admitted.len() >= ADMITTED_MAX {
            admitted.retain(|_, until| *until > now);
        }
        if admitted.len() < ADMITTED_MAX {
            admitted.insert(caller, now + ADMITTED_FOR);
        }
        Ok(())
    }

    /// What answers now, if anything does.
    pub fn deployed(&self) -> Option<Arc<Deployed>> {
        self.state.read().deployed.clone()
    }

    /// What answers, waited for a while.
    pub async fn ready(&self) -> Result<Arc<Deployed>> {
        if let Some(deployed) = self.deployed() {
            return Ok(deployed);
        }
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(deployed) = self.deployed() {
                    return Ok(deployed);
                }
                if let Some(failure) = self.failure() {
                    return Err(self.cannot(&failure));
                }
                if changed.changed().await.is_err() {
                    return Err(Error::unavailable(format!("The endpoint '{}' is gone.", self.name)));
                }
            }
        };
        tokio::time::timeout(READY_WAIT, waiting).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!(
                "The endpoint '{}' was not ready within {} s: its model is being loaded. Repeat the request later.",
                self.name,
                READY_WAIT.as_secs()
            )))
        })
    }

    /// The error for requests while nothing can be loaded.
    fn cannot(&self, failure: &Failure) -> Error {
        let code = if failure.is_passing { Code::TemporarilyUnavailable } else { Code::ResourceConflict };
        Error::new(code, format!("The endpoint '{}' cannot answer: {}", self.name, failure.why))
    }

    /// Why what was wanted last could not be loaded, if it could not.
    pub fn failure(&self) -> Option<Failure> {
        self.state.read().failure.clone()
    }

    /// Whether something is being loaded.
    pub fn is_loading(&self) -> bool {
        self.state.read().is_loading
    }

    /// Takes the turn of loading this version for this configuration; `false` if somebody has it, or if it failed a moment ago.
    pub(super) fn begin(&self, config: i64, target: (i64, i64)) -> bool {
        let mut state = self.state.write();
        let is_same = |failure: &&Failure| (failure.config, failure.target) == (config, target);
        let failed = state.failure.as_ref().filter(is_same).map(|failure| failure.retry_at);
        if state.is_loading || failed.is_some_and(|retry_at| retry_at > Instant::now()) {
            return false;
        }
        // What else failed is wanted no more.
        if failed.is_none() {
            state.failure = None;
        }
        state.is_loading = true;
        true
    }

    /// Forgets what failed: what is wanted now answers.
    pub(super) fn settle(&self) {
        if self.failure().is_some() {
            self.state.write().failure = None;
        }
    }

    /// Gives the turn back without having loaded anything.
    pub(super) fn pass(&self) {
        self.state.write().is_loading = false;
    }

    /// Puts what was loaded in the place of what answered until now.
    pub(super) fn deploy(&self, deployed: Deployed) {
        let old = {
            let mut state = self.state.write();
            state.is_loading = false;
            state.failure = None;
            state.deployed.replace(Arc::new(deployed))
        };
        self.changed.send_replace(());
        // Ends here, or with the last request that holds it.
        drop(old);
    }

    /// Notes that a version could not be loaded. What answers goes on.
    pub(super) fn fail(&self, config: i64, target: (i64, i64), error: &Error) {
        let mut state = self.state.write();
        state.is_loading = false;
        let tries = state
            .failure
            .as_ref()
            .filter(|failure| failure.target == target)
            .map_or(0, |failure| failure.tries)
            + 1;
        let pause = Duration::from_secs(1 << tries.min(6));
        let (why, is_passing) = (error.message().to_owned(), error.is_ours());
        let retry_at = Instant::now() + pause;
        state.failure = Some(Failure { config, is_passing, target, why, retry_at, tries });
        drop(state);
        self.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_an_endpoint_in_gets_the_one_that_is_there() {
        for _ in 0..200 {
            let (serving, begin) = (Serving::default(), std::sync::Barrier::new(4));
            let found: Vec<Arc<Live>> = std::thread::scope(|scope| {
                let adopting = (0..4).map(|_| {
                    scope.spawn(|| {
                        begin.wait();
                        serving.adopt(7, "fraud")
                    })
                });
                adopting.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
            });
            let there = serving.find("fraud").unwrap();
            assert!(found.iter().all(|live| Arc::ptr_eq(live, &there)));
            assert!(!Arc::ptr_eq(&serving.adopt(8, "fraud"), &there), "it was made again under its name");
        }
    }
}
