//! The one stream of what happened.
//!
//! Every mutation leaves exactly one [`Event`], written in its own transaction. The events of a commit group form an
//! *event block*; the blocks of a writer's slot form a hash chain; the heads of all slots are signed as a *checkpoint*.
//! The stream is audit log, and can be outbox and invalidation ([`cursor`], which nothing uses yet). (The audit log's
//! faces are in `catalog`, which knows names.)
//!
//! What must stay true:
//! - a block is never changed or removed; whoever holds a newer checkpoint elsewhere can prove it if one was;
//! - personal data never enters the bytes that are hashed: the principal is a number, and what a caller wrote
//!   ([`Event::detail`]) enters as a salted digest while it lies beside the block, where it can be erased;
//! - bulk data (points, parameters) is one event a batch: counts and a digest, not one event a value;
//! - where a second system takes part, an [`operation`] holds the intent, and intent and outcome are two linked events.

pub mod chain;
pub mod checkpoint;
pub mod cursor;
pub mod key;
mod kind;
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
    /// What it happened to when that is no asset: a run id, a model version, an alias.
    pub subject: Option<String>,
    /// The operation that this is the intent or the outcome of.
    pub operation: Option<uuid::Uuid>,
    /// What a person would want to read about it later. Erasable.
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
        Self { kind, asset: None, subject: None, operation: None, detail: serde_json::Value::Null }
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
