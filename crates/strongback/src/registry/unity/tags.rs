//! Tags on Unity Catalog's face, as mlflow's client of the native registry changes them. It calls registered models
//! functions, which is what they are to Unity Catalog's privileges.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    registry::{
        answered, models,
        names::Levels,
        tags::{Tags, checked_key, checked_tags},
        versions,
    },
    router::{
        Limits, Policy, Route,
        wire::{Empty, Int64, list, required},
    },
    tracking::wire::KeyValue,
};

/// The one type of securable whose tags are changed here.
const TYPE: &str = "FUNCTION";

pub(super) fn routes() -> Vec<Route> {
    let model = "/api/2.1/unity-catalog/securable-tags/{securable_type}/{full_name}";
    let version = "/api/2.1/unity-catalog/subentity-tags/{securable_type}/{full_name}/{version}";
    let edit = Policy::Asset(Action::Edit);
    vec![
        Route::json(Method::PATCH, model, edit, Limits::JSON, "Change the tags of a model", change_model),
        Route::json(
            Method::PATCH,
            version,
            edit,
            Limits::JSON,
            "Change the tags of a version",
            change_version,
        ),
    ]
}

/// Tags of a model, or of the version that the path names.
#[derive(Debug, Deserialize, JsonSchema)]
struct TagsRequest {
    /// `FUNCTION`.
    securable_type: Option<String>,
    /// Three levels.
    full_name: Option<String>,
    /// The number, for a version.
    version: Option<Int64>,
    /// What to change.
    #[serde(default)]
    changes: Changes,
}

/// Tags to set and keys to remove.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Changes {
    /// Tags to set.
    #[serde(default, alias = "addTags", deserialize_with = "list")]
    add_tags: Vec<KeyValue>,
    /// Keys to remove.
    #[serde(default, deserialize_with = "list")]
    remove: Vec<String>,
}

impl TagsRequest {
    fn checked(&self) -> Result<(String, Tags, Vec<String>)> {
        let given = required(&self.securable_type, "securable_type")?;
        if !given.eq_ignore_ascii_case(TYPE) {
            let shown: String = given.chars().take(100).collect();
            return Err(Error::invalid(format!(
                "Invalid value {shown:?} for parameter 'securable_type' supplied: tags of registered models are \
                 changed as {TYPE}, and of nothing else."
            )));
        }
        let key = |key| checked_key(Some(key)).map_err(|error| error.in_field("changes.remove"));
        let remove = self.changes.remove.iter().map(|text| key(text)).collect::<Result<_>>()?;
        Ok((
            required(&self.full_name, "full_name")?.to_owned(),
            checked_tags(&self.changes.add_tags)?,
            remove,
        ))
    }
}

async fn change_model(ctx: Ctx, request: TagsRequest) -> Result<Empty> {
    let (name, set, remove) = request.checked()?;
    ctx.write(move |tx| {
        answered(models::change_tags(tx, &name, Levels::Three, &set, &remove)?, |()| Ok(Empty {}))
    })
    .await
}

async fn change_version(ctx: Ctx, request: TagsRequest) -> Result<Empty> {
    let (name, set, remove) = request.checked()?;
    let number = super::wire::number(request.version)?;
    ctx.write(move |tx| {
        answered(versions::change_tags(tx, &name, Levels::Three, number, &set, &remove)?, |_| Ok(Empty {}))
    })
    .await
}
