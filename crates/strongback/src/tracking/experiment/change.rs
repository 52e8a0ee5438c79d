//! Creating, renaming, deleting and restoring experiments.

use http::Method;
use rand::Rng;
use serde_json::json;
use syntax::{names, source::check_artifact_location};

use super::{
    Experiment, Tags, find, lock, store,
    wire::{CreateRequest, CreateResponse, IdRequest, UpdateRequest},
};
use crate::{
    bind,
    catalog::{
        Action, Asset, Kind,
        asset::{self, NewAsset},
        authorize, bootstrap as catalog_bootstrap,
        names::refused,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, required},
    },
    tracking::limits,
};

pub(super) fn routes() -> Vec<Route> {
    let route = |path, action, summary| (Method::POST, path, Policy::Asset(action), Limits::JSON, summary);
    let (m, p, policy, l, s) =
        route("/api/2.0/mlflow/experiments/create", Action::Create, "Create an experiment");
    let create = Route::json(m, p, policy, l, s, create);
    let (m, p, policy, l, s) =
        route("/api/2.0/mlflow/experiments/update", Action::Edit, "Rename an experiment");
    let update = Route::json(m, p, policy, l, s, update);
    let (m, p, policy, l, s) =
        route("/api/2.0/mlflow/experiments/delete", Action::Delete, "Delete an experiment");
    let delete = Route::json(m, p, policy, l, s, delete);
    let (m, p, policy, l, s) =
        route("/api/2.0/mlflow/experiments/restore", Action::Delete, "Restore an experiment");
    vec![create, update, delete, Route::json(m, p, policy, l, s, restore)]
}

/// Makes the experiment `Default` with id 0 on a new store; nothing on one that has it.
pub async fn bootstrap(ctx: &Ctx) -> Result<()> {
    let location = location_below(ctx, 0);
    ctx.write(move |tx| {
        if find(tx, 0)?.is_some() {
            return Ok(Change::Nothing(()));
        }
        let experiment = insert(tx, 0, "Default", location.as_deref(), &Tags::new())?;
        Ok(Change::Made((), created(&experiment)))
    })
    .await
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<CreateResponse> {
    let name = required(&request.name, "name")?.to_owned();
    names::check_experiment_name(&name).map_err(refused)?;
    let location = request.artifact_location.filter(|location| !location.is_empty());
    if let Some(location) = &location {
        check_location(location)?;
    }
    let mut tags = Tags::new();
    for (at, tag) in request.tags.iter().enumerate() {
        let key = limits::key(&format!("tags[{at}].key"), tag.key.as_deref())?;
        limits::text(&format!("tags[{at}].value"), tag.value(), limits::EXPERIMENT_TAG_VALUE_CHARS)?;
        tags.insert(key.to_owned(), tag.value().to_owned());
    }
    let mlflow_id = random_id();
    let location = location.or_else(|| location_below(&ctx, mlflow_id));
    ctx.write(move |tx| {
        let experiment = insert(tx, mlflow_id, &name, location.as_deref(), &tags)?;
        let response = CreateResponse { experiment_id: mlflow_id.to_string() };
        Ok(Change::Made(response, created(&experiment)))
    })
    .await
}

/// Where the files of a new experiment go that names no place: below the root that the server was started with, if it was.
fn location_below(ctx: &Ctx, mlflow_id: i64) -> Option<String> {
    ctx.app.config.default_artifact_root.value.as_ref().map(|root| format!("{root}/{mlflow_id}"))
}

fn random_id() -> i64 {
    rand::rng().random_range(100_000_000_000_000_000..1_000_000_000_000_000_000)
}

fn created(experiment: &Experiment) -> Event {
    Event::new(EventKind::ExperimentCreate)
        .asset(experiment.id, 1)
        .subject(experiment.mlflow_id.to_string())
        .detail(json!({ "name": experiment.name, "tags": experiment.tags }))
}

/// Stores a new experiment in the default schema.
pub(super) fn insert(
    tx: &mut Sql<'_>,
    mlflow_id: i64,
    name: &str,
    location: Option<&str>,
    tags: &Tags,
) -> Result<Experiment> {
    let schema = catalog_bootstrap::default_schema(tx)?;
    authorize(tx, Action::Create, schema.id)?;
    refuse_taken(tx, name)?;
    let owner_id = tx.caller().id;
    insert_at(tx, (schema.id, owner_id), mlflow_id, name, location, tags)
}

/// An experiment that the server keeps for something else, e.g. for the evaluations of a model.
#[derive(Debug)]
pub struct Kept<'a> {
    /// Names that it may have, the first that is free or its own already.
    pub names: &'a [String],
    /// `asset.id` of the schema that it belongs to.
    pub schema_id: i64,
    /// `principal.id` of its owner.
    pub owner_id: i64,
    /// Its tags, when it is made, by which it is also told from others of this owner.
    pub tags: Tags,
}

