//! A local object store whose writes survive a power cut.
//!
//! `object_store` renames a file into place and never syncs it: after a power cut a table's log could name data that
//! is not there, or a commit that was acknowledged could be gone. Here a file's bytes go through `fdatasync` before
//! its name appears, and the directory is synced before the call answers, for data files and log entries alike. A new
//! directory is made durable from the root down.
//!
//! What must stay true: no name appears before its bytes are durable, and nothing is acknowledged before its name is.

use std::{
    fmt, fs, io,
    io::Write,
    ops::Range,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    local::LocalFileSystem, path::Path,
};
use futures::stream::BoxStream;

/// What the name of a file that is being written ends with. `object_store` hides such names in lists as its own.
const STAGED: &str = "#1";

/// Whether a file is one that was being written. Where nobody writes, it is what a dead process left.
pub(crate) fn is_staged(path: &FsPath) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(STAGED))
}

/// Whether it was a writer of this server: theirs have an id at the end.
pub(crate) fn is_staged_here(path: &FsPath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(STAGED));
    let id = name.and_then(|name| name.rsplit_once('.')).map_or("", |(_, id)| id);
    uuid::Uuid::try_parse(id).is_ok()
}

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct Durable {
    inner: Arc<LocalFileSystem>,
}

impl Durable {
    /// The whole file system of this machine, as table locations are absolute.
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()) }
    }

    fn path(&self, location: &Path) -> Result<PathBuf> {
        self.inner.path_to_filesystem(location)
    }
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableLocalFileSystem")
    }
}

#[async_trait]
impl ObjectStore for Durable {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let is_new = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "a conditional update of a file".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.path(location)?;
        blocking(move || {
            let mut staged = Staged::begin(&path)?;
            for block in &payload {
                staged.file.write_all(block).map_err(|error| failed(&path, error))?;
            }
            staged.publish(is_new)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.path(location)?;
        let staged = blocking(move || Staged::begin(&path)).await?;
        Ok(Box::new(Upload { state: Arc::new(parking_lot::Mutex::new(Some(staged))), offset: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.settle(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.settle(to).await
    }
}

impl Durable {
    /// Syncs a file that is in place already, and its directory.
    async fn settle(&self, location: &Path) -> Result<()> {
        let path = self.path(location)?;
        blocking(move || {
            fs::File::open(&path)
                .and_then(|file| file.sync_data())
                .and_then(|()| sync_parent(&path))
                .map_err(|error| failed(&path, error))
        })
        .await
    }
}

/// A file under the name that it has while it is written. It is removed unless it was published.
#[derive(Debug)]
struct Staged {
    path: PathBuf,
    /// Its name until then.
    temporary: PathBuf,
    file: fs::File,
    is_published: bool,
}

impl Staged {
    fn begin(path: &FsPath) -> Result<Self> {
        let parent = path.parent().unwrap_or(FsPath::new("/"));
        make_dirs(parent).map_err(|error| failed(path, error))?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        // Two writers of one name do not meet: each writes under a name of its own.
        name.push(format!(".{}{STAGED}", uuid::Uuid::new_v4().simple()));
        let temporary = parent.join(name);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), temporary, file, is_published: false })
    }

    /// Gives the file its name, once its bytes are durable. If it must be new, of two writers one succeeds.
    fn publish(mut self, is_new: bool) -> Result<()> {
        self.file.sync_data().map_err(|error| failed(&self.path, error))?;
        if is_new {
            // The staged name goes when this is dropped.
            fs::hard_link(&self.temporary, &self.path).map_err(|error| failed(&self.path, error))?;
        } else {
            fs::rename(&self.temporary, &self.path).map_err(|error| failed(&self.path, error))?;
            self.is_published = true;
        }
        sync_parent(&self.path).map_err(|error| failed(&self.path, error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published
            && let Err(error) = fs::remove_file(&self.temporary)
        {
            tracing::warn!(%error, "a half-written file of a table could not be removed");
        }
    }
}

/// A file that comes in parts. They are written as they come, in whatever order they end.
#[derive(Debug)]
struct Upload {
    state: Arc<parking_lot::Mutex<Option<Staged>>>,
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let (offset, state) = (self.offset, Arc::clone(&self.state));
        self.offset += payload.content_length() as u64;
        Box::pin(blocking(move || {
            use std::os::unix::fs::FileExt;
            let state = state.lock();
            let staged = state.as_ref().ok_or_else(over)?;
            let mut at = offset;
            for block in &payload {
                staged.file.write_all_at(block, at).map_err(|error| failed(&staged.path, error))?;
                at += block.len() as u64;
            }
            Ok(())
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let state = Arc::clone(&self.state);
        blocking(move || {
            let staged = state.lock().take().ok_or_else(over)?;
            staged.publish(false)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.state.lock().take();
        Ok(())
    }
}

fn over() -> Error {
    Error::Generic { store: "local", source: "the upload was completed or aborted already".into() }
}

fn failed(path: &FsPath, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: path.display().to_string(), source: Box::new(error) }
        }
        io::ErrorKind::NotFound => {
            Error::NotFound { path: path.display().to_string(), source: Box::new(error) }
        }
        _ => Error::Generic { store: "local", source: Box::new(error) },
    }
}

/// Makes a directory and those above it, each durable in the one above.
fn make_dirs(dir: &FsPath) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dirs(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(dir),
    }
}

fn sync_parent(path: &FsPath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Generic { store: "local", source: Box::new(error) })?
}
