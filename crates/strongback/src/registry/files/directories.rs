//! Directories, which are there because files lie below them.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode};
use syntax::paths::ArtifactPath;

use super::{
    as_files_api,
    place::Located,
    wire::{Content, ListRequest, ListResponse},
};
use crate::{
    catalog::Action,
    context::Ctx,
    error::{Code, Error, Result},
    files::{self, Entry, http::param},
    router::{Limits, PathParams, Policy, Route},
    tracking::artifacts::Access,
};

const PATH: &str = "/api/2.0/fs/directories/{*path}";
/// Entries a page, unless the client asks for fewer.
const PAGE: usize = 1000;

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    vec![
        Route::json(Method::GET, PATH, read, Limits::SMALL, "List a directory", list),
        Route::raw(Method::HEAD, PATH, read, Limits::SMALL, "Whether a directory is there", head),
        Route::raw(Method::PUT, PATH, edit, Limits::SMALL, "Make a directory", create),
        Route::raw(Method::DELETE, PATH, edit, Limits::SMALL, "Delete an empty directory", delete),
    ]
}

async fn list(ctx: Ctx, request: ListRequest) -> Result<ListResponse> {
    let at = Located::parse(&request.path)?;
    let size = match request.page_size.map_or(0, |size| size.0) {
        0 => PAGE,
        size => usize::try_from(size).map(|size| size.min(PAGE)).map_err(|_| {
            Error::invalid(format!(
                "Invalid value {size} for parameter 'page_size' supplied: it is 0 to {PAGE}."
            ))
        })?,
    };
    let after =
        request.page_token.filter(|token| !token.is_empty()).map(|token| read_token(&token)).transpose()?;
    let from = at.resolve(&ctx, Access::Read).await?;
    let whole = at.whole.clone();
    let (entries, more) = ctx
        .read(move |sql| {
            let place = (from.guard)(sql)?;
            if !files::is_directory(sql, &place.area, &from.path)? {
                return Err(missing(&whole));
            }
            files::list(sql, &place.area, &from.path, after.as_deref(), size)
        })
        .await
        .map_err(as_files_api)?;
    let next_page_token = entries.last().filter(|_| more).map(|entry| hex::encode(&entry.name));
    let contents = entries.into_iter().map(|entry| content(&at.whole, entry)).collect();
    Ok(ListResponse { contents, next_page_token })
}

fn content(dir: &str, entry: Entry) -> Content {
    Content {
        path: format!("/{dir}/{}", entry.name),
        is_directory: entry.is_dir(),
        file_size: entry.size,
        last_modified: entry.modified_at,
        name: entry.name,
    }
}

/// A token is the name of the page's last entry.
fn read_token(token: &str) -> Result<String> {
    let name = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| ArtifactPath::parse(name).is_ok()).ok_or_else(|| {
        Error::invalid(
            "Invalid value for parameter 'page_token' supplied: it is not one that this call answered.",
        )
    })
}

fn missing(path: &str) -> Error {
    Error::new(Code::NotFound, format!("There is no directory at '/{path}'."))
}

/// Whether anything lies in the directory, for a caller who may do `access`.
async fn has_files(ctx: &Ctx, at: &Located, access: Access) -> Result<bool> {
    let to = at.resolve(ctx, access).await?;
    ctx.read(move |sql| {
        let place = (to.guard)(sql)?;
        files::is_directory(sql, &place.area, &to.path)
    })
    .await
    .map_err(as_files_api)
}

async fn head(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    if has_files(&ctx, &at, Access::Read).await? {
        Ok(StatusCode::OK.into_response())
    } else {
        Err(missing(&at.whole))
    }
}

/// Nothing is to be done: the first file makes the directory. Rights are asked all the same.
async fn create(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    has_files(&ctx, &at, Access::Write).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn delete(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let at = Located::parse(param(&params, "path"))?;
    if has_files(&ctx, &at, Access::Remove).await? {
        return Err(Error::invalid(format!(
            "The directory '/{}' is not empty. Delete its files first.",
            at.whole
        )));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
