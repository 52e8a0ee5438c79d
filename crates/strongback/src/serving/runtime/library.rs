//! Finding and opening ONNX Runtime's library, once a process.

use std::{path::PathBuf, process::Command};

use ort::environment::Environment;
use parking_lot::Mutex;

use crate::{
    config::Config,
    error::{Code, Error, Result},
};

/// Prints the library of the onnxruntime package, without loading it.
const ASK: &str = "import glob, importlib.util, os\n\
                   spec = importlib.util.find_spec('onnxruntime')\n\
                   found = spec and sorted(glob.glob(os.path.join(os.path.dirname(spec.origin), 'capi', 'libonnxruntime.so.*')))\n\
                   print(found[-1] if found else '')";

/// The one of this process, once it is open.
static OPEN: Mutex<Option<Environment>> = Mutex::new(None);

/// Opens the library, or answers the one that is open. Blocks.
pub fn open(config: &Config) -> Result<Environment> {
    let mut open = OPEN.lock();
    if let Some(environment) = open.as_ref() {
        return Ok(environment.clone());
    }
    let path = match &config.onnxruntime_library.value {
        Some(path) => path.clone(),
        None => of_python(&config.worker_python.value)?,
    };
    let unusable = |why: String| {
        Error::new(
            Code::InvalidState,
            format!(
                "ONNX Runtime's library {} cannot be used: {why}. Set onnxruntime_library to the file of another one.",
                path.display()
            ),
        )
    };
    let builder = ort::init_from(&path).map_err(|error| unusable(error.to_string()))?;
    let environment = builder.with_name("strongback").build().map_err(|error| unusable(error.to_string()))?;
    tracing::info!(library = %path.display(), "ONNX Runtime is open");
    *open = Some(environment.clone());
    Ok(environment)
}

fn of_python(python: &str) -> Result<PathBuf> {
    let missing = |why: &str| {
        Error::new(
            Code::InvalidState,
            format!(
                "ONNX Runtime was not found: {why}. Install it (pip install onnxruntime) for the Python of the setting \
                 worker_python = {python:?}, or set onnxruntime_library to the file libonnxruntime.so of another one."
            ),
        )
    };
    let asked = Command::new(python).args(["-c", ASK]).output();
    let output = asked.map_err(|error| missing(&format!("{python} cannot be started ({error})")))?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if found.is_empty() {
        return Err(missing(&format!("{python} has no package onnxruntime")));
    }
    Ok(PathBuf::from(found))
}
