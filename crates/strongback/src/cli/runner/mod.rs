//! `strongback runner`: a process that takes jobs from a server and runs their commands on this machine.
//!
//! What must stay true: what runs here was declared by an administrator and is among what this runner allows; it inherits
//! nothing of this process, its token least of all; and it does not outlive its lease. That last holds whatever becomes of
//! this process, because a guard of its own stands between the two (`guard`).

mod attempt;
mod capture;
mod fence;
pub(super) mod guard;
mod processes;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use fs4::fs_std::FileExt;
use serde_json::json;
use syntax::glob;
use tokio::sync::watch;

pub(super) use fence::is_there as has_fence;

use super::{
    client::{Client, Remote},
    exit, printer,
};
use crate::{
    error::{Code, Error, Result},
    jobs::{
        commands::{DEFAULT_LABEL, definition::is_label},
        runner::{LeaseResponse, LeasedJob},
    },
};

const EXAMPLES: &str = "\
Once, an administrator makes a principal for the machine, and a token:
  strongback principal create gpu-box --kind service-principal
  strongback group add-member runners gpu-box
  strongback token create --principal gpu-box

On the machine, with that token in STRONGBACK_TOKEN:
  strongback runner --server https://ml.example.com --label gpu
  strongback runner --label gpu --allow 'prod.risk.*' --pass-env CUDA_VISIBLE_DEVICES
  strongback runner --once

What a command finds: an empty directory of its own; PATH and LANG; HOME and
TMPDIR in that directory; the server as STRONGBACK_URL, MLFLOW_TRACKING_URI and
DATABRICKS_HOST, and a token of whom it runs as, valid as long as it runs, as
STRONGBACK_TOKEN, MLFLOW_TRACKING_TOKEN and DATABRICKS_TOKEN; STRONGBACK_JOB_ID
and STRONGBACK_ATTEMPT; STRONGBACK_PARAM_<NAME> for each parameter;
STRONGBACK_RESULT, a file into which it may write JSON that becomes part of the
job's result. What it writes to standard output and standard
error is the job's log.

It is ended with everything that it started when it is over a limit, when the
job is cancelled, when the runner stops, and when it dies. Commands run as the
user of this process: give the runner a user of its own. With --once the exit
code is 1 when the command failed.";

/// How long one call waits for a job.
const WAIT_SECONDS: i64 = 20;
/// The first rest after a server did not answer; each further one is twice as long.
const REST: Duration = Duration::from_millis(500);
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(15);

/// Run the commands of jobs on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunnerArgs {
    /// Label of commands that are run here; may be repeated [default: default]
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Run only commands whose names have this form, e.g. 'prod.risk.*'; may be repeated
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<String>,
    /// Where commands have their directories; of this runner alone
    #[arg(long, value_name = "DIR", default_value = "strongback-runner")]
    work_dir: PathBuf,
    /// By what name the server knows it [default: one that is kept in the work directory]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// After how many seconds without a word from here a job is given to another
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(i64).range(2..=600))]
    lease: i64,
    /// A variable of this process that commands get as well; may be repeated
    #[arg(long, value_name = "NAME")]
    pass_env: Vec<String>,
    /// Keep the directories of commands that have ended
    #[arg(long)]
    keep: bool,
    /// Wait for one job, run it and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A runner at work.
struct Runner {
    client: Client,
    name: String,
    labels: Vec<String>,
    allow: Vec<String>,
    lease_seconds: i64,
    work_dir: PathBuf,
    pass_env: Vec<(String, String)>,
    is_kept: bool,
    program: PathBuf,
    /// Held as long as the process lives.
    _lock: fs::File,
}

pub(super) fn run(args: RunnerArgs) -> anyhow::Result<ExitCode> {
    // Before it is kept from reading about itself.
    let program = std::env::current_exe()?;
    // What it runs has its user, and could read its environment, where the token is.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let is_once = args.once;
    let runner = Runner::new(args, program)?;
    runner.client.block_on(runner.work(is_once))
}

