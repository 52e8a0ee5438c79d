//! The course of an import: outline, plan, batches, files, registry, check.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Seek as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Instant,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    MlflowArgs,
    batch::{Sender, insist},
    database::{Access, Database, Named},
    folder::Folder,
    local::{self, Roots, is_elsewhere},
    mapping::{Mapping, Planner},
    report::{COMING, Progress, Report},
    server::Server,
    source::{Found, FoundExperiment, FoundVersion, Outline, Source},
};
use crate::{
    cli::{
        client::{Client, segment},
        exit, printer,
    },
    error::{Error, Result},
    exchange::{
        CheckRequest, CheckResponse, Entry, FilesRequest, FilesResponse, GiveResponse, ItemKind, PlanItem,
        StoredFile, VersionEntry, digest,
    },
    registry::carried::CarriedAliases,
    tracking::{model::carried::CarriedLoggedModel, run::carried::CarriedRun},
};

/// Runs that are read at a time.
const READ: usize = 500;
/// Batches that wait between reading and sending.
const WAITING: usize = 3;
/// Items of one question.
const ASK: usize = 500;
/// Tags in which MLflow writes ids of runs.
const RUN_TAGS: [&str; 3] = ["mlflow.parentRunId", "mlflow.rootRunId", "mlflow.log-model.history"];

/// What is to be known of the experiment of a run or a logged model.
#[derive(Debug, Clone, Copy, Default)]
struct Home {
    /// Whether files stay where they are.
    stays: bool,
    is_deleted: bool,
}

/// Who has files.
#[derive(Debug, Clone)]
struct Owner {
    kind: ItemKind,
    /// Its id here.
    id: String,
    /// Its id there.
    from: String,
    artifact_uri: String,
}

/// The files that somebody has there: in a directory of this machine, or to be had from the source.
struct FilesThere<'o> {
    owner: &'o Owner,
    root: Option<PathBuf>,
    files: Vec<(String, u64)>,
}

impl FilesThere<'_> {
    /// One of them, to be read from its beginning.
    fn open(&self, source: &mut dyn Source, path: &str) -> Result<File> {
        match &self.root {
            Some(root) => local::open(root, path),
            None => {
                let mut file = local::scratch()?;
                source.fetch(&self.owner.artifact_uri, path, &mut file)?;
                file.rewind().map_err(Error::internal)?;
                Ok(file)
            }
        }
    }
}

/// An import under way.
struct Import<'a> {
    client: &'a Client,
    label: &'a str,
    mapping: Mapping,
    roots: Roots,
    report: Report,
    /// What is to be here, by kind: ids here, and digests.
    expected: BTreeMap<ItemKind, Vec<(String, String)>>,
    owners: Vec<Owner>,
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
        return foretell(args, &outline, &planner);
    }
    planner.refuse_taken()?;
    let mut import = Import {
        client: &client,
        label: &label,
        mapping: planner.mapping,
        roots,
        report: Report::new(&COMING, label.clone(), outline.version.clone()),
        expected: BTreeMap::new(),
        owners: Vec::new(),
    };
    import.take_everything(source, outline, args.no_artifacts)?;
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
        _ => file(Path::new(given)),
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
fn foretell(args: &MlflowArgs, outline: &Outline, planner: &Planner<'_>) -> anyhow::Result<ExitCode> {
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
        printer::talk("Nothing was written.");
    }
    Ok(exit::answer(planner.taken.is_empty()))
}

