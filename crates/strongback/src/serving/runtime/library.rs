//! Finding and opening ONNX Runtime's library, once a process.

use std::{
    io::Read as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ort::environment::Environment;
use parking_lot::Mutex;

use crate::{
    config::Config,
    error::{Code, Error, Result},
    serving::worker,
};

/// Prints the library of the onnxruntime package, without loading it.
const ASK: &str = "import glob, importlib.util, os\n\
                   spec = importlib.util.find_spec('onnxruntime')\n\
                   found = spec and sorted(glob.glob(os.path.join(os.path.dirname(spec.origin), 'capi', 'libonnxruntime.so.*')))\n\
                   print(found[-1] if found else '')";

/// How long Python may take to say where it is.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes that a path may have.
const PATH_BYTES_MAX: u64 = 4096;

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
        None => of_python(&config.worker_python.value, LIMIT)?,
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

fn of_python(python: &str, limit: Duration) -> Result<PathBuf> {
    let missing = |why: &str| {
        Error::new(
            Code::InvalidState,
            format!(
                "ONNX Runtime was not found: {why}. Install it (pip install onnxruntime) for the Python of the setting \
                 worker_python = {python:?}, or set onnxruntime_library to the file libonnxruntime.so of another one."
            ),
        )
    };
    let failed = |error: std::io::Error| missing(&format!("{python} cannot be started ({error})"));
    let mut asked = Command::new(python);
    asked.args(["-c", ASK]).env_clear().env("PATH", worker::path());
    asked.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut asked = asked.spawn().map_err(failed)?;
    let until = Instant::now() + limit;
    while asked.try_wait().map_err(failed)?.is_none() {
        if Instant::now() >= until {
            let _ = asked.kill().and_then(|()| asked.wait());
            return Err(missing(&format!(
                "{python} did not say within {} s where it has it",
                limit.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut found = Vec::new();
    if let Some(said) = asked.stdout.take() {
        // Whatever it wrote is there: it has ended, and something that it left running may write for ever.
        let _ = rustix::io::ioctl_fionbio(&said, true);
        let _ = said.take(PATH_BYTES_MAX).read_to_end(&mut found);
    }
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if found.is_empty() {
        return Err(missing(&format!("{python} has no package onnxruntime")));
    }
    Ok(PathBuf::from(found))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn python(dir: &tempfile::TempDir, script: &str) -> String {
        let path = dir.path().join("python");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn a_python_that_does_not_answer_is_given_up_and_finds_nothing_of_the_servers() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let error = of_python(&python(&dir, "exec sleep 60"), Duration::from_millis(200)).unwrap_err();
        assert!(error.message().contains("did not say within") && begun.elapsed().as_secs() < 30, "{error}");
        // Cargo set it for this test's process.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let limit = Duration::from_secs(30);
        let found = of_python(&python(&dir, "echo \"/lib/${CARGO_MANIFEST_DIR:-none}.so\""), limit);
        assert_eq!(found.unwrap(), PathBuf::from("/lib/none.so"));
        let error = of_python(&python(&dir, "exit 1"), limit).unwrap_err();
        assert!(error.message().contains("has no package onnxruntime"), "{error}");
        let error = of_python(&dir.path().join("none").display().to_string(), limit).unwrap_err();
        assert!(error.message().contains("cannot be started"), "{error}");
    }
}
