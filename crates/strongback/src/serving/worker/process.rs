//! One Python process behind its guard, and the socket to it.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead, BufReader, Read},
    os::unix::{fs::DirBuilderExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lake::meter::Meter;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::Instant,
};

use super::Launch;
use crate::{
    error::{Code, Error, Result},
    serving::{runtime::own_tag, signature::Schema},
};

/// What the process runs.
const SCRIPT: &str = include_str!("strongback_worker.py");
/// Bytes of one message from a worker.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// Bytes that the path of a Unix socket may have (unix(7)), with the zero behind it.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// How long a worker lives at most, as its guard counts.
const WALL: Duration = Duration::from_hours(24 * 365);
/// How long a conversion may take.
const CONVERSION: Duration = Duration::from_mins(5);
/// Between two looks of the guard at what a worker uses.
const MEASURE_MS: u64 = 2_000;
/// The same where somebody is charged for it.
const MEASURE_CHARGED_MS: u64 = 500;
/// Lines of a worker's output that are kept for whoever asks why it died.
const LINES: usize = 20;
/// Bytes of such a line; of a longer one the beginning is kept.
const LINE_BYTES: usize = 500;

/// Why an exchange failed.
pub(super) enum Broken {
    /// The answer did not come in time.
    Late,
    /// The process is gone, or talks nonsense.
    Gone(String),
}

/// A running worker.
pub(super) struct Process {
    guarded: Guarded,
    stream: UnixStream,
}

/// A command behind a guard, in a directory that goes with it.
struct Guarded {
    guard: Option<Child>,
    /// While this is open, the command may run.
    line: Option<ChildStdin>,
    said: Arc<Mutex<VecDeque<String>>>,
    /// Hears what the command uses, up to its end.
    charging: Option<std::thread::JoinHandle<()>>,
    dir: PathBuf,
}

/// What a guard says of what its command uses: now and then, and at its end.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Used(Used),
    Ended { used: Used },
}

#[derive(Deserialize)]
struct Used {
    processor_ms: u64,
}

/// Charges what a guard says that its command used.
fn charge(said: impl Read, meter: &Meter) {
    let mut charged = 0;
    for line in BufReader::new(said).lines().map_while(io::Result::ok) {
        let Ok(Report::Used(used) | Report::Ended { used }) = serde_json::from_str(&line) else {
            continue;
        };
        meter.charge(Duration::from_millis(used.processor_ms.saturating_sub(charged)));
        charged = charged.max(used.processor_ms);
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard hears the end of its standard input and ends the command; it is waited for so that no zombie stays.
        self.line = None;
        let (guard, dir) = (self.guard.take(), self.dir.clone());
        std::thread::spawn(move || {
            if let Some(mut guard) = guard {
                let _ = guard.wait();
            }
            let _ = fs::remove_dir_all(dir);
        });
    }
}

impl Guarded {
    /// Starts a command that may read the model, and write into its own directory and into `out`.
    fn start(
        launch: &Launch,
        wall: Duration,
        model: &Path,
        out: Option<&Path>,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self> {
        let dir = own_directory(&launch.dir)?;
        let script = dir.join("strongback_worker.py");
        fs::write(&script, SCRIPT).map_err(Error::unwritten(&dir))?;
        let measure_ms = if launch.meter.is_some() { MEASURE_CHARGED_MS } else { MEASURE_MS };
        let mut command = Command::new(&launch.guard);
        command
            .arg("runner-guard")
            .args(["--wall-ms", &wall.as_millis().to_string()])
            .args(["--memory-mb", &launch.memory_mb.to_string()])
            .args(["--measure-ms", &measure_ms.to_string()])
            .arg("--deny")
            .arg(&launch.data_dir)
            .arg("--read")
            .arg(model);
        for writable in std::iter::once(dir.as_path()).chain(out) {
            command.arg("--write").arg(writable);
        }
        command.args(["--", &launch.python, "-u"]).arg(&script).args(arguments(&dir));
        command.env_clear().envs(environment(&dir)).current_dir(&dir);
        let reports = if launch.meter.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(Stdio::piped()).stdout(reports).stderr(Stdio::piped()).process_group(0);
        let mut guard = command.spawn().map_err(|error| {
            Error::new(
                Code::InvalidState,
                format!("The guard of the model's Python process cannot be started: {error}."),
            )
        })?;
        let said = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(written) = guard.stderr.take() {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(written, &said));
        }
        let charging = launch.meter.clone().zip(guard.stdout.take());
        let charging = charging.map(|(meter, reports)| std::thread::spawn(move || charge(reports, &meter)));
        let line = guard.stdin.take();
        Ok(Self { guard: Some(guard), line, said, charging, dir })
    }

    fn id(&self) -> Option<u32> {
        self.guard.as_ref().map(Child::id)
    }

