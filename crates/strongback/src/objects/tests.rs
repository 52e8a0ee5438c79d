//! Objects on a real file system.

use std::fs;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::{disk::TEMPORARY, *};
use crate::error::Code;

fn store() -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let objects = Disk::open(dir.path()).unwrap();
    (dir, objects)
}

fn chunks(sizes: &[usize]) -> (Vec<u8>, BoxStream<'static, Result<Bytes>>) {
    let chunks: Vec<Vec<u8>> =
        sizes.iter().enumerate().map(|(at, size)| (0..*size).map(|n| (n * 7 + at) as u8).collect()).collect();
    let whole = chunks.concat();
    (whole, stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)))).boxed())
}

async fn read(objects: &Disk, id: ObjectId, range: Range<u64>) -> Option<Vec<u8>> {
    let stream = objects.read(id, range).await.unwrap()?;
    Some(stream.try_collect::<Vec<Bytes>>().await.unwrap().concat())
}

fn temporary_files(objects: &Disk) -> usize {
    fs::read_dir(objects.root().join(TEMPORARY)).unwrap().count()
}

#[tokio::test]
async fn what_is_written_is_read_whole_and_in_ranges() {
    let (_dir, objects) = store();
    let large = [17 * BLOCK_BYTES, 17 * BLOCK_BYTES, 5];
    let small = [&[][..], &[0], &[10], &[BLOCK_BYTES], &[BLOCK_BYTES - 1, 1, 1], &[3 * BLOCK_BYTES + 5, 9]];
    for sizes in small.into_iter().chain([&large[..]]) {
        let claim = objects.claim(ObjectId::random());
        let (whole, body) = chunks(sizes);
        let written = objects.write(&claim, u64::MAX, body).await.unwrap();
        assert_eq!(written.size, whole.len() as u64);
        assert_eq!(written.sha256[..], Sha256::digest(&whole)[..]);
        let size = written.size;
        assert_eq!(read(&objects, claim.id(), 0..size).await.unwrap(), whole);
        let (from, to) = (size / 3, size / 3 * 2);
        assert_eq!(read(&objects, claim.id(), from..to).await.unwrap(), whole[from as usize..to as usize]);
    }
    assert_eq!(temporary_files(&objects), 0);
}

#[tokio::test]
async fn what_memory_has_only_parts_of_is_read_whole() {
    let (_dir, objects) = store();
    let claim = objects.claim(ObjectId::random());
    let (whole, body) = chunks(&[4 * BLOCK_BYTES + 77]);
    objects.write(&claim, u64::MAX, body).await.unwrap();
    let file = fs::File::open(objects.path(claim.id())).unwrap();
    let size = whole.len() as u64;
    // Nothing of it is in memory any more; then its middle, from within one block to within another; then all.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert_eq!(
        read(&objects, claim.id(), size / 3..size / 2).await.unwrap(),
        whole[size as usize / 3..size as usize / 2]
    );
    for _ in 0..2 {
        assert_eq!(read(&objects, claim.id(), 0..size).await.unwrap(), whole);
    }
    let error = objects
        .read(claim.id(), 0..size + 1)
        .await
        .unwrap()
        .unwrap()
        .try_collect::<Vec<_>>()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_large_leaves_nothing() {
    let (_dir, objects) = store();
    let claim = objects.claim(ObjectId::random());
    let broken = stream::iter([
        Ok(Bytes::from(vec![1; 2 * BLOCK_BYTES])),
        Err(Error::new(Code::BadRequest, "it broke off")),
    ]);
    let error = objects.write(&claim, u64::MAX, broken.boxed()).await.unwrap_err();
    assert_eq!(error.message(), "it broke off");
    let (_, body) = chunks(&[BLOCK_BYTES, BLOCK_BYTES, 1]);
    let error = objects.write(&claim, 2 * BLOCK_BYTES as u64, body).await.unwrap_err();
    assert_eq!(error.status(), 413);
    assert!(error.message().contains("2097152 bytes"), "{error}");
    assert_eq!(temporary_files(&objects), 0);
    assert!(read(&objects, claim.id(), 0..1).await.is_none());
}

