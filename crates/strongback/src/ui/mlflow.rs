//! MLflow's own web pages, from the wheel that the user installed.
//!
//! The directory is listed once at start; a request can only name a file of that list, so no path from outside ever
//! reaches the file system.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use axum::{
    body::Body,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, Method, Request, header};

use super::python;
use crate::{
    context::Ctx,
    error::{Error, Result},
    ops::SPEAKS_LIKE,
    router::{Limits, PathParams, Policy, Route},
};

/// Files that are listed at most; the wheel has about 500.
const FILES_MAX: usize = 20_000;
/// Directories within directories.
const DEPTH_MAX: usize = 16;
/// Where the pages lie in the package.
const BELOW_PACKAGE: &str = "server/js/build";

/// The files of the installed pages: name below the directory, and where it lies.
#[derive(Debug, Default)]
pub struct Pages {
    files: HashMap<String, PathBuf>,
}

/// Finds the pages that the setting `mlflow_ui` means, and says in the log what was found: `off`, `auto` (ask the
/// user's Python where its mlflow is; where there is none, the server starts without), or a directory, which must hold
/// them.
pub fn find(setting: &str) -> Result<Pages> {
    match setting {
        "off" | "" => Ok(Pages::default()),
        "auto" => Ok(find_by_python().unwrap_or_else(|why| {
            tracing::warn!(
                "MLflow's pages are not served: {why}. Install it there (pip install mlflow), start in the environment \
                 that has it, or name the directory of the pages with --mlflow-ui PATH."
            );
            Pages::default()
        })),
        dir => {
            let pages = list(Path::new(dir)).map_err(|why| {
                Error::invalid(format!(
                    "--mlflow-ui {dir} cannot be served: {why}. It is the directory mlflow/{BELOW_PACKAGE} of an installed \
                     mlflow; --mlflow-ui auto finds it through your Python."
                ))
            })?;
            say_version(Path::new(dir));
            Ok(pages)
        }
    }
}

impl Pages {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The pages of the first Python that has them: of the active environment, then of the path.
fn find_by_python() -> std::result::Result<Pages, String> {
    let mut why = Vec::new();
    for (python, package) in python::packages() {
        match package.and_then(|package| {
            let dir = package.join(BELOW_PACKAGE);
            list(&dir).map(|pages| (dir, pages))
        }) {
            Ok((dir, pages)) => {
                say_version(&dir);
                return Ok(pages);
            }
            Err(error) => why.push(format!("{}: {error}", python.display())),
        }
    }
    Err(why.join("; "))
}

/// Which version the pages are of, and a warning where it is not one that they were tried with.
fn say_version(dir: &Path) {
    // From …/mlflow/server/js/build to …/mlflow/version.py.
    let version = dir.ancestors().nth(3).and_then(python::version);
    let minor = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let dir = dir.display();
    match version {
        Some(version) if minor(&version) == minor(SPEAKS_LIKE) => {
            tracing::info!("MLflow's pages at /mlflow/: version {version}, from {dir}");
        }
        Some(version) => tracing::warn!(
            "MLflow's pages at /mlflow/: version {version}, from {dir}. They were tried with {SPEAKS_LIKE}; what others ask \
             besides is refused with a message."
        ),
        None => tracing::info!("MLflow's pages at /mlflow/: of an unknown version, from {dir}"),
    }
}

/// Lists the files once. Links are followed, for some installers link to a cache.
fn list(dir: &Path) -> std::result::Result<Pages, String> {
    let mut files = HashMap::new();
    let mut waiting = vec![(dir.to_owned(), 0)];
    while let Some((next, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&next)
            .map_err(|error| format!("{} cannot be read ({error})", next.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let Ok(kind) = path.metadata() else { continue };
            if kind.is_dir() && depth < DEPTH_MAX {
                waiting.push((path, depth + 1));
            } else if kind.is_file() && files.len() < FILES_MAX {
                let Ok(name) = path.strip_prefix(dir) else { continue };
                files.insert(name.to_string_lossy().into_owned(), path);
            }
        }
    }
    if files.contains_key("index.html") {
        Ok(Pages { files })
    } else {
        Err(format!("{} has no index.html (mlflow-skinny has no pages)", dir.display()))
    }
}

pub(super) fn routes() -> Vec<Route> {
    let public = Policy::Public;
    vec![
        Route::raw(Method::GET, "/mlflow", public, Limits::SMALL, "To MLflow's pages", |_, _, _| async {
            Ok(Redirect::permanent("mlflow/").into_response())
        }),
        Route::raw(Method::GET, "/mlflow/", public, Limits::SMALL, "MLflow's pages", index)
            .giving_content("text/html"),
        Route::raw(
            Method::GET,
            "/mlflow/static-files/{*file}",
            public,
            Limits::STREAM,
            "A file of MLflow's pages",
            file,
        )
        .giving_content("application/octet-stream"),
    ]
}

async fn index(ctx: Ctx, _: PathParams, _: Request<Body>) -> Result<Response> {
    let mut response = send(&ctx, "index.html").await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    Ok(response)
}

async fn file(ctx: Ctx, params: PathParams, _: Request<Body>) -> Result<Response> {
    let name = params.get("file").map(String::as_str).unwrap_or_default();
    let mut response = send(&ctx, name).await?;
    // Names under static/ carry a hash of their content.
    let cache = if name.starts_with("static/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

async fn send(ctx: &Ctx, name: &str) -> Result<Response> {
    let pages = &ctx.app.pages;
    if pages.is_empty() {
        return Err(Error::missing(
            "MLflow's pages are not served. Install mlflow (pip install mlflow) and start with --mlflow-ui auto.",
        ));
    }
    let path = pages
        .files
        .get(name)
        .ok_or_else(|| Error::missing(format!("MLflow's pages have no file {name:?}.")))?;
    let bytes = tokio::fs::read(path).await.map_err(|error| {
        Error::missing(format!(
            "The file {name:?} of MLflow's pages cannot be read; was mlflow uninstalled meanwhile?"
        ))
        .because(error)
    })?;
    Ok(([(header::CONTENT_TYPE, content_type(name))], bytes).into_response())
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
