//! Endpoints: making, changing and deleting them. Both faces, ours and the flat one, stand on these functions.

use serde_json::json;
use syntax::names::{FullName, check_endpoint_name, fold_case};

use super::{
    config::{self, Config, NewConfig},
    runtime::{digest_of, resolve},
    store,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind, NewAsset},
        authorize,
        authorize::is_allowed,
        names::{self, refused},
        securable,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Code, Error, Result},
    events::{Event, EventKind},
    registry::models,
};

/// An endpoint and what it is to serve.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The named thing.
    pub asset: Asset,
    /// Its name on flat faces.
    pub name: String,
    /// `catalog.schema.leaf`
    pub full_name: String,
    /// What it is to serve.
    pub config: Config,
    /// The model's name now.
    pub model: String,
}

/// What to make.
#[derive(Debug, Clone, Default)]
pub struct NewEndpoint {
    /// The name on flat faces.
    pub name: String,
    /// `catalog.schema.leaf`; in the model's schema under its name when absent.
    pub full_name: Option<String>,
    /// `name@alias`, `name/version` or `name`.
    pub model: String,
    /// How flat faces call what is served; after the model when absent.
    pub served_name: Option<String>,
    /// Description.
    pub comment: Option<String>,
}

/// The endpoint of this name on any face, for a caller who may do this to it.
pub fn find(sql: &mut Sql<'_>, name: &str, action: Action) -> Result<Endpoint> {
    let Some(asset) = asset_of(sql, name)? else {
        return Err(match FullName::parse(name) {
            Ok(full) => names::otherwise(sql, &full, Kind::Endpoint, missing(name)),
            Err(_) => missing(name),
        });
    };
    authorize(sql, action, asset.id)?;
    load(sql, asset)
}

fn asset_of(sql: &mut Sql<'_>, name: &str) -> Result<Option<Asset>> {
    match FullName::parse(name) {
        Ok(full) => names::leaf(sql, &full, Kind::Endpoint),
        Err(_) => asset::find_by_wire_name(sql, Kind::Endpoint, name),
    }
}

/// The error for a name that means nothing.
pub fn missing(name: &str) -> Error {
    Error::missing(format!(
        "The endpoint '{name}' does not exist. Create it with: strongback endpoint create {name} --model NAME@ALIAS"
    ))
}

fn load(sql: &mut Sql<'_>, asset: Asset) -> Result<Endpoint> {
    let config = config::newest(sql, asset.id)?;
    let full_name = asset::display_name(sql, asset.id)?;
    let model = models::get(sql, config.model_id)?
        .map_or_else(|| asset::display_name(sql, config.model_id), |model| Ok(model.name()))?;
    let name = asset.wire_name.clone().unwrap_or_else(|| full_name.clone());
    Ok(Endpoint { asset, name, full_name, config, model })
}

/// The endpoints that the caller may read, by name.
pub fn list(sql: &mut Sql<'_>) -> Result<Vec<Endpoint>> {
    let mut found = Vec::new();
    for id in sql.all(&store::ENDPOINT_IDS, bind![], |row| row.get::<i64>(0))? {
        if is_allowed(sql, Action::Read, id)?
            && let Some(asset) = asset::get(sql, id)?
        {
            found.push(load(sql, asset)?);
        }
    }
    Ok(found)
}

/// What a model's name means now, for a caller who may read the model.
fn new_config(
    tx: &mut Sql<'_>,
    model: &str,
    served_name: Option<&str>,
) -> Result<(NewConfig, models::Model)> {
    let (model, version, alias) = resolve(tx, model).map_err(|error| error.in_field("model"))?;
    let digest = digest_of(&model.name(), &version)?;
    let made = || format!("{}{}", made_prefix(&model), version.version);
    let served_name = served_name.map_or_else(made, str::to_owned);
    Ok((NewConfig { model_id: model.id, version: version.version, digest, alias, served_name }, model))
}

/// What stands before the version in the name that flat faces have for what is served, where nobody gave it one.
fn made_prefix(model: &models::Model) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    model.leaf.chars().map(plain).chain(['-']).collect()
}

/// The next configuration, unless it is as the present one. A name that somebody gave to what is served stays until another one
/// is given.
fn next_config(
    tx: &mut Sql<'_>,
    before: &Config,
    model: &str,
    served_name: Option<&str>,
) -> Result<Option<(NewConfig, models::Model)>> {
    let (mut config, model) = new_config(tx, model, served_name)?;
    let is_same = (before.model_id, before.version, &before.alias)
        == (config.model_id, config.version, &config.alias)
        && served_name.is_none_or(|name| name == before.served_name);
    if is_same {
        return Ok(None);
    }
    if served_name.is_none() {
        let made = models::get(tx, before.model_id)?.map(|before| made_prefix(&before));
        let rest = made.and_then(|made| before.served_name.strip_prefix(&made).map(str::to_owned));
        let is_made = rest.is_some_and(|rest| rest.parse::<i64>().is_ok());
        if !is_made {
            config.served_name.clone_from(&before.served_name);
        }
    }
    Ok(Some((config, model)))
}

fn detail(name: &str, model: &models::Model, n: i64, config: &NewConfig) -> serde_json::Value {
    json!({
        "name": name, "model": model.name(), "config": n, "version": config.version, "alias": config.alias,
        "digest": config.digest,
    })
}

