//! Giving an asset to another owner, whatever kind of asset it is.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Action,
    asset::{self, Kind},
    authorize, names, principal,
};
use crate::{
    context::Ctx,
    db::Change,
    error::{Error, Result},
    events::{Event, EventKind},
    router::{Limits, Policy, Route},
};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::PATCH,
        "/api/1.0/owner",
        Policy::Asset(Action::Manage),
        Limits::SMALL,
        "Give an asset to another owner",
        set,
    )]
}

/// What goes to whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SetRequest {
    /// Name of the asset: catalog, catalog.schema, catalog.schema.name, the path of an experiment, a model's name.
    pub name: String,
    /// Which kind, where several have that name: catalog, schema, table, experiment, model, command.
    pub kind: Option<String>,
    /// Name of the new owner: a user, a service principal or a group.
    pub owner: String,
}

/// An asset and its owner.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetResponse {
    /// Name of the asset.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Name of its owner.
    pub owner: String,
}

async fn set(ctx: Ctx, request: SetRequest) -> Result<SetResponse> {
    let kind = request.kind.as_deref().map(parse_kind).transpose()?;
    ctx.write(move |tx| {
        let found = names::resolve(tx, &request.name, kind)?;
        let found = asset::lock(tx, found.id)?;
        authorize(tx, Action::Manage, found.id)?;
        let owner = principal::get(tx, &request.owner)?;
        let before = principal::name_of(tx, found.owner_id)?;
        let name = asset::display_name(tx, found.id)?;
        let answer = SetResponse { name, kind: found.kind.name().to_owned(), owner: owner.name.clone() };
        if owner.id == found.owner_id {
            return Ok(Change::Nothing(answer));
        }
        let revision = asset::set_owner(tx, found.id, owner.id)?;
        let event = Event::new(EventKind::OwnerSet)
            .asset(found.id, revision)
            .detail(json!({ "owner": [before, owner.name] }));
        Ok(Change::Made(answer, event))
    })
    .await
}

/// The kind that a caller names.
pub fn parse_kind(name: &str) -> Result<Kind> {
    Kind::GIVEN.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let known = Kind::GIVEN.map(Kind::name).join(", ");
        Error::invalid(format!("Invalid value '{name}' for parameter 'kind' supplied: it is one of {known}."))
    })
}
