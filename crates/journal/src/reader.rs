//! Reading a segment, from its beginning or from a record on, beside the writer.

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    frame::{FRAME_BYTES, Frame, HEADER_BYTES},
    journal::Position,
    segment,
};

/// Bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A record and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub position: Position,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Record(Position),
    /// Nothing, at the end of a whole record.
    End,
    /// Bytes that are no record, or the beginning of one.
    Torn,
}

/// Reads the records of one segment that were durable when the reader was made. It holds the file, which may be freed meanwhile.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    base: u64,
    offset: u64,
    /// Where the bytes end that may be read.
    end: u64,
    /// The next record's number.
    sequence: u64,
    /// The number that the segment ends before, where it is sealed.
    until: Option<u64>,
    is_broken: bool,
}

impl Reader {
    pub(crate) fn open(file: File, path: &Path, base: u64, end: u64, until: Option<u64>) -> Result<Self> {
        let at = Position { segment: base, offset: HEADER_BYTES as u64, sequence: base };
        Self::open_at(file, path, at, end, until)
    }

    pub(crate) fn open_at(
        mut file: File,
        path: &Path,
        at: Position,
        end: u64,
        until: Option<u64>,
    ) -> Result<Self> {
        // For its version; a damaged one keeps nobody from the records.
        segment::read_header(&file, path)?;
        file.seek(SeekFrom::Start(at.offset)).map_err(|error| Error::io(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(BUFFER_BYTES, file),
            base: at.segment,
            offset: at.offset,
            end,
            sequence: at.sequence,
            until,
            is_broken: false,
        })
    }

    /// Where the next record begins, in bytes from the beginning of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The sequence number of the next record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Reads the next record into `bytes`, in place of what is there. `None` at the end. Of a damaged segment the records
    /// before the damage are read, then comes [`Error::Damaged`], and then the end.
    pub fn read(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Position>> {
        if self.is_broken || self.until.is_some_and(|until| self.sequence >= until) {
            return Ok(None);
        }
        match self.step(bytes)? {
            Step::Record(position) => Ok(Some(position)),
            Step::End if self.until.is_none() => Ok(None),
            Step::End | Step::Torn => {
                self.is_broken = true;
                let (path, offset, sequence) = (self.path.clone(), self.offset, self.sequence);
                Err(Error::Damaged { path, offset, sequence })
            }
        }
    }

    pub(crate) fn step(&mut self, bytes: &mut Vec<u8>) -> Result<Step> {
        let left = self.end.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Step::End);
        }
        let mut head = [0; FRAME_BYTES];
        if left < FRAME_BYTES as u64 || !self.fill(&mut head)? {
            return Ok(Step::Torn);
        }
        let frame = Frame::of_bytes(head);
        if u64::from(frame.length) > left - FRAME_BYTES as u64 || frame.sequence != self.sequence {
            return Ok(Step::Torn);
        }
        bytes.clear();
        bytes.resize(frame.length as usize, 0);
        if !self.fill(bytes)? || !frame.is_of(bytes) {
            return Ok(Step::Torn);
        }
        let position = Position { segment: self.base, offset: self.offset, sequence: self.sequence };
        self.offset += FRAME_BYTES as u64 + u64::from(frame.length);
        self.sequence += 1;
        Ok(Step::Record(position))
    }

    /// Whether the file had that many bytes.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool> {
        match self.input.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(Error::io(&self.path, error)),
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        let read = self.read(&mut bytes).transpose()?;
        Some(read.map(|position| Record { position, bytes }))
    }
}
