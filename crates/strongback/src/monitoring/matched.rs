//! Which labels of a file belong to rows that are there: they are looked at as they land, and their rows looked for afterwards.
//!
//! What must stay true: that a label has no row is no error, since rows of an endpoint and labels come in any order; a label that
//! can never have one is.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use lake::{arrow::array::RecordBatch, query::Value, refill::Look};
use parking_lot::Mutex;
use syntax::names::FullName;
use uuid::Uuid;

use super::{
    frame,
    labelled::{self, KEYS},
    monitor,
};
use crate::{
    context::Ctx,
    error::{Code, Result},
    serving::payload,
    tables::rows::{at_version, rows},
};

/// Labels of one file whose rows are looked for: their digests are in memory.
const LABELS_MAX: usize = 2_000_000;
/// How long rows are looked for.
const TIME: Duration = Duration::from_mins(2);
/// Wrong labels that a refusal names.
const NAMED_MAX: usize = 3;
/// Characters of an id that a refusal shows.
const SHOWN_CHARS_MAX: usize = 60;

/// How many labels have a row.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// So many; `None` where that was not counted.
    pub matched: Option<u64>,
    /// What to know about it.
    pub note: String,
}

/// The labels of a file.
pub(super) struct Given {
    is_endpoint: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    hasher: RandomState,
    /// How many labels a row is given, by a digest of what names it.
    labels: HashMap<u64, u64>,
    /// The first id and the last, in the order of texts: an endpoint's ids begin with their time.
    bounds: Option<(String, String)>,
    are_too_many: bool,
}

impl Given {
    /// Of the rows of an endpoint, or of any table.
    pub(super) fn new(is_endpoint: bool) -> Self {
        Self { is_endpoint, seen: Arc::default() }
    }

    /// What is shown the labels while they land.
    pub(super) fn look(&self) -> Look {
        let (is_endpoint, seen) = (self.is_endpoint, Arc::clone(&self.seen));
        Box::new(move |batch| {
            let refused = seen.lock().take(batch, is_endpoint).map_err(|error| error.message().to_owned())?;
            refused.map_or(Ok(()), Err)
        })
    }

    /// Looks for the rows of what is watched under this name.
    pub(super) async fn matched(self, ctx: &Ctx, name: FullName) -> Counted {
        let mut seen = std::mem::take(&mut *self.seen.lock());
        if seen.are_too_many {
            let note = format!("Rows are looked for of at most {LABELS_MAX} labels of one file.");
            return Counted { matched: None, note };
        }
        let mut note = String::new();
        if self.is_endpoint && payload::flush(&Ctx::system(&ctx.app)).await.is_err() {
            "Some requests wait in the payload log and are not in their table yet; they are not counted."
                .clone_into(&mut note);
        }
        match count(ctx, name, &mut seen).await {
            Ok(matched) => Counted { matched: Some(matched), note },
            Err(error) => {
                tracing::info!(?error, "rows of labels were not looked for");
                let note = format!("Their rows were not looked for: {}", error.message());
                Counted { matched: None, note }
            }
        }
    }
}

impl Seen {
    /// Answers what is wrong with some labels.
    fn take(&mut self, batch: &RecordBatch, is_endpoint: bool) -> Result<Option<String>> {
        let (ids, places) = (frame::texts(batch, 0)?, frame::ints(batch, 1)?);
        let mut wrong = Vec::new();
        for (id, place) in ids.iter().zip(places) {
            let (id, place) = (id.unwrap_or_default(), place.unwrap_or_default());
            if wrong.len() < NAMED_MAX
                && let Some(why) = why_not(id, place, is_endpoint)
            {
                wrong.push(why);
            }
            self.note(id, place);
        }
        if wrong.is_empty() {
            return Ok(None);
        }
        let hint = if is_endpoint {
            "The id of a request stands in the header x-request-id of its answer and in the column _request_id of the payload table."
        } else {
            "The columns _request_id and _row of the watched table have them."
        };
        Ok(Some(format!(
            "These labels can belong to no row, so nothing was imported: {}. {hint}",
            wrong.join("; ")
        )))
    }

    fn note(&mut self, id: &str, place: i64) {
        if self.are_too_many {
            return;
        }
        let key = self.hasher.hash_one((id, place));
        *self.labels.entry(key).or_default() += 1;
        if self.labels.len() > LABELS_MAX {
            self.labels = HashMap::new();
            self.are_too_many = true;
        }
        match &mut self.bounds {
            None => self.bounds = Some((id.to_owned(), id.to_owned())),
            Some((first, _)) if id < first.as_str() => id.clone_into(first),
            Some((_, last)) if id > last.as_str() => id.clone_into(last),
            Some(_) => {}
        }
    }
}

/// Why nothing that was served can have this id and place.
fn why_not(id: &str, place: i64, is_endpoint: bool) -> Option<String> {
    let shown: String = id.chars().take(SHOWN_CHARS_MAX).collect();
    if id.is_empty() {
        return Some("one has no request_id".to_owned());
    }
    if is_endpoint && !Uuid::try_parse(id).is_ok_and(|parsed| parsed.hyphenated().to_string() == id) {
        return Some(format!(
            "'{shown}' is no id of a request, which looks like 0199f7c2-7a9a-72a8-9d1e-70d21dbc389e"
        ));
    }
    (place < 0).then(|| format!("'{shown}' has the row {place}; the first row of a request is 0"))
}

/// How many labels have a row in the table. Takes them out of `seen`.
async fn count(ctx: &Ctx, name: FullName, seen: &mut Seen) -> Result<u64> {
    let Some((first, last)) = seen.bounds.take() else { return Ok(0) };
    let found = ctx.read(move |sql| monitor::watched(sql, &name)).await;
    let table = match found {
        Ok(table) => table,
        // Nothing was served yet, or what was is gone.
        Err(error) if error.code() == Code::ResourceDoesNotExist => return Ok(0),
        Err(error) => return Err(error),
    };
    let state = ctx.app.lake.state(table.table, Some(table.newest.version)).await?;
    labelled::require_keys(&table, &state.columns)?;
    let [request, row] = KEYS;
    let statement = format!(
        "SELECT `{request}`, coalesce(`{row}`, 0) FROM {} WHERE `{request}` >= $first AND `{request}` <= $last",
        at_version(&table.name, table.newest.version)
    );
    let bounds = vec![("first".to_owned(), Value::Text(first)), ("last".to_owned(), Value::Text(last))];
    let mut found = rows(ctx, &statement, bounds, TIME).await?;
    let mut matched = 0;
    while let Some(batch) = found.next().await {
        let batch = batch?;
        let (ids, places) = (frame::texts(&batch, 0)?, frame::ints(&batch, 1)?);
        for (id, place) in ids.iter().zip(places) {
            let key = seen.hasher.hash_one((id.unwrap_or_default(), place.unwrap_or_default()));
            matched += seen.labels.remove(&key).unwrap_or_default();
        }
    }
    Ok(matched)
}
