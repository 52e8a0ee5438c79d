//! Files of runs, logged models and versions: which there are, and one more, also of what was deleted.
//!
//! What must stay true: what came here in another way than by an import stays; a version that has files keeps them; one that has none
//! takes some, and they are its own once it is settled ([`super::take`]).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{Method, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use syntax::paths::ArtifactPath;

use super::{ID_CHARS, ItemKind};
use crate::{
    catalog::authorize_admin,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::{
        self, Existing, File, Guard, Place,
        http::{body_stream, param},
    },
    registry::carried::own_place,
    router::{
        Limits, PathParams, Policy, Route,
        wire::{Empty, json_response},
    },
    tracking::{artifacts::Home, limits},
};

/// Owners of files of one request.
const OWNERS_MAX: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::json(
            Method::POST,
            "/api/1.0/exchange/files",
            Policy::Admin,
            Limits::JSON,
            "Paths, sizes and SHA-256 of the files of runs, logged models or versions",
            list,
        ),
        Route::raw(
            Method::PUT,
            "/api/1.0/exchange/files/{kind}/{id}/{*path}",
            Policy::Admin,
            Limits::STREAM,
            "Store a file of a run, a logged model or a version without files, also of one that was deleted",
            put,
        )
        .taking_bytes()
        .giving::<Empty>(),
    ]
}

/// Whose files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FilesRequest {
    /// `run`, `logged_model` or `version`.
    pub kind: ItemKind,
    /// Their ids here; at most 1,000.
    pub ids: Vec<String>,
}

/// Files by whose they are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FilesResponse {
    /// Those that have any, in the order of the ids.
    pub owners: Vec<FilesOf>,
}

/// The files of one run, logged model or version.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct FilesOf {
    /// Its id here.
    pub id: String,
    /// The root of its files as clients know it.
    pub artifact_uri: String,
    /// By path.
    pub files: Vec<StoredFile>,
    /// Why they cannot be listed, as where there are too many; nothing else of them is told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredFile {
    /// Below the root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    /// Whether an import stored it; any other is never replaced by one.
    #[serde(default)]
    pub is_carried: bool,
}

impl From<File> for StoredFile {
    fn from(file: File) -> Self {
        let sha256 = hex::encode(&file.sha256);
        Self { path: file.path, size: file.size, sha256, is_carried: file.is_carried }
    }
}

/// Whose files they are.
#[derive(Clone)]
enum Owner {
    Home(Home),
    /// `name/number`.
    Version(String),
}

impl Owner {
    fn parse(kind: ItemKind, id: &str) -> Result<Self> {
        match kind {
            ItemKind::Run => Ok(Self::Home(Home::Run(limits::run_id("id", Some(id))?.to_owned()))),
            ItemKind::LoggedModel => Ok(Self::Home(Home::Model(limits::run_id("id", Some(id))?.to_owned()))),
            ItemKind::Version => Ok(Self::Version(limits::text("id", id, ID_CHARS)?.to_owned())),
            other => Err(Error::invalid(format!(
                "Invalid value '{}' for parameter 'kind': files belong to a 'run', a 'logged_model' or a 'version'.",
                other.name()
            ))),
        }
    }

    fn place(&self, sql: &mut Sql<'_>, is_to_write: bool) -> Result<Place> {
        match self {
            Self::Home(home) => home.place(sql),
            Self::Version(id) => Ok(own_place(sql, id, is_to_write)?.0),
        }
    }

    fn artifact_uri(&self, sql: &mut Sql<'_>) -> Result<String> {
        match self {
            Self::Home(home) => home.artifact_uri(sql),
            Self::Version(id) => Ok(own_place(sql, id, false)?.1),
        }
    }
}

async fn list(ctx: Ctx, request: FilesRequest) -> Result<FilesResponse> {
    if request.ids.len() > OWNERS_MAX {
        return Err(Error::invalid(format!(
            "'ids' can contain at most {OWNERS_MAX} ids; it has {}.",
            request.ids.len()
        )));
    }
    ctx.read(move |sql| {
        authorize_admin(sql, "read everything that is kept")?;
        let mut owners = Vec::new();
        for id in &request.ids {
            owners.extend(files_of(sql, request.kind, id)?);
        }
        Ok(FilesResponse { owners })
    })
    .await
}

fn files_of(sql: &mut Sql<'_>, kind: ItemKind, id: &str) -> Result<Option<FilesOf>> {
    let owner = Owner::parse(kind, id)?;
    let place = owner.place(sql, false)?;
    let (found, refused) = match files::all(sql, &place.area) {
        Ok(found) if found.is_empty() => return Ok(None),
        Ok(found) => (found, None),
        Err(error) if error.is_ours() => return Err(error),
        // It holds up no other owner.
        Err(error) => (Vec::new(), Some(error.message().to_owned())),
    };
    let files = found.into_iter().map(StoredFile::from).collect();
    Ok(Some(FilesOf { id: id.to_owned(), artifact_uri: owner.artifact_uri(sql)?, files, refused }))
}

async fn put(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let kind = param(&params, "kind");
    let known = ItemKind::ALL.into_iter().find(|known| known.name() == kind).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid value '{}' for parameter 'kind': it is 'run', 'logged_model' or 'version'.",
            limits::cut(kind, 100)
        ))
    })?;
    let owner = Owner::parse(known, param(&params, "id"))?;
    let path = ArtifactPath::parse(param(&params, "path"))?;
    let guard: Guard = Arc::new(move |sql| {
        authorize_admin(sql, "take what another store holds")?;
        owner.place(sql, true)
    });
    files::put(&ctx, &guard, &path, Existing::Carried, body_stream(request)).await?;
    json_response(&Empty {})
}
