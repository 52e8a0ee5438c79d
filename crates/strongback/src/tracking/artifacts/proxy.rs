//! Files one at a time: put, get, list, delete, and signed addresses for reading.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, request::Parts};
use syntax::paths::ArtifactPath;

use super::{
    home::{Access, Located},
    wire::{FileInfo, ListRequest, ListResponse, PresignedResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    files::{
        self,
        http::{base_url, body_stream, encode_path, param},
        sign,
    },
    router::{
        Limits, PathParams, Policy, Route,
        wire::{Empty, json_response},
    },
    tracking::limits,
};

const FILE: &str = "/api/2.0/mlflow-artifacts/artifacts/{*path}";
const BYTES: &str = "application/octet-stream";
const SIGNED: &str = "/api/2.0/mlflow-artifacts/signed/{*path}";

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    vec![
        Route::raw(Method::PUT, FILE, edit, Limits::STREAM, "Store a file", put).taking_bytes(),
        Route::raw(Method::GET, FILE, read, Limits::STREAM, "Get a file, or a range of it", get)
            .giving_content(BYTES),
        Route::raw(Method::HEAD, FILE, read, Limits::SMALL, "Size and digest of a file", get),
        Route::raw(
            Method::DELETE,
            FILE,
            edit,
            Limits::SMALL,
            "Delete a file, or a directory with all below it",
            delete,
        )
        .giving::<Empty>(),
        Route::json(
            Method::GET,
            "/api/2.0/mlflow-artifacts/artifacts",
            read,
            Limits::SMALL,
            "List a directory",
            list,
        ),
        Route::raw(
            Method::GET,
            "/api/2.0/mlflow-artifacts/presigned/{*path}",
            read,
            Limits::SMALL,
            "An address at which a file can be read without a credential for a while",
            presign,
        )
        .giving::<PresignedResponse>(),
        Route::raw(
            Method::GET,
            SIGNED,
            Policy::Public,
            Limits::STREAM,
            "Get a file by a signed address",
            get_signed,
        )
        .taking_query::<sign::Signed>()
        .giving_content(BYTES),
    ]
}

async fn put(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let path = param(&params, "path");
    if path.ends_with('/') {
        return Err(Error::invalid(format!(
            "Invalid path '{}': it ends with '/', as that of a directory; name a file.",
            limits::cut(path, 200)
        )));
    }
    let at = Located::parse(path)?;
    files::put(&ctx, &at.guard(Access::Write), &at.path, files::Existing::Replaced, body_stream(request))
        .await?;
    Ok(StatusCode::OK.into_response())
}

async fn get(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    send(&ctx, param(&params, "path"), &request.into_parts().0).await
}

async fn send(ctx: &Ctx, raw: &str, head: &Parts) -> Result<Response> {
    let at = Located::parse(raw)?;
    let guard = at.guard(Access::Read);
    match files::serve(ctx, &guard, &at.path, head).await {
        Err(error) if error.status() == 404 => Err(explain(ctx, &at, error).await),
        answer => answer,
    }
}

/// Says so where the path that is no file is a directory.
async fn explain(ctx: &Ctx, at: &Located, error: Error) -> Error {
    let (guard, path) = (at.guard(Access::Read), at.path.clone());
    let is_directory = ctx
        .read(move |sql| {
            let place = guard(sql)?;
            files::is_directory(sql, &place.area, &path)
        })
        .await;
    match is_directory {
        Ok(true) => {
            Error::invalid(format!("Invalid path '{}': it is a directory; name a file in it.", at.path))
        }
        _ => error,
    }
}

async fn delete(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    files::remove(&ctx, &at.guard(Access::Remove), &at.path).await?;
    json_response(&Empty {})
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let path = ArtifactPath::parse_looked_up(&request.path.ok_or_else(|| Error::required("path"))?)?;
    let at = Located::parse(path.as_str())?;
    ctx.read(move |sql| {
        let place = at.guard(Access::Read)(sql)?;
        let (entries, more) = files::list(sql, &place.area, &at.path, None, files::ENTRIES_MAX)?;
        if more {
            return Err(too_many(&at.path));
        }
        Ok(ListResponse { files: entries.into_iter().map(|entry| FileInfo::of("", entry)).collect() })
    })
    .await
}

fn too_many(path: &ArtifactPath) -> Error {
    let most = files::ENTRIES_MAX;
    Error::invalid(format!(
        "The directory '{path}' has more than {most} entries, which this call cannot answer. List its subdirectories, \
         or page through it with artifacts/list."
    ))
}

async fn presign(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let raw = param(&params, "path");
    let at = Located::parse(raw)?;
    let found = files::presign(&ctx, &at.guard(Access::Read), &at.path, None).await?;
    let url = found.url.map_or_else(
        || {
            let query = sign::query(&ctx, sign::Claim { verb: "get", resource: raw });
            let base = base_url(&request);
            format!("{base}/api/2.0/mlflow-artifacts/signed/{}?{query}", encode_path(raw))
        },
        String::from,
    );
    json_response(&PresignedResponse { url, headers: BTreeMap::new(), file_size: found.file.size })
}

async fn get_signed(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (raw, head) = (param(&params, "path"), request.into_parts().0);
    let query = head.uri.query().unwrap_or_default();
    let ctx = sign::on_behalf(&ctx, sign::Claim { verb: "get", resource: raw }, query).await?;
    send(&ctx, raw, &head).await
}
