//! A folder `mlruns`: what MLflow's file store of the versions 2.9 to 3.17 wrote.
//!
//! An experiment is a folder named by its id, below the root or below `.trash`; in it each run is a folder named by its id, with
//! `meta.yaml` and a file for each metric, param and tag, whose key is the path. The registry is `models` below the root.
//!
//! What must stay true: nothing is written; what is damaged is named and counted, and the rest comes; what is in the folder is found
//! there also if the folder was moved since.

mod disk;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
    path::{Path, PathBuf},
    str::FromStr,
};

use syntax::flat_yaml::FlatYaml;

use self::disk::Disk;
use super::source::{Found, FoundExperiment, FoundVersion, Held, Outline, Source, Unread, fitting};
use crate::{
    error::{Error, Result},
    registry::carried::{CarriedAliases, CarriedModel, CarriedVersion},
    router::wire::Double,
    tracking::{
        experiment::carried::CarriedExperiment,
        model::carried::{CarriedLoggedModel, CarriedMeasurement},
        run::carried::{CarriedDataset, CarriedPoint, CarriedRun, name_from},
    },
};

/// What every item says of itself.
const META: &str = "meta.yaml";
/// Folders of the root that hold no experiment.
const TRASH: &str = ".trash";
const MODELS: &str = "models";
/// Folders of an experiment that hold no run.
const RESERVED: [&str; 4] = ["tags", "datasets", "traces", MODELS];
/// Bytes of the shortest lines that MLflow writes for a point: a time in milliseconds, a value and a step.
const POINT_BYTES: usize = 18;
/// Threads that read files.
const THREADS_MAX: usize = 8;

/// An open folder.
pub(super) struct Folder {
    disk: Disk,
    /// Folders of experiments.
    experiments: Vec<PathBuf>,
    /// The experiment of each run, by its place among them.
    runs: HashMap<String, usize>,
    /// The same of each logged model.
    logged_models: HashMap<String, usize>,
}

/// What is wrong with a file.
type Damage = (PathBuf, String);

