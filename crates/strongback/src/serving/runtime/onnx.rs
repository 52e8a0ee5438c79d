//! Models in ONNX's form, run by ONNX Runtime in this process.
//!
//! A session runs one request at a time, so that there are several of a model, as many as the server has threads. What must
//! stay true: what goes in are numbers and texts of the types that the model declares, none of them changed, and nothing of the
//! model's is code of a user; a model that is slow holds up nobody but who asks it, and not for longer than `scoring_seconds`.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ort::{
    session::{RunOptions, Session, SessionInputValue, SessionOutputs},
    value::DynValue,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::{
    ROWS_HERE, beside_requests,
    feed::Feed,
    report::{Answer, Report},
    scores::{Builder, Scores},
    watchdog,
};
use crate::{
    error::{Code, Error, Result},
    serving::{
        frame::Frame,
        signature::{Form, Schema, Type},
    },
};

/// Sessions of one model at most.
const SESSIONS_MAX: usize = 16;
/// Bytes of model files, above which there are fewer sessions: each holds a copy.
const SESSIONS_BYTES: u64 = 1 << 30;
/// How long a request waits for a session at most.
const TURN: Duration = Duration::from_secs(10);
/// Below this a model is quick enough to compute few rows on the thread that answers requests.
const QUICK: Duration = Duration::from_millis(5);
/// How much later than its limit a run is given up that does not end where it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// A model that is loaded.
pub struct Onnx {
    sessions: Vec<Mutex<Session>>,
    /// As many as sessions: whoever has one finds a session that nobody uses.
    turns: Arc<Semaphore>,
    next: AtomicUsize,
    feed: Feed,
    answer: Kind,
    form: Form,
    missing: Missing,
    /// How long a run may take.
    limit: Duration,
    /// Whether the last run of few rows was a quick one.
    is_quick: AtomicBool,
}

/// Where a row may be without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// In every column whose type knows NaN: as the model was logged, or was proven to answer alike.
    Allowed,
    /// Of these, where the signature allows it.
    Optional,
    /// Nowhere.
    Refused,
}

/// What its outputs are to the caller.
enum Kind {
    /// As they are.
    Outputs,
    /// As the model that it was made from answers.
    Converted { answer: Answer, tie: Option<f32>, classes: Vec<String> },
}

