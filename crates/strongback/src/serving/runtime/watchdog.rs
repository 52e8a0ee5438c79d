//! Ends computations of ONNX Runtime that take too long.
//!
//! A thread of its own looks at all of them, so that a limit holds also while every thread that answers requests computes. What
//! must stay true: a computation that is over costs nothing but its place in a list until the next look.

use std::{
    sync::{Arc, Once, Weak},
    thread,
    time::{Duration, Instant},
};

use ort::session::RunOptions;
use parking_lot::Mutex;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// What runs, and until when it may.
static RUNNING: Mutex<Vec<(Instant, Weak<RunOptions>)>> = Mutex::new(Vec::new());
static BEGIN: Once = Once::new();

/// Lets the run with these options end by itself until then, and ends it after that: between two steps of the model, which is as
/// soon as ONNX Runtime can.
pub(super) fn end_at(until: Instant, options: &Arc<RunOptions>) {
    BEGIN.call_once(|| {
        let begun = thread::Builder::new().name("onnx-limit".into()).spawn(watch);
        if let Err(error) = begun {
            tracing::error!(%error, "nothing ends computations of ONNX Runtime that take too long");
        }
    });
    RUNNING.lock().push((until, Arc::downgrade(options)));
}

fn watch() {
    loop {
        thread::sleep(EVERY);
        let now = Instant::now();
        RUNNING.lock().retain(|(until, options)| match options.upgrade() {
            Some(options) if *until <= now => {
                if let Err(error) = options.terminate() {
                    tracing::warn!(%error, "a computation of ONNX Runtime that takes too long cannot be ended");
                }
                false
            }
            Some(_) => true,
            None => false,
        });
    }
}
