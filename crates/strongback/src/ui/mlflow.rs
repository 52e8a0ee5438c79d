//! MLflow's own web pages, from the wheel that the user installed.
//!
//! The directory is listed once at start; a request can only name a file of that list, so no path from outside ever
//! reaches the file system.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

use axum::{
    body::Body,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, Method, Request, header};

use crate::{
    context::Ctx,
    error::{Error, Result},
    router::{Limits, PathParams, Policy, Route},
};

/// Files that are listed at most; the wheel has about 1,500.
const FILES_MAX: usize = 20_000;

/// The files of the installed pages: name below the directory, and where it lies.
#[derive(Debug, Default)]
pub struct Pages {
    files: HashMap<String, PathBuf>,
}

/// Finds the pages that the setting `mlflow_ui` means: `off`, `auto` (ask python3 where its mlflow is; none is fine), or
/// a directory (which must hold them).
pub fn find(setting: &str) -> Result<Pages> {
    match setting {
        "off" | "" => Ok(Pages::default()),
        "auto" => Ok(ask_python().and_then(|dir| list(&dir)).unwrap_or_default()),
        dir => list(Path::new(dir)).ok_or_else(|| {
            Error::invalid(format!(
                "The directory {dir} has no index.html of MLflow's pages. It is mlflow/server/js/build of an installed mlflow; \
                 --mlflow-ui auto finds it through python3."
            ))
        }),
    }
}

impl Pages {
    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Where python3's mlflow keeps its pages. The package is looked up, not imported.
fn ask_python() -> Option<PathBuf> {
    let script = "import importlib.util as u; print(u.find_spec('mlflow').submodule_search_locations[0])";
    let python = std::env::var_os("VIRTUAL_ENV")
        .map_or_else(|| PathBuf::from("python3"), |venv| Path::new(&venv).join("bin/python3"));
    let output =
        Command::new(python).args(["-c", script]).output().ok().filter(|output| output.status.success())?;
    let package = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(package.trim()).join("server/js/build"))
}

fn list(dir: &Path) -> Option<Pages> {
    let mut files = HashMap::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).ok()?.flatten() {
            let path = entry.path();
            let kind = entry.file_type().ok()?;
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() && files.len() < FILES_MAX {
                let name = path.strip_prefix(dir).ok()?.to_string_lossy().replace('\\', "/");
                files.insert(name, path);
            }
        }
    }
    files.contains_key("index.html").then_some(Pages { files })
}

pub(super) fn routes() -> Vec<Route> {
    let public = Policy::Public;
    vec![
        Route::raw(Method::GET, "/mlflow", public, Limits::SMALL, "To MLflow's pages", |_, _, _| async {
            Ok(Redirect::permanent("/mlflow/").into_response())
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