impl Folder {
    /// Opens a folder, to read it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let disk = Disk::open(path)?;
        let is_experiment =
            |parent: &Path| disk.folders(parent).iter().any(|name| disk.has_file(&parent.join(name), META));
        let has_trash = disk.folder(disk.root(), TRASH);
        if has_trash.is_none() && disk.folder(disk.root(), MODELS).is_none() && !is_experiment(disk.root()) {
            return Err(Error::invalid(format!(
                "{} is no folder of MLflow: it has no folder with a '{META}'. Name the one that MLflow wrote, mostly 'mlruns'.",
                path.display()
            )));
        }
        Ok(Self { disk, experiments: Vec::new(), runs: HashMap::new(), logged_models: HashMap::new() })
    }

    /// Experiments, with those in the trash.
    fn experiments(&mut self, outline: &mut Outline) {
        let mut seen: HashMap<String, PathBuf> = HashMap::new();
        let parents = [Some(self.disk.root().to_owned()), self.disk.folder(self.disk.root(), TRASH)];
        for (parent, is_trash) in parents.into_iter().zip([false, true]) {
            let Some(parent) = parent else { continue };
            for id in self.disk.folders(&parent) {
                if !is_trash && id == MODELS {
                    continue;
                }
                let folder = parent.join(&id);
                let found = match seen.get(&id) {
                    Some(_) => {
                        Err((folder.clone(), "an experiment outside of the trash has this id too".to_owned()))
                    }
                    None => self.experiment(&folder, &id, is_trash),
                };
                match found {
                    Ok(found) => {
                        outline.experiments.push(found);
                        seen.insert(id, folder.clone());
                        self.experiments.push(folder);
                    }
                    Err(damage) => {
                        let runs = self.disk.folders(&folder);
                        let runs = runs.iter().filter(|run| self.is_run(&folder, run)).count();
                        // Files of runs that stand elsewhere may be here too, in folders that MLflow passes over.
                        if runs == 0 && !self.disk.has_file(&folder, META) {
                            continue;
                        }
                        count(outline, "runs of damaged experiments", runs);
                        self.damaged(outline, "damaged experiments", damage);
                    }
                }
            }
        }
        outline
            .experiments
            .sort_by_key(|found| (id_order(&found.item.experiment_id), found.item.experiment_id.clone()));
    }

    fn experiment(
        &self,
        folder: &Path,
        id: &str,
        is_trash: bool,
    ) -> std::result::Result<FoundExperiment, Damage> {
        let meta = self.meta(folder, &[("experiment_id", id)])?;
        let created_time = meta.number("creation_time")?.unwrap_or(0);
        let item = CarriedExperiment {
            experiment_id: id.to_owned(),
            name: meta.required("name")?.to_owned(),
            artifact_location: None,
            deleted: is_trash || meta.is_deleted(),
            created_time,
            updated_time: meta.number("last_update_time")?.unwrap_or(created_time),
            tags: self.disk.values(folder, "tags").into_iter().collect(),
        };
        Ok(FoundExperiment { item, artifact_location: meta.text("artifact_location") })
    }

    /// Whether a folder of an experiment is one of a run, be it a damaged one. The files of a run that stands elsewhere may be below
    /// an experiment too: such a folder has files alone.
    fn is_run(&self, experiment: &Path, name: &str) -> bool {
        let folder = experiment.join(name);
        !RESERVED.contains(&name)
            && (self.disk.has_file(&folder, META)
                || ["metrics", "params", "tags"].iter().any(|part| self.disk.folder(&folder, part).is_some()))
    }

    fn run_ids(&mut self, outline: &mut Outline) {
        for (at, experiment) in self.experiments.iter().enumerate() {
            let names = self.disk.folders(experiment);
            let names: Vec<&String> = names.iter().filter(|name| self.is_run(experiment, name)).collect();
            let looked = spread(&names, |id| self.run_head(experiment, id).map(drop));
            for (id, found) in names.into_iter().zip(looked) {
                match found {
                    Ok(()) => {
                        self.runs.insert(id.clone(), at);
                        outline.runs.push(id.clone());
                    }
                    Err(damage) => self.damaged(outline, "damaged runs", damage),
                }
            }
            if let Some(traces) = self.disk.folder(experiment, "traces") {
                let traces = self.disk.folders(&traces).len();
                count(outline, "traces", traces);
            }
        }
    }

    fn model_ids(&mut self, outline: &mut Outline) {
        for (at, experiment) in self.experiments.iter().enumerate() {
            let Some(models) = self.disk.folder(experiment, MODELS) else { continue };
            let names = self.disk.folders(&models);
            let names: Vec<&String> = names.iter().filter(|name| self.is_run(&models, name)).collect();
            let looked = spread(&names, |id| self.logged_model_head(experiment, id).map(drop));
            for (id, found) in names.into_iter().zip(looked) {
                match found {
                    Ok(()) => {
                        self.logged_models.insert(id.clone(), at);
                        outline.logged_models.push(id.clone());
                    }
                    Err(damage) => self.damaged(outline, "damaged logged models", damage),
                }
            }
        }
    }

    /// A run as its `meta.yaml` has it.
    fn run_head(&self, experiment: &Path, id: &str) -> std::result::Result<Found<CarriedRun>, Damage> {
        let folder = experiment.join(id);
        let meta = self.meta(&folder, &[("run_id", id), ("experiment_id", file_name(experiment))])?;
        let start_time = meta.number("start_time")?.unwrap_or(0);
        let end_time = meta.number("end_time")?;
        let deleted_time = meta.number("deleted_time")?.or(end_time).unwrap_or(start_time);
        let mut item = CarriedRun {
            run_id: id.to_owned(),
            experiment_id: file_name(experiment).to_owned(),
            user: meta.text("user_id"),
            status: meta.status()?.to_owned(),
            start_time,
            end_time,
            deleted_time: meta.is_deleted().then_some(deleted_time),
            ..CarriedRun::default()
        };
        name_from(&mut item.tags, &meta.text("run_name"));
        Ok(Found { item, artifact_uri: meta.text("artifact_uri") })
    }

    fn run(&self, id: &str) -> Option<Found<CarriedRun>> {
        let experiment = self.experiments.get(*self.runs.get(id)?)?;
        let mut run = match self.run_head(experiment, id) {
            Ok(run) => run,
            Err((path, why)) => {
                self.disk.name(&path, &why);
                return None;
            }
        };
        run.artifact_uri = self.here(&run.artifact_uri);
        let folder = experiment.join(id);
        let item = &mut run.item;
        item.params = self.disk.values(&folder, "params").into_iter().collect();
        for (key, value) in self.disk.values(&folder, "tags") {
            // The run's own name stands above the tag, which may be an older one.
            item.tags.entry(key).or_insert(value);
        }
        for (key, path) in self.disk.keys(&folder, "metrics") {
            let mut points = Vec::new();
            self.disk.lines(&path, |line| point(line).map(|point| points.push(point)).is_some());
            item.metrics.insert(key, points);
        }
        self.uses(experiment, &folder, item);
        item.settle();
        Some(run)
    }

    /// Bytes of the files that hold the points of a run.
    fn metric_bytes(&self, id: &str) -> usize {
        let experiment = self.runs.get(id).and_then(|at| self.experiments.get(*at));
        let keys = experiment.map(|experiment| self.disk.keys(&experiment.join(id), "metrics"));
        let sizes =
            keys.into_iter().flatten().map(|(_, path)| path.metadata().map_or(0, |found| found.len()));
        usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// Data sets that a run read, and logged models that it read and wrote.
    fn uses(&self, experiment: &Path, folder: &Path, run: &mut CarriedRun) {
        let each = |part: &str, take: &mut dyn FnMut(&Meta) -> std::result::Result<(), Damage>| {
            let Some(part) = self.disk.folder(folder, part) else { return };
            for name in self.disk.folders(&part) {
                if let Err((path, why)) = self.meta(&part.join(name), &[]).and_then(|meta| take(&meta)) {
                    self.disk.name(&path, &why);
                }
            }
        };
        let (datasets, read, written) = (&mut run.datasets, &mut run.models_read, &mut run.models_written);
        each("inputs", &mut |meta| {
            let source = meta.required("source_id")?;
            match meta.required("source_type")? {
                "DATASET" => datasets.push(self.dataset(experiment, source, meta)?),
                "MODEL" => read.push(source.to_owned()),
                other => return Err(meta.wrong("source_type", other)),
            }
            Ok(())
        });
        each("outputs", &mut |meta| {
            let step = meta.number("step")?.unwrap_or(0);
            written.push((meta.required("source_id")?.to_owned(), step));
            Ok(())
        });
    }

    fn dataset(
        &self,
        experiment: &Path,
        id: &str,
        input: &Meta,
    ) -> std::result::Result<CarriedDataset, Damage> {
        let folder =
            self.disk.folder(experiment, "datasets").and_then(|parent| self.disk.folder(&parent, id));
        let Some(folder) = folder else { return Err(input.wrong("source_id", id)) };
        let meta = self.meta(&folder, &[])?;
        Ok(CarriedDataset {
            name: meta.required("name")?.to_owned(),
            digest: meta.required("digest")?.to_owned(),
            source_type: meta.text("source_type"),
            source: meta.text("source"),
            schema: meta.flat.text("schema").map(str::to_owned),
            profile: meta.flat.text("profile").map(str::to_owned),
            tags: input.flat.mapping("tags").cloned().unwrap_or_default(),
        })
    }

    fn logged_model_head(
        &self,
        experiment: &Path,
        id: &str,
    ) -> std::result::Result<Found<CarriedLoggedModel>, Damage> {
        let folder = experiment.join(MODELS).join(id);
        let meta = self.meta(&folder, &[("model_id", id), ("experiment_id", file_name(experiment))])?;
        let created_time = meta.number("creation_timestamp")?.unwrap_or(0);
        let status = match meta.flat.text("status") {
            Some("1" | "PENDING") => "LOGGED_MODEL_PENDING",
            Some("3" | "FAILED") => "LOGGED_MODEL_UPLOAD_FAILED",
            _ => "LOGGED_MODEL_READY",
        };
        let item = CarriedLoggedModel {
            model_id: id.to_owned(),
            experiment_id: file_name(experiment).to_owned(),
            name: meta.required("name")?.to_owned(),
            model_type: meta.text("model_type"),
            source_run_id: meta.text("source_run_id"),
            status: status.to_owned(),
            status_message: meta.text("status_message"),
            created_time,
            updated_time: meta.number("last_updated_timestamp")?.unwrap_or(created_time),
            deleted: meta.is_deleted(),
            ..CarriedLoggedModel::default()
        };
        Ok(Found { item, artifact_uri: meta.text("artifact_location") })
    }

    fn logged_model(&self, id: &str) -> Option<Found<CarriedLoggedModel>> {
        let experiment = self.experiments.get(*self.logged_models.get(id)?)?;
        let mut model = match self.logged_model_head(experiment, id) {
            Ok(model) => model,
            Err((path, why)) => {
                self.disk.name(&path, &why);
                return None;
            }
        };
        model.artifact_uri = self.here(&model.artifact_uri);
        let folder = experiment.join(MODELS).join(id);
        let item = &mut model.item;
        item.params = self.disk.values(&folder, "params").into_iter().collect();
        item.tags = self.disk.values(&folder, "tags").into_iter().collect();
        for (key, path) in self.disk.keys(&folder, "metrics") {
            let metrics = &mut item.metrics;
            self.disk.lines(&path, |line| measurement(&key, line).map(|found| metrics.push(found)).is_some());
        }
        item.settle();
        Some(model)
    }

    fn registry(&self, outline: &mut Outline) {
        let Some(models) = self.disk.folder(self.disk.root(), MODELS) else { return };
        for name in self.disk.folders(&models) {
            let folder = models.join(&name);
            match self.model(&folder, &name) {
                Ok(model) => outline.models.push(model),
                Err(damage) => {
                    self.damaged(outline, "damaged registered models", damage);
                    continue;
                }
            }
            for version in self.disk.folders(&folder) {
                let Some(number) = version.strip_prefix("version-") else { continue };
                match self.version(&folder.join(&version), &name, number) {
                    // What MLflow deletes it keeps in a stage of its own.
                    Ok(found) if found.item.stage == "Deleted_Internal" => {}
                    Ok(found) => outline.versions.push(found),
                    Err(damage) => self.damaged(outline, "damaged model versions", damage),
                }
            }
            let mut aliases = BTreeMap::new();
            for (alias, version) in self.disk.values(&folder, "aliases") {
                match version.trim().parse() {
                    Ok(version) => drop(aliases.insert(alias, version)),
                    Err(_) => {
                        self.disk.name(&folder.join("aliases").join(alias), "it is no number of a version");
                    }
                }
            }
            if !aliases.is_empty() {
                outline.aliases.push(CarriedAliases { name, aliases });
            }
        }
        outline.versions.sort_by(|a, b| (&a.item.name, a.item.version).cmp(&(&b.item.name, b.item.version)));
    }

    fn model(&self, folder: &Path, name: &str) -> std::result::Result<CarriedModel, Damage> {
        let meta = self.meta(folder, &[("name", name)])?;
        let created_time = meta.number("creation_timestamp")?.unwrap_or(0);
        Ok(CarriedModel {
            name: name.to_owned(),
            description: meta.text("description"),
            created_time,
            updated_time: meta.number("last_updated_timestamp")?.unwrap_or(created_time),
            tags: self.disk.values(folder, "tags").into_iter().collect(),
        })
    }

    fn version(&self, folder: &Path, name: &str, number: &str) -> std::result::Result<FoundVersion, Damage> {
        let meta = self.meta(folder, &[("name", name), ("version", number)])?;
        let Some(version) = meta.number("version")? else { return Err(meta.wrong("version", "")) };
        let created_time = meta.number("creation_timestamp")?.unwrap_or(0);
        let or = |name: &str, absent: &str| meta.flat.text(name).unwrap_or(absent).to_owned();
        let item = CarriedVersion {
            name: name.to_owned(),
            version,
            source: meta.text("source"),
            run_id: meta.text("run_id"),
            run_link: meta.text("run_link"),
            description: meta.text("description"),
            status: or("status", "READY"),
            stage: or("current_stage", "None"),
            created_time,
            updated_time: meta.number("last_updated_timestamp")?.unwrap_or(created_time),
            tags: self.disk.values(folder, "tags").into_iter().collect(),
        };
        Ok(FoundVersion { item, storage_location: self.here(&meta.text("storage_location")) })
    }

    /// The `meta.yaml` of a folder, which must say what its place says.
    fn meta(&self, folder: &Path, says: &[(&str, &str)]) -> std::result::Result<Meta, Damage> {
        let meta = Meta { flat: self.disk.meta(folder)?, path: folder.join(META) };
        for (name, expected) in says {
            // Before MLflow 1.0 an id of a run had another name.
            let said = match (meta.flat.text(name), *name) {
                (None, "run_id") => meta.text("run_uuid"),
                (said, _) => said.unwrap_or_default().to_owned(),
            };
            if said != *expected {
                return Err(meta.wrong(name, &said));
            }
        }
        Ok(meta)
    }

    fn damaged(&self, outline: &mut Outline, what: &str, (path, why): Damage) {
        self.disk.name(&path, &why);
        count(outline, what, 1);
    }

    /// Where files are that MLflow has at a place: there, or in this folder if it was moved since, or its experiment into the trash.
    fn here(&self, uri: &str) -> String {
        let Some(path) = local(uri) else { return uri.to_owned() };
        if path.is_absolute() && path.exists() {
            return uri.to_owned();
        }
        let Some(text) = path.to_str() else { return uri.to_owned() };
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return uri.to_owned();
        }
        let ends = (2..parts.len()).filter(|at| parts.get(*at) == Some(&"artifacts"));
        let found = ends.filter_map(|at| {
            let id = *parts.get(at - 1)?;
            let experiment = |index: &usize| self.experiments.get(*index);
            let owner = match self.runs.get(id).and_then(experiment) {
                Some(experiment) => experiment.join(id),
                None => self.logged_models.get(id).and_then(experiment)?.join(MODELS).join(id),
            };
            let artifacts = self.disk.folder(&owner, "artifacts")?;
            // Every run has that folder, also one whose experiment names another place for the files.
            let levels = if parts.get(at - 2) == Some(&MODELS) { 3 } else { 2 };
            let named: PathBuf = parts.get(at.saturating_sub(levels)..at)?.iter().collect();
            let is_its_own = owner.ends_with(named);
            let is_empty = artifacts.read_dir().is_ok_and(|mut entries| entries.next().is_none());
            if is_empty && !is_its_own {
                return None;
            }
            let below: PathBuf = parts.get(at + 1..)?.iter().collect();
            url::Url::from_file_path(artifacts.join(below)).ok()
        });
        let found = found.last().map(|found| found.as_str().trim_end_matches('/').to_owned());
        found.unwrap_or_else(|| uri.to_owned())
    }
}

