//! The course of an export: experiments, runs, logged models, their files, registry, each compared with what is there afterwards.
//!
//! What must stay true: what is there already is never changed unless `--replace` says so; an experiment whose id or name
//! something else has there stops the export before anything is written; an item counts as equal once it was read back.

mod files;
mod registry;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use serde::Serialize;
use serde_json::json;

use super::{
    ExportArgs,
    batch::insist,
    database::{Access, Database, Named},
    local::is_elsewhere,
    report::{GOING, Progress, Report},
    source::{Found, FoundExperiment, Outline, Source as _},
};
use crate::{
    cli::{client::Client, exit, printer},
    error::{Code, Error, Result},
    exchange::{GiveResponse, ItemKind, Refused, digest},
    registry::carried::CarriedAliases,
    tracking::{
        experiment::carried::CarriedExperiment, model::carried::CarriedLoggedModel, run::carried::CarriedRun,
    },
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
    report: Report,
}

/// What is there before: the small things in whole, runs and logged models by id.
struct There {
    experiments: HashMap<String, FoundExperiment>,
    ids: HashMap<ItemKind, HashSet<String>>,
    models: HashMap<String, String>,
    versions: HashMap<String, String>,
    aliases: HashMap<String, CarriedAliases>,
}

/// A run or a logged model, which travel alike.
trait Whole: Serialize + Clone {
    const KIND: ItemKind;
    fn id(&self) -> &str;
    /// The directory of its files below its experiment's.
    fn directory(&self) -> String;
    fn points(&self) -> u64;
    /// Leaves out what only says that its experiment was deleted: MLflow deletes the runs of one with it, and restores them with it.
    fn compare_in(&mut self, home: &CarriedExperiment);
    /// As it is written.
    fn write_in(&mut self, home: &CarriedExperiment);
    fn of(page: GiveResponse) -> Vec<Self>;
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>>;
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()>;
}

impl Whole for CarriedRun {
    const KIND: ItemKind = ItemKind::Run;
    fn id(&self) -> &str {
        &self.run_id
    }
    fn directory(&self) -> String {
        format!("{}/artifacts", self.run_id)
    }
    fn points(&self) -> u64 {
        Self::points(self) as u64
    }
    fn compare_in(&mut self, home: &CarriedExperiment) {
        self.deleted_time = self.deleted_time.filter(|_| !home.deleted);
    }
    fn write_in(&mut self, home: &CarriedExperiment) {
        if home.deleted {
            self.deleted_time.get_or_insert(home.updated_time);
        }
    }
    fn of(page: GiveResponse) -> Vec<Self> {
        page.runs
    }
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>> {
        database.runs(ids)
    }
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()> {
        database.put_runs(items, there)
    }
}

impl Whole for CarriedLoggedModel {
    const KIND: ItemKind = ItemKind::LoggedModel;
    fn id(&self) -> &str {
        &self.model_id
    }
    fn directory(&self) -> String {
        format!("models/{}/artifacts", self.model_id)
    }
    fn points(&self) -> u64 {
        0
    }
    fn compare_in(&mut self, _: &CarriedExperiment) {}
    fn write_in(&mut self, _: &CarriedExperiment) {}
    fn of(page: GiveResponse) -> Vec<Self> {
        page.logged_models
    }
    fn read(database: &mut Database, ids: &[String]) -> Result<Vec<Found<Self>>> {
        database.logged_models(ids)
    }
    fn put(database: &mut Database, items: &[Found<Self>], there: &HashSet<String>) -> Result<()> {
        database.put_logged_models(items, there)
    }
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
    let mut export = Export { client: &client, database, there, files, root, replaces, writes, report };
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
        for found in &outline.versions {
            versions.insert(format!("{}/{}", found.item.name, found.item.version), digest(&found.item)?);
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
            aliases: outline.aliases.into_iter().map(by_name).collect(),
        })
    }
}

/// An experiment in the form in which those of two stores are compared: of an address only what is outside of both.
fn comparable(item: &CarriedExperiment, location: &str) -> CarriedExperiment {
    CarriedExperiment {
        artifact_location: Some(location.to_owned()).filter(|location| is_elsewhere(location)),
        ..item.clone()
    }
}

/// Where the files of an experiment are, as clients know it.
fn location_of(item: &CarriedExperiment) -> String {
    let own = || format!("{PROXIED}/{}", item.experiment_id);
    item.artifact_location.clone().unwrap_or_else(own)
}

