//! What can go wrong. Messages are for whoever runs the node: they say which file it is and what to do.

use std::{io, path::PathBuf, sync::Arc};

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure. Cheap to clone, since one failed write answers a whole group of appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// More waits for the disk than may wait. Nothing was written.
    #[error(
        "{waiting} bytes wait for the disk already; nothing more is taken from {limit} on: the disk does not keep up. Repeat it later."
    )]
    Busy {
        /// Bytes that wait.
        waiting: usize,
        /// From so many on nothing more is taken.
        limit: usize,
    },
    /// A record is longer than records may be. Nothing was written.
    #[error("a record has {bytes} bytes; it may have {limit}")]
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// Bytes of a record at most.
        limit: usize,
    },
    /// The disk, or what this process may write, is full. What failed is not in the log; appends succeed again once there is room.
    #[error("no room is left for {path}: {cause}. Free some; nothing needs to be restarted.")]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// The system refused a read or a write.
    #[error("{path} cannot be read or written: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// Bytes within a segment are not what was written.
    #[error("{path} is damaged at byte {offset}: records from sequence number {sequence} on cannot be read")]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// The first record that cannot be read.
        sequence: u64,
    },
    /// A segment is of a version that this program does not know.
    #[error(
        "{path} has the format version {version}; this program knows {known}. Start the version that wrote it, or a newer one."
    )]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// Its version.
        version: u8,
        /// The version that is known.
        known: u8,
    },
    /// There is no such segment, or it may not be freed yet.
    #[error("no sealed segment begins with sequence number {0}")]
    NoSegment(u64),
    /// The journal was closed, or its thread has ended.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Of a call that failed for a file.
    pub(crate) fn io(path: impl Into<PathBuf>, cause: io::Error) -> Self {
        let (path, cause) = (path.into(), Arc::new(cause));
        match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoRoom { path, cause }
            }
            _ => Self::Io { path, cause },
        }
    }

    /// Whether trying again later may succeed without anybody repairing anything here.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::NoRoom { .. })
    }
}

#[cfg(test)]
mod tests {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, StorageFull};

    use super::*;

    #[test]
    fn what_has_no_room_passes_by_itself_and_other_failures_do_not() {
        for (kind, is_passing) in
            [(StorageFull, true), (QuotaExceeded, true), (FileTooLarge, true), (PermissionDenied, false)]
        {
            assert_eq!(Error::io("segment", kind.into()).is_passing(), is_passing, "{kind}");
        }
    }
}
