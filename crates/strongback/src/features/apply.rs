//! `POST /api/1.0/feature-tables`: a definition from YAML becomes a feature table, or its next version.

use http::Method;
use lake::panes::PanePlan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use syntax::{
    features::{FeatureTable, Refresh, file_from_yaml},
    names::FullName,
};

use super::{
    definition::{self, KEEPER},
    difference,
    show::{self, FeatureTableInfo},
    store,
};
use crate::{
    bind,
    catalog::{Action, asset, authorize, securable::check_text},
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{Limits, Policy, Route, wire::flag},
    tables::{
        self,
        managed::{self, Found, Managed},
    },
};

/// Characters that a definition may have.
const YAML_CHARS_MAX: usize = 1 << 20;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::POST,
        "/api/1.0/feature-tables",
        Policy::Asset(Action::Create),
        Limits::JSON,
        "Declare a feature table, or its next version",
        apply,
    )]
}

/// What to declare.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ApplyRequest {
    /// The definition; names of the table and its source stand in it.
    pub yaml: String,
    /// Says what would change and changes nothing.
    #[serde(default, deserialize_with = "flag")]
    pub dry_run: bool,
}

/// What was declared.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApplyResponse {
    /// The name of the feature table.
    pub full_name: String,
    /// Its newest definition, after this.
    pub definition: i64,
    /// Whether the table is new.
    pub is_new: bool,
    /// What changed, or would, a line each; nothing where all is as it was.
    pub changes: Vec<String>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// The table as it is now; absent for one that would be new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<FeatureTableInfo>,
}

/// A definition that was read and fits its source.
#[derive(Clone)]
struct Checked {
    name: FullName,
    declared: FeatureTable,
    refresh: Refresh,
    yaml: String,
    digest: String,
    source_id: i64,
}

async fn apply(ctx: Ctx, request: ApplyRequest) -> Result<ApplyResponse> {
    check_text("yaml", &request.yaml, YAML_CHARS_MAX)?;
    let (declared, refresh) = file_from_yaml(&request.yaml).map_err(|error| {
        Error::invalid(format!("The definition cannot be read: {error}")).in_field("yaml")
    })?;
    let name = managed::parse(&declared.name)?;
    let source = source(&ctx, &name, &declared).await?;
    let plan = PanePlan::new(declared.clone()).map_err(|error| Error::invalid(error.to_string()))?;
    let columns = ctx.app.lake.feature_columns(source.table, source.newest.version, plan.into()).await?;
    let digest = definition::digest(&declared, &source);
    let checked = Checked { name, declared, refresh, yaml: request.yaml, digest, source_id: source.asset.id };
    let looked_up = checked.clone();
    let (is_new, change) = ctx
        .read(move |sql| match managed::find(sql, &looked_up.name)? {
            Found::Nothing { schema } => {
                authorize(sql, Action::Create, schema.id)?;
                Ok((true, Step::New))
            }
            _ => Ok((false, step(sql, &looked_up)?)),
        })
        .await?;
    let (n, changes) = change.says(&checked);
    if !request.dry_run {
        match &change {
            Step::New => {
                let new = tables::NewEmpty {
                    name: checked.name.clone(),
                    columns,
                    comment: format!("Features of {}", checked.declared.source),
                    properties: None,
                    owner: None,
                };
                let also = checked.clone();
                tables::create_kept(&ctx, new, KEEPER, move |tx, asset_id| made(tx, asset_id, &also)).await?;
            }
            Step::Same(_) => {}
            Step::Changed { .. } => change_table(&ctx, checked.clone()).await?,
        }
    }
    let table = match is_new && request.dry_run {
        true => None,
        false => Some(show::get(ctx, checked.name.clone()).await?),
    };
    let full_name = managed::show(&checked.name);
    let definition = if request.dry_run { n } else { table.as_ref().map_or(n, |table| table.definition) };
    Ok(ApplyResponse { full_name, definition, is_new, changes, dry_run: request.dry_run, table })
}

