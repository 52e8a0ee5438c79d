//! The course of an import: outline, plan, batches, files, registry, check.

mod files;
mod gone;
mod registry;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::ExitCode,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Instant,
};

use serde_json::{Value as Json, json};

use self::files::{OnItsDisk, Owner};
use super::{
    MlflowArgs,
    batch::{Sender, insist, question},
    database::{Access, Database, Named},
    folder::Folder,
    local::{Roots, is_elsewhere},
    mapping::{Mapping, Planner},
    report::{COMING, NAMED, Report},
    server::Server,
    source::{Found, FoundExperiment, FoundVersion, Outline, Source, Unread, fitting},
};
use crate::{
    cli::{
        client::Client,
        exit, printer,
        progress::{self, Progress},
    },
    error::{Error, Result},
    exchange::{CheckRequest, CheckResponse, Entry, ItemKind, PlanItem, digest},
    tracking::{model::carried::CarriedLoggedModel, run::carried::CarriedRun},
};

/// Runs that are read at a time, at most.
const READ: usize = 500;
/// Points of runs that are read at a time, and that one question is about. One run may have more.
const POINTS: usize = 500_000;
/// Batches that wait between reading and sending.
const WAITING: usize = 3;
/// Items of one question.
const ASK: usize = 500;
/// The experiment that every store begins with.
const DEFAULT: &str = "0";
/// Tags in which MLflow writes ids of runs.
const RUN_TAGS: [&str; 3] = ["mlflow.parentRunId", "mlflow.rootRunId", "mlflow.log-model.history"];

/// What is to be known of the experiment of a run or a logged model.
#[derive(Debug, Clone, Copy, Default)]
struct Home {
    /// Whether files stay where they are.
    stays: bool,
    is_deleted: bool,
}

/// An import under way.
struct Import<'a> {
    client: &'a Client,
    label: &'a str,
    mapping: Mapping,
    roots: Roots,
    /// Whether files come too.
    takes_files: bool,
    report: Report,
    /// What is to be here, by kind.
    expected: BTreeMap<ItemKind, Vec<Expected>>,
    /// The tags of the experiment that every store begins with, as they are there.
    default_tags: BTreeMap<String, String>,
    owners: Vec<Owner>,
    /// Places on the disk of a server that were asked for files.
    disks: HashMap<String, OnItsDisk>,
}

/// An item that is to be here.
struct Expected {
    /// Its id here.
    id: String,
    digest: String,
    /// Points of a run.
    points: usize,
}

pub(super) fn run(args: &MlflowArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (mut source, mut roots, place) = open(args)?;
    if let Some(dir) = &args.artifacts {
        if !dir.is_dir() {
            return Err(Error::invalid(format!("--artifacts {} is no directory.", dir.display())).into());
        }
        roots.artifacts = Some(dir.clone());
    }
    if args.label.as_ref().is_some_and(|label| label.trim().is_empty()) {
        return Err(Error::invalid("--label is empty. Give the source a name, or leave the flag out.").into());
    }
    let label = args.label.clone().unwrap_or(place);
    let client = args.remote.client()?;
    let outline = source.outline()?;
    let mut planner = Planner {
        client: &client,
        label: &label,
        remap: args.remap,
        mapping: Mapping::default(),
        taken: Vec::new(),
    };
    plan(&mut planner, &outline)?;
    if args.dry_run {
        return foretell(args, &outline, &planner, &source.unread());
    }
    planner.refuse_taken()?;
    progress::on_interrupt("What came is here; the same call goes on from it.")?;
    let mut import = Import {
        client: &client,
        label: &label,
        mapping: planner.mapping,
        roots,
        takes_files: !args.no_artifacts,
        report: Report::new(&COMING, label.clone(), outline.version.clone()),
        expected: BTreeMap::new(),
        default_tags: BTreeMap::new(),
        owners: Vec::new(),
        disks: HashMap::new(),
    };
    import.take_everything(source, outline)?;
    let mut report = import.report;
    report.seconds = began.elapsed().as_secs_f64();
    if args.json {
        printer::json(&report)?;
    } else {
        report.show();
    }
    Ok(exit::answer(report.is_whole()))
}

