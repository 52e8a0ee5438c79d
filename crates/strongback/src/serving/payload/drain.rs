//! From segments into tables.
//!
//! A sealed segment is one batch of each endpoint that has records in it. Its batches land one after the other, each by an id
//! that the segment's boundaries tell, and the segment goes after the last. A crash anywhere between leaves the segment, whose
//! batches are then sent again: those that landed are known by their ids. An endpoint whose table cannot be written to keeps
//! the segments that have records of it, and keeps nobody else's rows from landing: after a few tries it is left for the next
//! pass, and segments that have nothing else are not even read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use journal::Segment;
use sha2::{Digest as _, Sha256};

use super::{
    log::{Opened, failed},
    names,
    record::{self, millis_of},
    rows::{Meaning, Records, Shape},
    store,
    target::{self, Target},
};
use crate::{
    bind,
    catalog::asset,
    context::{App, Ctx},
    db::Origin,
    error::{Error, Result},
    tables::{inside as landing, widen},
};

/// The records of one endpoint in a segment.
#[derive(Debug, Default)]
struct Group {
    spans: Vec<Range<usize>>,
    rows: u64,
    /// Records that are whole and yet cannot be read.
    unreadable: u64,
    from_ms: i64,
    to_ms: i64,
    schemas: HashSet<i64>,
    features: HashSet<i64>,
    digest: Sha256,
}

/// A segment in memory.
struct Loaded {
    bytes: Arc<Vec<u8>>,
    groups: BTreeMap<i64, Group>,
    is_damaged: bool,
}

/// What is noted of a batch that was brought away.
#[derive(Debug, Clone, Copy)]
struct Noted {
    endpoint: i64,
    segment: Segment,
    /// None where the records were given up.
    version: Option<u64>,
    records: u64,
    rows: u64,
    unreadable: u64,
    from_ms: i64,
    to_ms: i64,
}

/// Batches of one endpoint that are tried in one pass although the ones before failed: it may have been for what is in them.
const FAILURES_MAX: u32 = 3;

/// Endpoints whose batches failed in this pass, and how many of each did.
#[derive(Debug, Default)]
struct Failures(HashMap<i64, u32>);

impl Failures {
    fn note(&mut self, endpoint: i64) {
        *self.0.entry(endpoint).or_default() += 1;
    }

    /// Whether an endpoint is left for the next pass.
    fn is_left(&self, endpoint: i64) -> bool {
        self.0.get(&endpoint).is_some_and(|failed| *failed >= FAILURES_MAX)
    }

    /// Whether a segment is, in which these wait.
    fn are_all_left(&self, waiting: &[i64]) -> bool {
        !waiting.is_empty() && waiting.iter().all(|endpoint| self.is_left(*endpoint))
    }
}

/// Which records a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// All that were logged before.
    Now,
    /// Those of segments that get no more records.
    Sealed,
}

/// Why something stays in the log, if it does.
#[derive(Debug)]
pub(super) struct Drained {
    /// Why the newest records could not be told from those that are yet to come.
    pub unsealed: Option<Error>,
    /// The first reason for which a record stays in a segment that gets no more.
    pub kept: Option<Error>,
    /// The bases of such segments.
    pub kept_in: Vec<u64>,
}

impl Drained {
    /// An error where anything stays.
    pub fn outcome(self) -> Result<()> {
        self.unsealed.or(self.kept).map_or(Ok(()), Err)
    }
}

/// Brings what was logged into tables. What cannot be brought stays in the log, which is told once everything else was done.
pub(super) async fn drain(app: &Arc<App>, opened: &Arc<Opened>, until: Until) -> Result<Drained> {
    let ctx = Ctx::system(app);
    let _one = opened.draining.lock().await;
    opened.scan(app).await?;
    let sealed = match until {
        Until::Now => opened.journal.seal().await.map(|_| ()),
        Until::Sealed => Ok(()),
    };
    let mut drained = Drained { unsealed: sealed.map_err(failed).err(), kept: None, kept_in: Vec::new() };
    let segments = opened.journal.segments().into_iter().filter(|segment| segment.is_sealed);
    let (mut failures, mut left) = (Failures::default(), 0_u64);
    for segment in segments {
        let waiting = opened.index.lock().waiting_in(segment.base);
        if failures.are_all_left(&waiting) {
            left += 1;
            drained.kept_in.push(segment.base);
            continue;
        }
        let outcome = drain_segment(&ctx, opened, segment, &mut failures).await;
        if !matches!(outcome, Ok(true)) {
            drained.kept_in.push(segment.base);
        }
        if let Err(error) = outcome {
            tracing::warn!(
                segment = segment.base,
                ?error,
                "a part of the payload log stays, as a table could not be written to"
            );
            drained.kept.get_or_insert(error);
        }
    }
    if left > 0 {
        tracing::warn!(segments = left, endpoints = ?failures.0.keys(), "more of the payload log stays for the same tables");
    }
    Ok(drained)
}

