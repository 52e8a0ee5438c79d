//! One run of a comparison: what is found of it in the metadata.

use std::collections::BTreeMap;

use serde::Deserialize;
use syntax::paths::ArtifactPath;

use super::{DataPart, RunSide};
use crate::{
    answers::{
        learned::{Learned, learned_from},
        target,
        why::{CODE_TAGS, Hidden},
    },
    catalog::{Action, asset, authorize::is_allowed},
    db::Sql,
    error::{Error, Result},
    files::{self, File},
    registry::versions,
    tracking::{
        artifacts::Home,
        limits, model,
        run::{self, MODEL_HISTORY_TAG, Run},
    },
};

/// Models of a run whose environments are read.
const MODELS_MAX: usize = 5;
/// The files that say in which environment a model was made, what says most about packages first.
pub(super) const ENVIRONMENT_FILES: [&str; 3] = ["requirements.txt", "python_env.yaml", "conda.yaml"];
/// The one of MLflow's own tags that a person writes.
const NOTE_TAG: &str = "mlflow.note.content";

/// Kind, name, and what it was used for.
pub(super) type DataKey = (&'static str, String, Option<String>);

/// A run, and what stands beside its row.
pub(super) struct Side {
    pub run: Run,
    asked: String,
    /// Name of its experiment.
    experiment: String,
    /// What it read.
    pub data: BTreeMap<DataKey, Vec<DataPart>>,
    /// The environment files of each model that it logged, by their names for people.
    pub models: Vec<Vec<(String, File)>>,
}

/// The runs that were asked for, for a caller who may read their experiments.
pub(super) fn load(sql: &mut Sql<'_>, asked: &[String], hidden: &mut Hidden) -> Result<Vec<Side>> {
    let mut sides: Vec<Side> = Vec::with_capacity(asked.len());
    for text in asked {
        let run = find(sql, text)?;
        if run.is_deleted() {
            return Err(Error::invalid(format!(
                "Invalid value '{text}' for parameter 'run_id' supplied: the run {} is deleted, or its experiment is. Restore it \
                 to compare it.",
                run.uuid
            )));
        }
        if let Some(same) = sides.iter().find(|side| side.run.id == run.id) {
            return Err(Error::invalid(format!(
                "Invalid value '{text}' for parameter 'run_id' supplied: the run {} is there already, as '{}'. A run is compared with \
                 others.",
                run.uuid, same.asked
            )));
        }
        let experiment = asset::display_name(sql, run.experiment_id)?;
        let (read, written) = run::models(sql, &run)?;
        let data = data(sql, &run, read, hidden)?;
        let models = environment_files(sql, &run, &written, hidden)?;
        sides.push(Side { asked: text.clone(), run, experiment, data, models });
    }
    Ok(sides)
}

/// A run by its id, or by the version of a model that it made.
fn find(sql: &mut Sql<'_>, text: &str) -> Result<Run> {
    if !text.starts_with("models:/") {
        let id = text.strip_prefix("runs:/").unwrap_or(text);
        return run::load(sql, limits::run_id("run_id", Some(id))?);
    }
    let found = target::find(sql, text, None)?;
    let Some(number) = found.version else {
        return Err(Error::invalid(format!(
            "Invalid value '{text}' for parameter 'run_id' supplied: say which version of the model, as {text}/1 or {text}@champion."
        )));
    };
    let made_by =
        versions::get(sql, found.asset.id, number)?.map(|version| version.run_id).unwrap_or_default();
    if made_by.is_empty() {
        return Err(Error::missing(format!(
            "'{text}' was registered from no run, so there is none to compare."
        )));
    }
    run::load(sql, &made_by)
}

fn data(
    sql: &mut Sql<'_>,
    run: &Run,
    models_read: Vec<String>,
    hidden: &mut Hidden,
) -> Result<BTreeMap<DataKey, Vec<DataPart>>> {
    let mut found: BTreeMap<DataKey, Vec<DataPart>> = BTreeMap::new();
    let named = |name: String| DataPart { name, digest: None, version: None, id: None, is_deleted: false };
    if let Some(learned) = learned_from(sql, run)? {
        let part = match learned {
            Learned::Said(said) => named(said),
            Learned::Hidden(said) => {
                hidden.add("training set");
                named(said)
            }
            Learned::Known(data) => DataPart {
                name: data.name,
                digest: data.digest,
                version: data.version,
                id: None,
                is_deleted: data.is_deleted,
            },
        };
        let id = run.document.tag(run::TRAINING_SET_ID_TAG).map(str::to_owned);
        found.insert(("training_data", String::new(), None), vec![DataPart { id, ..part }]);
    }
    for input in run.document.datasets() {
        let key = ("data_set", input.name.clone(), input.context.clone());
        let part = DataPart { digest: Some(input.digest.clone()), ..named(input.name.clone()) };
        found.entry(key).or_default().push(part);
    }
    let models: Vec<DataPart> = models_read.into_iter().map(named).collect();
    if !models.is_empty() {
        found.insert(("model", String::new(), None), models);
    }
    for parts in found.values_mut() {
        parts.sort();
    }
    Ok(found)
}

/// The environment files of what a run logged: of logged models, and of models among its own files, where clients before 3.0
/// put them.
fn environment_files(
    sql: &mut Sql<'_>,
    run: &Run,
    written: &[String],
    hidden: &mut Hidden,
) -> Result<Vec<Vec<(String, File)>>> {
    let mut found = Vec::new();
    for id in written.iter().take(MODELS_MAX) {
        let Some(logged) = model::find(sql, id)?.filter(|logged| !logged.deleted) else { continue };
        if !is_allowed(sql, Action::Read, logged.experiment_id)? {
            hidden.add("logged models");
            continue;
        }
        let area = Home::Model(id.clone()).place(sql)?.area;
        found.push(files_in(sql, &area, &ArtifactPath::root(), &format!("{} ({id})", logged.name))?);
    }
    let area = Home::Run(run.uuid.clone()).place(sql)?.area;
    for dir in model_directories(run) {
        found.push(files_in(sql, &area, &dir, dir.as_str())?);
    }
    found.retain(|files| !files.is_empty());
    Ok(found)
}

fn files_in(sql: &mut Sql<'_>, area: &str, dir: &ArtifactPath, label: &str) -> Result<Vec<(String, File)>> {
    let mut found = Vec::new();
    for name in ENVIRONMENT_FILES {
        let label = if label.is_empty() { name.to_owned() } else { format!("{label}/{name}") };
        let path = dir.join(&ArtifactPath::parse(name)?)?;
        found.extend(files::find(sql, area, &path)?.map(|file| (label, file)));
    }
    Ok(found)
}

/// Where a run's own files have models, as its clients noted it, and the root, where somebody may have put such files by hand.
fn model_directories(run: &Run) -> Vec<ArtifactPath> {
    #[derive(Deserialize)]
    struct Noted {
        artifact_path: Option<String>,
    }
    let noted = run.document.tag(MODEL_HISTORY_TAG);
    // A client may have written anything there.
    let noted: Vec<Noted> = noted.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let paths = noted.into_iter().filter_map(|noted| ArtifactPath::parse(&noted.artifact_path?).ok());
    let mut found: Vec<ArtifactPath> = Vec::new();
    for path in paths {
        if found.len() < MODELS_MAX && !found.contains(&path) {
            found.push(path);
        }
    }
    found.push(ArtifactPath::root());
    found
}

impl Side {
    pub(super) fn params(&self) -> BTreeMap<String, String> {
        self.run.document.params().map(owned).collect()
    }

    pub(super) fn code(&self) -> BTreeMap<String, String> {
        let code = CODE_TAGS.iter().filter_map(|(tag, shown)| {
            Some((*shown, self.run.document.tag(tag).filter(|value| !value.is_empty())?))
        });
        code.map(owned).collect()
    }

    /// Without what MLflow notes by itself, which is told by other parts or is different in every run.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let is_shown = |key: &str| {
            let is_told = [run::TRAINING_SET_TAG, run::TRAINING_SET_ID_TAG].contains(&key);
            key == NOTE_TAG || !(is_told || key.starts_with("mlflow."))
        };
        self.run.document.tags().filter(|(key, _)| is_shown(key)).map(owned).collect()
    }

    pub(super) fn shown(self) -> RunSide {
        let Self { run, asked, experiment, .. } = self;
        let duration = run.end_time.map(|end| end.saturating_sub(run.start_time));
        RunSide {
            asked,
            name: run.name().to_owned(),
            experiment,
            experiment_id: run.home.mlflow_id.to_string(),
            status: run.status.name().to_owned(),
            start_time: run.start_time,
            end_time: run.end_time,
            // A client that says neither begins at the epoch.
            duration_ms: duration.filter(|ms| *ms >= 0 && run.start_time > 0),
            run_id: run.uuid,
            user: run.user,
        }
    }
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
