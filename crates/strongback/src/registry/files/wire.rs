//! The Files API's words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::router::wire::{Int64, flag, list};

/// How a file is to be stored.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PutRequest {
    /// Whether one that is there is replaced.
    #[serde(default, deserialize_with = "flag")]
    pub overwrite: bool,
}

/// A path to make an address for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct UrlRequest {
    /// The file.
    pub path: Option<String>,
    /// Of an upload in parts.
    pub session_token: Option<String>,
    /// From 1.
    pub start_part_number: Option<Int64>,
    /// How many parts; 1 if absent.
    pub count: Option<Int64>,
}

/// An address that needs no credential.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Address {
    /// Where.
    pub url: String,
    /// Headers to send with it: none.
    pub headers: [(); 0],
}

impl Address {
    pub fn new(url: String) -> Self {
        Self { url, headers: [] }
    }
}

/// Where parts go.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PartAddresses {
    /// One a part.
    pub upload_part_urls: Vec<PartAddress>,
}

/// Where a part goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PartAddress {
    /// From 1.
    pub part_number: u32,
    /// Where.
    #[serde(flatten)]
    pub address: Address,
}

/// Where an upload is given up.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AbortAddress {
    /// For DELETE.
    pub abort_upload_url: Address,
}

/// A begun upload.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Initiated {
    /// The upload; nothing where one was completed.
    pub multipart_upload: Session,
}

/// What the client names a begun upload by.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Session {
    /// For the calls that follow.
    pub session_token: String,
}

/// The parts that make a file; also what the query of such a call says.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FileAction {
    /// `initiate-upload` or `complete-upload`.
    #[serde(default)]
    pub action: String,
    /// Of the upload to complete.
    pub session_token: Option<String>,
    /// Whether a file that is there is replaced.
    #[serde(default, deserialize_with = "flag")]
    pub overwrite: bool,
    /// The parts that make the file.
    #[serde(default, deserialize_with = "list")]
    pub parts: Vec<PartIn>,
}

/// A part that was sent.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PartIn {
    /// From 1.
    pub part_number: Int64,
    /// What its upload answered.
    #[serde(default)]
    pub etag: String,
}

/// A directory to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListRequest {
    /// The directory.
    pub path: String,
    /// Entries a page.
    pub page_size: Option<Int64>,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListResponse {
    /// Files and directories.
    pub contents: Vec<Content>,
    /// For the next page; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// A file or a directory.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Content {
    /// Absolute.
    pub path: String,
    /// Last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes; left out for directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Milliseconds since the epoch.
    pub last_modified: i64,
}