/// Brings the records of a segment into tables. Answers whether all of them are there, and the segment is gone.
async fn drain_segment(
    ctx: &Ctx,
    opened: &Arc<Opened>,
    segment: Segment,
    failures: &mut Failures,
) -> Result<bool> {
    let loading = {
        let opened = Arc::clone(opened);
        tokio::task::spawn_blocking(move || load(&opened, segment))
    };
    let Loaded { bytes, groups, is_damaged } = loading.await.map_err(Error::internal)??;
    let (mut first_error, mut is_left) = (None, false);
    for (endpoint, group) in groups {
        if failures.is_left(endpoint) && opened.index.lock().is_waiting(segment.base, endpoint) {
            is_left = true;
            continue;
        }
        let landed = drain_group(ctx, opened, segment, endpoint, group, &bytes).await;
        if let Err(error) = landed {
            failures.note(endpoint);
            first_error.get_or_insert(error);
        }
    }
    if let Some(error) = first_error {
        return Err(error);
    }
    if is_left {
        return Ok(false);
    }
    let opened = Arc::clone(opened);
    let freeing = tokio::task::spawn_blocking(move || {
        let outcome = if is_damaged {
            opened.journal.set_aside(segment.base)
        } else {
            opened.journal.free(segment.base)
        };
        opened.index.lock().remove(segment.base);
        outcome.map(|()| true).map_err(failed)
    });
    freeing.await.map_err(Error::internal)?
}

/// Reads a segment, and tells its records apart by endpoint.
fn load(opened: &Opened, segment: Segment) -> Result<Loaded> {
    let mut reader = opened.journal.read(segment.base).map_err(failed)?;
    let (mut bytes, mut record) = (Vec::with_capacity(segment.bytes as usize), Vec::new());
    let (mut groups, mut is_damaged): (BTreeMap<i64, Group>, _) = (BTreeMap::new(), false);
    loop {
        match reader.read(&mut record) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error @ journal::Error::Damaged { sequence, .. }) => {
                let lost = segment.next - sequence;
                tracing::error!(%error, lost, "records of the payload log are lost; their file is set aside");
                is_damaged = true;
                continue;
            }
            Err(error) => return Err(failed(error)),
        }
        let Ok(key) = record::key_of(&record) else {
            tracing::error!("a record of the payload log has an unknown form; its file is set aside");
            is_damaged = true;
            continue;
        };
        let group = groups.entry(key.endpoint).or_default();
        let start = bytes.len();
        match record::decode(&record) {
            Ok(stored) => {
                group.schemas.insert(stored.head.schema);
                group.features.extend(stored.head.feature_versions.iter().map(|read| read.table));
                group.rows += u64::from(key.rows);
                bytes.extend_from_slice(&record);
                group.digest.update(&record);
                let ms = millis_of(key.request_id);
                let is_first = group.spans.is_empty();
                (group.from_ms, group.to_ms) =
                    if is_first { (ms, ms) } else { (group.from_ms.min(ms), group.to_ms.max(ms)) };
                group.spans.push(start..bytes.len());
            }
            Err(error) => {
                tracing::error!(
                    ?error,
                    request = %key.request_id,
                    "a record of the payload log cannot be read; its file is set aside"
                );
                is_damaged = true;
                group.unreadable += 1;
            }
        }
    }
    Ok(Loaded { bytes: Arc::new(bytes), groups, is_damaged })
}

/// Brings the records of one endpoint into its table, once.
async fn drain_group(
    ctx: &Ctx,
    opened: &Arc<Opened>,
    segment: Segment,
    endpoint: i64,
    group: Group,
    bytes: &Arc<Vec<u8>>,
) -> Result<()> {
    let node = opened.node().await?.to_owned();
    let is_noted = node.clone();
    let noted = ctx
        .app
        .db
        .read(&Origin::system(), move |sql| store::is_noted(sql, endpoint, &is_noted, segment))
        .await?;
    if noted {
        opened.index.lock().drained(segment.base, endpoint);
        return Ok(());
    }
    let mut noted = Noted {
        endpoint,
        segment,
        version: None,
        records: group.spans.len() as u64,
        rows: group.rows,
        unreadable: group.unreadable,
        from_ms: group.from_ms,
        to_ms: group.to_ms,
    };
    match target::of(ctx, endpoint).await? {
        Target::Nowhere => {
            tracing::warn!(
                endpoint,
                records = noted.records,
                "logged requests of a deleted endpoint are given up"
            );
        }
        Target::Table(_) if group.spans.is_empty() => {}
        Target::Table(table) => {
            let meaning = meaning(ctx, table, &group).await?;
            let batch = landing::Batch {
                table,
                id: format!("{node}-{}-{}", segment.base, segment.next - 1),
                digest: hex::encode(group.digest.finalize()),
            };
            let rows = Records { bytes: Arc::clone(bytes), spans: group.spans.into(), meaning };
            noted.version = Some(landing::append(ctx, batch, Box::new(rows)).await?.version);
            opened.grown.lock().insert(table);
        }
    }
    note(&ctx.app, opened, node, noted).await
}

