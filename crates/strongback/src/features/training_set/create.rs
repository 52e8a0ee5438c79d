//! `POST /api/1.0/training-sets`: the tables are found and pinned at once; a job makes the rows.
//!
//! The set gets its id with the request, so that its pins and its rows have it before the asset is there. A job that is begun
//! again removes what it wrote before and writes it anew; one that finds the asset there has nothing left to do. Pins of a
//! set that never comes to be go when its job fails for good, and a day after whatever became of that. The transaction that makes
//! the set visible pins what it stands on once more, so that there is none without its pins.

use std::time::Duration;

use http::Method;
use lake::{
    table::{Mark, State},
    training::{At, Built, Features, Recipe, Taken},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use syntax::names::{FullName, fold_case};
use uuid::Uuid;

use super::{
    Definition, Source, find,
    found::{Found, look_up},
    holder, pinned,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Kind, NewAsset},
        authorize,
        lineage::{self, EdgeKind, Fact, NodeRef},
        names,
        securable::check_comment,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    features::{definition, store},
    jobs::{self, Handler, JobCtx, JobInfo, NewJob},
    router::{
        Limits, Policy, Route,
        wire::{self, Int64},
    },
    tables::{self, managed},
};

/// The kind of these jobs.
pub const KIND: &str = "training_set_build";
/// How long one call may wait for the end of the job, milliseconds.
const WAIT_MS_MAX: i64 = 30_000;
/// Feature tables of one set.
const TABLES_MAX: usize = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/training-sets",
        Policy::Asset(Action::Create),
        Limits::JSON,
        "Make a training set: labels with the features that were known by their time",
        create,
    )]
}

pub(super) fn handler() -> Handler {
    Handler::new(KIND, run).heavy()
}

/// What to make. Tables are named as `catalog.schema.table` or `catalog.schema.table@version`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// `catalog.schema.name` of the new set.
    pub name: String,
    /// The table with a row for each label; its newest version unless one is named.
    pub labels: String,
    /// The feature tables, in order; what is published of them unless a version is named.
    #[serde(default, deserialize_with = "wire::list")]
    pub features: Vec<String>,
    /// Column of the labels' time; that of the first feature table if absent.
    pub timestamp: Option<String>,
    /// Column of the label itself; for whoever trains and compares.
    pub label: Option<String>,
    /// Columns of the table of labels that come along; all if absent. Time, keys and label always do.
    #[serde(default, deserialize_with = "wire::list")]
    pub columns: Vec<String>,
    /// Which of the labels, as SQL over one row, such as `Time < 86400`.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// What it is for.
    pub comment: Option<String>,
    /// How long to wait for the end of the job, milliseconds, up to 30000; 0 or absent answers at once.
    pub wait_ms: Option<Int64>,
}

/// What was begun.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateResponse {
    /// `catalog.schema.name`
    pub full_name: String,
    /// Whether a set of this name and recipe was there, so that nothing was begun.
    pub is_repeat: bool,
    /// The job that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobInfo>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payload {
    name: String,
    schema: i64,
    /// UUID of the set, and of the table with its rows.
    set: Uuid,
    comment: Option<String>,
    definition: Definition,
}

