//! What an event of the stream tells a webhook, in MLflow's words.
//!
//! What was written with the event is told as it was then. The name of a model, and whether it is a prompt, are those of the moment
//! in which the event is taken up; so is what was too large for the event. What was erased is not told.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::topic::Topic;
use crate::{
    catalog::asset,
    db::Sql,
    error::{Error, Result},
    events::{EventKind, chain::Entry},
    registry::{
        models,
        tags::{self, Tags},
        versions,
    },
};

/// Events that tell something.
pub(super) const KINDS: &[EventKind] = &[
    EventKind::ModelCreate,
    EventKind::ModelTagSet,
    EventKind::ModelTagDelete,
    EventKind::ModelVersionCreate,
    EventKind::ModelVersionTagSet,
    EventKind::ModelVersionTagDelete,
    EventKind::AliasMove,
    // Of the aliases that follow stages.
    EventKind::ModelVersionStage,
    EventKind::ModelVersionDelete,
];

/// Tags of prompts that MLflow keeps to itself, and the one that holds the text.
const HIDDEN: &[&str] = &[syntax::search::PROMPT_TAG, "_mlflow_prompt_type"];
const TEMPLATE: &str = "mlflow.prompt.text";

/// What is told: of which topic, and its data.
pub(super) type Told = (Topic, Json);

#[derive(Serialize)]
struct Body<'t> {
    entity: &'t str,
    action: &'t str,
    timestamp: String,
    data: &'t Json,
}

/// What is delivered, as JSON. `at` in milliseconds since the epoch.
pub(super) fn body(topic: Topic, at: i64, data: &Json) -> Result<String> {
    let at = DateTime::from_timestamp_millis(at).unwrap_or_default();
    let timestamp = at.to_rfc3339_opts(SecondsFormat::Micros, false);
    let body = Body { entity: topic.entity(), action: topic.action(), timestamp, data };
    serde_json::to_string(&body).map_err(Error::internal)
}

/// What an entry tells; nothing for most. `detail` is what lies beside it.
pub(super) fn of(tx: &mut Sql<'_>, entry: &Entry, detail: &Json) -> Result<Vec<Told>> {
    let kind = KINDS.iter().copied().find(|kind| kind.name() == entry.action);
    let (Some(kind), Some(model)) = (kind, entry.asset) else { return Ok(Vec::new()) };
    if !detail.is_object() {
        return Ok(Vec::new());
    }
    let about = About { model, version: entry.subject.as_deref().unwrap_or_default(), detail };
    match kind {
        EventKind::ModelCreate => about.model_created(tx),
        EventKind::ModelVersionCreate => about.version_created(tx),
        EventKind::AliasMove => about.aliases_moved(tx, std::slice::from_ref(detail)),
        EventKind::ModelVersionStage => {
            about.aliases_moved(tx, detail["aliases"].as_array().map_or(&[], Vec::as_slice))
        }
        EventKind::ModelVersionDelete => match &detail["followed"] {
            Json::Null => Ok(Vec::new()),
            moved => about.aliases_moved(tx, std::slice::from_ref(moved)),
        },
        EventKind::ModelVersionTagSet | EventKind::ModelVersionTagDelete => about.version_tags(tx),
        _ => about.model_tags(tx),
    }
}

/// The model, and the version where it is about one, that an event is about.
struct About<'t> {
    model: i64,
    version: &'t str,
    detail: &'t Json,
}

