//! Uploads as operations: what their intent holds, and how they end without an outcome.

use serde::{Deserialize, Serialize};
use syntax::paths::ArtifactPath;
use uuid::Uuid;

use super::{Existing, Place, store};
use crate::{
    bind,
    db::Sql,
    error::{Error, Result},
    events::{Event, EventKind, operation},
    objects::ObjectId,
};

/// A file that comes in one piece. Its object has the operation's id for a name.
pub(super) const PUT: &str = "artifact.put";
/// A file that comes in parts.
pub(super) const UPLOAD: &str = "artifact.upload";

/// Where the file is to lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub area: String,
    pub path: String,
    pub asset: i64,
    pub subject: String,
    #[serde(default)]
    pub existing: Existing,
    /// How many parts were announced, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<u32>,
}

impl Intent {
    fn new(place: &Place, path: &ArtifactPath, existing: Existing, parts: Option<u32>) -> Self {
        Self {
            area: place.area.clone(),
            path: path.as_str().to_owned(),
            asset: place.asset,
            subject: place.subject.clone(),
            existing,
            parts,
        }
    }

    /// Of a stored operation.
    pub(super) fn read(json: serde_json::Value) -> Result<Self> {
        serde_json::from_value(json).map_err(Error::internal)
    }
}

/// Records the intent.
pub(super) fn begin(
    tx: &mut Sql<'_>,
    kind: &str,
    place: &Place,
    path: &ArtifactPath,
    (existing, parts): (Existing, Option<u32>),
) -> Result<(Uuid, Event)> {
    let intent = serde_json::to_value(Intent::new(place, path, existing, parts)).map_err(Error::internal)?;
    let (id, event) = operation::begin(tx, kind, &intent)?;
    Ok((id, event.asset(place.asset, 0).subject(place.subject.as_str())))
}

/// Ends an operation without an outcome. Answers the event and what it leaves to be removed; `None` if it was not open.
/// That an upload in parts was given up is remembered, for clients that say so twice.
pub(super) fn revert(
    tx: &mut Sql<'_>,
    id: Uuid,
    kind: &str,
    intent: &Intent,
    why: &str,
) -> Result<Option<(Event, Vec<ObjectId>)>> {
    let was_open = if kind == PUT { operation::close(tx, id)? } else { operation::end(tx, id, "reverted")? };
    if !was_open {
        return Ok(None);
    }
    let mut garbage = parts_delete(tx, id)?;
    garbage.push(ObjectId::of_operation(id));
    let event = Event::new(EventKind::OperationRevert)
        .asset(intent.asset, 0)
        .subject(intent.subject.as_str())
        .operation(id)
        .detail(serde_json::json!({ "path": intent.path, "why": why }));
    Ok(Some((event, garbage)))
}

/// Forgets the parts of an upload and answers their objects.
pub(super) fn parts_delete(tx: &mut Sql<'_>, id: Uuid) -> Result<Vec<ObjectId>> {
    let objects =
        tx.all(&store::PARTS, bind![&id.to_string()], |row| row.get::<String>(1)?.parse::<ObjectId>())?;
    if !objects.is_empty() {
        tx.execute(&store::PARTS_DELETE, bind![&id.to_string()])?;
    }
    Ok(objects)
}
