//! `strongback backup` and `restore`: metadata, artifacts, tables and keys in one directory.
//!
//! What must stay true: a backup taken beside a running server is one moment of the metadata, and holds every object
//! that this moment names. Objects never change once written, so they are copied before the metadata's snapshot and,
//! for what came in meanwhile, once more after it; one that was removed in between makes another snapshot necessary.
//! Neither a half-made backup nor a half-restored directory is ever taken for a whole one.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    backup_tables::{self, Tables},
    exit, printer,
    settings::StoreArgs,
};
use crate::{
    app, bind,
    config::Config,
    db::{self, Location, Sql, migrate},
    error::{Error, Result},
    events::key,
    objects::place::{self, Record},
    time,
};

crate::statements! {
    /// By this name pg_dump sees what this transaction sees.
    SNAPSHOT = "SELECT {snapshot}";
    /// Every object that a file or a part of an upload is in.
    OBJECTS = "SELECT object FROM file UNION SELECT object FROM upload_part";
    /// Every object that is on this machine also where files are not.
    PART_OBJECTS = "SELECT object FROM upload_part";
}

const MANIFEST: &str = "backup.json";
const METADATA: &str = "metadata.db";
const DUMP: &str = "metadata.dump";
/// Snapshots that are tried until one names only objects that are still there.
const SNAPSHOTS: usize = 3;

const BACKUP_EXAMPLES: &str = "\
Examples:
  strongback backup /backups/2026-11-25
  strongback backup /backups/2026-11-25 --data-dir /var/lib/strongback --json

The server may go on meanwhile. Metadata in PostgreSQL (--database-url) is
written by pg_dump, which must be installed. Tables and artifacts that lie in an
object store (--tables-url, --artifacts-url) are not copied: it keeps them.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  strongback restore /backups/2026-11-25 --data-dir /var/lib/strongback-new
  strongback audit-log verify --data-dir /var/lib/strongback-new
  strongback up --data-dir /var/lib/strongback-new

Metadata of PostgreSQL goes into an empty database (--database-url), by
pg_restore, which must be installed.";

/// Copy metadata, artifacts, tables and keys into a directory, also while the server runs
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
    /// Where the artifacts are, which are not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifacts_url: Option<String>,
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
    let (manifest, missing) = match fill(&config, &making) {
        Ok(made) => made,
        Err(error) => {
            fs::remove_dir_all(&making)?;
            return Err(error);
        }
    };
    fs::rename(&making, &args.to)?;
    sync_parent(&args.to)?;
    let to = args.to.display().to_string();
    if args.json {
        printer::json(&serde_json::json!({ "path": to, "manifest": manifest, "missing_objects": missing }))?;
    } else {
        printer::data(&to);
        printer::talk(&format!("{} objects and the metadata ({}).", manifest.objects, manifest.database));
        printer::talk(&format!("Bring it back with: strongback restore {to} --data-dir NEW_DIR"));
    }
    if let Some(first) = missing.first() {
        printer::talk(&format!(
            "{} things that the metadata names are not in {}, so the backup lacks them too; the first is {first}.",
            missing.len(),
            data.display()
        ));
    }
    Ok(exit::answer(missing.is_empty()))
}

