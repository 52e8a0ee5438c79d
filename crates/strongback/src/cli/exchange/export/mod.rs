//! The course of an export: experiments, runs, logged models, their files, registry, each compared with what is there afterwards.
//!
//! What must stay true: what is there already is never changed unless `--replace` says so, and what somebody else made there not even
//! then; an experiment whose id or name something else has there stops the export before anything is written; an item counts as equal
//! once it was read back.

mod experiments;
mod files;
mod registry;
mod wholes;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use serde_json::json;

use super::{
    ExportArgs,
    batch::insist,
    database::{Access, Database, Named},
    report::{GOING, Report},
    source::{FoundExperiment, FoundVersion, Outline, Source as _},
};
use crate::{
    cli::{client::Client, exit, printer, progress},
    error::{Code, Error, Result},
    exchange::{GiveResponse, ItemKind, Refused, digest},
    registry::carried::CarriedAliases,
    tracking::{model::carried::CarriedLoggedModel, run::carried::CarriedRun},
};

/// Items of one page.
const PAGE: usize = 500;
/// How the addresses of files begin that a server passes on.
const PROXIED: &str = "mlflow-artifacts:";
/// MLflow's id of the experiment that every store begins with.
const DEFAULT: &str = "0";

/// An export under way.
struct Export<'a> {
    client: &'a Client,
    database: Database,
    there: There,
    /// Where files go; none to leave them.
    files: Option<PathBuf>,
    /// What addresses of files begin with there, in place of [`PROXIED`].
    root: String,
    replaces: bool,
    writes: bool,
    /// What is not there, since the database did not take it: nothing that belongs to it can go.
    absent: HashSet<(ItemKind, String)>,
    report: Report,
}

/// What is there of an item, or is to be: its content, by digest, and where its files are.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    digest: String,
    address: String,
}

/// What is there before: the small things in whole, runs and logged models by id.
struct There {
    experiments: HashMap<String, FoundExperiment>,
    ids: HashMap<ItemKind, HashSet<String>>,
    models: HashMap<String, String>,
    versions: HashMap<String, Kept>,
    /// Versions that were deleted there, and are kept so.
    deleted_versions: HashSet<String>,
    aliases: HashMap<String, CarriedAliases>,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (mut database, label, beside) = open(&args.destination)?;
    let files = match (&args.artifacts, beside) {
        _ if args.no_artifacts => None,
        (Some(dir), _) => Some(dir.clone()),
        (None, Some(dir)) => Some(dir),
        (None, None) => {
            return Err(Error::invalid(
                "Say where files go: --artifacts DIR, the directory that `mlflow server --artifacts-destination` is to have, \
                 or --no-artifacts.",
            )
            .into());
        }
    };
    let root = args.artifact_root.trim_end_matches('/').to_owned();
    let client = args.remote.client()?;
    let outline = database.outline()?;
    let report = Report::new(&GOING, label, outline.version.clone());
    let there = There::of(outline)?;
    let (replaces, writes) = (args.replace, !args.dry_run);
    let absent = HashSet::new();
    let mut export =
        Export { client: &client, database, there, files, root, replaces, writes, absent, report };
    if !args.dry_run {
        progress::on_interrupt("What went is there; the same call goes on from it.")?;
    }
    export.everything()?;
    let mut report = export.report;
    report.seconds = began.elapsed().as_secs_f64();
    let is_done = if args.dry_run { report.is_free() } else { report.is_whole() };
    if args.json {
        printer::json(&report)?;
    } else if args.dry_run {
        report.foretell();
    } else {
        report.show();
    }
    Ok(exit::answer(is_done))
}

/// Opens a database to write there. Answers also its label, and where its server keeps files if nobody says otherwise.
fn open(given: &str) -> Result<(Database, String, Option<PathBuf>)> {
    let path = match Named::parse(given)? {
        Some(Named::Postgres { url, label }) => {
            return Ok((Database::postgres(&url, Access::Write)?, label, None));
        }
        Some(Named::Sqlite(path)) => path,
        None if given.contains("://") => {
            return Err(Error::invalid(format!(
                "'{given}' is no database. An export goes into sqlite:///file.db or postgresql://user:password@host/database, which \
                 `mlflow db upgrade` makes."
            )));
        }
        None => PathBuf::from(given),
    };
    let whole = path.canonicalize().map_err(|error| {
        Error::invalid(format!(
            "{} cannot be opened: {error}. A new database is made by: mlflow db upgrade sqlite:///{}",
            path.display(),
            path.display()
        ))
    })?;
    let beside = whole.parent().unwrap_or(Path::new("/")).join("mlartifacts");
    let label = whole.display().to_string();
    Ok((Database::sqlite(&whole, Access::Write)?, label, Some(beside)))
}