    /// Waits until the guard has ended and all is charged. Answers whether it ended as it should.
    fn gone(&mut self) -> bool {
        let is_clean =
            self.guard.take().is_none_or(|mut guard| guard.wait().is_ok_and(|status| status.success()));
        if let Some(charging) = self.charging.take() {
            let _ = charging.join();
        }
        is_clean
    }

    fn has_ended(&mut self) -> bool {
        self.guard.as_mut().is_none_or(|guard| !matches!(guard.try_wait(), Ok(None)))
    }

    /// The last lines that it wrote.
    fn last_words(&self) -> String {
        let said = self.said.lock();
        let lines: Vec<&str> = said.iter().map(String::as_str).collect();
        if lines.is_empty() { String::new() } else { format!("It wrote: {}", lines.join("\n")) }
    }
}

/// Keeps the last lines, as far as they are kept, and passes them on to the log. Reads to the end whatever comes: a model that
/// cannot print any more fails over that.
fn listen(mut written: impl Read, said: &Mutex<VecDeque<String>>) {
    let (mut bytes, mut line) = (vec![0; 64 << 10], Vec::with_capacity(LINE_BYTES));
    loop {
        let read = match written.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for piece in bytes[..read].split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            line.extend_from_slice(&text[..text.len().min(LINE_BYTES - line.len())]);
            if is_whole {
                keep(&line, said);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        keep(&line, said);
    }
}

fn keep(line: &[u8], said: &Mutex<VecDeque<String>>) {
    let line = String::from_utf8_lossy(line).into_owned();
    tracing::debug!(target: "strongback::model", line, "a model's Python process wrote");
    let mut said = said.lock();
    if said.len() == LINES {
        said.pop_front();
    }
    said.push_back(line);
}

/// Where programs are looked for that run for a model.
pub fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into())
}