impl Export<'_> {
    fn everything(&mut self) -> Result<()> {
        let experiments = self.give(&json!({ "kind": ItemKind::Experiment }))?.experiments;
        let registry = self.give(&json!({ "kind": ItemKind::Model }))?;
        self.refuse_taken(&experiments)?;
        self.experiments(&experiments)?;
        self.wholes::<CarriedRun>(&experiments, "runs")?;
        self.wholes::<CarriedLoggedModel>(&experiments, "logged models")?;
        self.registry(registry)?;
        if self.writes { self.database.settle_numbers() } else { Ok(()) }
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

    /// Refuses to begin where the runs of an experiment would come to those of another.
    fn refuse_taken(&self, experiments: &[CarriedExperiment]) -> Result<()> {
        let by_name: HashMap<&str, &str> = self
            .there
            .experiments
            .values()
            .map(|found| (found.item.name.as_str(), found.item.experiment_id.as_str()))
            .collect();
        let mut taken = Vec::new();
        for item in experiments {
            let (id, name) = (item.experiment_id.as_str(), item.name.as_str());
            match (self.there.experiments.get(id), by_name.get(name)) {
                (_, Some(other)) if *other != id => {
                    taken
                        .push(format!("the name of experiment '{name}' ({id}) has experiment {other} there"));
                }
                (Some(found), None) if !self.replaces => {
                    taken.push(format!(
                        "the id of experiment '{name}' ({id}) has '{}' there",
                        found.item.name
                    ));
                }
                _ => {}
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Code::ResourceConflict,
            format!(
                "Nothing was written: {}. Export into a database of its own, or rename what is there.",
                taken.join("; ")
            ),
        ))
    }

    fn experiments(&mut self, experiments: &[CarriedExperiment]) -> Result<()> {
        let kind = ItemKind::Experiment;
        for item in experiments {
            self.report.line(kind).there += 1;
            let location = location_of(item);
            let mut ours = comparable(item, &location);
            let mut found =
                FoundExperiment { item: item.clone(), artifact_location: self.rebased(&location) };
            let mut may_write = self.replaces;
            let before = self.there.experiments.get(&item.experiment_id);
            if let Some(before) = before {
                if item.experiment_id == DEFAULT {
                    // It is there before anything comes, with times and a place of its own.
                    for item in [&mut ours, &mut found.item] {
                        item.created_time = before.item.created_time;
                        item.updated_time = before.item.updated_time;
                    }
                    found.artifact_location.clone_from(&before.artifact_location);
                    ours = comparable(&ours, &before.artifact_location);
                    may_write |=
                        before.item.tags.iter().all(|(key, value)| item.tags.get(key) == Some(value));
                }
                if digest(&ours)? == digest(&comparable(&before.item, &before.artifact_location))? {
                    self.report.line(kind).equal += 1;
                    continue;
                }
            }
            let is_new = before.is_none();
            if !is_new && !may_write {
                self.report.line(kind).different.push(item.experiment_id.clone());
                continue;
            }
            let put = |export: &mut Self| export.database.put_experiment(&found);
            self.write(kind, &item.experiment_id, is_new, put)?;
        }
        self.read_back_experiments(experiments)
    }

    /// Compares the experiments that were written.
    fn read_back_experiments(&mut self, experiments: &[CarriedExperiment]) -> Result<()> {
        let kind = ItemKind::Experiment;
        if !self.writes || self.report.line(kind).made + self.report.line(kind).changed == 0 {
            return Ok(());
        }
        let there: HashMap<String, FoundExperiment> = self
            .database
            .outline()?
            .experiments
            .into_iter()
            .map(|found| (found.item.experiment_id.clone(), found))
            .collect();
        let mut line = std::mem::take(self.report.line(kind));
        line.equal = 0;
        for item in experiments {
            let Some(found) = there.get(&item.experiment_id) else {
                line.missing.push(item.experiment_id.clone());
                continue;
            };
            let mut ours = comparable(item, &location_of(item));
            if item.experiment_id == DEFAULT {
                ours = comparable(&ours, &found.artifact_location);
                (ours.created_time, ours.updated_time) = (found.item.created_time, found.item.updated_time);
            }
            if digest(&ours)? == digest(&comparable(&found.item, &found.artifact_location))? {
                line.equal += 1;
            } else if !line.different.contains(&item.experiment_id) {
                line.different.push(item.experiment_id.clone());
            }
        }
        *self.report.line(kind) = line;
        Ok(())
    }

    /// Writes one item, unless nothing is to be written. What the database does not take is named, and holds up nothing.
    fn write(
        &mut self,
        kind: ItemKind,
        id: &str,
        is_new: bool,
        put: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<bool> {
        if self.writes {
            match put(self) {
                Ok(()) => {}
                Err(error) if error.code() == Code::InvalidParameterValue => {
                    self.report.refused.push(Refused {
                        kind: Some(kind),
                        id: id.to_owned(),
                        why: error.message().to_owned(),
                    });
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        let line = self.report.line(kind);
        if is_new {
            line.made += 1;
        } else {
            line.changed += 1;
        }
        Ok(true)
    }

    /// An address of files as it is there.
    fn rebased(&self, address: &str) -> String {
        match address.strip_prefix(PROXIED) {
            Some(rest) => format!("{}/{}", self.root, rest.trim_start_matches('/')),
            None => address.to_owned(),
        }
    }

    /// Runs, or logged models, of all experiments.
    fn wholes<T: Whole>(&mut self, experiments: &[CarriedExperiment], what: &'static str) -> Result<()> {
        if !self.database.has_kind(T::KIND) {
            return self.left_behind::<T>(experiments, what);
        }
        let mut progress = Progress::new(what, None);
        for experiment in experiments {
            self.pages(T::KIND, &experiment.experiment_id, |export, page| {
                let items = T::of(page);
                progress.add(items.len());
                export.page(items, experiment)
            })?;
        }
        Ok(())
    }

    /// Counts what an older database has no tables for.
    fn left_behind<T: Whole>(&mut self, experiments: &[CarriedExperiment], what: &str) -> Result<()> {
        let mut count = 0;
        for experiment in experiments {
            self.pages(T::KIND, &experiment.experiment_id, |_, page| {
                count += T::of(page).len() as u64;
                Ok(())
            })?;
        }
        if count > 0 {
            let what = format!("{what} (the database is of a version of MLflow that has none)");
            self.report.left_behind.insert(what, count);
        }
        Ok(())
    }

    fn page<T: Whole>(&mut self, mut items: Vec<T>, home: &CarriedExperiment) -> Result<()> {
        let kind = T::KIND;
        let mut expected = HashMap::with_capacity(items.len());
        for item in &mut items {
            item.compare_in(home);
            self.report.points.0 += item.points();
            expected.insert(item.id().to_owned(), digest(&*item)?);
        }
        self.report.line(kind).there += items.len();
        let ids: Vec<String> = items.iter().map(|item| item.id().to_owned()).collect();
        let before = self.there.ids.get(&kind);
        let known: Vec<String> =
            ids.iter().filter(|id| before.is_some_and(|before| before.contains(*id))).cloned().collect();
        let mut settled = HashSet::new();
        for mut found in T::read(&mut self.database, &known)? {
            found.item.compare_in(home);
            let is_equal = expected.get(found.item.id()) == Some(&digest(&found.item)?);
            if is_equal {
                self.report.line(kind).equal += 1;
                self.report.points.1 += found.item.points();
            } else if !self.replaces {
                self.report.line(kind).different.push(found.item.id().to_owned());
            }
            if is_equal || !self.replaces {
                settled.insert(found.item.id().to_owned());
            }
        }
        let known: HashSet<String> = known.into_iter().collect();
        let root = self.rebased(&location_of(home));
        let wanted: Vec<Found<T>> = items
            .into_iter()
            .filter(|item| !settled.contains(item.id()))
            .map(|mut item| {
                item.write_in(home);
                Found { artifact_uri: format!("{root}/{}", item.directory()), item }
            })
            .collect();
        self.put_all(&wanted, &known, home, &expected)?;
        self.files_of(kind, ids)
    }

    /// Writes items together, or one by one where the database does not take one of them, and reads back what was written.
    fn put_all<T: Whole>(
        &mut self,
        wanted: &[Found<T>],
        known: &HashSet<String>,
        home: &CarriedExperiment,
        expected: &HashMap<String, String>,
    ) -> Result<()> {
        let kind = T::KIND;
        let is_new = |item: &T| !known.contains(item.id());
        let mut written = Vec::with_capacity(wanted.len());
        let together = match self.writes && !wanted.is_empty() {
            true => T::put(&mut self.database, wanted, known),
            false => Ok(()),
        };
        match together {
            Ok(()) => {
                for found in wanted {
                    self.write(kind, found.item.id(), is_new(&found.item), |_| Ok(()))?;
                    written.push(found.item.id().to_owned());
                }
            }
            Err(error) if error.code() == Code::InvalidParameterValue => {
                for found in wanted {
                    let put =
                        |export: &mut Self| T::put(&mut export.database, std::slice::from_ref(found), known);
                    if self.write(kind, found.item.id(), is_new(&found.item), put)? {
                        written.push(found.item.id().to_owned());
                    }
                }
            }
            Err(error) => return Err(error),
        }
        if !self.writes {
            return Ok(());
        }
        let mut missing: HashSet<&String> = written.iter().collect();
        for mut found in T::read(&mut self.database, &written)? {
            found.item.compare_in(home);
            missing.remove(&found.item.id().to_owned());
            self.report.points.1 += found.item.points();
            let is_equal = expected.get(found.item.id()) == Some(&digest(&found.item)?);
            let line = self.report.line(kind);
            if is_equal {
                line.equal += 1;
            } else {
                line.different.push(found.item.id().to_owned());
            }
        }
        self.report.line(kind).missing.extend(missing.into_iter().cloned());
        Ok(())
    }
}
