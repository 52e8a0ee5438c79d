//! What clients ask about the server before they decide how to move files.

use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    context::Ctx,
    error::Result,
    router::{Limits, Policy, Route, openapi::Nothing},
};

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/3.0/mlflow/server-info";
    vec![Route::json(
        Method::GET,
        path,
        Policy::Public,
        Limits::SMALL,
        "What this server can do",
        server_info,
    )]
}

#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "these are the fields of the message")]
struct ServerInfo {
    /// MLflow's name for a store behind a server that keeps everything.
    store_type: &'static str,
    /// Catalogs take the place of workspaces.
    workspaces_enabled: bool,
    /// There are no traces.
    trace_archival_enabled: bool,
    /// Large files may come in parts.
    multipart_uploads_enabled: bool,
    /// Off: clients that are told otherwise have no way back when a part cannot be signed.
    multipart_downloads_enabled: bool,
}

async fn server_info(_: Ctx, _: Nothing) -> Result<ServerInfo> {
    Ok(ServerInfo {
        store_type: "SqlStore",
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: true,
        multipart_downloads_enabled: false,
    })
}