impl Import<'_> {
    fn take_everything(
        &mut self,
        source: Box<dyn Source>,
        mut outline: Outline,
        without_files: bool,
    ) -> Result<()> {
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
        if !without_files {
            self.files(source.as_mut())?;
        }
        self.models(&outline)?;
        self.versions(&outline)?;
        self.aliases(&outline.aliases)?;
        self.check()
    }

    fn done(&mut self, kind: ItemKind, there: usize, sender: Sender<'_>) {
        self.report.count(kind, sender.counts);
        self.report.line(kind).there += there;
        self.report.refused.extend(sender.refused);
    }

    fn expect(&mut self, kind: ItemKind, id: String, digest: String) {
        self.expected.entry(kind).or_default().push((id, digest));
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
                self.report.points.0 += item.points() as u64;
                self.own(kind, (&item.run_id, &from), artifact_uri, stays);
                self.expect(kind, item.run_id.clone(), digest.clone());
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

    /// Stores the files that are within reach and not here yet.
    fn files(&mut self, source: &mut dyn Source) -> Result<()> {
        let owners = std::mem::take(&mut self.owners);
        let mut progress = Progress::new("files of runs and models", owners.len());
        for part in owners.chunks(ASK) {
            let mut found = Vec::new();
            for owner in part {
                found.extend(self.found(source, owner));
            }
            for kind in [ItemKind::Run, ItemKind::LoggedModel] {
                let of_kind: Vec<&FilesThere<'_>> =
                    found.iter().filter(|there| there.owner.kind == kind).collect();
                let ids: Vec<String> = of_kind.iter().map(|there| there.owner.id.clone()).collect();
                if ids.is_empty() {
                    continue;
                }
                let before = self.stored(kind, &ids)?;
                let mut digests = HashMap::new();
                for there in of_kind {
                    self.store(source, there, before.get(&there.owner.id), &mut digests)?;
                }
                let now = self.stored(kind, &ids)?;
                self.compare(&digests, &now);
            }
            progress.add(part.len());
        }
        Ok(())
    }

    /// The files of a run or a logged model there, if it has any within reach.
    fn found<'o>(&mut self, source: &mut dyn Source, owner: &'o Owner) -> Option<FilesThere<'o>> {
        let there = match self.roots.directory(&owner.artifact_uri, &owner.from) {
            Some(root) => local::walk(&root).map(|(files, left)| {
                self.report.files.left += left;
                (Some(root), files)
            }),
            None => source.files(&owner.artifact_uri).map(|files| {
                if files.is_none() && self.roots.is_out_of_reach(&owner.artifact_uri) {
                    self.report.files.out_of_reach += 1;
                }
                (None, files.unwrap_or_default())
            }),
        };
        let (root, files) = match there {
            Ok(there) => there,
            Err(error) => {
                self.report.files.refused.push(format!("of {}: {}", owner.id, error.message()));
                return None;
            }
        };
        (!files.is_empty()).then_some(FilesThere { owner, root, files })
    }

    /// The files that are here, by owner and path. Whose cannot be listed is named.
    fn stored(
        &mut self,
        kind: ItemKind,
        ids: &[String],
    ) -> Result<HashMap<String, HashMap<String, StoredFile>>> {
        let body =
            serde_json::to_string(&FilesRequest { kind, ids: ids.to_vec() }).map_err(Error::internal)?;
        let (answer, _): (FilesResponse, _) =
            insist(|| self.client.send_named("/api/1.0/exchange/files", "application/json", body.clone()))?;
        for owner in &answer.owners {
            let why = owner.refused.as_ref().map(|why| format!("of {}: {why}", owner.id));
            let refused = &mut self.report.files.refused;
            refused.extend(why.filter(|why| !refused.contains(why)));
        }
        let by_path =
            |files: Vec<StoredFile>| files.into_iter().map(|file| (file.path.clone(), file)).collect();
        Ok(answer.owners.into_iter().map(|owner| (owner.id, by_path(owner.files))).collect())
    }

    /// Stores what is not here as it is there, and notes the digest that each file has there.
    fn store(
        &mut self,
        source: &mut dyn Source,
        there: &FilesThere<'_>,
        before: Option<&HashMap<String, StoredFile>>,
        digests: &mut HashMap<(String, String), String>,
    ) -> Result<()> {
        let owner = there.owner;
        for (path, size) in &there.files {
            self.report.files.there += 1;
            self.report.files.bytes += size;
            let unreadable = |error: std::io::Error| {
                Error::invalid(format!("{path} of {} cannot be read: {error}.", owner.artifact_uri))
            };
            let mut hasher = Sha256::new();
            let read = there.open(source, path).and_then(|mut file| {
                std::io::copy(&mut file, &mut hasher).map_err(unreadable)?;
                Ok(file)
            });
            let file = match read {
                Ok(file) => file,
                Err(error) => {
                    self.report.files.refused.push(format!("{path} of {}: {}", owner.id, error.message()));
                    continue;
                }
            };
            let sha256 = hex::encode(hasher.finalize());
            let is_here =
                before.and_then(|before| before.get(path)).is_some_and(|here| here.sha256 == sha256);
            digests.insert((owner.id.clone(), path.clone()), sha256);
            if is_here {
                continue;
            }
            let segments: Vec<_> = path.split('/').map(segment).collect();
            let (kind, id) = (owner.kind.name(), segment(&owner.id));
            let address = format!("/api/1.0/exchange/files/{kind}/{id}/{}", segments.join("/"));
            let sent = insist(|| {
                let mut whole = file.try_clone().map_err(unreadable)?;
                whole.rewind().map_err(unreadable)?;
                self.client.upload::<serde_json::Value>(&address, &[], whole, |_| {})
            });
            match sent {
                Ok(_) => self.report.files.stored += 1,
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => {
                    self.report.files.refused.push(format!("{path} of {}: {}", owner.id, error.message()));
                }
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        digests: &HashMap<(String, String), String>,
        here: &HashMap<String, HashMap<String, StoredFile>>,
    ) {
        for ((owner, path), sha256) in digests {
            let stored = here.get(owner).and_then(|files| files.get(path));
            if stored.is_some_and(|stored| stored.sha256 == *sha256) {
                self.report.files.equal += 1;
            }
        }
    }

    fn models(&mut self, outline: &Outline) -> Result<()> {
        let kind = ItemKind::Model;
        let mut sender = Sender::new(self.client, self.label, "models", Some(kind));
        for found in &outline.models {
            let mut item = found.clone();
            let from = std::mem::take(&mut item.name);
            item.name = self.mapping.id(kind, &from);
            let digest = digest(&item)?;
            self.expect(kind, item.name.clone(), digest.clone());
            if !self.mapping.is_known(kind, &from, &digest) {
                sender.add(&from.clone(), &Entry { from, digest, item })?;
            }
        }
        sender.flush()?;
        self.done(kind, outline.models.len(), sender);
        Ok(())
    }

    fn versions(&mut self, outline: &Outline) -> Result<()> {
        let kind = ItemKind::Version;
        let mut sender = Sender::new(self.client, self.label, "versions", Some(kind));
        let mut progress = Progress::new("versions", outline.versions.len());
        for found in &outline.versions {
            let from = key_of(found);
            let files = self.files_of(found, &outline.versions, 0);
            let mut item = found.item.clone();
            item.name = self.mapping.id(ItemKind::Model, &item.name);
            item.run_id = self.mapping.id(ItemKind::Run, &item.run_id);
            let digest = digest(&item)?;
            self.expect(kind, format!("{}/{}", item.name, item.version), digest.clone());
            if !self.mapping.is_known(kind, &from, &digest) {
                sender.add(&from.clone(), &VersionEntry { from, digest, item, files })?;
            }
            progress.add(1);
        }
        sender.flush()?;
        self.done(kind, outline.versions.len(), sender);
        Ok(())
    }

    /// Where the files of a version are, among those that came.
    fn files_of(&self, found: &FoundVersion, all: &[FoundVersion], depth: usize) -> Option<String> {
        [found.storage_location.as_str(), found.item.source.as_str()]
            .into_iter()
            .find_map(|address| self.files_at(address, all, depth))
    }

    fn files_at(&self, address: &str, all: &[FoundVersion], depth: usize) -> Option<String> {
        const COPIES: usize = 16;
        let mapping = &self.mapping;
        if let Some(rest) = address.strip_prefix("runs:/") {
            let (run, path) = rest.trim_start_matches('/').split_once('/')?;
            return mapping
                .has(ItemKind::Run, run)
                .then(|| format!("runs:/{}/{path}", mapping.id(ItemKind::Run, run)));
        }
        if let Some(rest) = address.strip_prefix("models:/") {
            let rest = rest.trim_start_matches('/');
            if mapping.has(ItemKind::LoggedModel, rest) {
                return Some(format!("models:/{}", mapping.id(ItemKind::LoggedModel, rest)));
            }
            // What it is a copy of.
            let copied = all.iter().find(|found| key_of(found) == rest)?;
            return (depth < COPIES).then(|| self.files_of(copied, all, depth + 1)).flatten();
        }
        let parts: Vec<&str> = address.trim_end_matches('/').split('/').collect();
        let at = parts.windows(2).rposition(|pair| {
            pair[1] == "artifacts"
                && (mapping.has(ItemKind::Run, pair[0]) || mapping.has(ItemKind::LoggedModel, pair[0]))
        })?;
        let (owner, path) = (parts[at], parts[at + 2..].join("/"));
        if mapping.has(ItemKind::Run, owner) {
            return Some(format!("runs:/{}/{path}", mapping.id(ItemKind::Run, owner)));
        }
        path.is_empty().then(|| format!("models:/{}", mapping.id(ItemKind::LoggedModel, owner)))
    }

    fn aliases(&mut self, all: &[CarriedAliases]) -> Result<()> {
        let mut sender = Sender::new(self.client, self.label, "aliases", None);
        for found in all {
            self.report.aliases.0 += found.aliases.len();
            let name = self.mapping.id(ItemKind::Model, &found.name);
            sender.add(&name.clone(), &CarriedAliases { name, aliases: found.aliases.clone() })?;
        }
        sender.flush()?;
        self.report.refused.extend(sender.refused);
        if all.is_empty() {
            return Ok(());
        }
        let here: GiveResponse =
            self.client.send_long("/api/1.0/exchange/give", &json!({ "kind": ItemKind::Model }))?;
        let here: HashMap<&str, &CarriedAliases> =
            here.aliases.iter().map(|of| (of.name.as_str(), of)).collect();
        for found in all {
            let of = here.get(self.mapping.id(ItemKind::Model, &found.name).as_str());
            let is_equal = |(alias, number): &(&String, &i64)| {
                of.is_some_and(|of| of.aliases.get(*alias) == Some(*number))
            };
            self.report.aliases.1 += found.aliases.iter().filter(is_equal).count();
        }
        Ok(())
    }

    /// Compares what is here with what was read.
    fn check(&mut self) -> Result<()> {
        let expected = std::mem::take(&mut self.expected);
        for (kind, items) in expected {
            let mut progress = Progress::new("compared", items.len());
            for part in items.chunks(ASK) {
                self.check_part(kind, part)?;
                progress.add(part.len());
            }
        }
        Ok(())
    }

    fn check_part(&mut self, kind: ItemKind, part: &[(String, String)]) -> Result<()> {
        let ids = part.iter().map(|(id, _)| id.clone()).collect();
        let body = serde_json::to_string(&CheckRequest { kind, ids }).map_err(Error::internal)?;
        let (answer, _): (CheckResponse, _) =
            insist(|| self.client.send_named("/api/1.0/exchange/check", "application/json", body.clone()))?;
        let here: HashMap<&str, (&str, usize)> =
            answer.items.iter().map(|item| (item.id.as_str(), (item.digest.as_str(), item.points))).collect();
        for (id, digest) in part {
            // The default experiment is there before anything comes, with times of its own.
            let is_default = kind == ItemKind::Experiment && id == "0";
            match here.get(id.as_str()) {
                Some((found, points)) => {
                    self.report.points.1 += *points as u64;
                    let line = self.report.line(kind);
                    if found == digest || is_default {
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
}

/// Reads runs batch by batch, until somebody does not want them any more.
fn read_runs(source: &mut dyn Source, ids: &[String], out: &SyncSender<Result<Vec<Found<CarriedRun>>>>) {
    for part in ids.chunks(READ) {
        let batch = source.runs(part);
        let is_last = batch.is_err();
        if out.send(batch).is_err() || is_last {
            return;
        }
    }
}