/// Everything that a backup is; answers the objects that are named and are not there.
fn fill(config: &Config, making: &Path) -> anyhow::Result<(Manifest, Vec<String>)> {
    let data = &config.data_dir.value;
    let (from, to) = (data.join("objects"), making.join("objects"));
    let artifacts_url = place::read(data)?.map(|record| record.url);
    if let Some(url) = &artifacts_url {
        printer::talk(&format!(
            "The artifacts lie in an object store ({url}) and are not part of the backup: what is removed there is gone."
        ));
    }
    let mut objects = copy_new(&from, &to)?;
    let (tables, tables_to) = (backup_tables::place(config)?, making.join(backup_tables::DIRECTORY));
    if let Some(tables) = &tables {
        copy_new(tables, &tables_to)?;
    }
    let mut tried = 0;
    let (snapshot, missing) = loop {
        let snapshot = snapshot(&config.location(), making, artifacts_url.is_some())?;
        objects += copy_new(&from, &to)?;
        let mut missing: Vec<String> = snapshot
            .objects
            .iter()
            .filter(|id| !is_copied(&to, id))
            .map(|id| format!("object {id}"))
            .collect();
        match &tables {
            Some(tables) => {
                copy_new(tables, &tables_to)?;
                missing.extend(snapshot.tables.settle(&tables_to)?);
            }
            None if !snapshot.tables.is_empty() => {
                printer::talk("The tables lie in an object store and are not part of the backup.");
            }
            None => {}
        }
        tried += 1;
        if missing.is_empty() || tried == SNAPSHOTS {
            break (snapshot, missing);
        }
    };
    copy_new(&data.join(key::DIRECTORY), &making.join(key::DIRECTORY))?;
    let manifest = Manifest {
        version: 1,
        made_at: time::now_ms(),
        schema: snapshot.schema,
        database: snapshot.database.into(),
        objects,
        artifacts_url,
    };
    fs::write(making.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    sync_tree(making)?;
    Ok((manifest, missing))
}

/// Whether an object lies below a directory of objects, where its name says.
fn is_copied(objects: &Path, id: &str) -> bool {
    id.get(id.len().saturating_sub(2)..).is_some_and(|shard| objects.join(shard).join(id).exists())
}

/// The name while it is being made: the whole name and an ending.
fn incomplete(to: &Path) -> anyhow::Result<PathBuf> {
    let mut name =
        to.file_name().with_context(|| format!("{} does not name a directory", to.display()))?.to_owned();
    name.push(".incomplete");
    Ok(to.with_file_name(name))
}

/// A moment of the metadata.
struct Snapshot {
    database: &'static str,
    schema: i64,
    objects: Vec<String>,
    tables: Tables,
}

impl Snapshot {
    fn look(sql: &mut Sql<'_>, database: &'static str, parts_only: bool) -> Result<Self> {
        let schema = migrate::version(sql)?;
        let objects = if parts_only { &PART_OBJECTS } else { &OBJECTS };
        let objects = sql.all(objects, bind![], |row| row.get(0))?;
        Ok(Self { database, schema, objects, tables: Tables::look(sql, schema)? })
    }
}

fn snapshot(location: &Location, to: &Path, parts_only: bool) -> anyhow::Result<Snapshot> {
    match location {
        Location::Sqlite(path) => {
            let copy = to.join(METADATA);
            // For its owner alone, and empty, as SQLite wants it.
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&copy)?;
            let source =
                rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
                    .with_context(|| format!("cannot open {}", path.display()))?;
            source.execute("VACUUM INTO ?1", [copy.display().to_string()])?;
            Ok(db::inspect_any(&Location::Sqlite(copy), |sql| Snapshot::look(sql, "sqlite", parts_only))?)
        }
        Location::Postgres(url) => Ok(db::inspect_any(location, |sql| {
            let name: String = sql.one(&SNAPSHOT, bind![], |row| row.get(0))?;
            let dump = to.join(DUMP).display().to_string();
            let arguments = ["--format=custom", "--snapshot", &name, "--file", &dump];
            run_tool("pg_dump", &arguments, url)
                .map_err(|error| Error::unavailable(format!("No backup of the metadata: {error:#}.")))?;
            Snapshot::look(sql, "postgres", parts_only)
        })?),
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
    let existed = data.exists();
    ensure!(
        !existed || fs::read_dir(data)?.next().is_none(),
        "{} is not empty; a backup is brought back into a new data directory (--data-dir).",
        data.display()
    );
    if let Some(tables) = backup_tables::place(&config)? {
        ensure!(
            !tables.exists() || fs::read_dir(&tables)?.next().is_none(),
            "{} is not empty; tables are brought back into a new directory (--tables-url, or STRONGBACK_TABLES_URL).",
            tables.display()
        );
    }
    let lock = app::lock(data)?;
    if let Err(error) = bring_back(&config, &args.from, &manifest) {
        // It was empty, so that all of it came from here.
        drop(lock);
        empty(data)?;
        if !existed {
            fs::remove_dir(data)?;
        }
        return Err(error.context("Nothing was restored"));
    }
    printer::data(&data.display().to_string());
    if let Some(url) = &manifest.artifacts_url {
        printer::talk(&format!(
            "Its artifacts lie at {url}. If no other server uses that place any more, take it over: strongback artifacts adopt \
             --data-dir {}",
            data.display()
        ));
    }
    printer::talk(&format!("Start it with: strongback up --data-dir {}", data.display()));
    Ok(ExitCode::SUCCESS)
}

fn bring_back(config: &Config, from: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    let data = &config.data_dir.value;
    // A server does not start on a directory where this is, should the power fail now.
    let mark = data.join(app::RESTORING);
    fs::write(&mark, from.display().to_string())?;
    fs::File::open(data)?.sync_all()?;
    copy_new(&from.join("objects"), &data.join("objects"))?;
    copy_new(&from.join(key::DIRECTORY), &data.join(key::DIRECTORY))?;
    if let Some(url) = &manifest.artifacts_url {
        Record { url: url.clone(), holder: None, adopted_at: None, is_new: false }.keep(data)?;
    }
    if let Some(tables) = backup_tables::place(config)? {
        copy_new(&from.join(backup_tables::DIRECTORY), &tables)?;
        if tables.exists() {
            sync_tree(&tables)?;
        }
    }
    bring_metadata(config, from, manifest)?;
    sync_tree(data)?;
    fs::remove_file(mark)?;
    fs::File::open(data)?.sync_all()?;
    sync_parent(data)
}

fn bring_metadata(config: &Config, from: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    match (manifest.database.as_str(), config.location()) {
        ("sqlite", Location::Sqlite(path)) => {
            fs::copy(from.join(METADATA), path).context("the metadata cannot be copied")?;
        }
        ("postgres", Location::Postgres(url)) => {
            let dump = from.join(DUMP).display().to_string();
            run_tool("pg_restore", &["--no-owner", "--exit-on-error", "--single-transaction", &dump], &url)
                .context("the metadata goes into an empty database (createdb), of which this one is none, or")?;
        }
        (made_on, _) => {
            bail!("The backup was made on {made_on}; restore it there (with or without --database-url).")
        }
    }
    Ok(())
}

/// PostgreSQL's own tools, which know its formats. They are given the same URL, so that all it says counts for them too,
/// but its password goes through the environment of the child: its arguments can be read by every user of the machine.
fn run_tool(tool: &str, arguments: &[&str], url: &str) -> anyhow::Result<()> {
    let (url, password) = without_password(url)?;
    let mut command = Command::new(tool);
    command.args(arguments).args(["--dbname", &url]);
    if let Some(password) = password {
        command.env("PGPASSWORD", password);
    }
    let status = command.status().with_context(|| {
        format!("{tool} cannot be started; it comes with PostgreSQL's client programs (on Debian: apt-get install postgresql-client)")
    })?;
    ensure!(status.success(), "{tool} failed: {status}");
    Ok(())
}

/// A connection URL without its password, and the password.
fn without_password(url: &str) -> anyhow::Result<(String, Option<String>)> {
    let mut parsed = url::Url::parse(url).context("the database URL cannot be read")?;
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut password = parsed.password().map(decode);
    if password.is_some() && parsed.set_password(None).is_err() {
        bail!("the database URL cannot be read: it has a password and no host");
    }
    // What remains of the query is left as it was written: the tools do not read a plus as a space.
    let query = parsed.query().map(str::to_owned);
    let (secret, rest): (Vec<&str>, Vec<&str>) =
        query.iter().flat_map(|query| query.split('&')).partition(|pair| pair.starts_with("password="));
    if let Some(given) = secret.first().and_then(|pair| pair.split_once('=')) {
        password = Some(decode(given.1));
        parsed.set_query(Some(&rest.join("&")).filter(|rest| !rest.is_empty()).map(String::as_str));
    }
    Ok((parsed.into(), password))
}

/// Removes what a directory holds.
fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
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

/// Makes the name of a directory survive a power cut.
fn sync_parent(dir: &Path) -> anyhow::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(fs::File::open(parent)?.sync_all()?)
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

    #[test]
    fn a_password_never_stands_among_arguments_and_all_else_does() {
        let check = |url: &str, bare: &str, password: Option<&str>| {
            assert_eq!(
                without_password(url).unwrap(),
                (bare.to_owned(), password.map(str::to_owned)),
                "{url}"
            );
        };
        check("postgres://me:h%40sh@db:5433/x", "postgres://me@db:5433/x", Some("h@sh"));
        check(
            "postgres://me@db/x?password=hush&sslmode=disable&options=-c%20a%3Db",
            "postgres://me@db/x?sslmode=disable&options=-c%20a%3Db",
            Some("hush"),
        );
        check("postgresql:///x?host=/run/pg", "postgresql:///x?host=/run/pg", None);
    }
}
