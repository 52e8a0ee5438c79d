//! Files in parts: begun and ended with a credential, the parts sent to signed addresses without one.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use syntax::paths::ArtifactPath;
use uuid::Uuid;

use super::{
    home::{Access, Located},
    wire::{CreateUploadRequest, CreateUploadResponse, EndUploadRequest, PartAddress, PartIn},
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
};

pub(super) fn routes() -> Vec<Route> {
    let edit = Policy::Asset(Action::Edit);
    vec![
        Route::raw(
            Method::POST,
            "/api/2.0/mlflow-artifacts/mpu/create/{*root}",
            edit,
            Limits::SMALL,
            "Begin to upload a file in parts",
            create,
        )
        .taking::<CreateUploadRequest>()
        .giving::<CreateUploadResponse>(),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow-artifacts/mpu/complete/{*root}",
            edit,
            // All parts are copied into one object before this answers.
            Limits { time: Limits::STREAM.time, ..Limits::JSON },
            "Make the parts one file",
            complete,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow-artifacts/mpu/abort/{*root}",
            edit,
            Limits::SMALL,
            "Give an upload in parts up",
            abort,
        ),
        Route::raw(
            Method::PUT,
            "/api/2.0/mlflow-artifacts/mpu/part/{upload}/{part}/{*path}",
            Policy::Public,
            Limits::STREAM,
            "Store a part, by a signed address",
            part,
        )
        .taking_query::<sign::Signed>()
        .taking_bytes(),
    ]
}

/// Where the file is to lie: a directory of the proxy, and the last part of the client's own path.
fn locate(root: &str, local_path: &str) -> Result<Located> {
    let name = local_path.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut at = Located::parse(root)?;
    at.path = at.path.join(&ArtifactPath::parse(name)?)?;
    Ok(at)
}

/// What a part's address is signed for.
fn resource(upload: &str, part: &str, path: &str) -> String {
    format!("{upload}/{part}/{path}")
}

async fn create(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (root, base) = (param(&params, "root").to_owned(), base_url(&request));
    let body: CreateUploadRequest = read_json(&ctx, PathParams::new(), request).await?;
    let count = body.num_parts.map_or(1, |count| count.0);
    let count =
        u32::try_from(count).ok().filter(|count| (1..=PARTS_MAX).contains(count)).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value {count} for parameter 'num_parts' supplied: it is 1 to {PARTS_MAX}."
            ))
        })?;
    let at = locate(&root, required(&body.path, "path")?)?;
    let upload =
        files::begin(&ctx, &at.guard(Access::Write), &at.path, files::Existing::Replaced, Some(count))
            .await?
            .to_string();
    let path = format!("{}/{}", at.root, at.path);
    let credentials = (1..=count).map(|part_number| {
        let resource = resource(&upload, &part_number.to_string(), &path);
        let query = sign::query(&ctx, sign::Claim { verb: "part", resource: &resource });
        let url = format!("{base}/api/2.0/mlflow-artifacts/mpu/part/{}?{query}", encode_path(&resource));
        PartAddress { url, part_number, headers: BTreeMap::new() }
    });
    json_response(&CreateUploadResponse { credentials: credentials.collect(), upload_id: upload })
}

async fn part(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let (upload, number, path) = (param(&params, "upload"), param(&params, "part"), param(&params, "path"));
    let resource = resource(upload, number, path);
    let query = request.uri().query().unwrap_or_default();
    let ctx = sign::on_behalf(&ctx, sign::Claim { verb: "part", resource: &resource }, query).await?;
    let (id, at) = (upload_id(upload)?, Located::parse(path)?);
    let number = number.parse().map_err(|_| Error::invalid(format!("Invalid part number '{number}'.")))?;
    let etag = files::part(&ctx, &at.guard(Access::Write), id, number, body_stream(request)).await?;
    let etag = HeaderValue::from_str(&etag).map_err(Error::internal)?;
    Ok((StatusCode::OK, [(header::ETAG, etag)]).into_response())
}

async fn complete(ctx: Ctx, request: EndUploadRequest) -> Result<Empty> {
    let at = locate(&request.root, required(&request.path, "path")?)?;
    let id = upload_id(required(&request.upload_id, "upload_id")?)?;
    let parts = request.parts.into_iter().map(part_given).collect::<Result<_>>()?;
    files::complete(&ctx, &at.guard(Access::Write), id, &at.path, parts).await?;
    Ok(Empty {})
}

async fn abort(ctx: Ctx, request: EndUploadRequest) -> Result<Empty> {
    let at = locate(&request.root, required(&request.path, "path")?)?;
    let id = upload_id(required(&request.upload_id, "upload_id")?)?;
    files::abort(&ctx, &at.guard(Access::Write), id).await?;
    Ok(Empty {})
}

fn upload_id(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| {
        Error::missing(format!("There is no upload {text:?}. Use the upload_id that mpu/create answered."))
    })
}

fn part_given(part: PartIn) -> Result<PartGiven> {
    let number = part.part_number.0;
    let number =
        u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number)).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid value {number} for parameter 'parts.part_number' supplied: it is 1 to {PARTS_MAX}."
            ))
        })?;
    Ok(PartGiven { number, etag: part.etag })
}