/// A `meta.yaml`, and where it stands.
struct Meta {
    flat: FlatYaml,
    path: PathBuf,
}

impl Meta {
    /// A value; empty if there is none.
    fn text(&self, name: &str) -> String {
        self.flat.text(name).unwrap_or_default().to_owned()
    }

    fn required(&self, name: &str) -> std::result::Result<&str, Damage> {
        self.flat.text(name).filter(|text| !text.is_empty()).ok_or_else(|| self.wrong(name, ""))
    }

    fn number<T: FromStr>(&self, name: &str) -> std::result::Result<Option<T>, Damage> {
        self.flat.text(name).map(|text| text.parse().map_err(|_| self.wrong(name, text))).transpose()
    }

    fn is_deleted(&self) -> bool {
        self.flat.text("lifecycle_stage") == Some("deleted")
    }

    /// A run's status, which is written by number.
    fn status(&self) -> std::result::Result<&'static str, Damage> {
        match self.flat.text("status") {
            None | Some("1") => Ok("RUNNING"),
            Some("2") => Ok("SCHEDULED"),
            Some("3") => Ok("FINISHED"),
            Some("4") => Ok("FAILED"),
            Some("5") => Ok("KILLED"),
            Some(other) => Err(self.wrong("status", other)),
        }
    }

    fn wrong(&self, name: &str, value: impl Display) -> Damage {
        let value: String = value.to_string().chars().take(100).collect();
        (self.path.clone(), format!("its '{name}' is '{value}', which cannot be"))
    }
}

