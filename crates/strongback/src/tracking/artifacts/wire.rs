//! MLflow's words for files and uploads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    files::Entry,
    router::wire::{Int64, list},
};

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileInfo {
    /// Relative to what the call says.
    pub path: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes. Left out for directories and, as in MLflow, for empty files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
}

impl FileInfo {
    /// An entry under a prefix that is empty or ends in `/`.
    pub(super) fn of(prefix: &str, entry: Entry) -> Self {
        Self {
            path: format!("{prefix}{}", entry.name),
            is_dir: entry.is_dir(),
            file_size: entry.size.filter(|size| *size > 0),
        }
    }
}

/// A directory by its path in the proxy.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// The directory.
    pub path: Option<String>,
}

/// What lies in it.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListResponse {
    /// Named relative to the directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInfo>,
}

/// A directory of a run.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RunListRequest {
    /// The run.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The same under its old name.
    #[serde(alias = "runUuid")]
    pub run_uuid: Option<String>,
    /// The directory, relative to the run's root.
    pub path: Option<String>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A file of a run.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RunFileRequest {
    /// The run.
    pub run_id: Option<String>,
    /// The same under its old name.
    pub run_uuid: Option<String>,
    /// The file, relative to the run's root.
    pub path: Option<String>,
}

/// A file of a run that somebody wants to move past this server.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PresignRequest {
    /// How long the address is to work, in seconds; a quarter of an hour at most is what it does.
    pub expiration: Option<Int64>,
    /// The run; or `model_id`.
    #[serde(alias = "runId")]
    pub run_id: Option<String>,
    /// The logged model.
    #[serde(alias = "modelId")]
    pub model_id: Option<String>,
    /// The file, relative to the root of the run or the model.
    pub path: Option<String>,
}

/// A file of a logged model.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ModelFileRequest {
    /// The file, relative to the model's root.
    pub artifact_file_path: Option<String>,
}

/// A directory of a logged model.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ModelListRequest {
    /// The logged model.
    pub model_id: String,
    /// The directory, relative to the model's root.
    #[serde(alias = "artifactDirectoryPath")]
    pub artifact_directory_path: Option<String>,
    /// Where the page before ended.
    #[serde(alias = "pageToken")]
    pub page_token: Option<String>,
}

/// A page of a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PageResponse {
    /// The root of the run's or the model's files.
    pub root_uri: String,
    /// Named relative to that root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileInfo>,
    /// For the next page; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// An upload in parts to be begun.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateUploadRequest {
    /// The client's own path of the file, of which the last part counts.
    pub path: Option<String>,
    /// How many parts will come.
    #[serde(alias = "numParts")]
    pub num_parts: Option<Int64>,
}

/// A begun upload.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateUploadResponse {
    /// Its id.
    pub upload_id: String,
    /// Where each part is to be sent.
    pub credentials: Vec<PartAddress>,
}

/// Where a part is to be sent, without a credential.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PartAddress {
    /// A signed address for PUT.
    pub url: String,
    /// From 1.
    pub part_number: u32,
    /// Headers to send: none.
    pub headers: BTreeMap<String, String>,
}

/// An upload to be completed or aborted.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EndUploadRequest {
    /// The directory in the proxy.
    pub root: String,
    /// The client's own path of the file, as before.
    pub path: Option<String>,
    /// The upload.
    #[serde(alias = "uploadId")]
    pub upload_id: Option<String>,
    /// The parts that make the file.
    #[serde(default, deserialize_with = "list")]
    pub parts: Vec<PartIn>,
}

/// A part that was sent.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PartIn {
    /// From 1.
    #[serde(alias = "partNumber")]
    pub part_number: Int64,
    /// What its upload answered.
    #[serde(default)]
    pub etag: String,
}

/// An address of a file in an object store.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PresignedDownload {
    /// For GET, with or without a range.
    pub presigned_url: String,
    /// Headers to send: none.
    pub headers: BTreeMap<String, String>,
    /// Bytes.
    pub file_size: u64,
}

/// A signed address of a file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PresignedResponse {
    /// For GET, with or without a range.
    pub url: String,
    /// Headers to send: none.
    pub headers: BTreeMap<String, String>,
    /// Bytes.
    pub file_size: u64,
}
