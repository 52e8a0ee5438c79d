//! Declaring a monitor, or its next version.

use serde_json::json;
use sha2::{Digest, Sha256};
use syntax::{
    monitors::{self, from_yaml},
    names::{FullName, fold_case},
};

use super::{
    baseline::{self, Resolved},
    compared::Compared,
    monitor::{self, Monitor},
    provenance, store,
};
use crate::{
    bind,
    catalog::{
        Action,
        asset::{self, Asset, Kind, NewAsset},
        authorize, names, principal,
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    jobs::commands,
    tables::{
        managed::{self, Managed},
        pin_in_tx, unpin_in_tx,
        written::Written,
    },
};

/// What the pin of a baseline is called.
fn holder(asset: &Asset) -> String {
    format!("monitor {}", asset.uuid)
}

/// Reads a declaration; a mistake is told with its line and column.
fn read(yaml: &str) -> Result<monitors::Monitor> {
    from_yaml(yaml)
        .map_err(|error| Error::invalid(format!("The monitor cannot be read: {error}.")).in_field("yaml"))
}

/// What a definition names, found and authorised for who declares it.
struct Named {
    name: FullName,
    watched: Managed,
    baseline: Resolved,
    /// The command of the trigger: `asset.id`.
    command_id: Option<i64>,
}

fn find(sql: &mut Sql<'_>, definition: &monitors::Monitor) -> Result<Named> {
    let name = managed::parse(&definition.watch)?;
    let watched = monitor::watched(sql, &name)?;
    let baseline = baseline::resolve(sql, &definition.baseline)?;
    if let Some(owner) = &definition.alerts.owner {
        principal::require(sql, owner)?;
    }
    let mut command_id = None;
    if let Some(trigger) = &definition.trigger {
        let command = commands::find(sql, &trigger.command)?;
        authorize(sql, Action::Execute, command.id)?;
        command_id = Some(command.id);
        let known = commands::newest_definition(sql, command.id)?;
        if let Some(unknown) = trigger.parameters.keys().find(|name| !known.params.contains_key(*name)) {
            return Err(Error::invalid(format!(
                "The command '{}' has no parameter '{unknown}', which the trigger sets.",
                trigger.command
            )));
        }
    }
    Ok(Named { name, watched, baseline, command_id })
}

/// Refuses columns that the tables do not have, before anything is stored.
async fn check_columns(ctx: &Ctx, yaml: &str, definition: &monitors::Monitor) -> Result<()> {
    let asked = definition.clone();
    let named = ctx.read(move |sql| find(sql, &asked)).await?;
    let watched = ctx.app.lake.state(named.watched.table, Some(named.watched.newest.version)).await?;
    let baseline = ctx.app.lake.state(named.baseline.table, Some(named.baseline.version)).await?;
    let written = Written::new(yaml, "The monitor cannot be declared", "yaml")?;
    let compared = Compared {
        written: &written,
        watched: (&managed::show(&named.watched.name), &watched.columns),
        baseline: (&managed::show(&named.baseline.name), &baseline.columns),
    };
    compared.check(definition)
}

/// Declares a monitor. A definition that is the same already changes nothing, but for whose rights count.
pub(super) async fn declare(ctx: &Ctx, yaml: &str) -> Result<Monitor> {
    let definition = read(yaml)?;
    check_columns(ctx, yaml, &definition).await?;
    let text = serde_json::to_string(&definition).map_err(Error::internal)?;
    let sha256: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    ctx.write(move |tx| {
        let named = find(tx, &definition)?;
        let (_, schema) = names::schema_of(tx, &named.name.catalog, &named.name.schema)?;
        // Nobody deletes the schema while something is made in it, and one version is made at a time.
        asset::lock(tx, schema.id)?;
        let before = monitor::find(tx, &named.name)?.map(|asset| monitor::load(tx, asset)).transpose()?;
        let (asset, n) = match before {
            None => {
                authorize(tx, Action::Create, schema.id)?;
                // There is one monitor of each: it is for who may change what is watched.
                let subject = monitor::subject(tx, &named.name)?.unwrap_or(named.watched.asset.id);
                authorize(tx, Action::Edit, subject)?;
                let made = create(tx, &schema, &named.name)?;
                tx.execute(&store::MONITOR_INSERT, bind![made.id, named.watched.asset.id, 1_i64])?;
                (made, 1)
            }
            Some(before) => {
                authorize(tx, Action::Edit, before.asset.id)?;
                // No window is planned meanwhile.
                tx.first(&store::MONITOR_LOCK, bind![before.asset.id], |_| Ok(()))?;
                let is_same = before.sha256 == sha256
                    && before.watched_id == named.watched.asset.id
                    && before.baseline_id == named.baseline.asset_id
                    && before.command_id == named.command_id
                    && before.declared_by == tx.caller().id;
                if is_same {
                    return Ok(Change::Nothing(before));
                }
                let n = before.n + 1;
                redeclare(tx, &before, &named, &definition, n)?;
                (before.asset, n)
            }
        };
        let (now, by) = (tx.now(), tx.caller().id);
        let (baseline, version) = (named.baseline.asset_id, named.baseline.version);
        tx.execute(
            &store::DEFINITION_INSERT,
            bind![asset.id, n, &text, &sha256[..], baseline, version as i64, now, by, named.command_id],
        )?;
        pin_in_tx(tx, baseline, version, &holder(&asset), "windows are compared with it")?;
        provenance::record(tx, asset.id, [(named.watched.asset.id, None), (baseline, Some(version))])?;
        let revision = asset::touch(tx, asset.id)?;
        let asset = Asset { revision, ..asset };
        let event = Event::new(EventKind::MonitorDeclare).asset(asset.id, revision).detail(json!({
            "name": definition.watch, "version": n, "definition": definition,
        }));
        Ok(Change::Made(monitor::load(tx, asset)?, event))
    })
    .await
}

/// Makes a monitor that is there ready for its next version.
fn redeclare(
    tx: &mut Sql<'_>,
    before: &Monitor,
    named: &Named,
    definition: &monitors::Monitor,
    n: i64,
) -> Result<()> {
    let (id, watched_id) = (before.asset.id, named.watched.asset.id);
    keep_windows(tx, before, definition)?;
    unpin_in_tx(tx, before.baseline_id, before.baseline_version, &holder(&before.asset))?;
    tx.execute(&store::MONITOR_REDEFINE, bind![id, watched_id, n])?;
    let column = |definition: &monitors::Monitor| {
        definition.prediction.as_ref().map(|prediction| fold_case(&prediction.column))
    };
    if before.watched_id != watched_id || column(&before.definition) != column(definition) {
        tx.execute(&store::MONITOR_FORGET_REFERENCE, bind![id])?;
    }
    Ok(())
}

/// Refuses windows of another length or offset once there are some: figures, series, steps and alerts hold one kind. Where
/// there are none yet, the look begins anew.
fn keep_windows(tx: &mut Sql<'_>, before: &Monitor, definition: &monitors::Monitor) -> Result<()> {
    let (old, new) = (before.definition.window, definition.window);
    if (old.length, old.offset) == (new.length, new.offset) {
        return Ok(());
    }
    let id = before.asset.id;
    if tx.first(&store::WINDOW_ANY, bind![id], |_| Ok(()))?.is_none() {
        return tx.execute(&store::MONITOR_RESTART, bind![id]).map(drop);
    }
    let name = asset::display_name(tx, id)?;
    Err(Error::invalid(format!(
        "The monitor '{name}' has computed windows of {} with the offset {}; the declaration has {} and {}. One series cannot \
         hold both. Keep length and offset, or delete the monitor, whose figures stay, and declare a new one: strongback \
         monitor delete {name}",
        old.length, old.offset, new.length, new.offset
    ))
    .in_field("window"))
}

fn create(tx: &mut Sql<'_>, schema: &Asset, name: &FullName) -> Result<Asset> {
    let owner_id = tx.caller().id;
    asset::create(
        tx,
        &NewAsset {
            parent_id: Some(schema.id),
            kind: Kind::Monitor,
            leaf: &name.leaf,
            leaf_key: &fold_case(&name.leaf),
            wire_name: None,
            owner_id,
            comment: None,
            properties: None,
        },
    )
}

/// Deletes a monitor, authorised; what it computed stays.
pub(super) fn delete(tx: &mut Sql<'_>, full_name: &str) -> Result<Event> {
    let found = monitor::get(tx, full_name, Action::Delete)?;
    asset::lock(tx, found.asset.id)?;
    unpin_in_tx(tx, found.baseline_id, found.baseline_version, &holder(&found.asset))?;
    let revision = asset::delete(tx, found.asset.id)?;
    Ok(Event::new(EventKind::MonitorDelete)
        .asset(found.asset.id, revision)
        .detail(json!({ "name": full_name })))
}