fn count(outline: &mut Outline, what: &str, more: usize) {
    if more > 0 {
        *outline.left_behind.entry(what.to_owned()).or_default() += more as u64;
    }
}

/// Ids that are numbers by their value, others last.
fn id_order(id: &str) -> u64 {
    id.parse().unwrap_or(u64::MAX)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A point of a run: `time value`, and in newer versions a step, and a data set.
fn point(line: &str) -> Option<CarriedPoint> {
    let mut parts = line.split(' ');
    let (time, value) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let step = parts.next().map_or(Some(0), |step| step.parse().ok())?;
    Some(CarriedPoint(time, step, Double(value)))
}

/// A point of a logged model: `time value step run`, and a data set's name, which may have blanks, and digest.
fn measurement(key: &str, line: &str) -> Option<CarriedMeasurement> {
    let mut parts = line.splitn(5, ' ');
    let (timestamp, value) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (step, run_id) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
    let (name, digest) = parts.next().map_or(Some(("", "")), |dataset| dataset.rsplit_once(' '))?;
    Some(CarriedMeasurement {
        key: key.to_owned(),
        run_id,
        dataset_name: name.to_owned(),
        dataset_digest: digest.to_owned(),
        timestamp,
        step,
        value: Double(value),
    })
}

/// The path of a URI that names a place on this machine's disk.
fn local(uri: &str) -> Option<PathBuf> {
    if let Some(rest) = uri.strip_prefix("file:") {
        let absolute = rest.starts_with('/').then(|| url::Url::parse(uri).ok()).flatten();
        return Some(absolute.and_then(|url| url.to_file_path().ok()).unwrap_or_else(|| PathBuf::from(rest)));
    }
    (!uri.is_empty() && !uri.contains(':')).then(|| PathBuf::from(uri))
}

/// Does work for each item on several threads; the results are in the order of the items.
fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX);
    let size = items.len().div_ceil(threads).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(size)
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<R>>()))
            .collect();
        let joined = parts
            .into_iter()
            .map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    })
}