impl Onnx {
    /// Loads a model from a file. `report` is that of its conversion, if it is a converted one; another one is tried on two rows,
    /// so that one whose outputs are no answers is refused here. Blocks.
    pub fn load(
        environment: &ort::environment::Environment,
        path: &Path,
        schema: &Schema,
        report: Option<&Report>,
        limit: Duration,
    ) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let count = sessions_of(processors, weight(path));
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            sessions.push(Mutex::new(session(environment, path).map_err(|why| unusable(&why))?));
        }
        let feed = match sessions.first() {
            Some(first) => Feed::of(&first.lock(), schema)?,
            None => return Err(Error::internal("a model has no session")),
        };
        let answer = match report {
            Some(report) => Kind::Converted {
                answer: report.answer.unwrap_or(Answer::Value),
                tie: report.tie.map(|tie| tie as f32),
                classes: report.class_names(),
            },
            None => Kind::Outputs,
        };
        let missing = match report.map(|report| report.missing.as_deref()) {
            None | Some(Some("equal")) => Missing::Allowed,
            Some(Some("optional")) => Missing::Optional,
            Some(_) => Missing::Refused,
        };
        let turns = Arc::new(Semaphore::new(sessions.len()));
        let model = Self {
            sessions,
            turns,
            next: AtomicUsize::new(0),
            feed,
            answer,
            form: schema.form,
            missing,
            limit,
            is_quick: AtomicBool::new(false),
        };
        if report.is_none() {
            model.try_out(schema)?;
        }
        Ok(model)
    }

    /// Scores two rows of nothing. What the model says of them is no matter, unless it is no answer.
    fn try_out(&self, schema: &Schema) -> Result<()> {
        let frame = Frame::of_nothing(schema, 2);
        match self.feed.inputs(schema, &frame).and_then(|inputs| self.run(&inputs, frame.rows)) {
            Err(error) if matches!(error.code(), Code::InvalidState | Code::DeadlineExceeded) => Err(error),
            _ => Ok(()),
        }
    }

    /// Scores rows: few of them on the calling thread, where the model is quick and a session is free.
    pub async fn score(self: &Arc<Self>, schema: &Schema, frame: &Frame) -> Result<Scores> {
        self.check_missing(schema, frame)?;
        let rows = frame.rows;
        let is_small = rows <= ROWS_HERE;
        let feed = || self.feed.inputs(schema, frame);
        let inputs = if is_small { feed()? } else { beside_requests(feed)? };
        if is_small
            && self.is_quick.load(Ordering::Relaxed)
            && let Ok(_turn) = self.turns.try_acquire()
        {
            return self.run(&inputs, rows);
        }
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            Error::unavailable(format!(
                "All {} sessions of the model were in use for {} s. Repeat the request later.",
                self.sessions.len(),
                TURN.as_secs()
            ))
        })?;
        let turn = turn.map_err(Error::internal)?;
        let model = Arc::clone(self);
        let running = lake::meter::spawn_blocking(move || {
            let _turn = turn;
            model.run(&inputs, rows)
        });
        match tokio::time::timeout(self.limit + GRACE, running).await {
            Ok(scores) => scores.map_err(Error::internal)?,
            Err(_) => Err(self.took_too_long()),
        }
    }

    /// Computes. Blocks; whoever calls it has a turn.
    fn run(&self, inputs: &[SessionInputValue<'static>], rows: usize) -> Result<Scores> {
        let began = Instant::now();
        let options = Arc::new(RunOptions::new().map_err(|error| Error::internal(error.to_string()))?);
        watchdog::end_at(began + self.limit, &options);
        let mut session = self.free();
        let outputs = session.run_with_options(inputs, options.as_ref()).map_err(|error| {
            if began.elapsed() >= self.limit {
                return self.took_too_long();
            }
            Error::new(Code::BadRequest, format!("ONNX Runtime refused the request: {}.", error.message()))
        });
        if rows <= ROWS_HERE {
            self.is_quick.store(began.elapsed() < QUICK, Ordering::Relaxed);
        }
        self.read(&outputs?, rows)
    }

    fn took_too_long(&self) -> Error {
        Error::new(
            Code::DeadlineExceeded,
            format!(
                "The model took longer than {} s to answer. The setting scoring_seconds is the limit.",
                self.limit.as_secs()
            ),
        )
    }

    /// A session that nobody uses.
    fn free(&self) -> MutexGuard<'_, Session> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.sessions.len();
        for step in 0..count {
            if let Some(session) = self.sessions[(first + step) % count].try_lock() {
                return session;
            }
        }
        // Somebody took one in passing who gives it back at once.
        self.sessions[first % count].lock()
    }

    fn read(&self, outputs: &SessionOutputs<'_>, rows: usize) -> Result<Scores> {
        match &self.answer {
            Kind::Outputs => Builder::of_outputs(outputs, rows, self.form),
            Kind::Converted { answer, tie, classes } => {
                Builder::of_converted(outputs, rows, *answer, *tie, classes)
            }
        }
    }

    fn check_missing(&self, schema: &Schema, frame: &Frame) -> Result<()> {
        for (column, input) in frame.columns.iter().zip(&schema.inputs) {
            let Some(row) = column.missing.first() else { continue };
            let is_allowed = matches!(input.kind, Type::Float | Type::Double)
                && match self.missing {
                    Missing::Allowed => true,
                    Missing::Optional => !input.required,
                    Missing::Refused => false,
                };
            if is_allowed {
                continue;
            }
            // The signature would have refused a request without it.
            let why = if input.required {
                "no feature was found for it, and the model cannot score a row without a value there. Send one with the \
                 request."
            } else {
                "the model cannot score a row without a value there, although its signature does not ask for one."
            };
            let message = format!("Column '{}', row {row}: {why}", input.name);
            return Err(Error::new(Code::BadRequest, message));
        }
        Ok(())
    }
}

/// How many sessions a model of so many bytes has.
fn sessions_of(processors: usize, bytes: u64) -> usize {
    let most = usize::try_from(SESSIONS_BYTES / bytes.max(1)).unwrap_or(usize::MAX);
    processors.clamp(2, SESSIONS_MAX).min(most).max(1)
}

/// Bytes of a model's file and of those beside it, where large models keep their numbers.
fn weight(path: &Path) -> u64 {
    let beside = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let files = beside.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
    files.map(|file| file.len()).sum()
}

fn session(environment: &ort::environment::Environment, path: &Path) -> Result<Session, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let builder = Session::builder(environment).map_err(|error| text(&error))?;
    let builder = builder.with_intra_threads(1).map_err(|error| text(&error))?;
    let mut builder = builder.with_inter_threads(1).map_err(|error| text(&error))?;
    builder.commit_from_file(path).map_err(|error| text(&error))
}

pub(super) fn unusable(why: &str) -> Error {
    Error::new(Code::InvalidState, format!("ONNX Runtime cannot load the model: {why}."))
}

/// Numbers of an output, whatever their type.
pub(super) fn floats(value: &DynValue) -> Option<(Vec<i64>, Vec<f64>)> {
    if let Ok((shape, found)) = value.try_extract_tensor::<f32>() {
        return Some((shape.to_vec(), found.iter().map(|value| f64::from(*value)).collect()));
    }
    if let Ok((shape, found)) = value.try_extract_tensor::<f64>() {
        return Some((shape.to_vec(), found.to_vec()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_model_has_fewer_sessions() {
        for (processors, bytes, sessions) in [
            (1, 0, 2),
            (8, 1 << 20, 8),
            (64, 1 << 20, SESSIONS_MAX),
            (8, 500 << 20, 2),
            (8, 1 << 30, 1),
            (8, 5 << 30, 1),
        ] {
            assert_eq!(sessions_of(processors, bytes), sessions, "{processors} processors, {bytes} bytes");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.onnx"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("model.onnx.data"), [0; 90]).unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        assert_eq!(weight(&dir.path().join("model.onnx")), 100);
    }
}
