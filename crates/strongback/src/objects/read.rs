//! Reading an object, or a range of it: what the disk has to be waited for on the blocking pool, what is in memory where it is
//! asked for.

use std::{fs, io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use super::{Disk, ObjectId};
use crate::error::{Error, Result};

/// Bytes that are read at a time: small enough that many slow readers stay cheap.
const READ_BYTES: u64 = 256 << 10;

/// Blocks out of memory that a thread copies, and may hash, before others have their turn: within two milliseconds.
const CACHED_BLOCKS: u32 = 8;

/// Bytes on their way out.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

impl Disk {
    /// The bytes of a range of an object; `None` if it is gone. The first block is read before this answers, so that
    /// an object that cannot be read is an error and not a body that breaks off. One that ends too early is an error of the stream.
    pub async fn read(&self, id: ObjectId, range: Range<u64>) -> Result<Option<ByteStream>> {
        let store = Arc::clone(&self.0);
        let open = move || -> io::Result<_> {
            let file = Arc::new(fs::File::open(store.path(id))?);
            let (first, rest) = read_block(&file, range)?;
            Ok((file, first, rest))
        };
        let (file, first, rest) = match tokio::task::spawn_blocking(open).await.map_err(Error::internal)? {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Some(futures::stream::once(std::future::ready(Err(error))).boxed()));
            }
            Err(error) => return Err(Error::internal(error)),
        };
        let head = futures::stream::once(std::future::ready(Ok(first)));
        let reading = Reading { file, rest, cached: Cached::Asked(0) };
        let tail = futures::stream::try_unfold(reading, Reading::next);
        Ok(Some(head.chain(tail).boxed()))
    }

    /// Objects of these sizes one after another.
    pub(super) fn chain(&self, parts: Vec<(ObjectId, u64)>) -> BoxStream<'static, Result<Bytes>> {
        let disk = self.clone();
        let whole = futures::stream::iter(parts).then(move |(id, size)| {
            let disk = disk.clone();
            async move {
                let gone = || Error::internal(format!("the part {id} is gone"));
                let part = disk.read(id, 0..size).await?.ok_or_else(gone)?;
                Ok::<_, Error>(part.map_err(Error::internal))
            }
        });
        whole.try_flatten().boxed()
    }
}

/// The first block of a range, and the rest of the range. Straight into memory that nobody cleared before: that takes a tenth of
/// the time.
fn read_block(file: &fs::File, range: Range<u64>) -> io::Result<(Bytes, Range<u64>)> {
    let end = range.end.min(range.start + READ_BYTES);
    let length = (end - range.start) as usize;
    let mut block = Vec::with_capacity(length);
    while block.len() < length {
        let at = range.start + block.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut block), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    block.truncate(length);
    Ok((Bytes::from(block), end..range.end))
}

/// A range on its way out.
struct Reading {
    file: Arc<fs::File>,
    rest: Range<u64>,
    cached: Cached,
}

/// What is known of asking memory alone.
enum Cached {
    /// It answers; so many blocks came of it one after another.
    Asked(u32),
    /// The file system cannot tell.
    Unknown,
}

impl Reading {
    /// The next block: from memory without leaving the thread, where it is there, since to visit the blocking pool for a block takes as long
    /// as to copy it. Others have their turn after some of them.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if let Cached::Asked(blocks) = self.cached {
            if blocks == CACHED_BLOCKS {
                tokio::task::yield_now().await;
            }
            match cached_block(&self.file, &self.rest) {
                Ok(Some(block)) => {
                    self.cached = Cached::Asked(blocks % CACHED_BLOCKS + 1);
                    self.rest.start += block.len() as u64;
                    return Ok(Some((block, self)));
                }
                Ok(None) => self.cached = Cached::Asked(0),
                Err(()) => self.cached = Cached::Unknown,
            }
        }
        let next = tokio::task::spawn_blocking(move || {
            let (block, rest) = read_block(&self.file, self.rest)?;
            Ok(Some((block, Self { rest, ..self })))
        });
        next.await.map_err(io::Error::other)?
    }
}

/// As much of the first block of a range as is in memory; none where the disk would have to be waited for, or where the pool is to say what is
/// wrong. An error if the file system does not know the question (`RWF_NOWAIT`).
fn cached_block(file: &fs::File, range: &Range<u64>) -> Result<Option<Bytes>, ()> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut block = vec![0; (range.end.min(range.start + READ_BYTES) - range.start) as usize];
    match preadv2(file, &mut [io::IoSliceMut::new(&mut block)], range.start, ReadWriteFlags::NOWAIT) {
        Ok(read) => {
            block.truncate(read);
            Ok((read > 0).then(|| block.into()))
        }
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Err(()),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn memory_gives_what_it_has_and_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        let whole: Vec<u8> = (0..READ_BYTES + 77).map(|n| (n * 7) as u8).collect();
        file.write_all(&whole).unwrap();
        let size = whole.len() as u64;
        let Ok(first) = cached_block(&file, &(0..size)) else {
            // A file system that cannot tell says so of every range.
            assert_eq!(cached_block(&file, &(5..6)), Err(()));
            return;
        };
        let first = first.expect("what was just written is in memory");
        assert!(first.len() as u64 <= READ_BYTES && !first.is_empty());
        assert_eq!(first, whole[..first.len()]);
        assert_eq!(
            cached_block(&file, &(size - 9..size)),
            Ok(Some(Bytes::copy_from_slice(&whole[whole.len() - 9..])))
        );
        // Beyond the end there is nothing, and a range that crosses it gives what is there.
        assert_eq!(cached_block(&file, &(size..size + 1)), Ok(None));
        assert_eq!(cached_block(&file, &(size - 1..size + 9)).unwrap().unwrap().len(), 1);
    }
}
