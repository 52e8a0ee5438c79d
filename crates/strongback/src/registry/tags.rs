//! Tags of models and versions, and the other texts that callers write about them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use syntax::search::PROMPT_TAG;

use super::limits::{DESCRIPTION_CHARS, LINK_CHARS, TAG_VALUE_CHARS, TAGS_CHARS, TAGS_MAX};
use crate::{
    error::{Error, Result},
    tracking::{limits, wire::KeyValue},
};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// Whether the tags mark a prompt.
pub fn is_prompt(tags: &Tags) -> bool {
    tags.get(PROMPT_TAG).is_some_and(|value| marks_prompt(value))
}

/// Whether this value of the tag marks a prompt.
pub(super) fn marks_prompt(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// What the tag that marks prompts says among tags as they are stored. Those that cannot have it are not read for it.
pub(super) fn prompt_mark(stored: &str) -> Result<Option<String>> {
    if stored.contains(PROMPT_TAG) { Ok(from_json(stored)?.remove(PROMPT_TAG)) } else { Ok(None) }
}

/// How many bytes their texts have.
pub(super) fn bytes(tags: &Tags) -> u64 {
    tags.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() as u64
}

/// The tags of a request; of a key that comes twice the last value counts.
pub fn checked_tags(tags: &[KeyValue]) -> Result<Tags> {
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid(format!(
            "'tags' can contain at most {TAGS_MAX} tags; it has {}.",
            tags.len()
        )));
    }
    let checked = |(at, tag): (usize, &KeyValue)| {
        let key = limits::key(&format!("tags[{at}].key"), tag.key.as_deref())?;
        let value = limits::text(&format!("tags[{at}].value"), tag.value(), TAG_VALUE_CHARS)?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let tags = tags.iter().enumerate().map(checked).collect::<Result<_>>()?;
    check_chars(&tags)?;
    Ok(tags)
}

/// One tag of a request: its key and value.
pub fn checked_tag(key: Option<&str>, value: Option<&str>) -> Result<(String, String)> {
    let key = limits::key("key", key.filter(|key| !key.is_empty()))?;
    let value = limits::text("value", value.unwrap_or_default(), TAG_VALUE_CHARS)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The key of a tag to be deleted. Any text is looked for, since deleting what is not there is no error.
pub fn checked_key(key: Option<&str>) -> Result<String> {
    let key = key.filter(|key| !key.is_empty()).ok_or_else(|| Error::required("key"))?;
    Ok(limits::text("key", key, syntax::names::KEY_CHARS_MAX)?.to_owned())
}

/// A description; absent is empty.
pub fn checked_description(path: &str, text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default();
    limits::text(path, &text, DESCRIPTION_CHARS)?;
    Ok(text)
}

/// A description that is changed; absent leaves it, and empty takes it away.
pub fn changed_description(path: &str, text: Option<String>) -> Result<Option<String>> {
    text.map(|text| checked_description(path, Some(text))).transpose()
}

/// A link to a run somewhere else; absent is empty.
pub fn checked_link(text: Option<String>) -> Result<String> {
    let text = text.unwrap_or_default();
    limits::text("run_link", &text, LINK_CHARS)?;
    Ok(text)
}

/// Bytes of tags above which an event has their keys beside them: it might not take them over.
const LARGE_BYTES: u64 = 8 << 10;

/// What an event says of changed tags.
pub(super) fn detail(set: &Tags, removed: &[String]) -> Json {
    let mut detail = json!({ "set": set, "removed": removed });
    if bytes(set) > LARGE_BYTES {
        detail["keys"] = set.keys().cloned().collect();
    }
    detail
}

/// Tags as they leave.
pub fn pairs(tags: &Tags) -> Vec<KeyValue> {
    tags.iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// Tags as they are stored.
pub(super) fn to_json(tags: &Tags) -> Result<String> {
    serde_json::to_string(tags).map_err(Error::internal)
}

/// Stored tags.
pub(super) fn from_json(text: &str) -> Result<Tags> {
    serde_json::from_str(text).map_err(Error::internal)
}

/// Sets and removes tags. Limits hold for what is there afterwards, however many requests it took.
pub(super) fn apply(tags: &mut Tags, set: &Tags, remove: &[String]) -> Result<()> {
    tags.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
    tags.retain(|key, _| !remove.contains(key));
    if set.is_empty() {
        return Ok(());
    }
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid(format!(
            "A model or a version can have at most {TAGS_MAX} tags; it would have {}. Delete some first.",
            tags.len()
        )));
    }
    check_chars(tags)
}

fn check_chars(tags: &Tags) -> Result<()> {
    let chars: usize = tags.iter().map(|(key, value)| key.chars().count() + value.chars().count()).sum();
    if chars <= TAGS_CHARS {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The tags of a model or a version can have at most {TAGS_CHARS} characters together, with their keys; they would \
         have {chars}. Keep long texts in an artifact, and name it in a tag."
    )))
}
