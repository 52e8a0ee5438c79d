//! Files in parts: begun and completed with a credential, the parts sent to signed addresses.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use uuid::Uuid;

use super::{
    as_files_api,
    place::{Located, Resolved},
    single::{existing, say_overwrite},
    wire::{
        AbortAddress, Address, FileAction, Initiated, PartAddress, PartAddresses, PartIn, Session, UrlRequest,
    },
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Error, Result},
    files::{
        self, PARTS_MAX, PartGiven,
        http::{base_url, body_stream, encode_path, param, read_json},
        sign,
    },
    router::{
        Limits, PathParams, Policy, Route,
        wire::{Empty, json_response, required},
    },
    tracking::artifacts::Access,
};

/// What the addresses are signed for.
const PART: &str = "fs-part";
const ABORT: &str = "fs-abort";

pub(super) fn routes() -> Vec<Route> {
    let (edit, open) = (Policy::Asset(Action::Edit), Policy::Public);
    let post = Method::POST;
    let file = "/api/2.0/fs/files/{*path}";
    let (parts, abort) = ("/api/2.0/fs/create-upload-part-urls", "/api/2.0/fs/create-abort-upload-url");
    let signed_part = "/api/2.0/fs/signed/parts/{upload}/{part}/{*path}";
    let signed_abort = "/api/2.0/fs/signed/uploads/{upload}/{*path}";
    vec![
        Route::raw(post.clone(), file, edit, Limits::PARTS, "Begin or complete an upload in parts", act)
            .taking::<FileAction>()
            .giving::<Initiated>(),
        Route::raw(post.clone(), parts, edit, Limits::SMALL, "Addresses to send parts to", part_urls)
            .taking::<UrlRequest>()
            .giving::<PartAddresses>(),
        Route::raw(post, abort, edit, Limits::SMALL, "An address to give an upload up at", abort_url)
            .taking::<UrlRequest>()
            .giving::<AbortAddress>(),
        Route::raw(
            Method::PUT,
            signed_part,
            open,
            Limits::STREAM,
            "Store a part by a signed address",
            put_part,
        )
        .taking_query::<sign::Signed>()
        .taking_bytes(),
        Route::raw(
            Method::DELETE,
            signed_abort,
            open,
            Limits::SMALL,
            "Give an upload up by a signed address",
            give_up,
        )
        .taking_query::<sign::Signed>(),
    ]
}

async fn act(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    let to = at.resolve(&ctx, Access::Write).await?;
    // A list of parts is long: it is read from those only who may write here.
    let guard = to.guard.clone();
    ctx.read(move |sql| guard(sql)).await?;
    let body: FileAction = read_json(&ctx, PathParams::new(), request).await?;
    match body.action.as_str() {
        "initiate-upload" => initiate(&ctx, &at, &to, &body).await,
        "complete-upload" => complete(&ctx, &at, &to, body).await,
        other => Err(Error::invalid(format!(
            "Invalid value {other:?} for parameter 'action' supplied: it is initiate-upload or complete-upload."
        ))),
    }
}

async fn initiate(ctx: &Ctx, at: &Located, to: &Resolved, body: &FileAction) -> Result<Response> {
    let begun = files::begin(ctx, &to.guard, &to.path, existing(body.overwrite), None).await;
    let session_token = begun.map_err(|error| say_overwrite(error, at))?.to_string();
    json_response(&Initiated { multipart_upload: Session { session_token } })
}

async fn complete(ctx: &Ctx, at: &Located, to: &Resolved, body: FileAction) -> Result<Response> {
    let id = session(required(&body.session_token, "session_token")?)?;
    let parts = body.parts.into_iter().map(given).collect::<Result<_>>()?;
    let completed = files::complete(ctx, &to.guard, id, &to.path, parts).await;
    completed.map_err(|error| say_overwrite(as_files_api(error), at))?;
    json_response(&Empty {})
}

