//! The calls: objects below the prefix of an address, by keys that the caller makes and no client does.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    GetOptions, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::{Path, PathPart},
    signer::Signer,
};
use url::Url;

use crate::{Error, Kind, Result, error::says_no_bucket};

/// Bytes of a part of an upload, all but the last, which is what some stores ask for. Ten thousand of them, the most that S3
/// takes, are more than the largest file.
pub const PART_BYTES: usize = 12 << 20;

/// Bytes that are asked for at a time.
const READ_BYTES: u64 = 4 << 20;

/// Bytes on their way out.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A part that the store has.
#[derive(Debug, Clone)]
pub struct Part(PartId);

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The last part of its key.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, milliseconds since the epoch, by the store's clock.
    pub modified_at: i64,
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: u64,
    /// When it was written, milliseconds since the epoch, by the store's clock.
    pub modified_at: i64,
    /// Its entity tag, with its quotes.
    pub etag: Option<String>,
}

/// A place in an object store. Cheap to clone.
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    signer: Option<Arc<dyn Signer>>,
    pages: Option<Arc<dyn PaginatedListStore>>,
    prefix: Path,
    shown: String,
}

/// One store by what it can do.
pub(crate) struct Abilities {
    pub store: Arc<dyn ObjectStore>,
    pub parts: Arc<dyn MultipartStore>,
    /// `None` if it signs nothing.
    pub signer: Option<Arc<dyn Signer>>,
    /// `None` if it lists all at once.
    pub pages: Option<Arc<dyn PaginatedListStore>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.0.shown).finish()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl Bucket {
    pub(crate) fn of(abilities: Abilities, prefix: Path, shown: String) -> Self {
        let Abilities { store, parts, signer, pages } = abilities;
        Self(Arc::new(Inner { store, parts, signer, pages, prefix, shown }))
    }

    /// A key as it is: what a client wrote there has names of its own.
    fn path(&self, key: &str) -> Path {
        key.split('/').filter(|part| !part.is_empty()).fold(self.0.prefix.clone(), |path, part| {
            path.join(PathPart::parse(part).unwrap_or_else(|_| PathPart::from(part)))
        })
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::of(&self.0.shown, error)
    }

    /// Writes an object in one piece.
    pub async fn put(&self, key: &str, blocks: Vec<Bytes>) -> Result<()> {
        let payload: PutPayload = blocks.into_iter().collect();
        self.0.store.put(&self.path(key), payload).await.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Writes an object unless there is one. Answers whether it did.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.0.store.put_opts(&self.path(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Begins to write an object in parts; answers the upload's id, by which it is completed or aborted.
    pub async fn begin(&self, key: &str) -> Result<String> {
        self.0.parts.create_multipart(&self.path(key)).await.map_err(|error| self.failed(error))
    }

    /// Sends a part, counted from 0.
    pub async fn put_part(&self, key: &str, upload: &str, at: usize, blocks: Vec<Bytes>) -> Result<Part> {
        let payload: PutPayload = blocks.into_iter().collect();
        let sent = self.0.parts.put_part(&self.path(key), &upload.to_owned(), at, payload).await;
        sent.map(Part).map_err(|error| self.failed(error))
    }

    /// Makes the parts one object.
    pub async fn complete(&self, key: &str, upload: &str, parts: Vec<Part>) -> Result<()> {
        let parts = parts.into_iter().map(|part| part.0).collect();
        let done = self.0.parts.complete_multipart(&self.path(key), &upload.to_owned(), parts).await;
        done.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Lets the parts go. Nothing if there are none any more.
    pub async fn abort(&self, key: &str, upload: &str) -> Result<()> {
        match self.0.parts.abort_multipart(&self.path(key), &upload.to_owned()).await {
            Ok(()) => Ok(()),
            Err(error) => match self.failed(error) {
                error if is_missing(&error) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// A small object, whole.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let found = async { self.0.store.get(&self.path(key)).await?.bytes().await };
        self.some(found.await)
    }

    /// What the store says of an object.
    pub async fn find(&self, key: &str) -> Result<Option<Found>> {
        let found = self.some(self.0.store.head(&self.path(key)).await)?;
        Ok(found.map(|meta| Found {
            size: meta.size,
            modified_at: meta.last_modified.timestamp_millis(),
            etag: meta.e_tag,
        }))
    }

    /// How many bytes an object has.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.find(key).await?.map(|found| found.size))
    }

    /// A range of an object; `None` if there is none. The first bytes are there when this answers. An object that ends within
    /// the range is an error ([`Kind::Short`]).
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Option<ByteStream>> {
        self.read_same(key, range, None).await
    }

    /// The same of an object that others may replace, as long as it has this entity tag; then it is another one
    /// ([`Kind::Changed`]).
    pub async fn read_same(
        &self,
        key: &str,
        range: Range<u64>,
        etag: Option<&str>,
    ) -> Result<Option<ByteStream>> {
        let path = self.path(key);
        let etag = etag.map(str::to_owned);
        if range.is_empty() {
            let there = self.some(self.0.store.head(&path).await)?;
            return Ok(there.map(|_| stream::iter([Ok(Bytes::new())]).boxed()));
        }
        let first = range.start..range.end.min(range.start + READ_BYTES);
        let Some(head) = self.some(self.part(&path, first.clone(), etag.clone()).await)? else {
            return Ok(None);
        };
        let head = self.whole(head, first.end - first.start)?;
        let bucket = self.clone();
        let rest = (first.end..range.end).step_by(READ_BYTES as usize).map(move |start| {
            let (bucket, path, etag) = (bucket.clone(), path.clone(), etag.clone());
            let end = range.end.min(start + READ_BYTES);
            async move {
                let bytes = bucket.part(&path, start..end, etag).await;
                bucket.whole(bytes.map_err(|error| bucket.failed(error))?, end - start)
            }
        });
        // One after the other: a range that is asked for early would run into its time limit while a slow reader takes the one before.
        let rest = stream::iter(rest).buffered(1);
        Ok(Some(stream::iter([Ok(head)]).chain(rest).boxed()))
    }

    /// Removes objects, as far as they are there.
    pub async fn remove(&self, keys: Vec<String>) -> Result<()> {
        let paths: Vec<_> = keys.iter().map(|key| Ok(self.path(key))).collect();
        let mut done = self.0.store.delete_stream(stream::iter(paths).boxed());
        while let Some(one) = done.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// The objects directly below a directory.
    pub async fn list(&self, dir: &str) -> Result<Vec<Listed>> {
        let found = self.0.store.list_with_delimiter(Some(&self.path(dir))).await;
        found.map(|found| found.objects.into_iter().map(listed).collect()).map_err(|error| self.failed(error))
    }

    /// The names of the directories directly below a directory, and the objects there; `None` if they are more than so many. An empty
    /// object by which some tools mark the directory itself is none of them.
    pub async fn list_at_most(&self, dir: &str, most: usize) -> Result<Option<(Vec<String>, Vec<Listed>)>> {
        let path = self.path(dir);
        let (mut directories, mut objects, mut token) = (Vec::new(), Vec::new(), None);
        loop {
            let (page, next) = self.page(&path, token).await.map_err(|error| self.failed(error))?;
            directories.extend(page.common_prefixes.iter().map(name));
            objects.extend(page.objects.into_iter().filter(|meta| meta.location != path).map(listed));
            if directories.len() + objects.len() > most {
                return Ok(None);
            }
            token = next;
            if token.is_none() {
                return Ok(Some((directories, objects)));
            }
        }
    }

    async fn page(
        &self,
        path: &Path,
        token: Option<String>,
    ) -> object_store::Result<(ListResult, Option<String>)> {
        let Some(pages) = &self.0.pages else {
            return Ok((self.0.store.list_with_delimiter(Some(path)).await?, None));
        };
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let prefix = if path.is_root() { None } else { Some(format!("{path}/")) };
        let page = pages.list_paginated(prefix.as_deref(), options).await?;
        Ok((page.result, page.page_token))
    }

    /// An address at which anybody may get the object for a while; `None` if the store signs none.
    pub async fn signed_get(&self, key: &str, valid: Duration) -> Result<Option<Url>> {
        let Some(signer) = &self.0.signer else { return Ok(None) };
        let url = signer.signed_url(http::Method::GET, &self.path(key), valid).await;
        url.map(Some).map_err(|error| self.failed(error))
    }

    async fn part(
        &self,
        path: &Path,
        range: Range<u64>,
        etag: Option<String>,
    ) -> object_store::Result<Bytes> {
        let options = GetOptions { range: Some(range.into()), if_match: etag, ..GetOptions::default() };
        self.0.store.get_opts(path, options).await?.bytes().await
    }

    /// The bytes, if they are as many as were asked for: stores answer a range that goes beyond the end by what there is of it.
    fn whole(&self, bytes: Bytes, asked: u64) -> Result<Bytes> {
        if bytes.len() as u64 == asked { Ok(bytes) } else { Err(Error::short(&self.0.shown)) }
    }

    /// `None` for an object that is not there, in a bucket that is.
    fn some<T>(&self, outcome: object_store::Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error)
                if matches!(error, object_store::Error::NotFound { .. })
                    && !says_no_bucket(&error.to_string()) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

fn name(path: &Path) -> String {
    path.filename().unwrap_or_default().to_owned()
}

fn listed(meta: ObjectMeta) -> Listed {
    Listed { name: name(&meta.location), size: meta.size, modified_at: meta.last_modified.timestamp_millis() }
}

/// A store answers alike for an upload that is over and a bucket that is not there.
fn is_missing(error: &Error) -> bool {
    error.kind() == Kind::NoBucket
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn objects_are_put_read_listed_and_removed() {
        let bucket = Bucket::in_memory();
        let whole: Vec<u8> = (0..2 * READ_BYTES as usize + 5).map(|n| (n % 251) as u8).collect();
        bucket
            .put("ab/1", vec![Bytes::from(whole[..7].to_vec()), Bytes::from(whole[7..].to_vec())])
            .await
            .unwrap();
        bucket.put("ab/empty", vec![]).await.unwrap();
        bucket.put("cd/2", vec![]).await.unwrap();
        let size = whole.len() as u64;
        for range in [0..size, 3..4, 5..READ_BYTES + 5, READ_BYTES - 1..size, size..size] {
            let read = bucket.read("ab/1", range.clone()).await.unwrap().unwrap();
            let read = read.try_collect::<Vec<Bytes>>().await.unwrap().concat();
            assert_eq!(read, whole[range.start as usize..range.end as usize], "{range:?}");
        }
        for beyond in [size - 1..size + 1, size..size + 1, size + 5..size + 9] {
            let error = bucket.read("ab/1", beyond.clone()).await.err().unwrap();
            assert_eq!(error.kind(), Kind::Short, "{beyond:?}: {error}");
        }
        let cut = bucket.read("ab/1", 0..size + 1).await.unwrap().unwrap();
        assert_eq!(cut.try_collect::<Vec<Bytes>>().await.unwrap_err().kind(), Kind::Short);
        assert!(bucket.read("ab/none", 0..1).await.unwrap().is_none());
        assert!(bucket.read("ab/none", 0..0).await.unwrap().is_none());
        assert!(bucket.get("ab/none").await.unwrap().is_none());
        let mut listed = bucket.list("ab").await.unwrap();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let seen: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.size)).collect();
        assert_eq!(seen, [("1", size), ("empty", 0)]);
        bucket.remove(vec!["ab/1".into(), "ab/none".into()]).await.unwrap();
        assert!(bucket.read("ab/1", 0..1).await.unwrap().is_none());
        assert_eq!(bucket.list("cd").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn of_two_who_create_one_does() {
        let bucket = Bucket::in_memory();
        assert!(bucket.create("owner", Bytes::from_static(b"a")).await.unwrap());
        assert!(!bucket.create("owner", Bytes::from_static(b"b")).await.unwrap());
        assert_eq!(bucket.get("owner").await.unwrap().unwrap(), "a");
    }

    #[tokio::test]
    async fn parts_are_nothing_until_they_are_one() {
        let bucket = Bucket::in_memory();
        let upload = bucket.begin("ab/1").await.unwrap();
        let first = bucket.put_part("ab/1", &upload, 0, vec![Bytes::from_static(b"a")]).await.unwrap();
        let second = bucket.put_part("ab/1", &upload, 1, vec![Bytes::from_static(b"b")]).await.unwrap();
        assert!(bucket.get("ab/1").await.unwrap().is_none());
        bucket.complete("ab/1", &upload, vec![first, second]).await.unwrap();
        assert_eq!(bucket.get("ab/1").await.unwrap().unwrap(), "ab");
        let upload = bucket.begin("ab/2").await.unwrap();
        bucket.abort("ab/2", &upload).await.unwrap();
        assert!(bucket.get("ab/2").await.unwrap().is_none());
        assert!(bucket.signed_get("ab/1", Duration::from_secs(1)).await.unwrap().is_none());
    }
}
