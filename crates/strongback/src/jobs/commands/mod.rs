//! Commands: what runners run, declared by an administrator, in immutable versions.
//!
//! A command is an asset with an owner, in a schema. Declaring it again with another definition makes its next version; a
//! job is of one version and stays so. Who may execute it queues a job that runs as themselves; an administrator may name
//! another principal, which then has to have the right itself.

pub mod definition;

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use syntax::names::{FullName, fold_case};

pub use definition::{DEFAULT_LABEL, Definition};

use super::{
    http::info,
    job::Budget,
    queue::{self, NewJob, Queued},
    store,
    wire::JobInfo,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind, NewAsset},
        authorize,
        authorize::authorize_as,
        authorize_admin, names,
        principal::{self, PrincipalKind},
        securable::{self, Paging, People},
    },
    context::Ctx,
    db::{Change, Row, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, required},
    },
};

/// The kind of jobs that run commands.
pub const KIND: &str = "command";
/// Version of the payload of such a job.
const PAYLOAD_VERSION: i64 = 1;

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/api/1.0/commands";
    const ONE: &str = "/api/1.0/commands/{full_name}";
    const RUN: &str = "/api/1.0/commands/{full_name}/run";
    let (read, execute) = (Policy::Asset(Action::Read), Policy::Asset(Action::Execute));
    let (small, json) = (Limits::SMALL, Limits::JSON);
    vec![
        Route::json(
            Method::POST,
            ALL,
            Policy::Admin,
            json,
            "Declare a command, or its next version",
            declare,
        ),
        Route::json(Method::GET, ALL, Policy::Visible, small, "List the commands of a schema", list),
        Route::json(Method::GET, ONE, read, small, "Get a command", get),
        Route::json(Method::DELETE, ONE, Policy::Admin, small, "Delete a command", delete),
        Route::json(Method::POST, RUN, execute, json, "Queue a job that runs a command", run),
    ]
}

/// A version of a command as it leaves. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommandInfo {
    /// `catalog.schema.command`
    pub full_name: String,
    /// Its number; the greatest is run unless another is asked for.
    pub version: i64,
    /// What is run.
    pub definition: Definition,
    /// SHA-256 of the definition's stored form, in hexadecimal.
    pub sha256: String,
    /// When this version was declared.
    pub declared_at: i64,
    /// By whom.
    pub declared_by: String,
    /// Description of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Name of the owner.
    pub owner: String,
    /// UUID of the command.
    pub command_id: String,
}

/// A stored version.
pub(super) struct Version {
    pub n: i64,
    pub definition: Definition,
    sha256: Vec<u8>,
    created_at: i64,
    created_by: i64,
}

fn read(row: &Row<'_>) -> Result<Version> {
    Ok(Version {
        n: row.get(0)?,
        definition: serde_json::from_str(&row.get::<String>(1)?).map_err(Error::internal)?,
        sha256: row.get(2)?,
        created_at: row.get(3)?,
        created_by: row.get(4)?,
    })
}

/// A version of a command, the newest when none is named.
pub(super) fn version(sql: &mut Sql<'_>, asset_id: i64, n: Option<i64>) -> Result<Version> {
    let found = match n {
        Some(n) => sql.first(&store::COMMAND_GET, bind![asset_id, n], read)?,
        None => sql.first(&store::COMMAND_NEWEST, bind![asset_id], read)?,
    };
    found.ok_or_else(|| Error::missing(format!("The command has no version {}.", n.unwrap_or_default())))
}

impl CommandInfo {
    fn new(sql: &mut Sql<'_>, people: &mut People, asset: &Asset, version: Version) -> Result<Self> {
        Ok(Self {
            full_name: asset::display_name(sql, asset.id)?,
            version: version.n,
            definition: version.definition,
            sha256: hex::encode(&version.sha256),
            declared_at: version.created_at,
            declared_by: people.name(sql, version.created_by)?,
            comment: asset.comment.clone(),
            owner: people.name(sql, asset.owner_id)?,
            command_id: asset.uuid.clone(),
        })
    }
}

/// What to declare.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct DeclareRequest {
    /// `catalog.schema.command`
    pub name: String,
    /// What is run.
    pub definition: Definition,
    /// Description; absent leaves it as it is.
    pub comment: Option<String>,
    /// Name of the owner, who may run it; the caller's when a new one names none.
    pub owner: Option<String>,
}

