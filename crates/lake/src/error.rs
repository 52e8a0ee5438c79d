//! What can go wrong with tables and queries, in words for whoever asked.

use std::fmt;

use datafusion::error::DataFusionError;
use deltalake::{
    DeltaTableError, ObjectStoreError, kernel::transaction::TransactionError, parquet::errors::ParquetError,
};

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose doing a failure is, and so what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The input: a statement, a file, a name. The message says which value and what to do.
    Invalid,
    /// There is no such table or version.
    Missing,
    /// Somebody else changed the table first; the call may be repeated.
    Conflict,
    /// A limit of memory or temporary disk space was met. The message says which.
    Limit,
    /// It took longer than its limit.
    Time,
    /// The storage is full or does not answer.
    Unavailable,
    /// The work was called off.
    Cancelled,
    /// A defect of ours or a broken table. The cause is for the log.
    Internal,
}

/// A failure: a message for the caller and, apart from it, the cause for the log.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    /// A value that is not allowed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// A defect.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "The table store failed.").because(cause)
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Whose doing it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn std::error::Error)
    }
}

impl From<DeltaTableError> for Error {
    fn from(error: DeltaTableError) -> Self {
        let full = is_full(&error);
        match error {
            error if full => storage_full(error),
            DeltaTableError::ObjectStore { source } => source.into(),
            DeltaTableError::Transaction {
                source:
                    TransactionError::CommitConflict(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::MaxCommitAttempts(_),
            } => Self::new(
                Kind::Conflict,
                "Somebody else changed the table at the same moment. Repeat the call.",
            )
            .because(error),
            other => Self::internal(other),
        }
    }
}

impl From<ObjectStoreError> for Error {
    fn from(error: ObjectStoreError) -> Self {
        if is_full(&error) {
            return storage_full(error);
        }
        match error {
            ObjectStoreError::NotFound { .. } => lost(error),
            error => {
                Self::new(Kind::Unavailable, "The table store cannot be read or written now.").because(error)
            }
        }
    }
}

fn lost(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Missing, "A file of the table is not there any more; a vacuum may have removed it.")
        .because(cause)
}

/// Whether a query failed for a file that is gone, however deep that is said.
fn is_lost(error: &DataFusionError) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|error| {
        let found = error.downcast_ref::<ObjectStoreError>();
        let boxed = error.downcast_ref::<Box<ObjectStoreError>>().map(AsRef::as_ref);
        // Of a footer that it cannot fetch the engine keeps the text alone.
        let is_footer = matches!(error.downcast_ref(), Some(ParquetError::General(said))
            if said.starts_with("Failed to fetch metadata") && said.contains(" not found: "));
        is_footer || matches!(found.or(boxed), Some(ObjectStoreError::NotFound { .. }))
    })
}

fn used_up(cause: DataFusionError) -> Error {
    Error::new(
        Kind::Limit,
        "The query needs more memory or temporary disk space than a query may use. Read fewer columns or rows, or aggregate \
         before you join.",
    )
    .because(cause)
}

/// Whether a query used up its temporary disk space, which the engine says as an error of the system and by its text alone.
fn is_spilled_out(error: &DataFusionError) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source())
        .any(|error| error.to_string().contains("disk space during the spilling process has exceeded"))
}

fn storage_full(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unavailable, "The disk that holds the tables is full. Free space, then repeat the call.")
        .because(cause)
}

/// Whether a failure comes down to a disk without room, however deep that is said.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|io| match io.kind() {
            StorageFull | QuotaExceeded => true,
            // Of the system; by itself it is said of what a client sent, too.
            FileTooLarge => io.raw_os_error().is_some(),
            _ => false,
        })
    })
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if is_full(&error) {
            return storage_full(error);
        }
        if is_spilled_out(&error) {
            return used_up(error);
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => used_up(error),
            DataFusionError::Plan(said)
            | DataFusionError::NotImplemented(said)
            | DataFusionError::Execution(said) => Self::invalid(sentence(said)),
            DataFusionError::SchemaError(said, _) => Self::invalid(sentence(&said.to_string())),
            DataFusionError::SQL(said, _) => Self::invalid(sentence(&said.to_string())),
            DataFusionError::ArrowError(said, _) => Self::invalid(sentence(&said.to_string())),
            _ if is_lost(&error) => lost(error),
            DataFusionError::ObjectStore(_) => {
                Self::new(Kind::Unavailable, "A file of a table could not be read.").because(error)
            }
            DataFusionError::External(_) => match error {
                DataFusionError::External(inner) => match inner.downcast::<Error>() {
                    Ok(ours) => *ours,
                    Err(other) => Self::internal(other),
                },
                error => Self::internal(error),
            },
            _ => Self::internal(error),
        }
    }
}

/// What the engine said, as a sentence.
fn sentence(said: &str) -> String {
    let said = said.trim();
    if said.ends_with(['.', '?', '!']) { said.to_owned() } else { format!("{said}.") }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    /// What the engine or the store says of a file where the system said this.
    fn told(kind: ErrorKind) -> [Error; 2] {
        let store = || ObjectStoreError::Generic { store: "files", source: Box::new(io::Error::from(kind)) };
        let deep =
            DataFusionError::Context("spilling".into(), Box::new(DataFusionError::IoError(kind.into())));
        [Error::from(store()), Error::from(deep)]
    }

    #[test]
    fn a_disk_without_room_is_told_as_such_however_deep_it_is_said() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            for error in told(kind) {
                assert_eq!(error.kind(), Kind::Unavailable);
                assert!(error.message().contains("is full. Free space"), "{}", error.message());
            }
        }
        for error in told(ErrorKind::PermissionDenied) {
            assert!(!error.message().contains("full"), "{}", error.message());
        }
    }
}
