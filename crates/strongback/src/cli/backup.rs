//! `strongback backup` and `restore`: metadata, artifacts and keys in one directory.
//!
//! What must stay true: a backup taken beside a running server is one moment of the metadata, and holds every object
//! that this moment names. Objects never change once written, so they are copied before the metadata's snapshot and,
//! for what came in meanwhile, once more after it.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{printer, settings::StoreArgs};
use crate::{
    app,
    config::Config,
    context::now_ms,
    db::{Location, migrate},
    error::Error,
};

const MANIFEST: &str = "backup.json";
const METADATA: &str = "metadata.db";
const DUMP: &str = "metadata.dump";

const BACKUP_EXAMPLES: &str = "\
Examples:
  strongback backup /backups/2026-11-25
  strongback backup /backups/2026-11-25 --data-dir /var/lib/strongback --json

The server may go on meanwhile. Metadata in PostgreSQL (--database-url) is
written by pg_dump, which must be installed.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  strongback restore /backups/2026-11-25 --data-dir /var/lib/strongback-new
  strongback audit-log verify --data-dir /var/lib/strongback-new
  strongback up --data-dir /var/lib/strongback-new

Metadata of PostgreSQL goes into an empty database (--database-url), by
pg_restore, which must be installed.";

/// Copy metadata, artifacts and keys into a directory, also while the server runs
#[derive(Debug, Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(super) struct BackupArgs {
    /// A directory that does not exist yet
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// What was made, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Bring a backup back into an empty data directory
#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(super) struct RestoreArgs {
    /// A directory that `strongback backup` made
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    version: u32,
    made_at: i64,
    schema: i64,
    database: String,
    objects: u64,
}