async fn part_urls(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let base = base_url(&request);
    let body: UrlRequest = read_json(&ctx, params, request).await?;
    let at = open_upload(&ctx, &body).await?;
    let upload = required(&body.session_token, "session_token")?;
    let first = part_number("start_part_number", body.start_part_number.map_or(1, |n| n.0))?;
    let count = part_number("count", body.count.map_or(1, |n| n.0))?;
    let last = part_number("start_part_number + count", i64::from(first) + i64::from(count) - 1)?;
    let upload_part_urls = (first..=last).map(|part_number| {
        let resource = format!("{upload}/{part_number}/{}", at.whole);
        let query = sign::query(&ctx, sign::Claim { verb: PART, resource: &resource });
        let url = format!("{base}/api/2.0/fs/signed/parts/{}?{query}", encode_path(&resource));
        PartAddress { part_number, address: Address::new(url) }
    });
    json_response(&PartAddresses { upload_part_urls: upload_part_urls.collect() })
}

async fn abort_url(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let base = base_url(&request);
    let body: UrlRequest = read_json(&ctx, params, request).await?;
    let at = open_upload(&ctx, &body).await?;
    let resource = format!("{}/{}", required(&body.session_token, "session_token")?, at.whole);
    let query = sign::query(&ctx, sign::Claim { verb: ABORT, resource: &resource });
    let url = format!("{base}/api/2.0/fs/signed/uploads/{}?{query}", encode_path(&resource));
    json_response(&AbortAddress { abort_upload_url: Address::new(url) })
}

/// The path of an upload that is there, for a caller who may write to it.
async fn open_upload(ctx: &Ctx, body: &UrlRequest) -> Result<Located> {
    let at = Located::parse(required(&body.path, "path")?)?;
    let id = session(required(&body.session_token, "session_token")?)?;
    let to = at.resolve(ctx, Access::Write).await?;
    let path = files::path_of(ctx, &to.guard, id).await.map_err(as_files_api)?;
    if path != to.path {
        return Err(Error::invalid(format!(
            "Invalid value '{}' for parameter 'path' supplied: the upload {id} is for '{path}'.",
            to.path
        )));
    }
    Ok(at)
}

async fn put_part(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (upload, number, path) = (param(&params, "upload"), param(&params, "part"), param(&params, "path"));
    let resource = format!("{upload}/{number}/{path}");
    let query = request.uri().query().unwrap_or_default();
    let ctx = sign::on_behalf(&ctx, sign::Claim { verb: PART, resource: &resource }, query).await?;
    let to = Located::parse(path)?.resolve(&ctx, Access::Write).await?;
    let number = part_number("part_number", number.parse().unwrap_or(0))?;
    let etag = files::part(&ctx, &to.guard, session(upload)?, number, body_stream(request)).await?;
    let etag = HeaderValue::from_str(&etag).map_err(Error::internal)?;
    Ok((StatusCode::OK, [(header::ETAG, etag)]).into_response())
}

async fn give_up(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (upload, path) = (param(&params, "upload"), param(&params, "path"));
    let resource = format!("{upload}/{path}");
    let query = request.uri().query().unwrap_or_default();
    let ctx = sign::on_behalf(&ctx, sign::Claim { verb: ABORT, resource: &resource }, query).await?;
    let to = Located::parse(path)?.resolve(&ctx, Access::Write).await?;
    files::abort(&ctx, &to.guard, session(upload)?).await.map_err(as_files_api)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn session(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| {
        as_files_api(Error::missing(
            "The session_token is not one that initiate-upload answered. Begin a new upload.",
        ))
    })
}

fn part_number(name: &str, number: i64) -> Result<u32> {
    u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid value {number} for parameter '{name}' supplied: it is 1 to {PARTS_MAX}."
        ))
    })
}

fn given(part: PartIn) -> Result<PartGiven> {
    Ok(PartGiven { number: part_number("parts.part_number", part.part_number.0)?, etag: part.etag })
}
