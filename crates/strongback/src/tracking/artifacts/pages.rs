//! Files by their run or logged model: for listings by id, and for MLflow's web pages.

use std::collections::{BTreeMap, HashSet};

use axum::{
    body::{Body, HttpBody as _},
    response::Response,
};
use http::{Method, Request, request::Parts};
use syntax::paths::ArtifactPath;

use super::{
    home::{Access, Home, guard},
    wire::{
        FileInfo, ModelFileRequest, ModelListRequest, PageResponse, PresignRequest, PresignedDownload,
        RunFileRequest, RunListRequest,
    },
};
use crate::{
    catalog::Action,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::{
        self, Entry,
        http::{body_stream, param, read_query},
    },
    objects::Spot,
    router::{
        Limits, PathParams, Policy, Route,
        wire::{Empty, json_response, required},
    },
};

const BYTES: &str = "application/octet-stream";
/// Entries a page.
const PAGE: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    let (read, edit) = (Policy::Asset(Action::Read), Policy::Asset(Action::Edit));
    let get = Method::GET;
    let list = "/api/2.0/mlflow/artifacts/list";
    let directory = "/api/2.0/mlflow/logged-models/{model_id}/artifacts/directories";
    let model_file = "/api/2.0/mlflow/logged-models/{model_id}/artifacts/files";
    let upload = "/api/2.0/mlflow/upload-artifact";
    vec![
        Route::json(get.clone(), list, read, Limits::SMALL, "List a directory of a run", list_run),
        Route::json(
            get.clone(),
            directory,
            read,
            Limits::SMALL,
            "List a directory of a logged model",
            list_model,
        ),
        Route::raw(
            get.clone(),
            model_file,
            read,
            Limits::STREAM,
            "Get a file of a logged model",
            get_of_model,
        )
        .taking_query::<ModelFileRequest>()
        .giving_content(BYTES),
        Route::raw(get, "/get-artifact", read, Limits::STREAM, "Get a file of a run", get_of_run)
            .taking_query::<RunFileRequest>()
            .giving_content(BYTES),
        Route::raw(Method::POST, upload, edit, Limits::STREAM, "Store a file of a run", upload_to_run)
            .taking_query::<RunFileRequest>()
            .taking_bytes()
            .giving::<Empty>(),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/artifacts/presigned-upload-url",
            edit,
            Limits::SMALL,
            "Refuses an address in an object store for a file of a run: files go through this server",
            presign_upload,
        ),
        Route::json(
            Method::POST,
            "/api/2.0/mlflow/artifacts/presigned-download-url",
            read,
            Limits::SMALL,
            "An address in the object store of a file of a run, where files lie in one",
            presign_download,
        ),
    ]
}

async fn list_run(ctx: Ctx, request: RunListRequest) -> Result<PageResponse> {
    let home = run_of(request.run_id, request.run_uuid)?;
    list(&ctx, home, request.path, request.page_token).await
}

/// The run that a request names under its new name or its old one.
fn run_of(run_id: Option<String>, run_uuid: Option<String>) -> Result<Home> {
    let id = [run_id, run_uuid].into_iter().flatten().find(|id| !id.is_empty());
    id.map(Home::Run).ok_or_else(|| Error::required("run_id"))
}

async fn list_model(ctx: Ctx, request: ModelListRequest) -> Result<PageResponse> {
    list(&ctx, Home::Model(request.model_id), request.artifact_directory_path, request.page_token).await
}

async fn list(ctx: &Ctx, home: Home, path: Option<String>, token: Option<String>) -> Result<PageResponse> {
    let dir = ArtifactPath::parse_looked_up(path.as_deref().unwrap_or_default())?;
    let after = token.filter(|token| !token.is_empty()).map(|token| read_token(&token)).transpose()?;
    let elsewhere = match outside(ctx, &home).await? {
        Some(spot) => Some(files::list_outside(&spot, &dir).await?),
        None => None,
    };
    ctx.read(move |sql| page(sql, &home, &dir, after.as_deref(), elsewhere)).await
}