/// Makes an endpoint and begins to load what it serves.
pub async fn endpoint_create(ctx: &Ctx, new: NewEndpoint) -> Result<Endpoint> {
    check_endpoint_name(&new.name).map_err(refused)?;
    securable::check_comment(new.comment.as_deref())?;
    let full = new.full_name.as_deref().map(FullName::parse).transpose().map_err(refused)?;
    let made = ctx
        .write(move |tx| {
            let served_name = new.served_name.as_deref().filter(|name| !name.is_empty());
            let (config, model) = new_config(tx, &new.model, served_name)?;
            let (schema_id, leaf) = match &full {
                Some(full) => (names::schema_of(tx, &full.catalog, &full.schema)?.1.id, full.leaf.as_str()),
                None => (model.schema_id, new.name.as_str()),
            };
            // Nobody deletes the schema while something is made in it.
            asset::lock(tx, schema_id)?;
            authorize(tx, Action::Create, schema_id)?;
            if asset::find_by_wire_name(tx, Kind::Endpoint, &new.name)?.is_some() {
                return Err(Error::new(
                    Code::ResourceAlreadyExists,
                    format!("The endpoint '{}' exists already.", new.name),
                ));
            }
            if let Some(other) = asset::find(tx, Some(schema_id), Kind::Endpoint, &fold_case(leaf))? {
                return Err(names::taken(leaf, &other));
            }
            let asset = asset::create(
                tx,
                &NewAsset {
                    parent_id: Some(schema_id),
                    kind: Kind::Endpoint,
                    leaf,
                    leaf_key: &fold_case(leaf),
                    wire_name: Some(&new.name),
                    owner_id: tx.caller().id,
                    comment: new.comment.as_deref().filter(|comment| !comment.is_empty()),
                    properties: None,
                },
            )?;
            tx.execute(&store::ENDPOINT_INSERT, bind![asset.id, 1])?;
            config::insert(tx, asset.id, 1, &config)?;
            let event = Event::new(EventKind::EndpointCreate)
                .asset(asset.id, asset.revision)
                .detail(detail(&new.name, &model, 1, &config));
            Ok(Change::Made(load(tx, asset)?, event))
        })
        .await?;
    ctx.app.serving.adopt(made.asset.id, &made.name);
    ctx.app.serving.wake.notify_one();
    Ok(made)
}

/// Makes the endpoint's next configuration, unless it is as the present one; what it serves goes on until that is loaded.
pub async fn endpoint_update(
    ctx: &Ctx,
    name: String,
    model: String,
    served_name: Option<String>,
) -> Result<Endpoint> {
    let changed = ctx
        .write(move |tx| {
            let found = find(tx, &name, Action::Edit)?;
            asset::lock(tx, found.asset.id)?;
            let before = config::newest(tx, found.asset.id)?;
            let served_name = served_name.as_deref().filter(|name| !name.is_empty());
            let Some((config, model)) = next_config(tx, &before, &model, served_name)? else {
                return Ok(Change::Nothing(found));
            };
            let n = before.n + 1;
            advance(tx, found.asset.id, n, &config)?;
            let revision = asset::touch(tx, found.asset.id)?;
            let event = Event::new(EventKind::EndpointUpdate).asset(found.asset.id, revision).detail(detail(
                &found.name,
                &model,
                n,
                &config,
            ));
            let asset = asset::get(tx, found.asset.id)?.ok_or_else(|| missing(&found.name))?;
            Ok(Change::Made(load(tx, asset)?, event))
        })
        .await?;
    ctx.app.serving.wake.notify_one();
    Ok(changed)
}

fn advance(tx: &mut Sql<'_>, endpoint_id: i64, n: i64, config: &NewConfig) -> Result<()> {
    config::insert(tx, endpoint_id, n, config)?;
    tx.execute(&store::ENDPOINT_SET_CONFIG, bind![endpoint_id, n]).map(|_| ())
}

/// Makes the configuration in which an alias that moved is resolved anew, as the server does once the version is loaded. `None`
/// if the endpoint, its configuration or the alias has changed since.
pub(super) async fn endpoint_follow(
    ctx: &Ctx,
    endpoint_id: i64,
    before_n: i64,
    version: i64,
) -> Result<Option<i64>> {
    ctx.write(move |tx| {
        authorize(tx, Action::Edit, endpoint_id)?;
        let Some(asset) = asset::get(tx, endpoint_id)? else { return Ok(Change::Nothing(None)) };
        asset::lock(tx, endpoint_id)?;
        let before = config::newest(tx, endpoint_id)?;
        let (Some(alias), Some(model)) = (&before.alias, models::get(tx, before.model_id)?) else {
            return Ok(Change::Nothing(None));
        };
        let target = crate::registry::aliases::resolve(tx, &model, alias)?;
        let Some(target) = target.filter(|target| before.n == before_n && target.version == version) else {
            return Ok(Change::Nothing(None));
        };
        let config = NewConfig {
            model_id: model.id,
            version,
            digest: digest_of(&model.name(), &target)?,
            alias: before.alias.clone(),
            served_name: before.served_name.clone(),
        };
        let n = before.n + 1;
        advance(tx, endpoint_id, n, &config)?;
        let revision = asset::touch(tx, endpoint_id)?;
        let name = asset.wire_name.unwrap_or(asset.leaf);
        let event = Event::new(EventKind::EndpointFollow)
            .asset(endpoint_id, revision)
            .detail(detail(&name, &model, n, &config));
        Ok(Change::Made(Some(n), event))
    })
    .await
}

/// Deletes an endpoint: requests to it are refused at once, and what it served is let go.
pub async fn endpoint_delete(ctx: &Ctx, name: String) -> Result<()> {
    let gone = ctx
        .write(move |tx| {
            let found = find(tx, &name, Action::Delete)?;
            let event = securable::delete(tx, &found.asset, false, EventKind::EndpointDelete)?;
            Ok(Change::Made(found.name, event))
        })
        .await?;
    ctx.app.serving.drop_endpoint(&gone);
    Ok(())
}
