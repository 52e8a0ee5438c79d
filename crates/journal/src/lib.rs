//! An append-only log of records in segment files, for state that a node must not lose and soon brings elsewhere.
//!
//! | module | what it is |
//! |---|---|
//! | [`journal`] | opening, appending, sealing and freeing |
//! | `writer` | the one thread that writes: group commits, and what becomes of a full disk |
//! | `queue` | what waits for that thread, within a limit |
//! | [`reader`] | records of one segment, sealed or open, beside the writer |
//! | `segment` | the files of a directory, and recovery |
//! | `frame` | the bytes of a header and of a record |
//! | `crc` | CRC-32C |
//!
//! What must stay true:
//! - an append answers once its record is durable in the journal's [`Mode`], and such a record is never lost: recovery cuts
//!   what lies behind the last whole record of the open segment, and nothing else, and keeps a copy of it; where whole records
//!   are behind what cannot be read, nothing is cut, and their numbers count as given;
//! - sequence numbers are dense within the journal and never given twice to records that were acknowledged;
//! - where a segment ends stands on the disk before anybody is told of it, so that its records are the same batch after a
//!   crash as before;
//! - whatever the bytes on the disk are, reading them ends in records or in an error, never in a panic;
//! - a journal without records has no file; what waits is bounded.
//!
//! One process at a time has a journal: keeping others away is the business of whoever owns the directory.

mod crc;
mod error;
mod frame;
pub mod journal;
mod queue;
pub mod reader;
mod segment;
mod writer;

pub use error::{Error, Result};
pub use frame::RECORD_BYTES_MAX;
pub use journal::{Journal, Mode, Observer, Options, Pending, Position, Recovered, Seen, Segment};
pub use reader::{Reader, Record};