/// Where a client keeps the files itself, if that place may be read. Refused for who may not read the run or the model.
async fn outside(ctx: &Ctx, home: &Home) -> Result<Option<Spot>> {
    if ctx.app.outside.is_empty() || !home.is_made_by_servers() {
        return Ok(None);
    }
    let home = home.clone();
    let uri =
        ctx.read(move |sql| guard(&home, Access::Read)(sql).and_then(|_| home.artifact_uri(sql))).await?;
    Ok(ctx.app.outside.find(&uri))
}

/// A page of what is kept here and, where a client keeps files itself, of what lies there.
fn page(
    sql: &mut Sql<'_>,
    home: &Home,
    dir: &ArtifactPath,
    after: Option<&str>,
    elsewhere: Option<Vec<Entry>>,
) -> Result<PageResponse> {
    let place = guard(home, Access::Read)(sql)?;
    let (entries, next) = match elsewhere {
        None => {
            let (entries, more) = files::list(sql, &place.area, dir, after, PAGE)?;
            let last = entries.last().filter(|_| more).map(|entry| entry.name.clone());
            (entries, last)
        }
        Some(elsewhere) => {
            let (here, more) = files::list(sql, &place.area, dir, None, files::ENTRIES_MAX)?;
            if more {
                return Err(files::too_many_entries(dir));
            }
            merged(here, elsewhere, after, PAGE)
        }
    };
    let prefix = if dir.is_root() { String::new() } else { format!("{dir}/") };
    Ok(PageResponse {
        root_uri: home.artifact_uri(sql)?,
        files: entries.into_iter().map(|entry| FileInfo::of(&prefix, entry)).collect(),
        next_page_token: next.map(hex::encode),
    })
}

/// A page of both in one order, and the place in it behind which the next one begins. What is here hides what has its name there.
fn merged(
    here: Vec<Entry>,
    there: Vec<Entry>,
    after: Option<&str>,
    page: usize,
) -> (Vec<Entry>, Option<String>) {
    // A file and a directory may have one name there.
    let place = |entry: &Entry| format!("{}{}", entry.name, if entry.is_dir() { "/" } else { "" });
    let names: HashSet<String> = here.iter().map(|entry| entry.name.clone()).collect();
    let there = there.into_iter().filter(|entry| !names.contains(&entry.name));
    let all = here.into_iter().chain(there).map(|entry| (place(&entry), entry));
    let mut behind: Vec<(String, Entry)> =
        all.filter(|(place, _)| after.is_none_or(|after| place.as_str() > after)).collect();
    behind.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let more = behind.len() > page;
    behind.truncate(page);
    let next = behind.last().filter(|_| more).map(|(place, _)| place.clone());
    (behind.into_iter().map(|(_, entry)| entry).collect(), next)
}

/// A token is the place of the page's last entry in the order.
fn read_token(token: &str) -> Result<String> {
    let name = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.filter(|name| !name.contains('\0')).ok_or_else(|| {
        Error::invalid(
            "Invalid value for parameter 'page_token' supplied: it is not one that this call answered.",
        )
    })
}

async fn presign_upload(ctx: Ctx, request: PresignRequest) -> Result<Empty> {
    refuse_presigning(&ctx, request, Access::Write).await
}

async fn presign_download(ctx: Ctx, request: PresignRequest) -> Result<PresignedDownload> {
    if ctx.app.objects.remote().is_some() && ctx.app.config.artifacts_presign.value {
        let home = presigned_home(&request)?;
        let path = ArtifactPath::parse(required(&request.path, "path")?)?;
        let seconds = request.expiration.as_ref().map(|seconds| seconds.0);
        let found = files::presign(&ctx, &guard(&home, Access::Read), &path, seconds).await?;
        if let Some(url) = found.url {
            let (presigned_url, file_size) = (url.into(), found.file.size);
            return Ok(PresignedDownload { presigned_url, headers: BTreeMap::new(), file_size });
        }
    }
    refuse_presigning(&ctx, request, Access::Read).await
}

