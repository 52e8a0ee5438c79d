//! Windows as they are stored, and the plans that they are computed by.

use super::{span::Span, store};
use crate::{
    bind,
    db::{Row, Sql},
    error::Result,
};

/// How much of a window is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    All,
    /// What comes from labels, which alone have changed.
    Labels,
}

impl Part {
    /// As it is stored.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Labels => "labels",
        }
    }
}

/// A window as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub span: Span,
    pub plan: String,
    pub part: Part,
    pub definition_n: i64,
    pub is_computed: bool,
    pub outcome: String,
    pub rows: u64,
    pub labelled: u64,
    /// Of the labels that counted, see [`Labelled::digest`](super::labelled::Labelled); in the column `labelled_to`.
    pub labels_digest: Option<i64>,
    pub table_version: u64,
    pub labels_version: Option<u64>,
    pub computed_at: Option<i64>,
}

/// A row of the statements that list a window's columns.
pub(super) fn read(row: &Row<'_>) -> Result<Stored> {
    let part = match row.get::<String>(4)?.as_str() {
        "labels" => Part::Labels,
        _ => Part::All,
    };
    Ok(Stored {
        span: Span { start: row.get(0)?, revision: row.get(1)?, end: row.get(2)? },
        plan: row.get(3)?,
        part,
        definition_n: row.get(5)?,
        is_computed: row.get::<String>(6)? == "computed",
        outcome: row.get(7)?,
        rows: row.get::<i64>(8)? as u64,
        labelled: row.get::<i64>(9)? as u64,
        labels_digest: row.get(10)?,
        table_version: row.get::<i64>(11)? as u64,
        labels_version: row.get::<Option<i64>>(12)?.map(|version| version as u64),
        computed_at: row.get(13)?,
    })
}

/// Windows that are computed together.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Names it, and the batches that land.
    pub id: String,
    pub part: Part,
    pub windows: Vec<Stored>,
    /// Whether nothing is left but to judge it.
    pub is_computed: bool,
}

impl Plan {
    pub(super) fn spans(&self) -> Vec<Span> {
        self.windows.iter().map(|window| window.span).collect()
    }
}

/// The plan that was not brought to its end, if there is one.
pub(super) fn open(sql: &mut Sql<'_>, monitor_id: i64) -> Result<Option<Plan>> {
    let mut windows = sql.all(&store::WINDOW_OPEN, bind![monitor_id], read)?;
    let Some(first) = windows.first().cloned() else { return Ok(None) };
    windows.retain(|window| window.plan == first.plan);
    Ok(Some(Plan {
        id: first.plan,
        part: first.part,
        is_computed: windows.iter().all(|window| window.is_computed),
        windows,
    }))
}