impl There {
    fn of(outline: Outline) -> Result<Self> {
        let mut models = HashMap::new();
        for model in &outline.models {
            models.insert(model.name.clone(), digest(model)?);
        }
        let mut versions = HashMap::new();
        let key_of = |found: &FoundVersion| format!("{}/{}", found.item.name, found.item.version);
        for found in &outline.versions {
            let kept = Kept { digest: digest(&found.item)?, address: found.storage_location.clone() };
            versions.insert(key_of(found), kept);
        }
        let runs = (ItemKind::Run, outline.runs.into_iter().collect());
        let logged_models = (ItemKind::LoggedModel, outline.logged_models.into_iter().collect());
        let by_id = |found: FoundExperiment| (found.item.experiment_id.clone(), found);
        let by_name = |found: CarriedAliases| (found.name.clone(), found);
        Ok(Self {
            experiments: outline.experiments.into_iter().map(by_id).collect(),
            ids: HashMap::from([runs, logged_models]),
            models,
            versions,
            deleted_versions: outline.deleted_versions.iter().map(key_of).collect(),
            aliases: outline.aliases.into_iter().map(by_name).collect(),
        })
    }
}

impl Export<'_> {
    fn everything(&mut self) -> Result<()> {
        let GiveResponse { mut experiments, totals, .. } =
            self.give(&json!({ "kind": ItemKind::Experiment }))?;
        self.leave_tags(&mut experiments);
        let registry = self.give(&json!({ "kind": ItemKind::Model }))?;
        self.refuse_taken(&experiments)?;
        self.experiments(&experiments)?;
        let (runs, logged_models) = totals.map(|all| (all.runs, all.logged_models)).unzip();
        self.wholes::<CarriedRun>(&experiments, "runs", runs)?;
        self.wholes::<CarriedLoggedModel>(&experiments, "logged models", logged_models)?;
        self.registry(&registry)
    }

    fn give(&self, request: &serde_json::Value) -> Result<GiveResponse> {
        insist(|| self.client.send_long("/api/1.0/exchange/give", request))
    }

    /// The pages of runs, logged models or versions.
    fn pages(
        &mut self,
        kind: ItemKind,
        of: &str,
        mut take: impl FnMut(&mut Self, GiveResponse) -> Result<()>,
    ) -> Result<()> {
        let mut token = String::new();
        loop {
            let request = json!({ "kind": kind, "of": of, "max_results": PAGE, "page_token": token });
            let mut page = self.give(&request)?;
            let next = page.next_page_token.take();
            take(self, page)?;
            match next {
                Some(next) if next != token => token = next,
                _ => return Ok(()),
            }
        }
    }

    /// Writes one item, unless nothing is to be written. What the database does not take is named, and holds up nothing.
    fn write(
        &mut self,
        kind: ItemKind,
        id: &str,
        is_new: bool,
        put: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<bool> {
        if !self.put(Some(kind), id, put)? {
            if is_new {
                self.absent.insert((kind, id.to_owned()));
            }
            return Ok(false);
        }
        let line = self.report.line(kind);
        if is_new {
            line.made += 1;
        } else {
            line.changed += 1;
        }
        Ok(true)
    }

    /// Puts something there; false where the database does not take it, which is named.
    fn put(
        &mut self,
        kind: Option<ItemKind>,
        id: &str,
        put: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<bool> {
        if !self.writes {
            return Ok(true);
        }
        match put(self) {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Code::InvalidParameterValue => {
                self.refuse(kind, id, error.message());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Names an item that cannot go.
    fn refuse(&mut self, kind: Option<ItemKind>, id: &str, why: &str) {
        self.report.refused.push(Refused { kind, id: id.to_owned(), why: why.to_owned() });
    }

    /// Whether something that is here is not there, since it was refused.
    fn is_absent(&self, kind: ItemKind, id: &str) -> bool {
        self.absent.contains(&(kind, id.to_owned()))
    }

    /// Counts what has no place there.
    fn leave_behind(&mut self, what: &str, count: usize) {
        if count > 0 {
            *self.report.left_behind.entry(what.to_owned()).or_default() += count as u64;
        }
    }

    /// An address of files as it is there.
    fn rebased(&self, address: &str) -> String {
        match address.strip_prefix(PROXIED) {
            Some(rest) => format!("{}/{}", self.root, rest.trim_start_matches('/')),
            None => address.to_owned(),
        }
    }
}