impl Source for Folder {
    fn outline(&mut self) -> Result<Outline> {
        let mut outline = Outline { version: "file store".to_owned(), ..Outline::default() };
        (self.experiments, self.runs, self.logged_models) = Default::default();
        self.experiments(&mut outline);
        self.run_ids(&mut outline);
        self.model_ids(&mut outline);
        self.registry(&mut outline);
        Ok(outline)
    }

    fn fitting(&mut self, ids: &[String], points_max: usize) -> Result<usize> {
        let bytes = spread(ids, |id| self.metric_bytes(id));
        Ok(fitting(bytes.into_iter().map(|bytes| bytes / POINT_BYTES), points_max))
    }

    fn runs(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedRun>>> {
        Ok(spread(ids, |id| self.run(id)).into_iter().flatten().collect())
    }

    fn logged_models(&mut self, ids: &[String]) -> Result<Vec<Found<CarriedLoggedModel>>> {
        Ok(spread(ids, |id| self.logged_model(id)).into_iter().flatten().collect())
    }

    fn files(&mut self, _: &Held<'_>) -> Result<Option<Vec<(String, u64)>>> {
        Ok(None)
    }

    fn fetch(&mut self, owner: &Held<'_>, _: &str, _: &mut std::fs::File) -> Result<()> {
        Err(Error::invalid(format!(
            "The files at {} are on a disk, and not asked for here.",
            owner.artifact_uri
        )))
    }

    fn unread(&self) -> Unread {
        self.disk.unread()
    }
}
