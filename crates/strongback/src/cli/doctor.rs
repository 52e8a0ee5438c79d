//! `strongback doctor`: what of this machine may get in the way.

use std::{
    fs,
    io::{ErrorKind, Write},
    net::TcpListener,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use serde_json::Value as Json;

use super::{client::Client, exit, printer, settings::ServerArgs};
use crate::{
    bind,
    config::Config,
    db::{self, Location, migrate},
    events::store,
    objects::{
        OTHERS, Remote,
        place::{self, Record},
    },
    ops::SPEAKS_LIKE,
    time,
    ui::python,
};

/// Syncs that are timed.
const SYNCS: usize = 100;
/// Free space below which it is called a problem.
const FREE_BYTES_MIN: u64 = 2 << 30;

const EXAMPLES: &str = "\
Examples:
  strongback doctor
  strongback doctor --data-dir /var/lib/strongback --json

Nothing is changed. The exit code is 1 when something is bad; a note is worth
a look and no failure.";

/// Check this machine: disk, sync latency, port, stores, client version, clock, Landlock
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: ServerArgs,
}

#[derive(Debug, Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Note,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    what: String,
}

pub(super) fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.config()?;
    let dir = &config.data_dir.value;
    let findings = [
        space(dir),
        sync(dir),
        port(&config),
        metadata(&config),
        artifacts(&config),
        client(),
        clock(&config),
        models(),
    ];
    let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    if args.json {
        printer::json(&findings)?;
    } else {
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|finding| {
                let verdict = match finding.verdict {
                    Verdict::Good => "ok",
                    Verdict::Note => "note",
                    Verdict::Bad => "BAD",
                };
                vec![finding.check.to_owned(), verdict.to_owned(), finding.what.clone()]
            })
            .collect();
        printer::table(&["CHECK", "IS", "FOUND"], &rows);
    }
    Ok(exit::answer(!bad))
}

fn finding(check: &'static str, verdict: Verdict, what: impl Into<String>) -> Finding {
    Finding { check, verdict, what: what.into() }
}

fn models() -> Finding {
    if super::runner::has_fence() {
        return finding(
            "models",
            Verdict::Good,
            "Landlock keeps models' processes out of the data directory",
        );
    }
    finding(
        "models",
        Verdict::Note,
        "this kernel has no Landlock (Linux 5.13 or newer, started with lsm=landlock,…): a model's Python process can read the \
         data directory, keys included",
    )
}

/// The directory, or the nearest above it that is there: looking must not make it.
fn existing(dir: &Path) -> &Path {
    let found = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    if found.as_os_str().is_empty() { Path::new(".") } else { found }
}

fn space(dir: &Path) -> Finding {
    match fs4::available_space(existing(dir)) {
        Ok(free) => {
            let verdict = if free < FREE_BYTES_MIN { Verdict::Bad } else { Verdict::Good };
            finding(
                "disk",
                verdict,
                format!("{:.1} GiB free under {}", free as f64 / f64::from(1 << 30), dir.display()),
            )
        }
        Err(error) => finding("disk", Verdict::Bad, format!("{}: {error}", dir.display())),
    }
}

fn sync(dir: &Path) -> Finding {
    // A look changes nothing: a directory that is not there yet is tried where it will be made.
    let place = existing(dir);
    match time_syncs(place) {
        Ok(mut times) => {
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
            let (median, tail) = (at(0.5), at(0.99));
            // Every acknowledged write waits for one of these.
            let verdict = if median > Duration::from_millis(20) { Verdict::Note } else { Verdict::Good };
            let what = format!(
                "4 KiB write and fdatasync under {}: p50 {median:.2?}, p99 {tail:.2?}",
                place.display()
            );
            finding("sync", verdict, what)
        }
        Err(error) => {
            finding("sync", Verdict::Bad, format!("{} cannot be written: {error}", place.display()))
        }
    }
}

