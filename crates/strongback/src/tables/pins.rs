//! Pins: who needs a version of a table. A vacuum asks.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    managed::{self, Managed},
    store,
};
use crate::{
    bind,
    catalog::{
        Action, asset, authorize, principal,
        securable::{People, check_text},
    },
    context::Ctx,
    db::{Change, Sql},
    error::{Error, Result},
    events::{Event, EventKind},
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64},
    },
};

/// Kind of the holder of what a person pins. What was pinned before the holder said who has it as the whole of it.
const PERSON: &str = "person";
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    let edit = Policy::Asset(Action::Edit);
    let (pin_path, unpin_path) = ("/api/1.0/tables/{full_name}/pins", "/api/1.0/tables/{full_name}/unpin");
    vec![
        Route::json(Method::POST, pin_path, edit, Limits::SMALL, "Keep a version of a table readable", pin),
        Route::json(Method::POST, unpin_path, edit, Limits::SMALL, "Take a person's pin away", unpin),
    ]
}

/// A pin as it leaves.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Pin {
    /// The version.
    pub version: u64,
    /// What needs it: the kind and id of a person, a training set, a monitor or a gate's run. One holder pins a version once.
    pub holder: String,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when, milliseconds since the epoch.
    pub at: i64,
}

impl Pin {
    /// Who has it and why, as a sentence goes on after "pinned by".
    pub fn said(&self) -> String {
        let kind = self.holder.split('/').next().unwrap_or_default();
        let holder = if kind == PERSON { String::new() } else { format!(" for {}", self.holder) };
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        format!("{}{holder}{reason}", self.by)
    }
}

/// Keeps a version for a holder. Answers whether it was not kept for it already. It authorises nothing: whoever makes the
/// holder does.
pub fn pin_in_tx(tx: &mut Sql<'_>, table_id: i64, version: u64, holder: &str, reason: &str) -> Result<bool> {
    // A vacuum that is about to take the files has the asset's row.
    asset::lock(tx, table_id)?;
    let lost =
        tx.first(&store::VERSION_GET, bind![table_id, version as i64], |row| row.get::<Option<i64>>(9))?;
    match lost {
        Some(None) => {}
        Some(Some(_)) | None => {
            return Err(Error::missing(format!(
                "Version {version} of the table cannot be pinned: it is not there, or a vacuum has taken its files."
            )));
        }
    }
    if tx.first(&store::PIN_EXISTS, bind![table_id, version as i64, holder], |_| Ok(()))?.is_some() {
        return Ok(false);
    }
    let (now, by) = (tx.now(), tx.caller().id);
    tx.execute(&store::PIN_INSERT, bind![table_id, version as i64, holder, reason, now, by])?;
    Ok(true)
}

/// Takes a holder's pin away. Answers whether there was one.
pub fn unpin_in_tx(tx: &mut Sql<'_>, table_id: i64, version: u64, holder: &str) -> Result<bool> {
    Ok(tx.execute(&store::PIN_DELETE, bind![table_id, version as i64, holder])? == 1)
}

/// Takes all pins of a holder on a table away. Answers how many there were.
pub fn unpin_all_in_tx(tx: &mut Sql<'_>, table_id: i64, holder: &str) -> Result<u64> {
    let held: i64 = tx.one(&store::PINS_HELD, bind![table_id, holder], |row| row.get(0))?;
    // A change of nothing is none.
    if held == 0 { Ok(0) } else { tx.execute(&store::PINS_DELETE, bind![table_id, holder]) }
}

/// Every pinned version before one.
pub(super) fn versions_before(sql: &mut Sql<'_>, table_id: i64, before: u64) -> Result<Vec<u64>> {
    sql.all(&store::PINNED_BEFORE, bind![table_id, before as i64], |row| Ok(row.get::<i64>(0)? as u64))
}

/// Pins of the versions from one on and before another.
pub(super) fn list(sql: &mut Sql<'_>, table_id: i64, from: i64, before: i64, most: i64) -> Result<Vec<Pin>> {
    let rows = sql.all(&store::PIN_LIST, bind![table_id, from, before, most], |row| {
        Ok((
            Pin {
                version: row.get::<i64>(0)? as u64,
                holder: row.get(1)?,
                reason: row.get(2)?,
                by: String::new(),
                at: row.get(3)?,
            },
            row.get::<i64>(4)?,
        ))
    })?;
    let mut people = People::default();
    rows.into_iter().map(|(pin, by)| Ok(Pin { by: people.name(sql, by)?, ..pin })).collect()
}

