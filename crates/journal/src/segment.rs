//! The files of a directory, and what is made of them after a crash.
//!
//! A segment's file is named by the sequence number that it begins with; where the next one begins, it ends. So a segment
//! is sealed by making the next, and the boundary is durable before anybody is told of it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    frame::{self, FRAME_BYTES, Frame, HEADER_BYTES, Header, VERSION},
    journal::{Recovered, Segment},
    reader::{Reader, Step},
};

/// What names of segments end with.
const ENDING: &str = ".segment";
/// What is put behind the name of one that was set aside.
const SET_ASIDE: &str = ".damaged";

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// Sequence number of its first record.
    pub(crate) base: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// Where the file ends: from the end of the records to here it is zeros.
    pub(crate) ready: u64,
}

/// What was found in a directory.
pub(crate) struct Found {
    pub(crate) segments: Vec<Segment>,
    pub(crate) open: Option<Open>,
    /// The next sequence number.
    pub(crate) next: u64,
    pub(crate) recovered: Recovered,
}

/// The file of a segment.
pub(crate) fn path_of(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}{ENDING}"))
}

/// Makes the file of a segment, with its header, and lets it be durable under its name. One that is there holds nothing
/// that anybody was told of.
pub(crate) fn create(dir: &Path, base: u64) -> Result<Open> {
    make_dir(dir).map_err(|error| Error::io(dir, error))?;
    let path = path_of(dir, base);
    let is_there = path.exists();
    let made = (|| {
        let mut file =
            fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        file.write_all(&frame::header(base))?;
        file.sync_data()?;
        sync_dir(dir)?;
        Ok(file)
    })();
    match made {
        Ok(file) => Ok(Open { file, path, base, end: HEADER_BYTES as u64, ready: HEADER_BYTES as u64 }),
        Err(error) => {
            // A new one would seal the segment before it, of which nobody is told. One that was there before says where the
            // numbers go on, and may be the last that does.
            if !is_there
                && let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, path = %path.display(), "a segment that could not be made was not removed");
            }
            Err(Error::io(path, error))
        }
    }
}

/// The name under which a segment is left to whoever wants to look into it.
pub(crate) fn path_set_aside(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}{ENDING}{SET_ASIDE}"))
}

/// Makes the directory, durable under its name, if it is not there.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Makes what happened to names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Looks through a directory, cuts what a crash left half-written, and opens the last segment for more.
pub(crate) fn recover(dir: &Path) -> Result<Found> {
    let mut recovered = Recovered::default();
    let Listed { mut bases, mut floor } = list(dir)?;
    let (mut last, mut unmade) = (None, Vec::new());
    while let Some(base) = bases.pop() {
        match reopen(dir, base, &mut recovered)? {
            Some(Reopened { open, next, given }) => {
                // A new segment seals one that is damaged, with all that it has: the reader tells of what is lost.
                floor = floor.max(given);
                last = Some((open, next));
                break;
            }
            // It came to be as the process died, and never sealed the one before it.
            None => unmade.push(base),
        }
    }
    // No number is given twice, whatever is left of the files: what was brought elsewhere is known by its numbers there.
    let open = match last {
        Some((open, next)) if next >= floor => Some((open, next)),
        None if floor == 0 => None,
        sealed => {
            bases.extend(sealed.map(|(open, _)| open.base));
            Some((create(dir, floor)?, floor))
        }
    };
    for base in unmade {
        if open.as_ref().is_none_or(|(open, _)| open.base != base) {
            let path = path_of(dir, base);
            fs::remove_file(&path).and_then(|()| sync_dir(dir)).map_err(|error| Error::io(&path, error))?;
            recovered.removed_files += 1;
        }
    }
    let Some((open, next)) = open else {
        return Ok(Found { segments: Vec::new(), open: None, next: 0, recovered });
    };
    let mut segments = Vec::with_capacity(bases.len() + 1);
    for (at, base) in bases.iter().enumerate() {
        let path = path_of(dir, *base);
        let bytes = fs::metadata(&path).map_err(|error| Error::io(&path, error))?.len();
        let next = bases.get(at + 1).copied().unwrap_or(open.base);
        segments.push(Segment { base: *base, next, bytes, is_sealed: true });
    }
    segments.push(Segment { base: open.base, next, bytes: open.end, is_sealed: false });
    Ok(Found { segments, open: Some(open), next, recovered })
}

/// The files of a directory.
#[derive(Default)]
struct Listed {
    /// Sequence numbers that segments begin with, ascending.
    bases: Vec<u64>,
    /// All numbers below were given.
    floor: u64,
}

fn list(dir: &Path) -> Result<Listed> {
    let mut listed = Listed::default();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed),
        Err(error) => return Err(Error::io(dir, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| Error::io(dir, error))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let whole = name.strip_suffix(SET_ASIDE).unwrap_or(name);
        let Some(base) = whole.strip_suffix(ENDING).and_then(|base| base.parse::<u64>().ok()) else {
            continue;
        };
        if path_of(dir, base).file_name().and_then(|own| own.to_str()) != Some(whole) {
            continue;
        }
        if whole == name {
            listed.bases.push(base);
            listed.floor = listed.floor.max(base);
        } else {
            // It had a record at least.
            listed.floor = listed.floor.max(base.saturating_add(1));
        }
    }
    listed.bases.sort_unstable();
    Ok(listed)
}