#[tokio::test]
async fn objects_are_private_files_named_by_us() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, objects) = store();
    let claim = objects.claim(ObjectId::of_operation(Uuid::now_v7()));
    objects.write(&claim, 10, chunks(&[3]).1).await.unwrap();
    let path = objects.0.path(claim.id());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let shard = u8::from_str_radix(&claim.id().shard(), 16).unwrap();
    assert_eq!(objects.list_shard(shard).unwrap(), vec![claim.id()]);
}

#[tokio::test]
async fn parts_become_one() {
    let (_dir, objects) = store();
    let (mut ids, mut whole) = (Vec::new(), Vec::new());
    for size in [BLOCK_BYTES + 3, 0, 5] {
        let claim = objects.claim(ObjectId::random());
        let (bytes, body) = chunks(&[size]);
        objects.write(&claim, u64::MAX, body).await.unwrap();
        whole.extend(bytes);
        ids.push(claim.id());
    }
    let claim = objects.claim(ObjectId::random());
    let written = objects.concat(&claim, ids).await.unwrap();
    assert_eq!(written.sha256[..], Sha256::digest(&whole)[..]);
    assert_eq!(read(&objects, claim.id(), 0..written.size).await.unwrap(), whole);
}

#[tokio::test]
async fn opening_clears_what_a_dead_process_left() {
    let (dir, objects) = store();
    fs::write(objects.root().join(TEMPORARY).join("half"), b"x").unwrap();
    drop(objects);
    assert_eq!(temporary_files(&Disk::open(dir.path()).unwrap()), 0);
}

#[test]
fn a_claim_ends_when_it_is_dropped() {
    let (_dir, objects) = store();
    let id = ObjectId::random();
    let claim = objects.claim(id);
    assert!(objects.is_claimed(id));
    drop(claim);
    assert!(!objects.is_claimed(id));
}

/// What is read of a whole object: its bytes or those before it broke off, and whether it broke off; `None` if it was not begun.
async fn read_whole(objects: &Objects, id: ObjectId, whole: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut stream = match objects.read_whole(id, whole.len() as u64, &Sha256::digest(whole)).await.unwrap() {
        Whole::Bytes(stream) => stream,
        Whole::Damaged => return None,
        Whole::Gone => panic!("it is gone"),
    };
    let mut bytes = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(block)) => bytes.extend_from_slice(&block),
            ended => return Some((bytes, ended.is_err())),
        }
    }
}

#[tokio::test]
async fn a_damaged_object_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    for size in [1, 1000, BLOCK_BYTES, 3 * BLOCK_BYTES + 5] {
        let objects = Objects::open(dir.path(), None).unwrap();
        let claim = objects.claim(ObjectId::random());
        let (whole, body) = chunks(&[size]);
        objects.write(&claim, u64::MAX, body).await.unwrap();
        // A process that has not hashed it does so once.
        for objects in [&objects, &Objects::open(dir.path(), None).unwrap()] {
            assert_eq!(read_whole(objects, claim.id(), &whole).await, Some((whole.clone(), false)));
        }
        let path = objects.disk().path(claim.id());
        let mut damaged = whole.clone();
        damaged[size / 2] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(!read_whole(&objects, claim.id(), &whole).await.unwrap().1, "it was hashed a moment ago");
        let again = Objects::open(dir.path(), None).unwrap();
        for _ in 0..2 {
            match read_whole(&again, claim.id(), &whole).await {
                None => assert!(size < BLOCK_BYTES),
                Some((read, broke_off)) => assert!(broke_off && read.len() < size && size >= BLOCK_BYTES),
            }
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(read_whole(&again, claim.id(), &whole).await, Some((whole.clone(), false)));
    }
}

#[tokio::test]
async fn an_empty_object_has_a_digest_too() {
    let dir = tempfile::tempdir().unwrap();
    let objects = Objects::open(dir.path(), None).unwrap();
    let claim = objects.claim(ObjectId::random());
    objects.write(&claim, 0, chunks(&[]).1).await.unwrap();
    let again = || Objects::open(dir.path(), None).unwrap();
    assert_eq!(read_whole(&again(), claim.id(), &[]).await, Some((Vec::new(), false)));
    assert!(matches!(again().read_whole(claim.id(), 0, &[1; 32]).await.unwrap(), Whole::Damaged));
}
