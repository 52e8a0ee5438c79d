//! What a logged model was registered as, which it tells in a tag.
//!
//! MLflow's server writes the tag when a version is made, MLflow's client adds to it what it has just registered, and
//! MLflow's pages read it. What must stay true: a version is in it once; it is a courtesy, which no registration fails
//! for.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value as Json, json};

use super::{read, store};
use crate::{
    bind,
    catalog::{Action, authorize::is_allowed_as},
    db::Sql,
    error::Result,
    tracking::limits,
};

/// The key of the tag. Its value is a JSON list of objects with `name` and `version`.
const TAG: &str = "mlflow.modelVersions";

/// Writes down that version `number` of the registered model `name` was made of this logged model, if the caller may
/// change it: whoever may only read it registers all the same.
pub fn note_registered(tx: &mut Sql<'_>, uuid: &str, name: &str, number: i64) -> Result<()> {
    let Some(mut model) = tx.first(&store::LOGGED_MODEL_LOCK, bind![uuid], read)? else { return Ok(()) };
    let caller = Arc::clone(tx.caller());
    let action = if caller.is(model.owner_id) { Action::Create } else { Action::Edit };
    if model.deleted || !is_allowed_as(tx, &caller, action, model.experiment_id)? {
        return Ok(());
    }
    let before = model.document.tags.get(TAG).map(String::as_str);
    let Some(after) = with_version(before, name, number) else { return Ok(()) };
    if before == Some(after.as_str()) || after.chars().count() > limits::LOGGED_MODEL_VALUE_CHARS {
        return Ok(());
    }
    model.document.tags.insert(TAG.to_owned(), after);
    if model.document.encode(uuid).is_err() {
        return Ok(());
    }
    model.save(tx)
}

/// The tag's text with one more version; none if a client keeps something else in it.
fn with_version(before: Option<&str>, name: &str, number: i64) -> Option<String> {
    let mut versions: Vec<Json> = serde_json::from_str(before.unwrap_or("[]")).ok()?;
    versions.push(json!({ "name": name, "version": number }));
    Some(Json::Array(each_once(versions)).to_string())
}

/// A tag as it is kept: of this one what comes twice is left out, because MLflow's client adds a version that the server
/// has added before.
pub(super) fn kept((key, value): (String, String)) -> (String, String) {
    let versions = if key == TAG { serde_json::from_str::<Vec<Json>>(&value).ok() } else { None };
    let Some(versions) = versions else { return (key, value) };
    let said = versions.len();
    let once = each_once(versions);
    let value = if once.len() == said { value } else { Json::Array(once).to_string() };
    (key, value)
}

/// The versions, each where it comes first. A number is the same version as its text; what is no version stays.
fn each_once(mut versions: Vec<Json>) -> Vec<Json> {
    let mut seen = BTreeSet::new();
    versions.retain(|version| {
        let number = match &version["version"] {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return true,
        };
        seen.insert((version["name"].to_string(), number))
    });
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_once() {
        let one = with_version(None, "m", 1).unwrap();
        assert_eq!(one, r#"[{"name":"m","version":1}]"#);
        assert_eq!(with_version(Some(&one), "m", 1).unwrap(), one);
        let of_a_client = r#"[{"name":"m","version":"1"}]"#;
        assert_eq!(with_version(Some(of_a_client), "m", 1).unwrap(), of_a_client);
        assert_eq!(with_version(Some("a word"), "m", 1), None);

        let twice = r#"[{"name":"m","version":"1"},{"name":"m","version":"1"},{"name":"m","version":"2"}]"#;
        let once = r#"[{"name":"m","version":"1"},{"name":"m","version":"2"}]"#;
        assert_eq!(kept((TAG.to_owned(), twice.to_owned())).1, once);
        for (key, value) in
            [("other", twice), (TAG, "a word"), (TAG, "[1, 1]"), (TAG, r#"[{"name": "m", "version": "1"}]"#)]
        {
            assert_eq!(kept((key.to_owned(), value.to_owned())).1, value);
        }
    }
}
