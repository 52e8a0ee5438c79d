//! One model for a person to look at: its versions with their signatures and where they came from, its aliases, and the
//! newest moves of them. The product's own answer; it writes nothing.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use syntax::source::SourceUri;

use super::{
    aliases::{self, Alias, Move},
    governance::{self, Policy},
    models::Model,
    names::{self, Levels},
    signature::Signature,
    store,
    versions::{self, Pin, Stage, Status, Version},
};
use crate::{
    bind,
    catalog::{Action, securable::People},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy as Access, Route},
};

/// Versions of an answer at most.
const VERSIONS_MAX: usize = 100;
/// Moves of an answer at most.
const MOVES_MAX: usize = 20;
/// Moves that are looked through for those of one version.
const MOVES_READ_MAX: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/model",
        Access::Asset(Action::Read),
        Limits::SMALL,
        "A registered model, or one version of it: signature, origin, aliases, history",
        show,
    )]
}

/// Which model.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ModelRequest {
    /// NAME, NAME@alias or NAME/version; `models:/` may stand before it.
    pub name: String,
}

/// A model. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ModelView {
    /// Its name on every face.
    pub name: String,
    /// All three levels, also of a plain model.
    pub full_name: String,
    /// Name of its owner.
    pub owner: String,
    /// Its description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// When it, or something of it, was changed last.
    pub updated_at: i64,
    /// Which of its aliases move with passing gates alone; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governed: Option<Policy>,
    /// Its aliases; those of the version, where one was named.
    pub aliases: Vec<AliasView>,
    /// Newest first; the one version, where one was named.
    pub versions: Vec<VersionView>,
    /// Whether there are older versions than those.
    #[serde(default)]
    pub has_more_versions: bool,
    /// The newest moves of its aliases, newest first; those of the version, where one was named.
    pub moves: Vec<MoveView>,
}

/// An alias.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AliasView {
    /// Its name.
    pub alias: String,
    /// The version that it points to.
    pub version: i64,
    /// Since when.
    pub since: i64,
    /// Who moved it there.
    pub by: String,
}

/// A version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// Its number.
    pub version: i64,
    /// `READY`, or `PENDING_REGISTRATION` while files are on their way.
    pub status: String,
    /// MLflow's stage, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Its aliases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Its description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: i64,
    /// By whom.
    pub created_by: String,
    /// Where it came from, as the client said it.
    pub source: String,
    /// The run it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_id: String,
    /// The logged model it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    /// The files that it is made of, once it is ready; they do not change any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesView>,
    /// Why there is nothing about its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_pinned: Option<String>,
    /// `inputs`, `outputs` and `params` in MLflow's form, as they were when it became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Map<String, Json>>,
    /// Why its MLmodel file tells no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_problem: Option<String>,
}

/// Which files a version is made of.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FilesView {
    /// `files1:` and the SHA-256, in hexadecimal digits, over a text of one line for each file. docs/guides/databricks-uc.md
    /// says how to make it.
    pub digest: String,
    /// How many.
    pub count: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// When they were settled.
    pub pinned_at: i64,
}

/// A move of an alias.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MoveView {
    /// The alias.
    pub alias: String,
    /// The version before; absent where it was not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<i64>,
    /// The version after; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_version: Option<i64>,
    /// When.
    pub at: i64,
    /// By whom.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// What it rested on: `gate_report`, `override`, `rollback_of`, the `digest` of the version's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

async fn show(ctx: Ctx, request: ModelRequest) -> Result<ModelView> {
    ctx.read(move |sql| {
        let (model, one) = find(sql, &request.name)?;
        view(sql, &model, one)
    })
    .await
}

/// The model, and the version if one is named.
pub fn find(sql: &mut Sql<'_>, text: &str) -> Result<(Model, Option<Version>)> {
    let text = text.strip_prefix("models:/").unwrap_or(text);
    if let Some((name, number)) = text.split_once('/') {
        let number = number
            .parse()
            .map_err(|_| Error::invalid(format!(
                    "Invalid value for parameter 'name' supplied: '{number}' is no version. It is a number, from 1."
                )))?;
        let (model, version) = versions::load(sql, name, Levels::Any, number)?;
        return Ok((model, Some(version)));
    }
    // A plain name may have an @ in it.
    match text.rsplit_once('@') {
        Some((name, alias)) if names::find(sql, text)?.is_none() => {
            let model = names::load(sql, name, Levels::Any)?;
            let version = aliases::resolve(sql, &model, alias)?.ok_or_else(|| aliases::missing(alias))?;
            Ok((model, Some(version)))
        }
        _ => Ok((names::load(sql, text, Levels::Any)?, None)),
    }
}

