//! Checks an Arrow stream before it is decoded: how long its parts say they are.
//!
//! The decoder takes memory for what a message announces before it looks whether the file holds it, and memory that cannot be
//! had ends the process. So the messages are walked first (their layout: the Arrow columnar format, "Encapsulated message
//! format"), and nothing is decoded that announces more than there is, or more than a batch may have.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use datafusion::arrow::ipc::{self, MessageHeader, root_as_message};

use crate::error::{Error, Result};

/// Bytes of the description of one message.
const HEAD_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one batch, as it stands in the file and once it is unpacked.
const BATCH_BYTES_MAX: u64 = 1 << 30;
/// Stands before the length of a message.
const CONTINUATION: u32 = u32::MAX;

/// Refuses a stream whose messages announce more than there is. The file is at its beginning afterwards.
pub(super) fn check(file: &mut File) -> Result<()> {
    let length = file.metadata().map_err(Error::internal)?.len();
    let mut walk = Walk { reader: BufReader::new(&*file), at: 0, length };
    loop {
        match walk.message() {
            Ok(true) => {}
            Ok(false) => break,
            // A stream may break off; the decoder says where.
            Err(Broken::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(Broken::Io(error)) => return Err(Error::internal(error)),
            Err(Broken::Form(why)) => {
                return Err(Error::invalid(format!("The file is no Arrow file that can be read: {why}.")));
            }
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    Ok(())
}

enum Broken {
    Io(io::Error),
    Form(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn outside(begin: u64) -> Broken {
    Broken::Form(format!("a buffer of the batch at byte {begin} lies outside of it"))
}

struct Walk<'f> {
    reader: BufReader<&'f File>,
    at: u64,
    length: u64,
}

impl Walk<'_> {
    /// Walks over a message; false after the last one.
    fn message(&mut self) -> Result<bool, Broken> {
        let begin = self.at;
        let mut length = self.word()?;
        if length == CONTINUATION {
            length = self.word()?;
        }
        if length == 0 {
            return Ok(false);
        }
        let length = self.within(u64::from(length), HEAD_BYTES_MAX, begin, "a description")?;
        let mut head = vec![0; length as usize];
        self.read(&mut head)?;
        let message = root_as_message(&head)
            .map_err(|error| Broken::Form(format!("the message at byte {begin} is damaged ({error})")))?;
        let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        let body = self.within(body, BATCH_BYTES_MAX, begin, "a batch")?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
            }
            _ => None,
        };
        let end = self.at + body;
        if let Some(batch) = batch {
            self.batch(&batch, begin, end)?;
        }
        self.reader.seek_relative((end - self.at) as i64)?;
        self.at = end;
        Ok(true)
    }

    /// Refuses a batch whose buffers lie outside of it, or would be too large once they are unpacked: each of them begins with
    /// its length then.
    fn batch(&mut self, batch: &ipc::RecordBatch<'_>, begin: u64, end: u64) -> Result<(), Broken> {
        let rows = batch.length();
        if !(0..=i64::from(i32::MAX)).contains(&rows) {
            return Err(Broken::Form(format!("the batch at byte {begin} says that it has {rows} rows")));
        }
        let is_packed = batch.compression().is_some();
        let (from, mut unpacked, mut starts) = (self.at, 0_u64, Vec::new());
        for buffer in batch.buffers().into_iter().flatten() {
            let (offset, length) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()));
            let (Ok(offset), Ok(length)) = (offset, length) else {
                return Err(outside(begin));
            };
            let ends_at = from.checked_add(offset).and_then(|start| start.checked_add(length));
            if ends_at.is_none_or(|at| at > end) || (is_packed && (1..8).contains(&length)) {
                return Err(outside(begin));
            }
            if is_packed && length > 0 {
                starts.push(from + offset);
            }
        }
        starts.sort_unstable();
        for start in starts {
            if start < self.at {
                continue;
            }
            self.reader.seek_relative((start - self.at) as i64)?;
            self.at = start;
            let mut length = [0; 8];
            self.read(&mut length)?;
            // -1 says that the buffer is not packed, and so no longer than it stands there.
            unpacked = unpacked.saturating_add(u64::try_from(i64::from_le_bytes(length)).unwrap_or(0));
        }
        if unpacked > BATCH_BYTES_MAX {
            return Err(Broken::Form(format!(
                "the batch at byte {begin} says that it has {unpacked} bytes once it is unpacked; it may have {BATCH_BYTES_MAX}. \
                 Write smaller batches"
            )));
        }
        Ok(())
    }

    /// A length, unless it is more than there is or may be.
    fn within(&self, length: u64, most: u64, begin: u64, what: &str) -> Result<u64, Broken> {
        if length > most {
            return Err(Broken::Form(format!(
                "the message at byte {begin} says that it has {what} of {length} bytes; it may have {most}. Write smaller batches"
            )));
        }
        if length > self.length.saturating_sub(self.at) {
            return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(length)
    }

    fn word(&mut self) -> Result<u32, Broken> {
        let mut word = [0; 4];
        self.read(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Broken> {
        self.reader.read_exact(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