/// Whose file it is: a run's or a logged model's.
fn presigned_home(request: &PresignRequest) -> Result<Home> {
    let given = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    match (given(&request.run_id), given(&request.model_id)) {
        (Some(run), None) => Ok(Home::Run(run)),
        (None, Some(model)) => Ok(Home::Model(model)),
        _ => Err(Error::invalid("Exactly one of 'run_id' and 'model_id' must be provided.")),
    }
}

/// There is no object store that the client could reach or write to: it gets MLflow's code for that, and the way that works.
async fn refuse_presigning<T>(ctx: &Ctx, request: PresignRequest, access: Access) -> Result<T> {
    let home = presigned_home(&request)?;
    let path = ArtifactPath::parse(required(&request.path, "path")?)?;
    let uri = ctx
        .read(move |sql| {
            guard(&home, access)(sql)?;
            home.artifact_uri(sql)
        })
        .await?;
    Err(Error::invalid(format!(
        "These files are kept by this server, which gives out no addresses in an object store. Use the path \
         '{uri}/{path}', as /api/2.0/mlflow-artifacts/artifacts serves it."
    )))
}

async fn get_of_run(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: RunFileRequest = read_query(request.uri().query())?;
    let home = run_of(asked.run_id, asked.run_uuid)?;
    let path = asked.path.ok_or_else(|| Error::required("path"))?;
    send(&ctx, &home, &path, &request.into_parts().0).await
}

async fn get_of_model(ctx: Ctx, params: PathParams, request: Request<Body>) -> Result<Response> {
    let home = Home::Model(param(&params, "model_id").to_owned());
    let asked: ModelFileRequest = read_query(request.uri().query())?;
    let path = asked.artifact_file_path.ok_or_else(|| Error::required("artifact_file_path"))?;
    send(&ctx, &home, &path, &request.into_parts().0).await
}

async fn send(ctx: &Ctx, home: &Home, path: &str, head: &Parts) -> Result<Response> {
    let path = ArtifactPath::parse(path)?;
    match files::serve(ctx, &guard(home, Access::Read), &path, head).await {
        Err(missing) if missing.status() == 404 => match outside(ctx, home).await? {
            Some(spot) => files::serve_outside(&spot, &path, head).await,
            None => Err(missing),
        },
        served => served,
    }
}

async fn upload_to_run(ctx: Ctx, _: PathParams, request: Request<Body>) -> Result<Response> {
    let asked: RunFileRequest = read_query(request.uri().query())?;
    let home = run_of(asked.run_id, asked.run_uuid)?;
    let path = ArtifactPath::parse(&asked.path.ok_or_else(|| Error::required("path"))?)?;
    if request.body().is_end_stream() {
        return Err(Error::invalid(
            "Request must specify data: the body is empty, and would make an empty file.",
        ));
    }
    files::put(&ctx, &guard(&home, Access::Write), &path, files::Existing::Replaced, body_stream(request))
        .await?;
    json_response(&Empty {})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<Entry> {
        let entry = |name: &&str| Entry {
            name: name.trim_end_matches('/').to_owned(),
            size: (!name.ends_with('/')).then_some(1),
            modified_at: 0,
        };
        names.iter().map(entry).collect()
    }

    #[test]
    fn pages_of_two_lists_have_everything_once() {
        let here = ["a/", "a-b.txt", "b", "own", "z/"];
        let there = ["a", "a-a.txt", "a.txt", "b/", "m", "m/", "m.txt", "z"];
        let expected = ["a-a.txt", "a-b.txt", "a.txt", "a/", "b", "m", "m.txt", "m/", "own", "z/"];
        for page in 1..12 {
            let (mut found, mut after, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let (some, next) = merged(entries(&here), entries(&there), after.as_deref(), page);
                assert!(some.len() <= page && (next.is_none() || some.len() == page));
                let shown =
                    |entry: &Entry| format!("{}{}", entry.name, if entry.is_dir() { "/" } else { "" });
                found.extend(some.iter().map(shown));
                pages += 1;
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(
                (found.as_slice(), pages),
                (expected.map(str::to_owned).as_slice(), 10_usize.div_ceil(page))
            );
        }
    }
}