fn view(sql: &mut Sql<'_>, model: &Model, one: Option<Version>) -> Result<ModelView> {
    let people = &mut People::default();
    let number = one.as_ref().map(|version| version.version);
    let is_meant = |version: Option<i64>| number.is_none() || version == number;
    let all = aliases::list(sql, &[model.id])?;
    let mut shown = match one {
        Some(version) => vec![version],
        None => versions::last(sql, model.id, VERSIONS_MAX as i64 + 1)?,
    };
    let has_more_versions = shown.len() > VERSIONS_MAX;
    shown.truncate(VERSIONS_MAX);
    let mut moves = sql.all(&store::MOVE_LAST, bind![model.id, MOVES_READ_MAX], aliases::read_move)?;
    moves.retain(|step| is_meant(step.from) || is_meant(step.to));
    moves.truncate(MOVES_MAX);
    let aliases = all.iter().filter(|alias| is_meant(Some(alias.version)));
    let governed = Some(governance::policy(sql, model.id)?).filter(|policy| !policy.aliases.is_empty());
    Ok(ModelView {
        governed,
        name: model.name(),
        full_name: model.full_name(),
        owner: model.owner.clone(),
        description: model.description.clone(),
        tags: model.tags.clone(),
        created_at: model.created_at,
        created_by: model.created_by.clone(),
        updated_at: model.updated_at,
        aliases: aliases.map(|alias| alias_view(sql, people, alias)).collect::<Result<_>>()?,
        versions: shown.into_iter().map(|version| version_view(version, &all)).collect(),
        has_more_versions,
        moves: moves.into_iter().map(|step| move_view(sql, people, step)).collect::<Result<_>>()?,
    })
}

fn alias_view(sql: &mut Sql<'_>, people: &mut People, alias: &Alias) -> Result<AliasView> {
    let moved = aliases::history(sql, alias.model_id, &alias.alias, i64::MAX)?
        .ok_or_else(|| Error::internal("an alias is set that never moved"))?;
    Ok(AliasView {
        alias: alias.alias.clone(),
        version: alias.version,
        since: moved.at,
        by: people.name(sql, moved.by)?,
    })
}

impl From<Pin> for FilesView {
    fn from(Pin { manifest, at }: Pin) -> Self {
        Self { digest: manifest.digest, count: manifest.files, bytes: manifest.bytes, pinned_at: at }
    }
}

/// Why nothing is known about the files of a version.
fn not_pinned(version: &Version) -> Option<String> {
    match (&version.pin, version.status) {
        (Some(_), _) => None,
        (None, Status::Pending) => Some("its files are on their way".to_owned()),
        (None, Status::Ready) => Some(match SourceUri::parse(&version.origin) {
            Ok(SourceUri::Opaque(_)) => "it has no files".to_owned(),
            _ => format!("external: its files are at {}, outside this server", version.origin),
        }),
    }
}

fn version_view(version: Version, all: &[Alias]) -> VersionView {
    let own = all.iter().filter(|alias| alias.version == version.version);
    let not_pinned = not_pinned(&version);
    let (signature, signature_problem) = match version.signature {
        Some(Signature::Known(parts)) => (Some(parts), None),
        Some(Signature::Unreadable(why)) => (None, Some(why)),
        None => (None, None),
    };
    VersionView {
        version: version.version,
        status: version.status.name().to_owned(),
        stage: (version.stage != Stage::None).then(|| version.stage.name().to_owned()),
        aliases: own.map(|alias| alias.alias.clone()).collect(),
        description: version.description,
        tags: version.tags,
        created_at: version.created_at,
        created_by: version.created_by,
        source: version.source,
        run_id: version.run_id,
        model_id: version.logged_model,
        files: version.pin.map(FilesView::from),
        not_pinned,
        signature,
        signature_problem,
    }
}

fn move_view(sql: &mut Sql<'_>, people: &mut People, step: Move) -> Result<MoveView> {
    Ok(MoveView {
        alias: step.alias,
        from_version: step.from,
        to_version: step.to,
        at: step.at,
        by: people.name(sql, step.by)?,
        reason: step.reason,
        evidence: step.evidence.as_deref().map(serde_json::from_str).transpose().map_err(Error::internal)?,
    })
}
