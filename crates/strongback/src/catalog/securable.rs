//! What catalogs, schemas and tables have in common on the Unity Catalog face: texts and their limits, pages, changes.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use syntax::names::fold_case;

use super::{
    Action,
    asset::{self, Asset, Gone, Kind},
    authorize::{authorize, is_allowed},
    bootstrap, names, principal, store,
};
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
    events::{Event, EventKind},
    router::wire::Int64,
};

/// Free properties, text to text.
pub type Properties = BTreeMap<String, String>;

/// Longest comment, in characters.
const COMMENT_CHARS_MAX: usize = 20_000;
/// Properties that one asset may have.
const PROPERTIES_MAX: usize = 500;
/// Longest key of a property, in characters.
const PROPERTY_KEY_CHARS_MAX: usize = 255;
/// Longest value of a property, in characters.
const PROPERTY_VALUE_CHARS_MAX: usize = 10_000;
/// Entries a page when nothing is asked for.
const PAGE: usize = 200;
/// Entries a page at most; whoever asks for more gets so many and a token.
const PAGE_MAX: usize = 1_000;
/// Assets that the event of a forced deletion lists.
const GONE_LISTED_MAX: usize = 200;
/// Bytes that this list takes at most, far below what an event's detail may have.
const GONE_BYTES_MAX: usize = 24 << 10;
/// Version of the page tokens.
const TOKEN_VERSION: u8 = 1;

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Paging {
    /// At most so many; 0 or absent leaves it to the server.
    #[serde(alias = "maxResults")]
    pub max_results: Option<Int64>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

impl Paging {
    /// Of a request that says more besides. Its fields stand in the request itself, because `serde(flatten)` forgets which
    /// field was wrong.
    pub fn new(max_results: Option<Int64>, page_token: Option<String>) -> Self {
        Self { max_results, page_token }
    }

    /// How many entries the page holds at most.
    pub fn limit(&self) -> Result<usize> {
        match self.max_results.map_or(0, |n| n.0) {
            0 => Ok(PAGE),
            n if n < 0 => Err(Error::invalid(format!(
                "Invalid value {n} for parameter 'max_results' supplied: it is 0 (the server's default of {PAGE}) or more."
            ))),
            n => Ok(usize::try_from(n).unwrap_or(PAGE_MAX).min(PAGE_MAX)),
        }
    }

    /// The leaf key that the page begins after.
    fn after(&self) -> Result<String> {
        let Some(token) = self.page_token.as_deref().filter(|token| !token.is_empty()) else {
            return Ok(String::new());
        };
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
        match decoded.as_deref() {
            Some([TOKEN_VERSION, key @ ..]) if !key.contains(&0) => String::from_utf8(key.to_vec()).ok(),
            _ => None,
        }
        .ok_or_else(|| {
            Error::invalid(
                "The 'page_token' is not one that this server gave. Begin the list again without it.",
            )
        })
    }
}

fn token(key: &str) -> String {
    let mut bytes = vec![TOKEN_VERSION];
    bytes.extend_from_slice(key.as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A page of the living assets of a kind below a parent that the caller may read, and the token of the next page.
/// Leaves the mark of an authorisation, since what it leaves out was decided upon.
pub fn page(
    sql: &mut Sql<'_>,
    parent_id: i64,
    kind: Kind,
    paging: &Paging,
) -> Result<(Vec<Asset>, Option<String>)> {
    let (limit, mut after) = (paging.limit()?, paging.after()?);
    is_allowed(sql, Action::Read, parent_id)?;
    let mut found: Vec<Asset> = Vec::new();
    let batch = limit as i64 + 1;
    loop {
        let rows = sql.all(&store::ASSET_PAGE, bind![parent_id, kind.name(), &after, batch], asset::read)?;
        let is_last = (rows.len() as i64) < batch;
        for row in rows {
            after = fold_case(&row.leaf);
            if is_allowed(sql, Action::Read, row.id)? {
                if found.len() == limit {
                    let next = found.last().map(|last| token(&fold_case(&last.leaf)));
                    return Ok((found, next));
                }
                found.push(row);
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
}

/// Checks a comment.
pub fn check_comment(comment: Option<&str>) -> Result<()> {
    comment.map_or(Ok(()), |comment| check_text("comment", comment, COMMENT_CHARS_MAX))
}

/// Checks free properties.
pub fn check_properties(properties: Option<&Properties>) -> Result<()> {
    let Some(properties) = properties else { return Ok(()) };
    if properties.len() > PROPERTIES_MAX {
        return Err(Error::invalid(format!(
            "'properties' has {} entries; the limit is {PROPERTIES_MAX}.",
            properties.len()
        )));
    }
    for (key, value) in properties {
        if key.is_empty() {
            return Err(Error::invalid("'properties' has an empty key; give it a name."));
        }
        check_text("properties", key, PROPERTY_KEY_CHARS_MAX)?;
        check_text(&format!("properties.{key}"), value, PROPERTY_VALUE_CHARS_MAX)?;
    }
    Ok(())
}

/// Checks a text for its length and for NUL, which no database takes.
pub fn check_text(path: &str, text: &str, chars_max: usize) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::invalid(format!("'{path}' contains a NUL character; remove it.")));
    }
    if text.chars().nth(chars_max).is_some() {
        return Err(Error::too_long(path, chars_max, text.chars().count()));
    }
    Ok(())
}

/// Properties as an asset keeps them.
pub fn to_map(properties: &Properties) -> Map<String, Json> {
    properties.iter().map(|(key, value)| (key.clone(), Json::String(value.clone()))).collect()
}

/// Properties as they leave.
pub fn from_map(map: &Map<String, Json>) -> Properties {
    map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What a change of an asset asks for; absent fields stay as they are.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The new leaf.
    pub leaf: Option<&'a str>,
    /// Name of the new owner.
    pub owner: Option<&'a str>,
    /// The new description; empty takes it away.
    pub comment: Option<&'a str>,
    /// The new properties, in place of all earlier ones.
    pub properties: Option<&'a Properties>,
}

/// An asset after a change.
pub struct Changed {
    /// As it is now.
    pub asset: Asset,
    /// Which fields changed, from what to what, for the event.
    pub detail: Json,
    /// Whether the owner is all that changed.
    pub is_owner_only: bool,
}

/// Changes a catalog, schema or table, authorised: `Manage` for its owner, `Edit` for the rest. `None` when it is so
/// already.
pub fn change(tx: &mut Sql<'_>, id: i64, wanted: &Wanted<'_>) -> Result<Option<Changed>> {
    check_comment(wanted.comment)?;
    check_properties(wanted.properties)?;
    let mut asset = asset::lock(tx, id)?;
    if wanted.owner.is_some() {
        authorize(tx, Action::Manage, id)?;
    }
    if wanted.owner.is_none()
        || wanted.leaf.is_some()
        || wanted.comment.is_some()
        || wanted.properties.is_some()
    {
        authorize(tx, Action::Edit, id)?;
    }
    let owner_id = wanted.owner.map(|name| principal::require(tx, name)).transpose()?;
    let mut changes = Map::new();
    if let Some(leaf) = wanted.leaf.filter(|leaf| *leaf != asset.leaf) {
        bootstrap::refuse_built_in(tx, &asset, "renamed")?;
        // A training set is read like a table, so that the two share their names.
        let kinds: &[Kind] = match &asset.kind {
            Kind::Table | Kind::TrainingSet => &[Kind::Table, Kind::TrainingSet],
            own => std::slice::from_ref(own),
        };
        for kind in kinds {
            let holder = asset::find(tx, asset.parent_id, *kind, &fold_case(leaf))?;
            if let Some(other) = holder.filter(|other| other.id != asset.id) {
                return Err(names::taken(leaf, &other));
            }
        }
        changes.insert("name".into(), json!([asset.leaf, leaf]));
        leaf.clone_into(&mut asset.leaf);
    }
    if let Some(comment) = wanted.comment.filter(|new| *new != asset.comment.as_deref().unwrap_or_default()) {
        changes.insert("comment".into(), json!([asset.comment, comment]));
        asset.comment = (!comment.is_empty()).then(|| comment.to_owned());
    }
    if let Some(properties) = wanted.properties.map(to_map).filter(|new| *new != asset.properties) {
        changes.insert("properties".into(), json!([asset.properties, properties]));
        asset.properties = properties;
    }
    let is_owner_only = changes.is_empty();
    if let Some(owner) = owner_id.filter(|owner| *owner != asset.owner_id) {
        let before = principal::name_of(tx, asset.owner_id)?;
        changes.insert("owner".into(), json!([before, wanted.owner]));
        asset.owner_id = owner;
    }
    if changes.is_empty() {
        return Ok(None);
    }
    let leaf_key = fold_case(&asset.leaf);
    let asset = asset::update(tx, &asset, &leaf_key)?;
    Ok(Some(Changed { asset, detail: Json::Object(changes), is_owner_only }))
}

/// Deletes a catalog or schema, authorised. What still holds something is deleted only by force, and then with it.
pub fn delete(tx: &mut Sql<'_>, found: &Asset, is_forced: bool, kind: EventKind) -> Result<Event> {
    let asset = asset::lock(tx, found.id)?;
    authorize(tx, Action::Delete, asset.id)?;
    bootstrap::refuse_built_in(tx, &asset, "deleted")?;
    let name = asset::display_name(tx, asset.id)?;
    let children = asset::child_kinds(tx, asset.id)?;
    if !children.is_empty() && !is_forced {
        let held: Vec<String> = children.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
        return Err(Error::invalid(format!(
            "The {} '{name}' is not empty ({}). Delete what is in it first, or repeat with force=true to delete all of it.",
            asset.kind.label(),
            held.join(", ")
        )));
    }
    let gone = asset::delete_below(tx, asset.id)?;
    let mut detail = json!({ "name": name, "with": counts(&gone) });
    if !gone.is_empty() {
        detail["assets"] = obituary(tx, &gone)?;
    }
    let revision = asset::delete(tx, asset.id)?;
    Ok(Event::new(kind).asset(asset.id, revision).detail(detail))
}

/// How many of which kinds.
fn counts(gone: &[Gone]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for asset in gone {
        *counts.entry(asset.kind.name()).or_default() += 1;
    }
    counts
}

/// What went with a catalog or schema, as its event keeps it: the first by id, name and last revision, as many as fit,
/// how many more there were, and the SHA-256 of `id revision` of all of them, a line each and by id. The rows of what
/// is deleted never change again and say what they were deleted with, so that the digest can be found again from them.
fn obituary(sql: &mut Sql<'_>, gone: &[Gone]) -> Result<Json> {
    let (mut listed, mut bytes) = (Vec::new(), 0);
    for asset in gone.iter().take(GONE_LISTED_MAX) {
        let line = json!({ "id": asset.id, "name": asset::display_name(sql, asset.id)?, "revision": asset.revision });
        bytes += line.to_string().len();
        if bytes > GONE_BYTES_MAX {
            break;
        }
        listed.push(line);
    }
    let mut digest = Sha256::new();
    for asset in gone {
        digest.update(format!("{} {}\n", asset.id, asset.revision));
    }
    let left_out = gone.len() - listed.len();
    Ok(json!({ "listed": listed, "left_out": left_out, "sha256": hex::encode(digest.finalize()) }))
}

/// Names of principals, each looked up once.
#[derive(Default)]
pub struct People(HashMap<i64, String>);

impl People {
    /// The name of a principal.
    pub fn name(&mut self, sql: &mut Sql<'_>, id: i64) -> Result<String> {
        if let Some(name) = self.0.get(&id) {
            return Ok(name.clone());
        }
        let name = principal::name_of(sql, id)?;
        self.0.insert(id, name.clone());
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(max_results: i64, page_token: &str) -> Paging {
        Paging { max_results: Some(Int64(max_results)), page_token: Some(page_token.into()) }
    }

    #[test]
    fn zero_leaves_the_page_to_the_server_and_more_is_cut() {
        assert_eq!(paging(0, "").limit().unwrap(), PAGE);
        assert_eq!(paging(7, "").limit().unwrap(), 7);
        assert_eq!(paging(i64::MAX, "").limit().unwrap(), PAGE_MAX);
        assert!(paging(-1, "").limit().unwrap_err().message().contains("-1"));
    }

    #[test]
    fn tokens_come_back_and_foreign_ones_are_refused() {
        assert_eq!(paging(0, &token("größe")).after().unwrap(), "größe");
        assert_eq!(paging(0, "").after().unwrap(), "");
        for foreign in ["x", "eyJvZmZzZXQiOiAyfQ", "AQA", "AA"] {
            assert!(paging(0, foreign).after().is_err(), "{foreign}");
        }
    }

    #[test]
    fn properties_have_limits() {
        let one = |key: &str, value: &str| Properties::from([(key.to_owned(), value.to_owned())]);
        assert!(check_properties(Some(&one("a", "b"))).is_ok());
        assert!(check_properties(Some(&one("", "b"))).is_err());
        assert!(check_properties(Some(&one("a", "\0"))).is_err());
        assert!(check_properties(Some(&one("a", &"x".repeat(10_001)))).is_err());
        assert!(check_comment(Some(&"x".repeat(20_001))).is_err());
    }
}