/// Opens a source. Answers also where its files may be, and the label by which it is known if nobody gives another.
fn open(args: &MlflowArgs) -> Result<(Box<dyn Source>, Roots, String)> {
    let given = args.source.as_str();
    match Named::parse(given)? {
        Some(Named::Postgres { url, label }) => {
            let roots = Roots { is_local: true, ..Roots::default() };
            return Ok((Box::new(Database::postgres(&url, Access::Read)?), roots, label));
        }
        Some(Named::Sqlite(path)) => return file(&path),
        None => {}
    }
    match given.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("http" | "https") => {
            let server = Server::new(given)?;
            let label = server.address().to_owned();
            Ok((Box::new(server), Roots::default(), label))
        }
        // As MLflow writes the address of a folder; of another host's it says the path there.
        Some("file") => match url::Url::parse(given).ok().and_then(|url| url.to_file_path().ok()) {
            Some(path) => file(&path),
            None => {
                Err(Error::invalid(format!("{given} names no file of this machine. Write file:///path.")))
            }
        },
        _ => file(Path::new(given.strip_prefix("file:").unwrap_or(given))),
    }
}

fn file(path: &Path) -> Result<(Box<dyn Source>, Roots, String)> {
    let whole = path.canonicalize().map_err(|error| {
        Error::invalid(format!(
            "{} cannot be read: {error}. A source is sqlite:///file.db, a file, postgresql://…, a folder mlruns, or http://….",
            path.display()
        ))
    })?;
    if whole.is_dir() {
        let base = whole.parent().unwrap_or(Path::new("/")).to_owned();
        let roots = Roots { is_local: true, artifacts: None, base, folder: Some(whole.clone()) };
        return Ok((Box::new(Folder::open(&whole)?), roots, whole.display().to_string()));
    }
    let base = whole.parent().unwrap_or(Path::new("/")).to_owned();
    let beside = base.join("mlartifacts");
    let artifacts = beside.is_dir().then_some(beside);
    let roots = Roots { is_local: true, artifacts, base, folder: None };
    Ok((Box::new(Database::sqlite(&whole, Access::Read)?), roots, whole.display().to_string()))
}

fn plan(planner: &mut Planner<'_>, outline: &Outline) -> Result<()> {
    let bare = |id: &String| PlanItem { id: id.clone(), name: None, artifact_location: None };
    let experiments = outline.experiments.iter().map(|found| PlanItem {
        id: found.item.experiment_id.clone(),
        name: Some(found.item.name.clone()),
        // Of the others it is their own, whatever it is.
        artifact_location: stays(&found.artifact_location).filter(|_| found.item.experiment_id == "0"),
    });
    planner.plan(ItemKind::Experiment, experiments.collect())?;
    planner.plan(ItemKind::Run, outline.runs.iter().map(bare).collect())?;
    planner.plan(ItemKind::LoggedModel, outline.logged_models.iter().map(bare).collect())?;
    planner.plan(ItemKind::Model, outline.models.iter().map(|model| bare(&model.name)).collect())?;
    planner.plan(ItemKind::Version, outline.versions.iter().map(|found| bare(&key_of(found))).collect())
}

fn key_of(found: &FoundVersion) -> String {
    format!("{}/{}", found.item.name, found.item.version)
}

/// The location of an experiment whose files stay where they are.
fn stays(location: &str) -> Option<String> {
    is_elsewhere(location).then(|| location.to_owned())
}