async fn create(ctx: Ctx, request: CreateRequest) -> Result<CreateResponse> {
    let wait = request.wait_ms.map_or(0, |wait| wait.0);
    if !(0..=WAIT_MS_MAX).contains(&wait) {
        return Err(Error::invalid(format!(
            "Invalid value {wait} for parameter 'wait_ms' supplied: it is 0 to {WAIT_MS_MAX}."
        )));
    }
    check_comment(request.comment.as_deref())?;
    if request.features.len() > TABLES_MAX {
        let count = request.features.len();
        return Err(Error::invalid(format!(
            "'features' names {count} tables; a set has at most {TABLES_MAX}."
        )));
    }
    let name = managed::parse(&request.name)?;
    let (asked, looked_up) = (request.clone(), name.clone());
    let found = ctx.read(move |sql| look_up(sql, &looked_up, &asked)).await?;
    let state = ctx.app.lake.state(found.labels.table, Some(found.version)).await?;
    let known: Vec<String> = state.columns.into_iter().map(|column| column.name).collect();
    let definition = define(&request, &found, &known)?;
    let checked = ctx.app.lake.check_recipe(definition.recipe.clone()).await.map_err(Error::from);
    checked.map_err(|error| match request.filter {
        Some(_) if !error.is_ours() => error.in_field("where"),
        _ => error,
    })?;
    let full_name = managed::show(&name);
    let comment = request.comment.filter(|comment| !comment.is_empty());
    let job = ctx.write(move |tx| begin(tx, &name, comment.as_deref(), &definition)).await?;
    let Some(job) = job else { return Ok(CreateResponse { full_name, is_repeat: true, job: None }) };
    let job = jobs::wait(&ctx, job, Duration::from_millis(wait as u64)).await?;
    let job = ctx
        .read(move |sql| {
            let job = jobs::get(sql, job.id)?;
            jobs::info(sql, job)
        })
        .await?;
    Ok(CreateResponse { full_name, is_repeat: false, job: Some(job) })
}

/// The spelling of a column; names compare without case where that says which is meant.
fn spelled(known: &[String], field: &str, given: &str) -> Result<String> {
    if let Some(exact) = known.iter().find(|name| *name == given) {
        return Ok(exact.clone());
    }
    known.iter().find(|name| name.eq_ignore_ascii_case(given)).cloned().ok_or_else(|| {
        Error::invalid(format!(
            "Invalid value '{given}' for parameter '{field}' supplied: the table of labels has no such column; it has {}.",
            known.join(", ")
        ))
    })
}

fn define(asked: &CreateRequest, found: &Found, known: &[String]) -> Result<Definition> {
    let first = found.features.first().map(|(_, definition, _)| definition.declared.timestamp.clone());
    let timestamp = asked.timestamp.clone().filter(|given| !given.is_empty()).or(first);
    let timestamp = timestamp.map(|given| spelled(known, "timestamp", &given)).transpose()?;
    let label = asked.label.as_deref().filter(|given| !given.is_empty());
    let label = label.map(|given| spelled(known, "label", given)).transpose()?;
    let mut wanted: Vec<String> = Vec::new();
    for given in &asked.columns {
        wanted.push(spelled(known, "columns", given)?);
    }
    let is_all = wanted.is_empty();
    wanted.extend(timestamp.iter().chain(&label).cloned());
    for (table, definition, _) in &found.features {
        for key in &definition.declared.keys {
            if !known.contains(key) {
                return Err(Error::invalid(format!(
                    "The table of labels has no column '{key}', which is a key of '{}'; it has {}.",
                    managed::show(&table.name),
                    known.join(", ")
                )));
            }
            wanted.push(key.clone());
        }
    }
    // In the order of the table, whatever the order of the request.
    let columns = known.iter().filter(|name| is_all || wanted.contains(name)).cloned().collect();
    let features = found.features.iter().map(|(table, definition, version)| Features {
        at: At { table: table.table.0, version: *version },
        keys: definition.declared.keys.clone(),
        timestamp: definition.declared.timestamp.clone(),
        take: definition
            .declared
            .features
            .iter()
            .map(|feature| Taken {
                column: feature.name.clone(),
                is_count: definition::is_count(&definition.declared, &feature.name),
            })
            .collect(),
    });
    Ok(Definition {
        recipe: Recipe {
            labels: At { table: found.labels.table.0, version: found.version },
            filter: asked.filter.clone().filter(|filter| !filter.trim().is_empty()),
            columns,
            timestamp,
            features: features.collect(),
        },
        label,
        label_table: found.labels.asset.id,
        features: found
            .features
            .iter()
            .map(|(table, definition, version)| Source {
                table: table.asset.id,
                definition: definition.n,
                version: *version,
            })
            .collect(),
    })
}