pub(super) fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let config = args.store.config()?;
    let data = &config.data_dir.value;
    ensure!(data.is_dir(), "The data directory {} does not exist. Name it with --data-dir.", data.display());
    if let Location::Sqlite(path) = config.location() {
        ensure!(
            path.exists(),
            "There is no metadata store at {}. Name the data directory with --data-dir.",
            path.display()
        );
    }
    ensure!(!args.to.exists(), "{} exists already; a backup goes into a new directory.", args.to.display());
    // Made under another name, so that a half-made backup is never taken for a whole one.
    let making = incomplete(&args.to)?;
    if let Some(parent) = making.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    // It must be new: what lies there belongs to somebody, perhaps to a backup that is being made.
    fs::DirBuilder::new().mode(0o700).create(&making).with_context(|| {
        format!("cannot make {}; if a backup broke off there, remove it", making.display())
    })?;
    // Made by this process a moment ago, so that it may also take it away again.
    let manifest = fill(&config, &making).inspect_err(|_| drop(fs::remove_dir_all(&making)))?;
    fs::rename(&making, &args.to)?;
    let to = args.to.display().to_string();
    if args.json {
        printer::json(&serde_json::json!({ "path": to, "manifest": manifest }))?;
    } else {
        printer::data(&to);
        printer::talk(&format!("{} objects and the metadata ({}).", manifest.objects, manifest.database));
        printer::talk(&format!("Bring it back with: strongback restore {to} --data-dir NEW_DIR"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies everything into a directory and makes it durable.
fn fill(config: &Config, making: &Path) -> anyhow::Result<Manifest> {
    let data = &config.data_dir.value;
    let mut objects = copy_new(&data.join("objects"), &making.join("objects"))?;
    let database = snapshot(&config.location(), making)?;
    objects += copy_new(&data.join("objects"), &making.join("objects"))?;
    copy_new(&data.join("keys"), &making.join("keys"))?;
    let manifest = Manifest { version: 1, made_at: now_ms(), schema: migrate::NEWEST, database, objects };
    fs::write(making.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    sync_tree(making)?;
    Ok(manifest)
}

/// The name while it is being made: the whole name and an ending.
fn incomplete(to: &Path) -> anyhow::Result<PathBuf> {
    let mut name =
        to.file_name().with_context(|| format!("{} does not name a directory", to.display()))?.to_owned();
    name.push(".incomplete");
    Ok(to.with_file_name(name))
}

fn snapshot(location: &Location, to: &Path) -> anyhow::Result<String> {
    match location {
        Location::Sqlite(path) => {
            let source =
                rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
                    .with_context(|| format!("cannot open {}", path.display()))?;
            source.execute("VACUUM INTO ?1", [to.join(METADATA).display().to_string()])?;
            Ok("sqlite".into())
        }
        Location::Postgres(url) => {
            run_tool("pg_dump", &["--format=custom", "--file", &to.join(DUMP).display().to_string()], url)?;
            Ok("postgres".into())
        }
    }
}

pub(super) fn restore(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = args.store.config()?;
    let text = fs::read(args.from.join(MANIFEST)).map_err(|error| {
        Error::invalid(format!(
            "{} is no backup as `strongback backup` makes it: {MANIFEST} cannot be read ({error}).",
            args.from.display()
        ))
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).context("the backup's manifest cannot be read")?;
    ensure!(manifest.version == 1, "The backup has format {}; this version knows 1.", manifest.version);
    ensure!(
        manifest.schema <= migrate::NEWEST,
        "The backup has schema {}; this version knows schemas up to {}.",
        manifest.schema,
        migrate::NEWEST
    );
    let data = &config.data_dir.value;
    let empty = !data.exists() || fs::read_dir(data)?.next().is_none();
    ensure!(
        empty,
        "{} is not empty; a backup is brought back into a new data directory (--data-dir).",
        data.display()
    );
    let _lock = app::lock(data)?;
    copy_new(&args.from.join("objects"), &data.join("objects"))?;
    copy_new(&args.from.join("keys"), &data.join("keys"))?;
    bring_metadata(&config, &args.from, &manifest)?;
    sync_tree(data)?;
    printer::data(&data.display().to_string());
    printer::talk(&format!("Start it with: strongback up --data-dir {}", data.display()));
    Ok(ExitCode::SUCCESS)
}

fn bring_metadata(config: &Config, from: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    match (manifest.database.as_str(), config.location()) {
        ("sqlite", Location::Sqlite(path)) => {
            fs::copy(from.join(METADATA), path)?;
        }
        ("postgres", Location::Postgres(url)) => {
            let dump = from.join(DUMP).display().to_string();
            run_tool("pg_restore", &["--no-owner", "--exit-on-error", "--single-transaction", &dump], &url)?;
        }
        (made_on, _) => {
            bail!("The backup was made on {made_on}; restore it there (with or without --database-url).")
        }
    }
    Ok(())
}

/// PostgreSQL's own tools, which know its formats. The URL, which may hold a password, goes through the environment of
/// the child and not through its arguments, where every user of the machine could read it.
fn run_tool(tool: &str, arguments: &[&str], url: &str) -> anyhow::Result<()> {
    let parsed = url::Url::parse(url).context("the database URL cannot be read")?;
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut command = Command::new(tool);
    command.args(arguments).env("PGHOST", parsed.host_str().unwrap_or("localhost"));
    command.env("PGPORT", parsed.port().unwrap_or(5432).to_string());
    command.env("PGUSER", decode(parsed.username()));
    let database = decode(parsed.path().trim_start_matches('/'));
    command.env("PGDATABASE", &database);
    if tool == "pg_restore" {
        command.args(["--dbname", &database]);
    }
    if let Some(password) = parsed.password() {
        command.env("PGPASSWORD", decode(password));
    }
    let status = command.status().with_context(|| {
        format!("{tool} cannot be started; it comes with PostgreSQL's client programs (on Debian: apt-get install postgresql-client)")
    })?;
    ensure!(status.success(), "{tool} failed: {status}");
    Ok(())
}

/// Copies the files of a tree that are not there yet; answers how many. Names that begin with a dot or end in `.tmp` are
/// not finished and are left out.
fn copy_new(from: &Path, to: &Path) -> anyhow::Result<u64> {
    let mut copied = 0;
    if !from.exists() {
        return Ok(0);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.starts_with('.') || text.ends_with(".tmp") {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copied += copy_new(&entry.path(), &target)?;
        } else if !target.exists() {
            match fs::copy(entry.path(), &target) {
                Ok(_) => copied += 1,
                // Deleted since the directory was listed: then no newer snapshot names it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot copy {}", entry.path().display()));
                }
            }
        }
    }
    Ok(copied)
}

fn sync_tree(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            fs::File::open(entry.path())?.sync_all()?;
        }
    }
    fs::File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_in_the_making_has_a_name_of_its_own() {
        let name = |to: &str| incomplete(Path::new(to)).unwrap().display().to_string();
        assert_eq!(name("/b/nightly.2026-11-25"), "/b/nightly.2026-11-25.incomplete");
        assert_ne!(name("/b/nightly.2026-11-25"), name("/b/nightly.2026-11-26"));
        assert!(incomplete(Path::new("/")).is_err());
    }
}