/// Says what would come.
fn foretell(
    args: &MlflowArgs,
    outline: &Outline,
    planner: &Planner<'_>,
    unread: &Unread,
) -> anyhow::Result<ExitCode> {
    let counts = [
        (ItemKind::Experiment, outline.experiments.len()),
        (ItemKind::Run, outline.runs.len()),
        (ItemKind::LoggedModel, outline.logged_models.len()),
        (ItemKind::Model, outline.models.len()),
        (ItemKind::Version, outline.versions.len()),
    ];
    let taken = |kind| planner.taken.iter().filter(|(of, ..)| *of == kind).count();
    if args.json {
        let items: BTreeMap<&str, _> = counts
            .iter()
            .map(|(kind, there)| (kind.name(), json!({ "there": there, "taken": taken(*kind) })))
            .collect();
        printer::json(&json!({
            "source": planner.label, "version": outline.version, "items": items,
            "taken": planner.taken, "moved": planner.mapping.moves(), "left_behind": outline.left_behind,
            "unread": unread,
        }))?;
    } else {
        let rows: Vec<Vec<String>> = counts
            .iter()
            .map(|(kind, there)| {
                vec![kind.name().replace('_', " "), there.to_string(), taken(*kind).to_string()]
            })
            .collect();
        printer::table(&["KIND", "THERE", "ID TAKEN HERE"], &rows);
        for (what, count) in &outline.left_behind {
            printer::talk(&format!("would be left behind: {count} {what}"));
        }
        unread.named.iter().take(NAMED).for_each(|what| printer::talk(&format!("cannot be read: {what}")));
        printer::talk("Nothing was written.");
    }
    Ok(exit::answer(planner.taken.is_empty()))
}

