//! A model run by ONNX Runtime alone, without a server around it: what a server's latency is compared with.
//!
//! Invariant: the sessions are set up as the server sets up its own (one thread a session, as many sessions as processors, 2 to 16), and
//! a run is timed with the tensor that it takes and the numbers that it gives.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use anyhow::{Context as _, Result, anyhow, ensure};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use serde_json::Value;

/// A loaded model and the one row that it is asked about.
pub struct Bare {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
    row: Vec<f32>,
    _environment: ort::environment::Environment,
}

impl Bare {
    /// Loads a model whose one input is a matrix of 32-bit floats. The row is the first of a scoring request in the form
    /// `dataframe_split`.
    pub fn load(library: &Path, model: &Path, body: &[u8]) -> Result<Self> {
        let body: Value = serde_json::from_slice(body)?;
        let cells = body["dataframe_split"]["data"][0].as_array().context("the body has a row")?;
        let row: Option<Vec<f32>> = cells.iter().map(|cell| Some(cell.as_f64()? as f32)).collect();
        let builder = ort::init_from(library)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| library.display().to_string())?;
        let environment = builder.with_name("bench").build().map_err(|error| anyhow!("{error}"))?;
        let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 16);
        let sessions = (0..count)
            .map(|_| session(&environment, model).map(Mutex::new))
            .collect::<Result<Vec<_>>>()
            .with_context(|| model.display().to_string())?;
        let row = row.context("the row has numbers alone")?;
        Ok(Self { sessions, next: AtomicUsize::new(0), row, _environment: environment })
    }

    /// Scores the row once, in a session that nobody uses.
    pub fn run(&self) -> Result<()> {
        let tensor = Tensor::from_array(([1, self.row.len()], self.row.clone()))?;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.sessions.len();
        let free = (0..count).find_map(|step| match self.sessions[(first + step) % count].try_lock() {
            Ok(session) => Some(session),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let wait = || self.sessions[first % count].lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = free.unwrap_or_else(wait);
        let outputs = session.run([SessionInputValue::from(tensor)])?;
        ensure!(outputs.len() > 0, "the model has no output");
        Ok(())
    }
}

fn session(environment: &ort::environment::Environment, model: &Path) -> Result<Session> {
    let text = |error: &dyn std::fmt::Display| anyhow!("{error}");
    let builder = Session::builder(environment).map_err(|error| text(&error))?;
    let builder = builder.with_intra_threads(1).map_err(|error| text(&error))?;
    let mut builder = builder.with_inter_threads(1).map_err(|error| text(&error))?;
    builder.commit_from_file(model).map_err(|error| text(&error))
}