impl About<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.detail[key].as_str().map(str::to_owned)
    }

    fn name(&self, tx: &mut Sql<'_>) -> Result<String> {
        asset::display_name(tx, self.model)
    }

    fn is_prompt(&self, tx: &mut Sql<'_>) -> Result<bool> {
        Ok(models::tags_ever(tx, self.model)?.is_some_and(|tags| tags::is_prompt(&tags)))
    }

    /// Tags as they were written with the event; none where they were too large for it.
    fn tags(&self) -> Option<Tags> {
        serde_json::from_value(self.detail["tags"].clone()).ok()
    }

    fn model_created(&self, tx: &mut Sql<'_>) -> Result<Vec<Told>> {
        let now = models::get(tx, self.model)?;
        let name = match self.text("name") {
            Some(name) => name,
            None => self.name(tx)?,
        };
        let mut tags =
            self.tags().or_else(|| now.as_ref().map(|model| model.tags.clone())).unwrap_or_default();
        let description = self.text("description").or(now.map(|model| model.description)).unwrap_or_default();
        let topic = if tags::is_prompt(&tags) { Topic::PromptCreated } else { Topic::ModelCreated };
        if topic == Topic::PromptCreated {
            tags.retain(|key, _| !HIDDEN.contains(&&**key));
        }
        Ok(vec![(topic, json!({ "name": name, "tags": tags, "description": description }))])
    }

    fn version_created(&self, tx: &mut Sql<'_>) -> Result<Vec<Told>> {
        let now = self.current_version(tx)?;
        let (name, version) = (self.name(tx)?, self.version);
        let source = self.text("source").or_else(|| now.as_ref().map(|now| now.source.clone()));
        let run = self.text("run_id").filter(|run| !run.is_empty());
        let mut tags = self.tags().or_else(|| now.as_ref().map(|now| now.tags.clone())).unwrap_or_default();
        let description =
            self.text("description").or(now.map(|now| now.description)).filter(|text| !text.is_empty());
        if !tags::is_prompt(&tags) {
            let data = json!({
                "name": name, "version": version, "source": source, "run_id": run, "tags": tags, "description": description,
            });
            return Ok(vec![(Topic::VersionCreated, data)]);
        }
        let template = tags.remove(TEMPLATE);
        tags.retain(|key, _| !HIDDEN.contains(&&**key));
        let data = json!({
            "name": name, "version": version, "template": template, "tags": tags, "description": description,
        });
        Ok(vec![(Topic::PromptVersionCreated, data)])
    }

    fn aliases_moved(&self, tx: &mut Sql<'_>, moves: &[Json]) -> Result<Vec<Told>> {
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let (name, is_prompt) = (self.name(tx)?, self.is_prompt(tx)?);
        let tell = |moved: &Json| {
            let alias = moved["alias"].as_str()?;
            Some(match moved["to"].as_i64() {
                Some(to) => {
                    let topic = if is_prompt { Topic::PromptAliasCreated } else { Topic::AliasCreated };
                    (topic, json!({ "name": name, "alias": alias, "version": to.to_string() }))
                }
                None => {
                    let topic = if is_prompt { Topic::PromptAliasDeleted } else { Topic::AliasDeleted };
                    (topic, json!({ "name": name, "alias": alias }))
                }
            })
        };
        Ok(moves.iter().filter_map(tell).collect())
    }

    fn version_tags(&self, tx: &mut Sql<'_>) -> Result<Vec<Told>> {
        let (set, deleted) = match self.is_prompt(tx)? {
            true => (Topic::PromptVersionTagSet, Topic::PromptVersionTagDeleted),
            false => (Topic::VersionTagSet, Topic::VersionTagDeleted),
        };
        let mut now = None;
        if self.is_left_out("set") {
            now = self.current_version(tx)?.map(|version| version.tags);
        }
        let base = json!({ "name": self.name(tx)?, "version": self.version });
        Ok(self.changed_tags(&base, set, deleted, now))
    }

    /// MLflow tells the tags of prompts, and not those of models.
    fn model_tags(&self, tx: &mut Sql<'_>) -> Result<Vec<Told>> {
        if !self.is_prompt(tx)? {
            return Ok(Vec::new());
        }
        let mut now = None;
        if self.is_left_out("set") {
            now = models::tags_ever(tx, self.model)?;
        }
        let base = json!({ "name": self.name(tx)? });
        Ok(self.changed_tags(&base, Topic::PromptTagSet, Topic::PromptTagDeleted, now))
    }

    fn is_left_out(&self, key: &str) -> bool {
        self.detail[key].is_null() && self.detail["too_large"].is_object()
    }

    /// Each tag that was set or deleted by itself, as MLflow's clients change them.
    fn changed_tags(&self, base: &Json, set: Topic, deleted: Topic, now: Option<Tags>) -> Vec<Told> {
        let with = |more: &[(&str, &str)]| {
            let mut data: Map<String, Json> = base.as_object().cloned().unwrap_or_default();
            data.extend(more.iter().map(|(key, value)| ((*key).to_owned(), json!(value))));
            Json::Object(data)
        };
        let texts = |key: &str| -> Vec<String> {
            serde_json::from_value(self.detail[key].clone()).unwrap_or_default()
        };
        let tags: Tags = match now {
            // The event has the keys of values that it could not take over.
            Some(now) => texts("keys")
                .into_iter()
                .filter_map(|key| Some((key.clone(), now.get(&key)?.clone())))
                .collect(),
            None => serde_json::from_value(self.detail["set"].clone()).unwrap_or_default(),
        };
        let set = tags.iter().map(|(key, value)| (set, with(&[("key", key), ("value", value)])));
        let deleted = texts("removed").into_iter().map(|key| (deleted, with(&[("key", &key)])));
        set.chain(deleted).collect()
    }

    fn current_version(&self, tx: &mut Sql<'_>) -> Result<Option<versions::Version>> {
        match self.version.parse() {
            Ok(number) => versions::get(tx, self.model, number),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_mlflows() {
        let text =
            body(Topic::AliasDeleted, 1_795_494_000_095, &json!({ "name": "m", "alias": "a" })).unwrap();
        assert_eq!(
            text,
            r#"{"entity":"model_version_alias","action":"deleted","timestamp":"2026-11-24T04:20:00.095000+00:00","data":{"alias":"a","name":"m"}}"#
        );
    }
}