impl Import<'_> {
    fn take_everything(&mut self, source: Box<dyn Source>, mut outline: Outline) -> Result<()> {
        self.report.left_behind = std::mem::take(&mut outline.left_behind);
        self.report.moved = self
            .mapping
            .moves()
            .into_iter()
            .map(|(kind, a, b)| (kind.name().into(), a.into(), b.into()))
            .collect();
        self.experiments(&outline)?;
        let home = |found: &FoundExperiment| Home {
            stays: is_elsewhere(&found.artifact_location),
            is_deleted: found.item.deleted,
        };
        let homes: HashMap<String, Home> =
            outline.experiments.iter().map(|found| (found.item.experiment_id.clone(), home(found))).collect();
        let mut source = self.runs(source, &outline.runs, &homes)?;
        self.logged_models(source.as_mut(), &outline.logged_models, &homes)?;
        if self.takes_files {
            let owners = std::mem::take(&mut self.owners);
            self.files(source.as_mut(), &owners)?;
        }
        self.models(&outline)?;
        self.versions(&outline)?;
        if self.takes_files {
            self.own_files(source.as_mut(), &outline)?;
            self.count_unseen_places();
        }
        self.report.unread = source.unread();
        self.aliases(&outline)?;
        self.check()?;
        // What could not be read is not taken for what is gone.
        if self.report.unread.count == 0 { self.gone() } else { Ok(()) }
    }

    fn done(&mut self, kind: ItemKind, there: usize, sender: Sender<'_>) {
        self.report.count(kind, sender.counts);
        self.report.line(kind).there += there;
        self.report.refused.extend(sender.refused);
    }

    fn expect(&mut self, kind: ItemKind, id: String, digest: String) {
        self.expected.entry(kind).or_default().push(Expected { id, digest, points: 0 });
    }

    fn experiments(&mut self, outline: &Outline) -> Result<()> {
        let kind = ItemKind::Experiment;
        let mut sender = Sender::new(self.client, self.label, "experiments", Some(kind));
        for found in &outline.experiments {
            let mut item = found.item.clone();
            let from = std::mem::take(&mut item.experiment_id);
            item.experiment_id = self.mapping.id(kind, &from);
            if let Some(name) = self.mapping.experiment_name(&from) {
                name.clone_into(&mut item.name);
            }
            item.artifact_location = stays(&found.artifact_location);
            if item.experiment_id == DEFAULT {
                self.default_tags.clone_from(&item.tags);
            }
            let digest = digest(&item)?;
            self.expect(kind, item.experiment_id.clone(), digest.clone());
            if !self.mapping.is_known(kind, &from, &digest) {
                sender.add(&from.clone(), &Entry { from, digest, item })?;
            }
        }
        sender.flush()?;
        self.done(kind, outline.experiments.len(), sender);
        Ok(())
    }

    /// Runs are read on a thread of their own, while those before are sent.
    fn runs(
        &mut self,
        mut source: Box<dyn Source>,
        ids: &[String],
        homes: &HashMap<String, Home>,
    ) -> Result<Box<dyn Source>> {
        let (out, inbox) = sync_channel(WAITING);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                read_runs(source.as_mut(), ids, &out);
                drop(out);
                source
            });
            let sent = self.send_runs(&inbox, ids.len(), homes);
            // Whatever came of it, the reader is not to wait for somebody who takes no more.
            drop(inbox);
            let source =
                reader.join().map_err(|_| Error::internal("the reader of the source ended early"))?;
            sent.map(|()| source)
        })
    }

    fn send_runs(
        &mut self,
        inbox: &Receiver<Result<Vec<Found<CarriedRun>>>>,
        there: usize,
        homes: &HashMap<String, Home>,
    ) -> Result<()> {
        let kind = ItemKind::Run;
        let mut sender = Sender::new(self.client, self.label, "runs", Some(kind));
        let mut progress = Progress::new("runs", there);
        for batch in inbox {
            let batch = batch?;
            let count = batch.len();
            for Found { mut item, artifact_uri } in batch {
                let from = item.run_id.clone();
                let Home { stays, is_deleted } = homes.get(&item.experiment_id).copied().unwrap_or_default();
                if is_deleted {
                    // With its experiment it was deleted there, and with its experiment it is restored.
                    item.deleted_time = None;
                }
                self.move_run(&mut item);
                let digest = digest(&item)?;
                let points = item.points();
                self.report.points.0 += points as u64;
                self.own(kind, (&item.run_id, &from), artifact_uri, stays);
                let expected = Expected { id: item.run_id.clone(), digest: digest.clone(), points };
                self.expected.entry(kind).or_default().push(expected);
                if !self.mapping.is_known(kind, &from, &digest) {
                    sender.add_run(&from, &digest, item)?;
                }
            }
            progress.add(count);
        }
        sender.flush()?;
        self.done(kind, there, sender);
        Ok(())
    }

    fn own(&mut self, kind: ItemKind, (id, from): (&str, &str), artifact_uri: String, stays: bool) {
        if stays {
            self.report.files.elsewhere += 1;
        } else {
            self.owners.push(Owner { kind, id: id.to_owned(), from: from.to_owned(), artifact_uri });
        }
    }

    /// Puts the ids of here in place of those of there.
    fn move_run(&self, run: &mut CarriedRun) {
        let mapping = &self.mapping;
        run.experiment_id = mapping.id(ItemKind::Experiment, &run.experiment_id);
        let from = std::mem::take(&mut run.run_id);
        run.run_id = mapping.id(ItemKind::Run, &from);
        for model in &mut run.models_read {
            *model = mapping.id(ItemKind::LoggedModel, model);
        }
        for (model, _) in &mut run.models_written {
            *model = mapping.id(ItemKind::LoggedModel, model);
        }
        if mapping.moves_runs() {
            for tag in RUN_TAGS {
                if let Some(text) = run.tags.get_mut(tag) {
                    *text = self.move_ids(text);
                }
            }
        }
        run.settle();
    }

    /// A text with the ids of runs of here in place of those of there.
    fn move_ids(&self, text: &str) -> String {
        let is_digit = |c: char| c.is_ascii_hexdigit();
        let mut moved = String::with_capacity(text.len());
        for part in text.split_inclusive(|c| !is_digit(c)) {
            let id = part.trim_end_matches(|c| !is_digit(c));
            moved.push_str(&self.mapping.id(ItemKind::Run, id));
            moved.push_str(&part[id.len()..]);
        }
        moved
    }

    fn logged_models(
        &mut self,
        source: &mut dyn Source,
        ids: &[String],
        homes: &HashMap<String, Home>,
    ) -> Result<()> {
        let kind = ItemKind::LoggedModel;
        let mut sender = Sender::new(self.client, self.label, "logged_models", Some(kind));
        let mut progress = Progress::new("logged models", ids.len());
        for part in ids.chunks(READ) {
            for Found { mut item, artifact_uri } in source.logged_models(part)? {
                let from = item.model_id.clone();
                let Home { stays, .. } = homes.get(&item.experiment_id).copied().unwrap_or_default();
                self.move_logged_model(&mut item);
                let digest = digest(&item)?;
                self.own(kind, (&item.model_id, &from), artifact_uri, stays);
                self.expect(kind, item.model_id.clone(), digest.clone());
                if !self.mapping.is_known(kind, &from, &digest) {
                    sender.add(&from.clone(), &Entry { from, digest, item })?;
                }
            }
            progress.add(part.len());
        }
        sender.flush()?;
        self.done(kind, ids.len(), sender);
        Ok(())
    }

    fn move_logged_model(&self, model: &mut CarriedLoggedModel) {
        let mapping = &self.mapping;
        model.model_id = mapping.id(ItemKind::LoggedModel, &model.model_id);
        model.experiment_id = mapping.id(ItemKind::Experiment, &model.experiment_id);
        model.source_run_id = mapping.id(ItemKind::Run, &model.source_run_id);
        for measured in &mut model.metrics {
            measured.run_id = mapping.id(ItemKind::Run, &measured.run_id);
        }
        model.settle();
    }

    /// Compares what is here with what was read.
    fn check(&mut self) -> Result<()> {
        let expected = std::mem::take(&mut self.expected);
        for (kind, items) in expected {
            let mut progress = Progress::new("compared", items.len());
            let mut rest = items.as_slice();
            while !rest.is_empty() {
                let fits = fitting(rest.iter().take(ASK).map(|item| item.points), POINTS);
                let (part, later) = rest.split_at(fits);
                self.check_part(kind, part)?;
                progress.add(part.len());
                rest = later;
            }
        }
        Ok(())
    }

    /// What is here of some items.
    fn ask(&self, kind: ItemKind, ids: Vec<String>) -> Result<CheckResponse> {
        question(self.client, "/api/1.0/exchange/check", &CheckRequest { kind, ids })
    }

    fn check_part(&mut self, kind: ItemKind, part: &[Expected]) -> Result<()> {
        let answer = self.ask(kind, part.iter().map(|item| item.id.clone()).collect())?;
        let here: HashMap<&str, (&str, usize)> =
            answer.items.iter().map(|item| (item.id.as_str(), (item.digest.as_str(), item.points))).collect();
        for Expected { id, digest, .. } in part {
            match here.get(id.as_str()) {
                Some((found, points)) => {
                    self.report.points.1 += *points as u64;
                    // The default experiment is there before anything comes, with times of its own.
                    let is_default = kind == ItemKind::Experiment && id == DEFAULT;
                    let is_equal = if is_default { self.has_default_tags()? } else { found == digest };
                    let line = self.report.line(kind);
                    if is_equal {
                        line.equal += 1;
                    } else {
                        line.different.push(id.clone());
                    }
                }
                None => self.report.line(kind).missing.push(id.clone()),
            }
        }
        Ok(())
    }

    /// Whether the experiment that every store begins with has the tags that it has there. Those of other stores stand beside them.
    fn has_default_tags(&self) -> Result<bool> {
        let path = "/api/2.0/mlflow/experiments/get";
        let found: Json = insist(|| self.client.get(path, &[("experiment_id", DEFAULT)]))?;
        let tags = found["experiment"]["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
        let here: HashMap<&str, &str> =
            tags.iter().filter_map(|tag| Some((tag["key"].as_str()?, tag["value"].as_str()?))).collect();
        Ok(self.default_tags.iter().all(|(key, value)| here.get(key.as_str()) == Some(&value.as_str())))
    }
}

/// Reads runs batch by batch, until somebody does not want them any more.
fn read_runs(source: &mut dyn Source, ids: &[String], out: &SyncSender<Result<Vec<Found<CarriedRun>>>>) {
    let mut rest = ids;
    while !rest.is_empty() {
        let next = &rest[..rest.len().min(READ)];
        let batch = source.fitting(next, POINTS).and_then(|fits| {
            let (now, later) = rest.split_at(fits.clamp(1, next.len()));
            rest = later;
            source.runs(now)
        });
        let is_last = batch.is_err();
        if out.send(batch).is_err() || is_last {
            return;
        }
    }
}