/// The source, for a caller who may read it. That the table itself may be made or changed is asked first, so that nobody is told
/// about sources for nothing.
async fn source(ctx: &Ctx, name: &FullName, declared: &FeatureTable) -> Result<Managed> {
    let (name, source) = (name.clone(), managed::parse(&declared.source)?);
    ctx.read(move |sql| {
        match managed::find(sql, &name)? {
            Found::Nothing { schema } => authorize(sql, Action::Create, schema.id)?,
            Found::Managed(table) => authorize(sql, Action::Edit, table.asset.id)?,
            Found::Declared(table) => authorize(sql, Action::Edit, table.id)?,
        }
        let found = managed::get(sql, &source, Action::Read)?;
        if definition::state(sql, found.asset.id)?.is_some() {
            return Err(Error::invalid(format!(
                "The source '{}' is a feature table itself. Its rows are replaced when they change, so nothing can be computed from \
                 them by increments. Name the table behind it.",
                managed::show(&source)
            )));
        }
        Ok(found)
    })
    .await
}

/// What is to be done.
enum Step {
    New,
    Same(i64),
    Changed { n: i64, changes: Vec<String> },
}

impl Step {
    fn says(&self, checked: &Checked) -> (i64, Vec<String>) {
        match self {
            Self::New => {
                let count = checked.declared.features.len();
                (1, vec![format!("a new feature table of {count} features of {}", checked.declared.source)])
            }
            Self::Same(n) => (*n, Vec::new()),
            Self::Changed { n, changes } => (*n, changes.clone()),
        }
    }
}

fn step(sql: &mut Sql<'_>, checked: &Checked) -> Result<Step> {
    let (table, state) = definition::find(sql, &checked.name, Action::Edit)?;
    let newest = definition::get(sql, table.asset.id, state.newest)?;
    let mut changes = Vec::new();
    let mut n = newest.n;
    if newest.digest != checked.digest {
        n += 1;
        if newest.source_id != checked.source_id {
            let (before, after) = (asset::display_name(sql, newest.source_id)?, &checked.declared.source);
            changes.push(match before == *after {
                true => format!("source: another table has the name {after} now"),
                false => format!("source: {before} becomes {after}"),
            });
        }
        changes.extend(difference::words(&newest.declared, &checked.declared));
    }
    if state.refresh != checked.refresh {
        changes.push(format!("refresh: {} becomes {}", state.refresh.name(), checked.refresh.name()));
    }
    Ok(if changes.is_empty() && n == newest.n { Step::Same(n) } else { Step::Changed { n, changes } })
}

fn made(tx: &mut Sql<'_>, asset_id: i64, checked: &Checked) -> Result<(EventKind, serde_json::Value)> {
    let run_as = tx.caller().id;
    let row = bind![asset_id, 1_i64, checked.source_id, checked.refresh.name(), run_as];
    tx.execute(&store::TABLE_INSERT, row)?;
    insert(tx, asset_id, 1, checked)?;
    let detail = json!({ "name": managed::show(&checked.name), "definition": 1, "digest": checked.digest });
    Ok((EventKind::FeatureTableDeclare, detail))
}

fn insert(tx: &mut Sql<'_>, asset_id: i64, n: i64, checked: &Checked) -> Result<()> {
    let definition = serde_json::to_string(&checked.declared).map_err(Error::internal)?;
    let (now, by) = (tx.now(), tx.caller().id);
    let row = bind![asset_id, n, &definition, &checked.yaml, &checked.digest, checked.source_id, now, by];
    tx.execute(&store::DEFINITION_INSERT, row).map(drop)
}

/// Makes the next definition, if it is another one still.
async fn change_table(ctx: &Ctx, checked: Checked) -> Result<()> {
    ctx.write(move |tx| {
        let found = managed::get(tx, &checked.name, Action::Edit)?;
        let id = found.asset.id;
        asset::lock(tx, id)?;
        let Step::Changed { n, changes } = step(tx, &checked)? else { return Ok(Change::Nothing(())) };
        let newest = definition::state(tx, id)?.map_or(0, |state| state.newest);
        if n != newest {
            insert(tx, id, n, &checked)?;
        }
        let run_as = tx.caller().id;
        let row = bind![id, n, checked.source_id, checked.refresh.name(), run_as];
        tx.execute(&store::TABLE_SET_NEWEST, row)?;
        tx.ring();
        let revision = asset::touch(tx, id)?;
        let detail = json!({ "definition": n, "digest": checked.digest, "changes": changes });
        let event = Event::new(EventKind::FeatureTableDeclare).asset(id, revision).detail(detail);
        Ok(Change::Made((), event))
    })
    .await
}