/// Pins what the set stands on and queues the job; `None` where the set is there.
fn begin(
    tx: &mut Sql<'_>,
    name: &FullName,
    comment: Option<&str>,
    definition: &Definition,
) -> Result<Change<Option<jobs::JobId>>> {
    let (_, schema) = names::schema_of(tx, &name.catalog, &name.schema)?;
    authorize(tx, Action::Create, schema.id)?;
    if let Some(other) = find(tx, name)? {
        authorize(tx, Action::Read, other.id)?;
        if super::read(tx, other.clone())?.definition == *definition {
            return Ok(Change::Nothing(None));
        }
        return Err(Error::new(
            Code::AlreadyExists,
            format!(
                "The training set '{}' exists already and was made of other rows. It never changes: give this one another name, or \
                 delete that one.",
                managed::show(name)
            ),
        ));
    }
    if let Some(other) = managed::of_leaf(tx, schema.id, &fold_case(&name.leaf))? {
        return Err(names::taken(&name.leaf, &other));
    }
    let payload = Payload {
        name: managed::show(name),
        schema: schema.id,
        set: Uuid::now_v7(),
        comment: comment.map(str::to_owned),
        definition: definition.clone(),
    };
    for (table, _) in pinned(definition) {
        managed::by_asset(tx, table, Action::Read)?;
    }
    pin(tx, &payload)?;
    let run_as = tx.caller().id;
    let new =
        NewJob { asset: Some((schema.id, Action::Create)), ..NewJob::new(KIND, json!(payload), run_as) };
    let queued = jobs::enqueue(tx, &new)?;
    Ok(match queued.event {
        Some(event) => Change::Made(Some(queued.id), event),
        None => Change::Nothing(Some(queued.id)),
    })
}

/// Keeps what a set stands on.
fn pin(tx: &mut Sql<'_>, payload: &Payload) -> Result<()> {
    let reason = format!("the training set {}", payload.name);
    let holder = holder(&payload.set.to_string());
    for (table, version) in pinned(&payload.definition) {
        tables::pin_in_tx(tx, table, version, &holder, &reason)?;
    }
    Ok(())
}

async fn run(job: JobCtx) -> Result<Json> {
    let payload: Payload = serde_json::from_value(job.payload().1.clone()).map_err(Error::internal)?;
    let outcome = make(&job, &payload).await;
    if let Err(error) = &outcome
        && is_for_good(&job, error)
        && let Err(error) = give_up(&job, &payload).await
    {
        tracing::warn!(job = %job.id(), ?error, "what was written of a training set is not taken away yet");
    }
    outcome
}

/// Whether no other attempt follows on a failure.
fn is_for_good(job: &JobCtx, error: &Error) -> bool {
    use Code::{DeadlineExceeded, RequestLimitExceeded, ResourceConflict, TemporarilyUnavailable};
    let is_passing = matches!(
        error.code(),
        TemporarilyUnavailable | DeadlineExceeded | RequestLimitExceeded | ResourceConflict
    );
    let is_last = job.job().attempts >= job.job().attempts_max;
    (is_last || !is_passing) && !job.is_to_end()
}

async fn make(job: &JobCtx, payload: &Payload) -> Result<Json> {
    let ctx = job.ctx().await?;
    let set = payload.set.to_string();
    let (tables, looked_up) = (pinned(&payload.definition), set.clone());
    let schema = payload.schema;
    let known = ctx
        .read(move |sql| {
            authorize(sql, Action::Create, schema)?;
            let mut read = Vec::new();
            for (table, version) in tables {
                read.push((managed::by_asset(sql, table, Action::Read)?.table, version));
            }
            match asset::by_uuid(sql, &looked_up)? {
                Some(found) => super::read(sql, found).map(Ok),
                None => Ok(Err(read)),
            }
        })
        .await?;
    let tables = match known {
        Ok(known) => return Ok(said(&payload.name, known.rows, &known.digest)),
        Err(tables) => tables,
    };
    for (table, version) in tables {
        job.charge_read(ctx.app.lake.state(table, Some(version)).await?.bytes)?;
    }
    job.progress(0, 0, "joining labels with features");
    let mark = Mark { operation: job.id(), notes: Vec::new() };
    let target = lake::TableId(payload.set);
    let built = ctx.app.lake.build_training_set(target, payload.definition.recipe.clone(), mark).await?;
    job.charge_written(built.bytes);
    let state = ctx.app.lake.state(target, Some(built.version)).await?;
    let (payload, id, answer) =
        (payload.clone(), job.id().to_string(), said(&payload.name, built.rows, &built.digest));
    job.write(move |tx| record(tx, &payload, &built, &state, &id)).await?;
    Ok(answer)
}