/// What a worker finds around it: nothing of the server's.
fn environment(dir: &Path) -> Vec<(String, String)> {
    let own = dir.display().to_string();
    let mut set = vec![("PATH".into(), path()), ("HOME".into(), own.clone()), ("TMPDIR".into(), own)];
    set.extend(
        [
            ("LANG", "C.UTF-8"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    set
}

/// A directory for one process, whose path is short enough for a socket in it.
fn own_directory(below: &Path) -> Result<PathBuf> {
    let name = format!("w{}{:08x}", own_tag(), rand::random::<u32>());
    let is_short = below.join(&name).join("s").as_os_str().len() <= SOCKET_PATH_BYTES_MAX;
    let dir =
        if is_short { below.join(&name) } else { std::env::temp_dir().join(format!("strongback-{name}")) };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(Error::unwritten(&dir))?;
    // Python runs in it, and would look for what a path relative to the server's own names.
    fs::canonicalize(&dir).map_err(Error::internal)
}

#[derive(Deserialize)]
struct Greeting {
    failed: Option<String>,
    ready: Option<Json>,
}

impl Process {
    /// Starts a process and waits until it has loaded its model.
    pub async fn start(launch: &Launch, model: &Path, within: Duration) -> Result<Self> {
        let until = Instant::now() + within;
        let (of_launch, model) = (launch.clone(), model.to_owned());
        let started = tokio::task::spawn_blocking(move || {
            let mut listener = None;
            let model = fs::canonicalize(&model).map_err(Error::internal)?;
            let guarded = Guarded::start(&of_launch, WALL, &model, None, |dir| {
                let socket = dir.join("s");
                listener = Some(std::os::unix::net::UnixListener::bind(&socket));
                vec!["serve".into(), socket.display().to_string(), model.display().to_string()]
            })?;
            Ok::<_, Error>((guarded, listener))
        });
        let (mut guarded, listener) = started.await.map_err(Error::internal)??;
        let listener =
            listener.ok_or_else(|| Error::internal("a worker has no socket"))?.map_err(Error::internal)?;
        listener.set_nonblocking(true).map_err(Error::internal)?;
        let listener = UnixListener::from_std(listener).map_err(Error::internal)?;
        let stream = loop {
            tokio::select! {
                found = listener.accept() => break found.map_err(Error::internal)?.0,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
            if guarded.has_ended() {
                return Err(not_loaded(
                    &format!("its process ended. {}", guarded.last_words()),
                    &launch.python,
                ));
            }
            if Instant::now() >= until {
                return Err(not_loaded(
                    &format!("it took longer than {} s", within.as_secs()),
                    &launch.python,
                ));
            }
        };
        let mut process = Self { guarded, stream };
        let greeting = process.receive(until).await.map_err(|broken| match broken {
            Broken::Late => {
                not_loaded(&format!("it took longer than {} s", within.as_secs()), &launch.python)
            }
            Broken::Gone(why) => {
                not_loaded(&format!("{why}. {}", process.guarded.last_words()), &launch.python)
            }
        })?;
        match serde_json::from_slice(&greeting) {
            Ok(Greeting { ready: Some(versions), .. }) => {
                tracing::info!(%versions, "a model's Python process is ready");
                Ok(process)
            }
            Ok(Greeting { failed: Some(why), .. }) => Err(not_loaded(&why, &launch.python)),
            _ => Err(not_loaded("its process greets with nonsense", &launch.python)),
        }
    }

    /// The number of the guard's process.
    pub fn id(&self) -> Option<u32> {
        self.guarded.id()
    }

    /// Sends a request and waits for its answer.
    pub async fn exchange(&mut self, request: &[u8], until: Instant) -> Result<Vec<u8>, Broken> {
        let gone = |error: io::Error| Broken::Gone(error.to_string());
        let size =
            u32::try_from(request.len()).map_err(|_| Broken::Gone("the request is too large".into()))?;
        let sending = async {
            self.stream.write_all(&size.to_be_bytes()).await?;
            self.stream.write_all(request).await
        };
        tokio::time::timeout_at(until, sending).await.map_err(|_| Broken::Late)?.map_err(gone)?;
        self.receive(until).await
    }

    async fn receive(&mut self, until: Instant) -> Result<Vec<u8>, Broken> {
        let gone = |error: io::Error| Broken::Gone(error.to_string());
        let receiving = async {
            let size = self.stream.read_u32().await.map_err(gone)? as usize;
            if size > FRAME_BYTES_MAX {
                return Err(Broken::Gone(format!("it sent a message of {size} bytes")));
            }
            let mut body = vec![0; size];
            self.stream.read_exact(&mut body).await.map_err(gone)?;
            Ok(body)
        };
        tokio::time::timeout_at(until, receiving).await.unwrap_or(Err(Broken::Late))
    }

    /// Ends the process. Answers the last that it wrote.
    pub async fn end(self) -> String {
        let Self { guarded, stream } = self;
        let group = stream.peer_cred().ok().and_then(|peer| peer.pid()).and_then(Pid::from_raw);
        drop(stream);
        let mut guarded = guarded;
        guarded.line = None;
        let ended = tokio::task::spawn_blocking(move || {
            let is_clean = guarded.gone();
            // A guard that was killed has ended nothing.
            if let Some(group) = group.filter(|_| !is_clean) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            guarded.last_words()
        });
        tokio::time::timeout(Duration::from_secs(15), ended)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default()
    }
}

fn not_loaded(why: &str, python: &str) -> Error {
    Error::new(
        Code::InvalidState,
        format!(
            "The model cannot be loaded by {python}: {}. What it needs is listed in its requirements.txt; install it there, or \
             set worker_python to a Python that has it.",
            why.trim_end_matches(['.', ' '])
        ),
    )
}

/// Converts the model in a directory to ONNX, in a process of its own. What comes of it lies in `out`: `report.json`, and
/// `model.onnx` if it does. Blocks.
pub fn convert(launch: &Launch, model: &Path, out: &Path, schema: &Schema) -> Result<()> {
    let (model, out) =
        (fs::canonicalize(model).map_err(Error::internal)?, fs::canonicalize(out).map_err(Error::internal)?);
    let inputs = serde_json::to_string(&schema.inputs).map_err(Error::internal)?;
    let mut guarded = Guarded::start(launch, CONVERSION, &model, Some(&out), |_| {
        vec![
            "convert".into(),
            model.display().to_string(),
            out.display().to_string(),
            schema.form.name().into(),
            inputs,
        ]
    })?;
    guarded.gone();
    if out.join("report.json").exists() {
        return Ok(());
    }
    let why = guarded.last_words();
    Err(Error::new(Code::InvalidState, format!("The conversion did not end. {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_worker_writes_is_read_to_its_end_and_little_of_it_kept() {
        let said = Mutex::new(VecDeque::new());
        let long = vec![b'x'; 10 << 20];
        let written =
            [&b"caf\xe9 \xff\xfe\n"[..], &long[..], b"\n", "é".repeat(400).as_bytes(), b"\n\nlast"].concat();
        let mut written = &written[..];
        listen(&mut written, &said);
        assert!(written.is_empty());
        let said: Vec<String> = said.into_inner().into();
        assert_eq!(said[0], "caf\u{fffd} \u{fffd}\u{fffd}");
        assert_eq!(said[1], "x".repeat(LINE_BYTES));
        assert_eq!(said[2], "é".repeat(LINE_BYTES / 2));
        assert_eq!(said[3..], [String::new(), "last".to_owned()]);
    }

    #[test]
    fn the_last_lines_are_kept() {
        let said = Mutex::new(VecDeque::new());
        let lines: Vec<String> = (0..100).map(|n| format!("line {n}\n")).collect();
        listen(lines.concat().as_bytes(), &said);
        let said = said.into_inner();
        assert_eq!((said.len(), said.front().unwrap().as_str()), (LINES, "line 80"));
    }
}