async fn declare(ctx: Ctx, request: DeclareRequest) -> Result<CommandInfo> {
    let name = FullName::parse(&request.name).map_err(names::refused)?;
    request.definition.check().map_err(|error| error.in_field("definition"))?;
    securable::check_comment(request.comment.as_deref())?;
    let text = serde_json::to_string(&request.definition).map_err(Error::internal)?;
    let sha256: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    ctx.write(move |tx| {
        authorize_admin(tx, "declare commands")?;
        let owner_id = request.owner.as_deref().map(|name| principal::require(tx, name)).transpose()?;
        let (_, schema) = names::schema_of(tx, &name.catalog, &name.schema)?;
        // Nobody deletes the schema while something is made in it, and one version is made at a time.
        asset::lock(tx, schema.id)?;
        let comment = request.comment.as_deref();
        let found = asset::find(tx, Some(schema.id), Kind::Command, &fold_case(&name.leaf))?;
        let (asset, n) = match found {
            None => (create(tx, &schema, &name.leaf, owner_id, comment)?, Some(1)),
            Some(found) => {
                let newest = version(tx, found.id, None)?;
                let n = (newest.sha256 != sha256).then_some(newest.n + 1);
                let Some(asset) = update(tx, found.id, owner_id, comment, n.is_some())? else {
                    return Ok(Change::Nothing(CommandInfo::new(tx, &mut People::default(), &found, newest)?));
                };
                (asset, n)
            }
        };
        if let Some(n) = n {
            let (now, by) = (tx.now(), tx.caller().id);
            tx.execute(&store::COMMAND_INSERT, bind![asset.id, n, &text, &sha256[..], now, by])?;
        }
        let newest = version(tx, asset.id, None)?;
        let info = CommandInfo::new(tx, &mut People::default(), &asset, newest)?;
        let event = Event::new(EventKind::CommandDeclare).asset(asset.id, asset.revision).detail(json!({
            "name": info.full_name, "version": info.version, "definition": info.definition, "owner": info.owner,
        }));
        Ok(Change::Made(info, event))
    })
    .await
}

fn create(
    tx: &mut Sql<'_>,
    schema: &Asset,
    leaf: &str,
    owner_id: Option<i64>,
    comment: Option<&str>,
) -> Result<Asset> {
    let owner_id = owner_id.unwrap_or(tx.caller().id);
    asset::create(
        tx,
        &NewAsset {
            parent_id: Some(schema.id),
            kind: Kind::Command,
            leaf,
            leaf_key: &fold_case(leaf),
            wire_name: None,
            owner_id,
            comment: comment.filter(|comment| !comment.is_empty()),
            properties: None,
        },
    )
}

/// Changes what belongs to all versions, and counts the revision up if that or the definition changes; else `None`.
fn update(
    tx: &mut Sql<'_>,
    id: i64,
    owner_id: Option<i64>,
    comment: Option<&str>,
    is_new_version: bool,
) -> Result<Option<Asset>> {
    let before = asset::lock(tx, id)?;
    let mut after = before.clone();
    after.owner_id = owner_id.unwrap_or(before.owner_id);
    if let Some(comment) = comment {
        after.comment = (!comment.is_empty()).then(|| comment.to_owned());
    }
    if !is_new_version && after.owner_id == before.owner_id && after.comment == before.comment {
        return Ok(None);
    }
    let leaf_key = fold_case(&after.leaf);
    asset::update(tx, &after, &leaf_key).map(Some)
}

/// Whose commands to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// Name of the catalog.
    pub catalog_name: Option<String>,
    /// Name of the schema.
    pub schema_name: Option<String>,
    /// At most so many; 0 or absent leaves it to the server.
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of commands, each in its newest version.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListResponse {
    /// By name.
    pub commands: Vec<CommandInfo>,
    /// There is more behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let paging = Paging::new(request.max_results, request.page_token);
    let catalog_name = required(&request.catalog_name, "catalog_name")?.to_owned();
    let schema_name = required(&request.schema_name, "schema_name")?.to_owned();
    ctx.read(move |sql| {
        let (_, schema) = names::schema_of(sql, &catalog_name, &schema_name)?;
        let (assets, next_page_token) = securable::page(sql, schema.id, Kind::Command, &paging)?;
        let mut people = People::default();
        let mut commands = Vec::with_capacity(assets.len());
        for asset in assets {
            let newest = version(sql, asset.id, None)?;
            commands.push(CommandInfo::new(sql, &mut people, &asset, newest)?);
        }
        Ok(ListResponse { commands, next_page_token })
    })
    .await
}

/// Which command.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// `catalog.schema.command`
    pub full_name: String,
    /// Which version; the newest when absent.
    pub version: Option<Int64>,
}

/// The command with this name.
pub fn find(sql: &mut Sql<'_>, full_name: &str) -> Result<Asset> {
    let name = FullName::parse(full_name).map_err(names::refused)?;
    let (_, schema) = names::schema_of(sql, &name.catalog, &name.schema)?;
    if let Some(found) = asset::find(sql, Some(schema.id), Kind::Command, &fold_case(&name.leaf))? {
        return Ok(found);
    }
    let missing = Error::missing(format!(
        "The command '{full_name}' does not exist. An administrator declares it with: strongback command declare \
         {full_name} --file FILE"
    ));
    Err(names::otherwise(sql, &name, Kind::Command, missing))
}

/// What the newest version of a command runs. The caller has authorised it.
pub fn newest_definition(sql: &mut Sql<'_>, command_id: i64) -> Result<Definition> {
    version(sql, command_id, None).map(|version| version.definition)
}