/// The last segment, opened for more records.
struct Reopened {
    open: Open,
    /// The number after its last whole record.
    next: u64,
    /// All numbers below were given.
    given: u64,
}

/// Opens the last segment for more records, behind the last whole one. `None` if it never came to be.
fn reopen(dir: &Path, base: u64, recovered: &mut Recovered) -> Result<Option<Reopened>> {
    let path = path_of(dir, base);
    let failed = |error| Error::io(&path, error);
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let head = read_header(&file, &path)?;
    if matches!(head, Header::Unreadable) && bytes <= HEADER_BYTES as u64 {
        return Ok(None);
    }
    // Where the header alone is damaged, the name says what it said, and every record has its own checksum.
    if head != Header::Known(base) {
        tracing::warn!(path = %path.display(), "the header of a segment is damaged; its records are read without it");
    }
    let again = file.try_clone().map_err(failed)?;
    let mut reader = Reader::open(again, &path, base, bytes, None)?;
    let mut record = Vec::new();
    while matches!(reader.step(&mut record)?, Step::Record(_)) {
        recovered.records += 1;
    }
    let (end, next) = (reader.offset(), reader.sequence());
    let (mut ready, mut given) = (bytes, next);
    let tail_end = last_byte(&file, end, bytes).map_err(failed)?;
    if tail_end > end {
        let tail = read_tail(&file, end, tail_end).map_err(failed)?;
        given = given_in(&tail, next);
        if given > next {
            recovered.lost_records += given - next;
            tracing::error!(
                path = %path.display(), offset = end, lost = given - next,
                "a segment is damaged, and whole records are behind that place: it gets no more records"
            );
        } else {
            keep_tail(dir, base, end, &tail);
            tracing::warn!(path = %path.display(), bytes = bytes - end, "the torn end of a segment is cut");
            recovered.cut_bytes += bytes - end;
            file.set_len(end).map_err(failed)?;
            ready = end;
        }
    }
    // What was read may never have been synced, and counts as durable from now on.
    file.sync_all().map_err(failed)?;
    sync_dir(dir).map_err(failed)?;
    Ok(Some(Reopened { open: Open { file, path, base, end, ready }, next, given }))
}

/// Where the last byte of a stretch of a file ends that is not zero; `from`, if the file was only made ready for records there.
fn last_byte(file: &File, from: u64, to: u64) -> io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let (mut buffer, mut until) = (vec![0; 64 << 10], to);
    while until > from {
        let length = (until - from).min(buffer.len() as u64);
        let piece = &mut buffer[..length as usize];
        file.read_exact_at(piece, until - length)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte != 0) {
            return Ok(until - length + at as u64 + 1);
        }
        until -= length;
    }
    Ok(from)
}

fn read_tail(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut tail = vec![0; (to - from) as usize];
    file.read_exact_at(&mut tail, from)?;
    Ok(tail)
}

/// The number below which all were given, by the whole records that are somewhere in these bytes: only what was acknowledged, or
/// was about to be, has some behind what cannot be read.
fn given_in(tail: &[u8], next: u64) -> u64 {
    let numbers = next..=next.saturating_add((tail.len() / FRAME_BYTES) as u64);
    let (mut given, mut at) = (next, 0);
    while let Some(head) = tail.get(at..).and_then(|rest| rest.first_chunk::<FRAME_BYTES>()) {
        let frame = Frame::of_bytes(*head);
        let own = (at + FRAME_BYTES)
            .checked_add(frame.length as usize)
            .and_then(|end| tail.get(at + FRAME_BYTES..end));
        match own {
            Some(own) if numbers.contains(&frame.sequence) && frame.is_of(own) => {
                given = given.max(frame.sequence + 1);
                at += FRAME_BYTES + own.len();
            }
            _ => at += 1,
        }
    }
    given
}

/// Leaves what is cut to whoever wants to look into it.
fn keep_tail(dir: &Path, base: u64, offset: u64, tail: &[u8]) {
    let path = dir.join(format!("{base:020}{ENDING}.{offset}{SET_ASIDE}"));
    let kept = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
    if let Err(error) = kept.and_then(|mut file| file.write_all(tail).and_then(|()| file.sync_all())) {
        tracing::warn!(%error, path = %path.display(), "the torn end of a segment is not kept");
    }
}

/// Reads the header of a segment, and refuses one of another version.
pub(crate) fn read_header(file: &File, path: &Path) -> Result<Header> {
    use std::os::unix::fs::FileExt as _;
    let (mut bytes, mut filled) = ([0; HEADER_BYTES], 0);
    while filled < HEADER_BYTES {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(path, error)),
        }
    }
    match frame::read_header(&bytes[..filled]) {
        Header::Version(version) => Err(Error::Version { path: path.to_owned(), version, known: VERSION }),
        head => Ok(head),
    }
}