fn said(name: &str, rows: u64, digest: &str) -> Json {
    json!({ "full_name": name, "rows": rows, "sha256": digest })
}

/// By what name these rows are kept from writers.
const KEEPER: &str = "a training set";

/// Makes the set visible, with its lineage.
fn record(
    tx: &mut Sql<'_>,
    payload: &Payload,
    built: &Built,
    state: &State,
    job: &str,
) -> Result<Change<()>> {
    let name = managed::parse(&payload.name)?;
    asset::lock(tx, payload.schema)?;
    authorize(tx, Action::Create, payload.schema)?;
    let leaf_key = fold_case(&name.leaf);
    if let Some(other) = managed::of_leaf(tx, payload.schema, &leaf_key)? {
        return Err(names::taken(&name.leaf, &other));
    }
    // A job may have waited for so long that its pins are gone.
    pin(tx, payload)?;
    let owner_id = tx.caller().id;
    // Who records that a run read it says so by this.
    let properties = Map::from_iter([("sha256".to_owned(), Json::from(built.digest.as_str()))]);
    let made = asset::create_as(
        tx,
        &payload.set.to_string(),
        &NewAsset {
            parent_id: Some(payload.schema),
            kind: Kind::TrainingSet,
            leaf: &name.leaf,
            leaf_key: &leaf_key,
            wire_name: None,
            owner_id,
            comment: payload.comment.as_deref(),
            properties: Some(&properties),
        },
    )?;
    let definition = serde_json::to_string(&payload.definition).map_err(Error::internal)?;
    let columns = serde_json::to_string(&built.columns).map_err(Error::internal)?;
    let (rows, bytes, version) = (built.rows as i64, built.bytes as i64, built.version as i64);
    let row = bind![made.id, &definition, &built.digest, rows, bytes, version, &columns, job];
    tx.execute(&store::SET_INSERT, row)?;
    let revision = managed::freeze_in_tx(tx, made.id, state, KEEPER)?;
    for (table, version) in pinned(&payload.definition) {
        let from = version.to_string();
        let fact = Fact { source_version: &from, target_version: &built.digest, ..Fact::default() };
        let (source, target) = (NodeRef::Asset(table), NodeRef::Asset(made.id));
        lineage::record(tx, source, target, EdgeKind::Derives, fact)?;
    }
    let event = Event::new(EventKind::TrainingSetCreate).asset(made.id, revision).detail(json!({
        "name": payload.name, "rows": built.rows, "sha256": built.digest, "definition": payload.definition,
    }));
    Ok(Change::Made((), event))
}

/// Takes the pins away of a set that does not come to be, and what was written of it; nothing where another attempt is at it, or
/// has made it.
async fn give_up(job: &JobCtx, payload: &Payload) -> Result<()> {
    let schema = payload.schema;
    job.write(move |tx| {
        authorize(tx, Action::Create, schema)?;
        Ok(Change::Nothing(()))
    })
    .await?;
    let (definition, set) = (payload.definition.clone(), payload.set.to_string());
    let app = job.ctx().await?.app;
    let is_gone = app
        .db
        .derive(move |tx| {
            if asset::by_uuid(tx, &set)?.is_some() {
                return Ok(false);
            }
            for (table, _) in pinned(&definition) {
                tables::unpin_all_in_tx(tx, table, &holder(&set))?;
            }
            Ok(true)
        })
        .await?;
    if is_gone {
        app.lake.remove(lake::TableId(payload.set)).await?;
    }
    Ok(())
}