/// What the records of a group mean in a table, which gets the columns that it lacks.
async fn meaning(ctx: &Ctx, table: i64, group: &Group) -> Result<Meaning> {
    let mut inputs = Vec::new();
    for schema in &group.schemas {
        inputs.push((*schema, target::inputs_of(&ctx.app, *schema).await?));
    }
    inputs.sort_unstable_by_key(|(schema, _)| *schema);
    let mut meaning = Meaning::default();
    let mut columns = widen::columns(ctx, table).await?;
    for (schema, inputs) in inputs {
        let (mut placed, new) = names::place(&inputs, &columns);
        if !new.is_empty() {
            widen::add_columns(ctx, table, new).await?;
            columns = widen::columns(ctx, table).await?;
            placed = names::place(&inputs, &columns).0;
        }
        meaning.shapes.insert(schema, Shape { inputs, columns: placed });
    }
    meaning.features = uuids_of(&ctx.app, group.features.clone()).await?;
    Ok(meaning)
}

/// UUIDs of feature tables, by asset: names change, and are looked up by whoever reads.
pub(super) async fn uuids_of(app: &App, tables: HashSet<i64>) -> Result<HashMap<i64, String>> {
    if tables.is_empty() {
        return Ok(HashMap::new());
    }
    app.db
        .read(&Origin::system(), move |sql| {
            let mut found = HashMap::new();
            for table in tables {
                found.extend(asset::uuid_of(sql, table)?.map(|uuid| (table, uuid)));
            }
            Ok(found)
        })
        .await
}

/// Notes that a batch was brought away, and counts it no longer as waiting.
async fn note(app: &App, opened: &Opened, node: String, noted: Noted) -> Result<()> {
    let tally = opened.tally(noted.endpoint);
    let _moving = Moving::begin(opened);
    // Within what moves: whoever reads the figures meanwhile reads them again.
    let unanswered = tally.unanswered.swap(0, Ordering::Relaxed);
    let stored = app
        .db
        .derive(move |tx| {
            let (first, last) = (noted.segment.base as i64, noted.segment.next as i64 - 1);
            let (version, gone) = match noted.version {
                Some(version) => (Some(version as i64), noted.unreadable),
                None => (None, noted.records + noted.unreadable),
            };
            let (drained, rows) = if version.is_some() { (noted.records, noted.rows) } else { (0, 0) };
            tx.execute(
                &store::BATCH_PUT,
                bind![
                    noted.endpoint,
                    &node,
                    first,
                    last,
                    version,
                    noted.records as i64,
                    noted.rows as i64,
                    noted.from_ms,
                    noted.to_ms
                ],
            )?;
            tx.execute(
                &store::TOTAL_ADD,
                bind![noted.endpoint, &node, drained as i64, rows as i64, gone as i64, unanswered as i64],
            )
        })
        .await;
    match &stored {
        Ok(_) => opened.index.lock().drained(noted.segment.base, noted.endpoint),
        Err(_) => {
            tally.unanswered.fetch_add(unanswered, Ordering::Relaxed);
        }
    }
    stored.map(|_| ())
}

/// Something moves from the log into totals, until this goes, however that comes about.
struct Moving<'o>(&'o Opened);

impl<'o> Moving<'o> {
    fn begin(opened: &'o Opened) -> Self {
        opened.moves.fetch_add(1, Ordering::SeqCst);
        Self(opened)
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.moves.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_fails_again_and_again_is_left_and_nobody_else_is() {
        let mut failures = Failures::default();
        for _ in 0..FAILURES_MAX {
            assert!(!failures.is_left(1) && !failures.are_all_left(&[1]));
            failures.note(1);
        }
        assert!(failures.is_left(1) && failures.are_all_left(&[1]));
        assert!(!failures.is_left(2) && !failures.are_all_left(&[1, 2]));
        assert!(!failures.are_all_left(&[]), "all of it landed, and it only was not freed");
    }
}