impl Runner {
    fn new(args: RunnerArgs, program: PathBuf) -> Result<Self> {
        let mut labels = args.labels;
        if labels.is_empty() {
            labels.push(DEFAULT_LABEL.to_owned());
        }
        if let Some(wrong) = labels.iter().chain(&args.name).find(|label| !is_label(label)) {
            return Err(Error::invalid(format!(
                "'{wrong}' is no label and no name of a runner: it has 1 to 64 letters, digits, '.', '-' and '_'."
            )));
        }
        let pass_env = args.pass_env.into_iter().map(passed).collect::<Result<Vec<_>>>()?;
        let unusable = |error: std::io::Error| {
            Error::unavailable(format!(
                "The work directory {} cannot be used: {error}.",
                args.work_dir.display()
            ))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&args.work_dir).map_err(unusable)?;
        let work_dir = args.work_dir.canonicalize().map_err(unusable)?;
        let lock = lock(&work_dir).map_err(unusable)?.ok_or_else(|| {
            Error::new(
                Code::InvalidState,
                format!(
                    "The work directory {} is in use by another runner. Give each its own with --work-dir.",
                    work_dir.display()
                ),
            )
        })?;
        clear(&work_dir).map_err(unusable)?;
        let name = args.name.map_or_else(|| own_name(&work_dir).map_err(unusable), Ok)?;
        Ok(Self {
            client: args.remote.client()?,
            name,
            labels,
            allow: args.allow,
            lease_seconds: args.lease,
            work_dir,
            pass_env,
            is_kept: args.keep,
            program,
            _lock: lock,
        })
    }

    /// Takes jobs and runs them, until it is told to stop or has run the one that it was for.
    async fn work(&self, is_once: bool) -> anyhow::Result<ExitCode> {
        let mut stop = stop_signal()?;
        printer::talk(&format!(
            "Runner {} at {}; labels: {}. Ctrl-C ends it and what it runs.",
            self.name,
            self.client.address(),
            self.labels.join(", ")
        ));
        let mut rest = REST;
        loop {
            let leased = tokio::select! {
                leased = self.lease() => leased,
                _ = stop.wait_for(|is_told| *is_told) => return Ok(ExitCode::SUCCESS),
            };
            match leased {
                Ok(None) => rest = REST,
                Ok(Some(job)) => {
                    rest = REST;
                    let is_done = attempt::run(self, job, stop.clone()).await;
                    if is_once {
                        return Ok(exit::answer(is_done));
                    }
                }
                Err(error) if error.is_ours() || error.code() == Code::RequestLimitExceeded => {
                    printer::talk(&format!(
                        "{} Trying again in {:.1} s.",
                        error.message(),
                        rest.as_secs_f64()
                    ));
                    tokio::select! {
                        () = tokio::time::sleep(rest) => rest = (rest * 2).min(REST_MAX),
                        _ = stop.wait_for(|is_told| *is_told) => return Ok(ExitCode::SUCCESS),
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if *stop.borrow() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    async fn lease(&self) -> Result<Option<LeasedJob>> {
        let body = json!({
            "runner": self.name, "labels": self.labels, "allow": self.allow,
            "lease_seconds": self.lease_seconds, "wait_seconds": WAIT_SECONDS,
        });
        Ok(self.client.post::<LeaseResponse>("/api/1.0/runner/lease", &body).await?.job)
    }

    /// Whether it runs commands of this name, whatever the server thinks.
    fn allows(&self, command: &str) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|pattern| glob::fits(pattern, command))
    }
}

/// A variable that commands get from this process.
fn passed(name: String) -> Result<(String, String)> {
    if ["STRONGBACK_", "MLFLOW_TRACKING_", "DATABRICKS_"].iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::invalid(format!(
            "--pass-env {name} is not allowed: it may be a secret of this runner. Commands get a credential of their own."
        )));
    }
    let value = crate::config::read_variable(&name)?;
    let value = value
        .ok_or_else(|| Error::invalid(format!("--pass-env {name} names a variable that is not set here.")))?;
    Ok((name, value))
}

fn lock(work_dir: &Path) -> std::io::Result<Option<fs::File>> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(work_dir.join("lock"))?;
    Ok(file.try_lock_exclusive()?.then_some(file))
}

/// Removes what a runner that was killed left behind. Its commands were ended with it.
fn clear(work_dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(work_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with(attempt::DIRECTORY)
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The name that is kept in a work directory, so that a runner that begins again is known to be the same one.
fn own_name(work_dir: &Path) -> std::io::Result<String> {
    let path = work_dir.join("name");
    if let Ok(name) = fs::read_to_string(&path)
        && is_label(name.trim())
    {
        return Ok(name.trim().to_owned());
    }
    let name = format!("r-{}", hex::encode(rand::random::<[u8; 6]>()));
    fs::write(&path, &name)?;
    Ok(name)
}

/// Becomes true with the first signal to stop.
fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = tell.send(true);
        // Held, so that whoever waits for it hears nothing else.
        std::future::pending::<()>().await;
    });
    Ok(told)
}
