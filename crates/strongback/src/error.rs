//! The one error type of the product.
//!
//! An [`Error`] is a [`Code`] from a closed table, a message for the caller and, apart from it, a cause for the log.
//! Nothing here knows HTTP beyond the status number that the foreign contracts fix for each code; the router turns an
//! error into a response in one place. A message says what was wrong, with which value, and what to do. A cause never
//! reaches the caller.

use std::{borrow::Cow, fmt, io, path::Path, sync::Arc};

/// What the product's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal;)+) => {
        /// Every code that a caller can meet. MLflow's and Databricks' clients branch on the name, and derive the
        /// status from it on one of their paths, so no name is invented here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// The whole table, for tests and the OpenAPI document.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The name on the wire (`error_code`).
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status that clients expect with this name.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }
        }
    };
}

codes! {
    /// A field has a value that is not allowed.
    InvalidParameterValue = "INVALID_PARAMETER_VALUE", 400;
    /// The request as a whole cannot be read.
    BadRequest = "BAD_REQUEST", 400;
    /// MLflow's code for a name that is taken.
    ResourceAlreadyExists = "RESOURCE_ALREADY_EXISTS", 400;
    /// No valid credential came with the request.
    Unauthenticated = "UNAUTHENTICATED", 401;
    /// The principal is known and may not do this.
    PermissionDenied = "PERMISSION_DENIED", 403;
    /// The named thing does not exist.
    ResourceDoesNotExist = "RESOURCE_DOES_NOT_EXIST", 404;
    /// The Files API's code for a missing path.
    NotFound = "NOT_FOUND", 404;
    /// No such route.
    EndpointNotFound = "ENDPOINT_NOT_FOUND", 404;
    /// Unity Catalog's code for a name that is taken.
    AlreadyExists = "ALREADY_EXISTS", 409;
    /// Somebody else changed it first.
    ResourceConflict = "RESOURCE_CONFLICT", 409;
    /// A limit of requests was met; later is fine.
    RequestLimitExceeded = "REQUEST_LIMIT_EXCEEDED", 429;
    /// The thing is not in a state that allows this. MLflow answers 500 with this name, which its clients repeat for minutes: a
    /// state does not pass by itself, so they are told at once. They read the name.
    InvalidState = "INVALID_STATE", 400;
    /// Our fault. The cause is in the log under the request id.
    InternalError = "INTERNAL_ERROR", 500;
    /// A part of the foreign contract that this product does not have.
    NotImplemented = "NOT_IMPLEMENTED", 501;
    /// A queue is full or a store is away; clients retry.
    TemporarilyUnavailable = "TEMPORARILY_UNAVAILABLE", 503;
    /// It took longer than its limit. A change may have been made nevertheless.
    DeadlineExceeded = "DEADLINE_EXCEEDED", 504;
}

/// A failure with a public face and a private cause. Cheap to clone: one failed commit answers a whole group.
#[derive(Clone)]
pub struct Error {
    code: Code,
    message: Cow<'static, str>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// The status to use instead of the code's own, where a protocol has one that the table's name does not carry.
    status: Option<u16>,
}

impl Error {
    /// An error with a code and a message for the caller.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None, status: None }
    }

    /// A value that is not allowed.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// A required field that is absent or empty; `path` is its name as the client writes it.
    pub fn required(path: &str) -> Self {
        Self::invalid(format!(
            "Missing value for required parameter '{path}'. See the API docs for more information about request parameters."
        ))
    }

    /// A field over its limit.
    pub fn too_long(path: &str, limit: usize, got: usize) -> Self {
        Self::invalid(format!(
            "'{path}' exceeds the maximum length of {limit} characters; it has {got}. Shorten it."
        ))
    }

    /// A thing that is not there.
    pub fn missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::ResourceDoesNotExist, message)
    }

    /// A name that is taken.
    pub fn exists(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::ResourceAlreadyExists, message)
    }

    /// A known principal without the right.
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    /// Something is busy or away; the caller may retry.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::TemporarilyUnavailable, message)
    }

    /// A change of which nobody can tell whether it was made: neither a success nor a failure that one may simply repeat.
    pub fn outcome_unknown(why: impl fmt::Display) -> Self {
        Self::new(
            Code::DeadlineExceeded,
            format!(
                "{why} The change may have been made, whole, or not at all. Read what it was to change before you repeat \
                 it; what only sets values (parameters, tags, metrics with their step and time) may be repeated safely."
            ),
        )
    }

    /// A defect or a broken store. The caller learns only that it happened and what to look for.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            Code::InternalError,
            "Something failed inside the server; its log has the cause under this request's id.",
        )
        .because(cause)
    }

    /// What a failure to write below a directory of ours means: for `map_err`.
    pub fn unwritten(dir: &Path) -> impl FnOnce(io::Error) -> Self {
        let dir = dir.display();
        move |cause| {
            let message = if is_full(&cause) {
                format!("The disk that holds {dir} is full. Free space, then repeat the request.")
            } else if cause.kind() == io::ErrorKind::ReadOnlyFilesystem {
                format!(
                    "The disk that holds {dir} is read-only. Make it writable again (a failing disk may have been remounted so: \
                     see the system's log), then repeat the request."
                )
            } else {
                format!("{dir} cannot be written: {cause}. Repeat the request later.")
            };
            Self::unavailable(message).because(cause)
        }
    }

    /// Adds the cause for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Replaces the code, keeping message and cause: two faces name one condition differently.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Replaces the message, where a part below could only say what failed and not what it was for.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Says which field it is about, where the part below that found the mistake cannot know. A message of several lines
    /// shows a place in a text below its first line.
    #[must_use]
    pub fn in_field(mut self, field: &str) -> Self {
        if !self.message.contains(field) {
            let end = self.message.find('\n').unwrap_or(self.message.len());
            self.message.to_mut().insert_str(end, &format!(" (in '{field}')"));
        }
        self
    }

    /// Replaces the status, e.g. 405 or 413 under `BAD_REQUEST`.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.status())
    }

    /// The text for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The cause, where it is of this type.
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.cause.as_deref().and_then(|cause| cause.downcast_ref())
    }

    /// The whole chain of causes as one line, for the log.
    pub fn cause_chain(&self) -> Option<String> {
        let mut next = self.cause.as_deref().map(|cause| cause as &dyn std::error::Error);
        let mut parts = Vec::new();
        while let Some(error) = next {
            parts.push(error.to_string());
            next = error.source();
        }
        (!parts.is_empty()).then(|| parts.join(": "))
    }

    /// Whether the caller did nothing wrong, so that it belongs into the log as a failure of ours.
    pub fn is_ours(&self) -> bool {
        matches!(self.code, Code::InternalError | Code::TemporarilyUnavailable | Code::DeadlineExceeded)
    }
}

/// Whether a write found no room: on the disk, in its owner's quota, or below the limit of a file.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.cause_chain().map_or(Ok(()), |chain| write!(f, " ({chain})"))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_a_cause_stays_private() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());

        let error = Error::internal(io::Error::other("disk on fire"));
        assert!(!error.message().contains("fire"));
        assert_eq!(error.cause_chain().as_deref(), Some("disk on fire"));
    }

    #[test]
    fn a_disk_without_room_says_so() {
        let of = |kind: io::ErrorKind| Error::unwritten(Path::new("/data"))(kind.into());
        for (kind, said) in
            [(io::ErrorKind::StorageFull, "/data is full"), (io::ErrorKind::PermissionDenied, "/data cannot")]
        {
            let error = of(kind);
            assert_eq!((error.status(), error.message().contains(said)), (503, true), "{error}");
        }
    }
}