/// As whose a person's pins are held.
fn holder(principal: i64) -> String {
    format!("{PERSON}/{principal}")
}

/// What a person pinned of a version, if they did.
fn of_person(sql: &mut Sql<'_>, table_id: i64, version: u64, principal: i64) -> Result<Option<Pin>> {
    let holder = holder(principal);
    let pin =
        sql.first(&store::PIN_OF_PERSON, bind![table_id, version as i64, &holder, principal], |row| {
            Ok(Pin { version, holder: row.get(0)?, reason: row.get(1)?, by: String::new(), at: row.get(2)? })
        })?;
    pin.map(|pin| Ok(Pin { by: principal::name_of(sql, principal)?, ..pin })).transpose()
}

/// Which version to keep.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PinRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// The version; the newest if absent.
    pub version: Option<Int64>,
    /// Why it is kept: whoever vacuums the table reads it.
    pub reason: Option<String>,
}

async fn pin(ctx: Ctx, request: PinRequest) -> Result<Pin> {
    let name = managed::parse(&request.full_name)?;
    let reason = request.reason.clone().unwrap_or_default();
    check_text("reason", &reason, REASON_CHARS_MAX)?;
    // A pin on what cannot be read any more would promise what nobody can keep.
    let wanted = request.version;
    let (found, version) = {
        let name = name.clone();
        ctx.read(move |sql| {
            let found = managed::get(sql, &name, Action::Edit)?;
            let version = version_of(sql, &found, wanted)?;
            Ok((found, version))
        })
        .await?
    };
    ctx.app.lake.prove(found.table, version).await?;
    ctx.write(move |tx| {
        let found = managed::get(tx, &name, Action::Edit)?;
        let id = found.asset.id;
        let me = tx.caller().id;
        asset::lock(tx, id)?;
        if let Some(pin) = of_person(tx, id, version, me)? {
            return Ok(Change::Nothing(pin));
        }
        let holder = holder(me);
        pin_in_tx(tx, id, version, &holder, &reason)?;
        let by = principal::name_of(tx, me)?;
        let pin = Pin { version, holder: holder.clone(), reason: reason.clone(), by, at: tx.now() };
        let revision = asset::touch(tx, id)?;
        let event = Event::new(EventKind::TablePinAdd)
            .asset(id, revision)
            .detail(json!({ "version": version, "holder": holder, "reason": reason }));
        Ok(Change::Made(pin, event))
    })
    .await
}

fn version_of(sql: &mut Sql<'_>, table: &Managed, wanted: Option<Int64>) -> Result<u64> {
    let as_of = wanted.map(|wanted| {
        let version = u64::try_from(wanted.0).map_err(|_| {
            Error::invalid(format!(
                "Invalid value {} for parameter 'version' supplied: it is 0 or more.",
                wanted.0
            ))
        })?;
        Ok::<_, Error>(lake::query::AsOf::Version(version))
    });
    table.version_at(sql, as_of.transpose()?)
}

/// Which pin to take away.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct UnpinRequest {
    /// `catalog.schema.table`
    pub full_name: String,
    /// The version.
    pub version: Int64,
    /// Whose pin, by the principal's name; absent, one's own.
    pub principal: Option<String>,
}

async fn unpin(ctx: Ctx, request: UnpinRequest) -> Result<Empty> {
    let name = managed::parse(&request.full_name)?;
    ctx.write(move |tx| {
        let found = managed::get(tx, &name, Action::Edit)?;
        let id = found.asset.id;
        let whose = match request.principal.as_deref().filter(|name| !name.is_empty()) {
            None => tx.caller().id,
            Some(other) => {
                let other = principal::get(tx, other)?.id;
                if other != tx.caller().id {
                    authorize(tx, Action::Manage, id)?;
                }
                other
            }
        };
        let version = version_of(tx, &found, Some(request.version))?;
        let Some(pin) = of_person(tx, id, version, whose)? else {
            return Err(Error::missing(format!(
                "{} has not pinned version {version} of '{}'. The versions of the table say who has; what a training set, a monitor \
                 or a gate holds goes with it.",
                principal::name_of(tx, whose)?,
                managed::show(&name)
            )));
        };
        unpin_in_tx(tx, id, version, &pin.holder)?;
        let revision = asset::touch(tx, id)?;
        let event = Event::new(EventKind::TablePinRemove)
            .asset(id, revision)
            .detail(json!({ "version": version, "holder": pin.holder }));
        Ok(Change::Made(Empty {}, event))
    })
    .await
}