/// The experiment that is kept for something: made under the first of its names that nobody took, or found under one of them.
/// Who took a name before is not dispossessed, and nothing waits for them. Whoever asks has authorised a change of what it
/// is kept for.
pub fn keep(tx: &mut Sql<'_>, wanted: &Kept<'_>) -> Result<Change<Experiment>> {
    for name in wanted.names {
        let Some(found) = find::by_name(tx, name)? else {
            let place = (wanted.schema_id, wanted.owner_id);
            let made = insert_at(tx, place, random_id(), name, None, &wanted.tags)?;
            let event = created(&made);
            return Ok(Change::Made(made, event));
        };
        let stored = asset::lock(tx, found.id)?;
        let is_its_own = !found.deleted
            && stored.parent_id == Some(wanted.schema_id)
            && stored.owner_id == wanted.owner_id
            && wanted.tags.iter().all(|(key, value)| found.tags.get(key) == Some(value));
        if is_its_own {
            return Ok(Change::Nothing(found));
        }
    }
    Err(Error::new(
        Code::ResourceConflict,
        format!(
            "The experiments '{}' are somebody else's. Rename one of them.",
            wanted.names.join("' and '")
        ),
    ))
}

/// Gives an experiment that is kept for something to the owner that this has now.
pub fn hand_over(tx: &mut Sql<'_>, found: Experiment, owner_id: i64) -> Result<Change<Experiment>> {
    let stored = asset::lock(tx, found.id)?;
    if stored.owner_id == owner_id {
        return Ok(Change::Nothing(found));
    }
    let revision = asset::set_owner(tx, found.id, owner_id)?;
    let event = Event::new(EventKind::OwnerSet)
        .asset(found.id, revision)
        .detail(json!({ "from": stored.owner_id, "to": owner_id }));
    Ok(Change::Made(found, event))
}

/// Stores a new experiment below a schema.
fn insert_at(
    tx: &mut Sql<'_>,
    (schema_id, owner_id): (i64, i64),
    mlflow_id: i64,
    name: &str,
    location: Option<&str>,
    tags: &Tags,
) -> Result<Experiment> {
    let leaf = names::escape_wire_name(name);
    let asset = asset::create(
        tx,
        &NewAsset {
            parent_id: Some(schema_id),
            kind: Kind::Experiment,
            leaf: &leaf,
            leaf_key: &leaf,
            wire_name: Some(name),
            owner_id,
            comment: None,
            properties: None,
        },
    )?;
    let artifact_location = location.map_or_else(|| own_location(mlflow_id), str::to_owned);
    let now = tx.now();
    let tags_json = serde_json::to_string(tags).map_err(Error::internal)?;
    tx.execute(&store::EXPERIMENT_INSERT, bind![asset.id, mlflow_id, &artifact_location, &tags_json, now])?;
    Ok(Experiment {
        id: asset.id,
        mlflow_id,
        name: name.to_owned(),
        artifact_location,
        deleted: false,
        tags: tags.clone(),
        created_at: now,
        updated_at: now,
    })
}

/// Where the files of an experiment's runs lie, if nobody wants them elsewhere.
pub(super) fn own_location(mlflow_id: i64) -> String {
    format!("mlflow-artifacts:/{mlflow_id}")
}

fn refuse_taken(tx: &mut Sql<'_>, name: &str) -> Result<()> {
    let Some(taken) = find::by_name(tx, name)? else { return Ok(()) };
    let state = if taken.deleted { " in deleted state: restore that one, or take another name" } else { "" };
    Err(Error::exists(format!("Experiment '{name}' already exists{state}.")))
}

