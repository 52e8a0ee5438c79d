//! Files in one piece, with a credential or by a signed address.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode, request::Parts};

use super::{
    as_files_api,
    place::Located,
    wire::{Address, PutRequest, UrlRequest},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Error, Result},
    files::{
        self, Existing,
        http::{base_url, body_stream, encode_path, param, read_json, read_query},
        sign,
    },
    router::{
        Limits, PathParams, Policy, Route,
        wire::{json_response, required},
    },
    tracking::artifacts::Access,
};

const FILE: &str = "/api/2.0/fs/files/{*path}";
const SIGNED: &str = "/api/2.0/fs/signed/files/{*path}";

const BYTES: &str = "application/octet-stream";

/// What addresses of this face are signed for; those of another face with the same path are others.
const GET: &str = "fs-get";
const PUT: &str = "fs-put";

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let (down, up) = ("/api/2.0/fs/create-download-url", "/api/2.0/fs/create-upload-url");
    vec![
        Route::raw(Method::PUT, FILE, edit, Limits::STREAM, "Store a file", put)
            .taking_query::<PutRequest>()
            .taking_bytes(),
        Route::raw(Method::GET, FILE, read, Limits::STREAM, "Get a file, or a range of it", get)
            .giving_content(BYTES),
        Route::raw(Method::HEAD, FILE, read, Limits::SMALL, "Size and digest of a file", get),
        Route::raw(Method::DELETE, FILE, edit, Limits::SMALL, "Delete a file", delete),
        Route::raw(Method::POST, down, read, Limits::SMALL, "An address to get a file from", download_url)
            .taking::<UrlRequest>()
            .giving::<Address>(),
        Route::raw(Method::POST, up, edit, Limits::SMALL, "An address to send a file to", upload_url)
            .taking::<UrlRequest>()
            .giving::<Address>(),
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
        Route::raw(
            Method::PUT,
            SIGNED,
            Policy::Public,
            Limits::STREAM,
            "Store a file by a signed address",
            put_signed,
        )
        .taking_query::<sign::Signed>()
        .taking_bytes(),
    ]
}

async fn put(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    let to = at.resolve(&ctx, Access::Write).await?;
    let asked: PutRequest = read_query(request.uri().query())?;
    let stored = files::put(&ctx, &to.guard, &to.path, existing(asked.overwrite), body_stream(request)).await;
    stored.map_err(|error| say_overwrite(error, &at))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A file stays unless the client said that it may be replaced.
pub(super) fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Replaced } else { Existing::Kept }
}

/// Says of a file that stays how it is replaced on this face.
pub(super) fn say_overwrite(error: Error, at: &Located) -> Error {
    if error.code() != Code::AlreadyExists {
        return error;
    }
    let message = format!("The file '/{}' exists already. Send overwrite=true to replace it.", at.whole);
    Error::new(Code::AlreadyExists, message)
}

async fn get(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    send(&ctx, param(&params, "path"), &request.into_parts().0).await
}

async fn send(ctx: &Ctx, raw: &str, head: &Parts) -> Result<Response> {
    let from = Located::parse(raw)?.resolve(ctx, Access::Read).await?;
    files::serve(ctx, &from.guard, &from.path, head).await.map_err(as_files_api)
}

async fn delete(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    let to = at.resolve(&ctx, Access::Remove).await?;
    let (guard, path) = (to.guard.clone(), to.path.clone());
    ctx.read(move |sql| {
        let place = guard(sql)?;
        files::get(sql, &place.area, &path)
    })
    .await
    .map_err(as_files_api)?;
    files::remove(&ctx, &to.guard, &to.path).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn download_url(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let base = base_url(&request);
    let body: UrlRequest = read_json(&ctx, params, request).await?;
    let at = Located::parse(required(&body.path, "path")?)?;
    let from = at.resolve(&ctx, Access::Read).await?;
    // A client that is told of an address believes that the file is there.
    let found = files::presign(&ctx, &from.guard, &from.path, None).await.map_err(as_files_api)?;
    let url = found.url.map_or_else(|| signed_url(&ctx, &base, GET, &at.whole), String::from);
    json_response(&Address::new(url))
}

async fn upload_url(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let base = base_url(&request);
    let body: UrlRequest = read_json(&ctx, params, request).await?;
    let at = Located::parse(required(&body.path, "path")?)?;
    let to = at.resolve(&ctx, Access::Write).await?;
    ctx.read(move |sql| (to.guard)(sql)).await?;
    json_response(&Address::new(signed_url(&ctx, &base, PUT, &at.whole)))
}

fn signed_url(ctx: &Ctx, base: &str, verb: &str, path: &str) -> String {
    let query = sign::query(ctx, sign::Claim { verb, resource: path });
    format!("{base}/api/2.0/fs/signed/files/{}?{query}", encode_path(path))
}

async fn get_signed(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (raw, head) = (param(&params, "path"), request.into_parts().0);
    let claim = sign::Claim { verb: GET, resource: raw };
    let ctx = sign::on_behalf(&ctx, claim, head.uri.query().unwrap_or_default()).await?;
    send(&ctx, raw, &head).await
}

async fn put_signed(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let raw = param(&params, "path");
    let claim = sign::Claim { verb: PUT, resource: raw };
    let ctx = sign::on_behalf(&ctx, claim, request.uri().query().unwrap_or_default()).await?;
    let to = Located::parse(raw)?.resolve(&ctx, Access::Write).await?;
    files::put(&ctx, &to.guard, &to.path, Existing::Replaced, body_stream(request)).await?;
    Ok(StatusCode::OK.into_response())
}