fn time_syncs(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let path = dir.join(format!(".strongback-doctor-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let times = time_writes(&mut file);
    fs::remove_file(path)?;
    times
}

fn time_writes(file: &mut fs::File) -> std::io::Result<Vec<Duration>> {
    let block = [0x5a_u8; 4096];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn port(config: &Config) -> Finding {
    let (host, port) = (config.host.value.as_str(), config.port.value);
    match TcpListener::bind((host, port)) {
        Ok(_) => finding("port", Verdict::Good, format!("{host}:{port} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match listening(host, port) {
            Some(version) => {
                finding("port", Verdict::Good, format!("Strongback {version} answers at {host}:{port}"))
            }
            None => finding(
                "port",
                Verdict::Note,
                format!("another program listens at {host}:{port}; take another with --port"),
            ),
        },
        Err(error) => finding("port", Verdict::Bad, format!("{host}:{port} cannot be listened at: {error}")),
    }
}

/// The version of the Strongback that listens there.
fn listening(host: &str, port: u16) -> Option<String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    // Without the token: it is not known yet who that is.
    let client = Client::without_token(&format!("http://{host}:{port}")).ok().filter(Client::answers)?;
    let document: Json = client.get("/api/openapi.json", &[]).ok()?;
    let info = &document["info"];
    (info["title"] == "Strongback").then(|| info["version"].as_str().unwrap_or_default().to_owned())
}

fn metadata(config: &Config) -> Finding {
    let location = config.location();
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        return finding("metadata", Verdict::Good, "none yet; the first `strongback up` makes it");
    }
    match db::inspect_any(&location, migrate::version) {
        Ok(found) if found > migrate::NEWEST => finding(
            "metadata",
            Verdict::Bad,
            format!("schema {found} is newer than this version's {}", migrate::NEWEST),
        ),
        Ok(found) => finding("metadata", Verdict::Good, format!("schema {found} of {}", migrate::NEWEST)),
        Err(error) => finding("metadata", Verdict::Bad, error.message()),
    }
}

/// Whether the object store can be read in which artifacts lie.
fn artifacts(config: &Config) -> Finding {
    let bad = |why: &str| finding("artifacts", Verdict::Bad, why);
    let dir = &config.data_dir.value;
    let record = match place::read(dir) {
        Ok(None) => {
            config.artifacts_url.value.as_ref().map(|address| Record { holder: None, ..Record::new(address) })
        }
        Ok(known) => known,
        Err(error) => return bad(error.message()),
    };
    let Some(record) = record else {
        return finding("artifacts", Verdict::Good, "in the data directory");
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return bad(&error.to_string()),
    };
    let looked = Remote::open(dir, record)
        .and_then(|remote| Ok((remote.address().to_owned(), runtime.block_on(remote.look())?)));
    match looked {
        Ok((address, whose)) => {
            let verdict = if whose == OTHERS { Verdict::Bad } else { Verdict::Good };
            finding("artifacts", verdict, format!("{address} can be read; it is {whose}"))
        }
        Err(error) => match error.cause_chain() {
            Some(cause) => bad(&format!("{} ({cause})", error.message())),
            None => bad(error.message()),
        },
    }
}

/// The mlflow that `up --mlflow-ui auto` finds as well.
fn client() -> Finding {
    let mut why = Vec::new();
    for (python, package) in python::packages() {
        let python = python.display();
        match package {
            Ok(package) => {
                let version = python::version(&package).unwrap_or_else(|| "of an unknown version".to_owned());
                let verdict = if version == SPEAKS_LIKE { Verdict::Good } else { Verdict::Note };
                return finding(
                    "client",
                    verdict,
                    format!("mlflow {version} under {python} (tested with {SPEAKS_LIKE})"),
                );
            }
            Err(error) => why.push(format!("{python}: {error}")),
        }
    }
    let why = why.join("; ");
    finding("client", Verdict::Note, format!("no mlflow; install it with: pip install mlflow ({why})"))
}

fn clock(config: &Config) -> Finding {
    /// 2026-01-01: this software did not exist before.
    const EARLIEST_MS: i64 = 1_767_225_600_000;
    let now = time::now_ms();
    if now < EARLIEST_MS {
        return finding(
            "clock",
            Verdict::Bad,
            format!("it says {} UTC, which has passed long ago", time::utc(now)),
        );
    }
    let newest = db::inspect(&config.location(), |sql| {
        sql.one(&store::NEWEST_TIME, bind![], |row| row.get::<Option<i64>>(0))
    });
    match newest {
        Ok(Some(newest)) if newest > now + 60_000 => finding(
            "clock",
            Verdict::Bad,
            format!("it says {} UTC, but the store has events until {}", time::utc(now), time::utc(newest)),
        ),
        _ => finding("clock", Verdict::Good, format!("{} UTC", time::utc(now))),
    }
}