async fn get(ctx: Ctx, request: GetRequest) -> Result<CommandInfo> {
    ctx.read(move |sql| {
        let found = find(sql, &request.full_name)?;
        authorize(sql, Action::Read, found.id)?;
        let version = version(sql, found.id, request.version.map(|n| n.0))?;
        CommandInfo::new(sql, &mut People::default(), &found, version)
    })
    .await
}

/// Which command.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DeleteRequest {
    /// `catalog.schema.command`
    pub full_name: String,
}

async fn delete(ctx: Ctx, request: DeleteRequest) -> Result<Empty> {
    ctx.write(move |tx| {
        authorize_admin(tx, "delete commands")?;
        let found = find(tx, &request.full_name)?;
        let event = securable::delete(tx, &found, false, EventKind::CommandDelete)?;
        Ok(Change::Made(Empty {}, event))
    })
    .await
}

/// What a run is.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The command's `asset.id`.
    pub command_id: i64,
    /// Which version; the newest when absent.
    pub version: Option<i64>,
    /// Values of its parameters.
    pub params: BTreeMap<String, String>,
    /// `principal.id` of whose rights count.
    pub run_as_id: i64,
    /// Among the runs of this command as this principal: the same answers the same job.
    pub idempotency_key: Option<String>,
    /// Not begun before, milliseconds since the epoch; 0 for at once.
    pub not_before: i64,
    /// What it may use, where that is less than the command allows.
    pub budget: Budget,
}

/// Queues a run within the caller's transaction, which has authorised the caller. Whom it runs as is asked for the right to
/// execute the command here, and again when it is begun.
pub fn enqueue(tx: &mut Sql<'_>, run: &Run) -> Result<Queued> {
    let run_as = principal::find_by_id(tx, run.run_as_id)?
        .ok_or_else(|| Error::missing(format!("There is no principal with the number {}.", run.run_as_id)))?;
    authorize_as(tx, &run_as, Action::Execute, run.command_id)?;
    let version = version(tx, run.command_id, run.version)?;
    let definition = &version.definition;
    let values = definition.values(&run.params)?;
    let seconds = |seconds: Int64| seconds.0.saturating_mul(1_000);
    let key = run.idempotency_key.as_deref().filter(|key| !key.is_empty());
    let allowed = Budget {
        processor_ms: definition.processor_seconds.map(seconds),
        wall_ms: Some(seconds(definition.wall_seconds)),
        bytes_read: None,
    };
    let new = NewJob {
        payload_version: PAYLOAD_VERSION,
        label: definition.label.clone(),
        asset: Some((run.command_id, Action::Execute)),
        budget: allowed.and(run.budget),
        not_before: run.not_before,
        attempts_max: definition.max_attempts.0,
        // What somebody else calls by the same key is another job.
        idempotency_key: key.map(|key| format!("{}/{}/{key}", run.command_id, run.run_as_id)),
        ..NewJob::new(KIND, json!({ "version": version.n, "params": values }), run.run_as_id)
    };
    queue::enqueue(tx, &new)
}

/// What to run.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RunRequest {
    /// `catalog.schema.command`
    pub full_name: String,
    /// Values of its parameters.
    pub params: Option<BTreeMap<String, String>>,
    /// Which version; the newest when absent.
    pub version: Option<Int64>,
    /// A text by which a repeated call is known: it answers the same job.
    pub idempotency_key: Option<String>,
    /// Name of whose rights count; only administrators name somebody else.
    pub run_as: Option<String>,
}

async fn run(ctx: Ctx, request: RunRequest) -> Result<JobInfo> {
    ctx.write(move |tx| {
        let found = find(tx, &request.full_name)?;
        authorize(tx, Action::Execute, found.id)?;
        let run_as_id = match request.run_as.as_deref().filter(|name| !name.is_empty()) {
            Some(name) if name != tx.caller().name => other(tx, name)?,
            _ => tx.caller().id,
        };
        let asked = Run {
            command_id: found.id,
            version: request.version.map(|n| n.0),
            params: request.params.clone().unwrap_or_default(),
            run_as_id,
            idempotency_key: request.idempotency_key.clone(),
            ..Run::default()
        };
        let queued = enqueue(tx, &asked)?;
        let job = queue::get(tx, queued.id)?;
        let info = info(tx, job)?;
        Ok(match queued.event {
            Some(event) => Change::Made(info, event),
            None => Change::Nothing(info),
        })
    })
    .await
}

/// Somebody else to run as.
fn other(tx: &mut Sql<'_>, name: &str) -> Result<i64> {
    authorize_admin(tx, "let commands run as somebody else")?;
    let found = principal::get(tx, name)?;
    if found.kind == PrincipalKind::Group || found.is_built_in() {
        return Err(Error::invalid(format!(
            "Invalid value '{name}' for parameter 'run_as' supplied: a command runs as a user or a service principal."
        )));
    }
    Ok(found.id)
}
