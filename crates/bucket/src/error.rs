//! What can go wrong with an object store, in words for whoever runs the server.

/// What the functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such bucket.
    NoBucket,
    /// The store refuses the credentials, or what they are to do.
    Denied,
    /// The store does not answer, or says that it cannot.
    Unavailable,
    /// An object has fewer bytes than were asked for.
    Short,
    /// An object is another one by now.
    Changed,
    /// A key that no path can be.
    Odd,
    /// Settings that do not fit together.
    Invalid,
}

/// A failure: what to say and, apart from it, the cause for the log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    source: object_store::Error,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn of(address: &str, source: object_store::Error) -> Self {
        let cause = chain(&source);
        let kind = match &source {
            object_store::Error::InvalidPath { .. } => Kind::Odd,
            object_store::Error::Precondition { .. } => Kind::Changed,
            _ if says_no_bucket(&cause) => Kind::NoBucket,
            object_store::Error::NotFound { .. } => Kind::NoBucket,
            _ if ["status code: 416", "Wanted range starting at"].iter().any(|said| cause.contains(said)) => {
                Kind::Short
            }
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Kind::Denied
            }
            _ => Kind::Unavailable,
        };
        let message = match kind {
            Kind::NoBucket => {
                format!("There is no object store at {address}: make the bucket, or name another.")
            }
            Kind::Denied => format!(
                "The object store {address} refuses this server: its credentials are wrong, or may not read, write, list and \
                 delete there. The server's log has its answer."
            ),
            Kind::Short => too_short(address),
            Kind::Changed => format!("An object in {address} was replaced while it was read. Read it again."),
            Kind::Odd => format!(
                "An object in {address} has a key that is no path: {cause}. Rename it there, or list the place with the tools of its \
                 store."
            ),
            _ => format!(
                "The object store {address} does not answer as it should, which the server's log explains. Repeat the request \
                 later."
            ),
        };
        Self { kind, message, source }
    }

    /// An object that ends within the range that was asked for.
    pub(crate) fn short(address: &str) -> Self {
        let source = object_store::Error::Generic { store: "bucket", source: "too few bytes came".into() };
        Self { kind: Kind::Short, message: too_short(address), source }
    }

    pub(crate) fn unopened(address: &str, source: object_store::Error) -> Self {
        let message = format!("The object store {address} cannot be opened: {}.", chain(&source));
        Self { kind: Kind::Invalid, message, source }
    }
}

/// Whether an answer says so by its code, not by the name of an object.
pub(crate) fn says_no_bucket(answer: &str) -> bool {
    ["<Code>NoSuchBucket<", "<Code>ContainerNotFound<"].iter().any(|code| answer.contains(code))
}

fn too_short(address: &str) -> String {
    format!("An object in {address} has fewer bytes than were stored: it is damaged.")
}

/// An error with all its causes, as far as they say more.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
