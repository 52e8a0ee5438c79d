//! The mlflow that the user installed, found through the user's own Python: for its pages, and for who asks what is there.
//!
//! What must stay true: a Python may be anything that has that name, so it has a limit of time and of what it may say.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

/// How long a Python may take to say where its mlflow is.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes that it may say.
const SAID_MAX: u64 = 16 << 10;

/// The Pythons that a user may mean, with where each one's mlflow lies or why it has none: of the active environment, then of
/// the path. Each is asked when its turn comes.
pub(crate) fn packages() -> impl Iterator<Item = (PathBuf, Result<PathBuf, String>)> {
    ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(|environment| Path::new(&environment).join("bin/python3"))
        .chain(["python3", "python"].map(PathBuf::from))
        .map(|python| {
            let package = ask(&python, LIMIT);
            (python, package)
        })
}

/// The version that an mlflow says of itself.
pub(crate) fn version(package: &Path) -> Option<String> {
    let text = std::fs::read_to_string(package.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VERSION"))?;
    line.split(['"', '\'']).nth(1).map(str::to_owned)
}

/// Where a Python's mlflow lies. The package is looked up, not imported, and not in the working directory.
fn ask(python: &Path, limit: Duration) -> Result<PathBuf, String> {
    const SCRIPT: &str = "import sys; sys.path[:] = [p for p in sys.path if p]\n\
        import importlib.util as u; s = u.find_spec('mlflow')\n\
        s and s.origin and print(s.submodule_search_locations[0])";
    let deadline = Instant::now() + limit;
    let late = || format!("did not answer within {limit:?}");
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be started ({error})"))?;
    let said = listen(&mut child);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(late());
            }
            Err(error) => return Err(format!("cannot be waited for ({error})")),
        }
    };
    // A child of its own may hold the pipe open for longer than it lives.
    let left = deadline.saturating_duration_since(Instant::now());
    let said = said.recv_timeout(left).map_err(|_| late())?;
    match said.trim() {
        _ if !status.success() => Err(format!("ended with {status}")),
        "" => Err("has no mlflow".to_owned()),
        package => Ok(PathBuf::from(package)),
    }
}

/// What a child says, read beside it so that neither waits for the other.
fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (send, said) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = out.take(SAID_MAX).read_to_end(&mut bytes);
            let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
        });
    }
    said
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn asked(script: &str, limit: Duration) -> Result<PathBuf, String> {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("python3");
        std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        ask(&python, limit)
    }

    #[test]
    fn a_python_that_never_answers_is_not_waited_for() {
        let limit = Duration::from_millis(300);
        for script in ["exec sleep 60", "sleep 60 & exit 0", "while :; do echo more; done"] {
            let began = Instant::now();
            assert!(asked(script, limit).is_err(), "{script}");
            assert!(began.elapsed() < Duration::from_secs(20), "{script}");
        }
    }

    #[test]
    fn what_it_says_is_where_the_package_lies() {
        let limit = Duration::from_secs(30);
        assert_eq!(asked("echo /somewhere/mlflow", limit).unwrap(), Path::new("/somewhere/mlflow"));
        assert_eq!(asked("exit 0", limit).unwrap_err(), "has no mlflow");
        assert!(asked("echo /x; exit 3", limit).unwrap_err().contains("exit status: 3"));
    }
}
