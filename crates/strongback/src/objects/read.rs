//! Reading an object, or a range of it: what the disk has to be asked for on the blocking pool, what is in memory where it is
//! asked for.

use std::{fs, io, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use super::{Disk, ObjectId};
use crate::error::{Error, Result};

/// Bytes that are read at a time: small enough that many slow readers stay cheap.
const READ_BYTES: u64 = 256 << 10;

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
        let tail = futures::stream::try_unfold((file, rest), |(file, rest)| async move {
            if rest.is_empty() {
                return Ok(None);
            }
            if let Some(block) = cached_block(&file, &rest) {
                let beyond = rest.start + block.len() as u64..rest.end;
                return Ok(Some((block, (file, beyond))));
            }
            let next = tokio::task::spawn_blocking(move || {
                let (block, rest) = read_block(&file, rest)?;
                io::Result::Ok(Some((block, (file, rest))))
            });
            next.await.map_err(io::Error::other)?
        });
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

/// The first block of a range, if memory has all of it; `None` where the disk would have to be asked, or the system does not say. To visit
/// the blocking pool for a block takes as long as to copy it, or longer.
#[cfg(target_os = "linux")]
fn cached_block(file: &fs::File, range: &Range<u64>) -> Option<Bytes> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut block = vec![0; (range.end.min(range.start + READ_BYTES) - range.start) as usize];
    let read = preadv2(file, &mut [io::IoSliceMut::new(&mut block)], range.start, ReadWriteFlags::NOWAIT);
    (read == Ok(block.len())).then(|| block.into())
}

#[cfg(not(target_os = "linux"))]
fn cached_block(_: &fs::File, _: &Range<u64>) -> Option<Bytes> {
    None
}
