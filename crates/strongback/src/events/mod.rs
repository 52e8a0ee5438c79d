//! The one stream of what happened.
//!
//! Every mutation leaves exactly one [`Event`], written in its own transaction. The events of a commit group form an
//! *event block*; the blocks of a writer's slot form a hash chain; the heads of all slots are signed as a *checkpoint*.
//! The stream is audit log, and outbox for consumers ([`cursor`]), of which `webhooks` is one. (The audit log's
//! faces are in `catalog`, which knows names.)
//!
//! What must stay true:
//! - a block is never changed or removed; whoever holds a newer checkpoint elsewhere can prove it if one was;
//! - personal data never enters the bytes that are hashed: principal and asset are numbers, the subject is an id that a
//!   server gave (anything else is refused), and what a caller wrote ([`Event::detail`]: names, paths, keys, aliases,
//!   reasons) enters as a salted digest while it lies beside the block, where it can be erased;
//! - what a block holds is bounded, so that what was written can always be read: a detail above its limit is replaced by
//!   a summary that says so;
//! - bulk data (points, parameters) is one event a batch: counts and a digest, not one event a value;
//! - where a second system takes part, an [`operation`] holds the intent, and intent and outcome are two linked events.

pub mod chain;
pub mod checkpoint;
pub mod cursor;
mod detail;
pub mod key;
mod kind;
pub mod mark;
pub mod operation;
pub mod slots;
pub mod store;
pub mod verify;

pub use kind::EventKind;

/// One thing that happened, as the slice that did it describes it. Who, when and under which request is added by the
/// commit group.
#[derive(Debug, Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The asset it happened to: its id, and the revision that it has since.
    pub asset: Option<AssetMark>,
    /// What it happened to when that is no asset: the id of a run, the number of a version. Never a caller's text.
    pub subject: Option<String>,
    /// The subject's revision after the change, which orders the events of one subject across slots; none where it has
    /// none (a file), or is ordered by its asset's (a version).
    pub subject_revision: Option<i64>,
    /// The operation that this is the intent or the outcome of.
    pub operation: Option<uuid::Uuid>,
    /// What a person would want to read about it later. Erasable, and above a limit of bytes summed up.
    pub detail: serde_json::Value,
}

/// An asset in an event. `revision` orders the events of one asset across slots.
#[derive(Debug, Clone, Copy)]
pub struct AssetMark {
    /// `asset.id`
    pub id: i64,
    /// The asset's revision after the change; 0 where its row did not change.
    pub revision: i64,
}

impl Event {
    /// An event without asset, subject or detail.
    pub fn new(kind: EventKind) -> Self {
        let detail = serde_json::Value::Null;
        Self { kind, asset: None, subject: None, subject_revision: None, operation: None, detail }
    }

    /// Names the asset.
    #[must_use]
    pub fn asset(mut self, id: i64, revision: i64) -> Self {
        self.asset = Some(AssetMark { id, revision });
        self
    }

    /// Names the subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Names the subject, and the revision that it has since.
    #[must_use]
    pub fn subject_at(mut self, subject: impl Into<String>, revision: i64) -> Self {
        self.subject_revision = Some(revision);
        self.subject(subject)
    }

    /// Links it to an operation.
    #[must_use]
    pub fn operation(mut self, id: uuid::Uuid) -> Self {
        self.operation = Some(id);
        self
    }

    /// Adds the erasable detail.
    #[must_use]
    pub fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }
}