/// Refuses a place that files of runs cannot have.
pub fn check_location(location: &str) -> Result<()> {
    limits::text("artifact_location", location, limits::ARTIFACT_LOCATION_CHARS)?;
    if location.starts_with("runs:") {
        return Err(Error::invalid(format!("Artifact location cannot be a runs:/ URI. Given: '{location}'")));
    }
    // As Python reads it, what follows a semicolon is a parameter of a path without scheme, and of some schemes.
    let has_params = location.contains(';') && (location.starts_with('/') || location.starts_with("hdfs:"));
    if location.contains(['?', '#']) || has_params {
        return Err(Error::invalid(format!(
            "'artifact_location' URL can't include fragments or params. Given: '{location}'"
        )));
    }
    check_artifact_location(location)
        .map_err(|error| Error::invalid(error.to_string()).in_field("artifact_location"))
}

async fn update(ctx: Ctx, request: UpdateRequest) -> Result<Empty> {
    let id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    let name = required(&request.new_name, "new_name")?.to_owned();
    names::check_experiment_name(&name).map_err(refused)?;
    ctx.write(move |tx| {
        let experiment = lock(tx, id, Action::Edit)?;
        if experiment.deleted {
            // MLflow says 500 here, which its client then repeats for minutes; it goes by the code.
            let message = "Cannot rename a non-active experiment. Restore it first.";
            return Err(Error::new(Code::InvalidState, message));
        }
        if experiment.name == name {
            return Ok(Change::Nothing(Empty {}));
        }
        let asset = rename(tx, &experiment, &name)?;
        save(tx, &experiment)?;
        let event = Event::new(EventKind::ExperimentUpdate)
            .asset(asset.id, asset.revision)
            .subject(id.to_string())
            .detail(json!({ "from": experiment.name, "to": name }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}

/// Gives an experiment a name that is free.
pub(super) fn rename(tx: &mut Sql<'_>, experiment: &Experiment, name: &str) -> Result<Asset> {
    refuse_taken(tx, name)?;
    let mut asset = asset::lock(tx, experiment.id)?;
    let leaf = names::escape_wire_name(name);
    asset.leaf.clone_from(&leaf);
    asset.wire_name = Some(name.to_owned());
    asset::update(tx, &asset, &leaf)
}

async fn delete(ctx: Ctx, request: IdRequest) -> Result<Empty> {
    set_deleted(ctx, request, true).await
}

async fn restore(ctx: Ctx, request: IdRequest) -> Result<Empty> {
    set_deleted(ctx, request, false).await
}

async fn set_deleted(ctx: Ctx, request: IdRequest, deleted: bool) -> Result<Empty> {
    let id = limits::experiment_id(required(&request.experiment_id, "experiment_id")?)?;
    ctx.write(move |tx| {
        let mut experiment = lock(tx, id, Action::Delete)?;
        if experiment.deleted == deleted {
            // MLflow looks among the others only, and finds none.
            return Err(super::unknown(id));
        }
        experiment.deleted = deleted;
        let revision = asset::touch(tx, experiment.id)?;
        save(tx, &experiment)?;
        let kind = if deleted { EventKind::ExperimentDelete } else { EventKind::ExperimentRestore };
        let event = Event::new(kind)
            .asset(experiment.id, revision)
            .subject(id.to_string())
            .detail(json!({ "name": experiment.name }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}

/// Stores life cycle and tags.
pub(super) fn save(tx: &mut Sql<'_>, experiment: &Experiment) -> Result<()> {
    let lifecycle = if experiment.deleted { store::DELETED } else { store::ACTIVE };
    let tags = serde_json::to_string(&experiment.tags).map_err(Error::internal)?;
    let now = tx.now();
    tx.execute(&store::EXPERIMENT_UPDATE, bind![experiment.id, lifecycle, &tags, now])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_location;

    #[test]
    fn locations_that_lead_elsewhere_are_refused() {
        for good in ["s3://bucket/a", "mlflow-artifacts:/x", "/srv/artifacts"] {
            check_location(good).unwrap();
        }
        for bad in ["runs:/1/a", "s3://b/a?x=1", "s3://b/a#x", "s3://b/../c", "s3://b/%2E%2e/c", "a\0b"] {
            check_location(bad).unwrap_err();
        }
    }
}
