//! The log of this node: opened by whoever first needs it.
//!
//! Opening recovers the segment that was open; the others, of which there are many only after a table could not be written to
//! for long, are read through beside the requests ([`Opened::scan`]).

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use journal::{Journal, Mode, Options, Pending, Seen, Segment};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OnceCell},
    time::Instant,
};

use super::{index::Index, record, store};
use crate::{
    bind,
    context::App,
    db::{Origin, Sql},
    error::{Error, Result},
};

/// Bytes of a segment, which is also what is drained at once at most.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;
/// The file that names this node.
const NODE: &str = "node";

/// The log of payloads of this node. Cheap until it is needed.
pub struct PayloadLog {
    dir: PathBuf,
    mode: Mode,
    opened: Arc<OnceCell<Arc<Opened>>>,
    /// Rings when a segment gets its first record.
    pub(super) bell: Arc<Notify>,
}

/// What was counted of an endpoint since the log was opened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Requests whose record is durable and whose caller was told so.
    pub served: AtomicU64,
    /// Records whose caller had gone, and that no total has yet.
    pub unanswered: AtomicU64,
}

/// By endpoint.
#[derive(Debug, Default)]
struct Tallies(Mutex<HashMap<i64, Arc<Tally>>>);

impl Tallies {
    fn of(&self, endpoint: i64) -> Arc<Tally> {
        Arc::clone(self.0.lock().entry(endpoint).or_default())
    }
}

/// The records of one endpoint in one segment: the segment's first sequence number, and the endpoint.
type Batch = (u64, i64);

/// The open log.
pub(super) struct Opened {
    pub journal: Journal,
    dir: PathBuf,
    pub index: Arc<Mutex<Index>>,
    /// The segments that were there at the beginning.
    initial: Vec<Segment>,
    /// Requests served before, by endpoint. Known once the segments were read through.
    before: OnceCell<HashMap<i64, i64>>,
    tallies: Arc<Tallies>,
    /// Tables that got rows, and were not looked at since for files to join.
    pub grown: Mutex<HashSet<i64>>,
    /// Tables whose files were too large to be joined, and when that was seen: what is served makes them as large again for a while.
    pub large: Mutex<HashMap<i64, Instant>>,
    /// One drains at a time.
    pub draining: tokio::sync::Mutex<()>,
    /// Counts what was moved from the log into totals: odd while something moves.
    pub moves: AtomicU64,
    node: OnceCell<String>,
}

impl PayloadLog {
    /// The log of a data directory. Nothing is opened yet.
    pub fn new(data_dir: &Path, mode: Mode) -> Self {
        let (dir, bell) = (data_dir.join("payload"), Arc::new(Notify::new()));
        Self { dir, mode, opened: Arc::default(), bell }
    }

    /// The open log, opened if need be.
    pub(super) async fn open(&self) -> Result<Arc<Opened>> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let (cell, dir, mode, bell) =
            (Arc::clone(&self.opened), self.dir.clone(), self.mode, Arc::clone(&self.bell));
        // By itself: were it dropped with whoever asks, the next one would open the directory beside it.
        let opening = tokio::spawn(async move {
            let open = || async {
                let opened = tokio::task::spawn_blocking(move || Opened::open(dir, mode, bell)).await;
                opened.map_err(Error::internal)?.map(Arc::new)
            };
            cell.get_or_try_init(open).await.cloned()
        });
        opening.await.map_err(Error::internal)?
    }

    /// The open log, if anything was ever logged here.
    pub(super) async fn open_if_there(&self) -> Result<Option<Arc<Opened>>> {
        if self.opened.get().is_none() && !self.dir.exists() {
            return Ok(None);
        }
        self.open().await.map(Some)
    }
}

impl Opened {
    fn open(dir: PathBuf, mode: Mode, bell: Arc<Notify>) -> Result<Self> {
        let (index, tallies) = (Arc::new(Mutex::new(Index::default())), Arc::<Tallies>::default());
        let observer = {
            let (index, tallies) = (Arc::clone(&index), Arc::clone(&tallies));
            Box::new(move |seen: Seen<'_>| match seen {
                Seen::Durable(at, bytes) => match record::key_of(bytes) {
                    Ok(key) => {
                        if index.lock().add(at, key) {
                            bell.notify_one();
                        }
                    }
                    Err(error) => tracing::error!(?error, "a record was logged that cannot be read"),
                },
                Seen::Unheard(bytes) => {
                    if let Ok(key) = record::key_of(bytes) {
                        tallies.of(key.endpoint).unanswered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let options = Options { mode, segment_bytes: SEGMENT_BYTES, ..Options::default() };
        let (journal, recovered) = Journal::open(&dir, &options, observer).map_err(failed)?;
        let initial: Vec<Segment> =
            journal.segments().into_iter().filter(|segment| segment.records() > 0).collect();
        if !initial.is_empty() {
            tracing::info!(
                segments = initial.len(),
                ?recovered,
                "requests of before wait in the payload log"
            );
        }
        Ok(Self {
            journal,
            dir,
            index,
            initial,
            before: OnceCell::new(),
            tallies,
            grown: Mutex::default(),
            large: Mutex::default(),
            draining: tokio::sync::Mutex::new(()),
            moves: AtomicU64::new(0),
            node: OnceCell::new(),
        })
    }

    /// Reads through what was there when the log was opened, once: until then it is not found and not counted. Answers how many
    /// requests were served before, by endpoint: those that were brought away or wait, but for those whose caller had gone.
    pub(super) async fn scan(self: &Arc<Self>, app: &Arc<App>) -> Result<&HashMap<i64, i64>> {
        if !self.before.initialized() {
            let (me, app) = (Arc::clone(self), Arc::clone(app));
            // By itself: whoever asks may go away, and what is read through is read through once.
            let scanning =
                tokio::spawn(
                    async move { me.before.get_or_try_init(|| me.scan_once(&app)).await.map(|_| ()) },
                );
            scanning.await.map_err(Error::internal)??;
        }
        self.before.get().ok_or_else(|| Error::internal("a log that was read through is not"))
    }

    async fn scan_once(self: &Arc<Self>, app: &App) -> Result<HashMap<i64, i64>> {
        let me = Arc::clone(self);
        let scanned = tokio::task::spawn_blocking(move || me.read_through()).await;
        let (mut found, node) = scanned.map_err(Error::internal)??;
        let mut before = HashMap::new();
        if let Some(node) = node {
            let of = |base| self.initial.iter().find(|segment| segment.base == base).copied();
            let batches = found.batches().into_iter();
            let batches = batches.filter_map(|(base, endpoint, _)| Some((of(base)?, endpoint))).collect();
            let (noted, totals) =
                app.db.read(&Origin::system(), move |sql| brought_away(sql, &node, batches)).await?;
            // A crash came before their segment went.
            for (segment, endpoint) in noted {
                found.drained(segment, endpoint);
            }
            before = totals;
        }
        for (_, endpoint, records) in found.batches() {
            *before.entry(endpoint).or_default() += records.cast_signed();
        }
        self.index.lock().merge(found);
        Ok(before)
    }

    /// What the segments have that were there when the log was opened, and the node's name.
    fn read_through(&self) -> Result<(Index, Option<String>)> {
        let (mut found, mut bytes) = (Index::default(), Vec::new());
        for segment in &self.initial {
            let mut reader = self.journal.read(segment.base).map_err(failed)?;
            loop {
                let at = match reader.read(&mut bytes) {
                    Ok(Some(at)) if at.sequence < segment.next => at,
                    // Of what is damaged draining tells, and brings away what can be read.
                    Ok(_) | Err(journal::Error::Damaged { .. }) => break,
                    Err(error) => return Err(failed(error)),
                };
                if let Ok(key) = record::key_of(&bytes) {
                    found.add(at, key);
                }
            }
        }
        Ok((found, read_node(&self.dir)?))
    }

    /// What is counted of an endpoint.
    pub(super) fn tally(&self, endpoint: i64) -> Arc<Tally> {
        self.tallies.of(endpoint)
    }

    /// The name of this node, given to it with its first batch.
    pub(super) async fn node(&self) -> Result<&str> {
        let name = || async {
            let dir = self.dir.clone();
            tokio::task::spawn_blocking(move || make_node(&dir)).await.map_err(Error::internal)?
        };
        self.node.get_or_try_init(name).await.map(String::as_str)
    }

    /// The name of this node, if it ever brought anything away.
    pub(super) fn node_if_there(&self) -> Result<Option<String>> {
        match self.node.get() {
            Some(node) => Ok(Some(node.clone())),
            None => read_node(&self.dir),
        }
    }

    /// Whether there is a segment that gets no more records.
    pub(super) fn has_sealed(&self) -> bool {
        self.journal.segments().iter().any(|segment| segment.is_sealed)
    }

    /// Appends a record of an endpoint, and counts it.
    pub(super) async fn append(&self, tally: &Tally, bytes: &[u8]) -> Result<()> {
        let mut waiting =
            Waiting { tally, pending: self.journal.begin(&[bytes]).map_err(failed)?, is_over: false };
        let outcome = (&mut waiting.pending).await;
        waiting.is_over = true;
        outcome.map_err(failed)?;
        tally.served.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Which of these batches a node brought away, and how many requests were served of all that it did, by endpoint.
fn brought_away(
    sql: &mut Sql<'_>,
    node: &str,
    batches: Vec<(Segment, i64)>,
) -> Result<(Vec<Batch>, HashMap<i64, i64>)> {
    let mut noted = Vec::new();
    for (segment, endpoint) in batches {
        if store::is_noted(sql, endpoint, node, segment)? {
            noted.push((segment.base, endpoint));
        }
    }
    let totals =
        sql.all(&store::TOTAL_OF_NODE, bind![node], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    Ok((noted, totals.into_iter().collect()))
}

/// Somebody who waits for a record to be durable, and may go away before.
struct Waiting<'t> {
    tally: &'t Tally,
    pending: Pending,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Of one that becomes durable later the log tells by itself.
        if !self.is_over && self.pending.give_up() {
            self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read_node(dir: &Path) -> Result<Option<String>> {
    match fs::read_to_string(dir.join(NODE)) {
        Ok(name) if uuid::Uuid::try_parse(&name).is_ok() => Ok(Some(name)),
        Ok(_) => Err(Error::internal(format!("{} does not name this node", dir.join(NODE).display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::internal(error)),
    }
}

/// Names the node, durably before the name is used.
fn make_node(dir: &Path) -> Result<String> {
    use io::Write as _;
    if let Some(name) = read_node(dir)? {
        return Ok(name);
    }
    let name = uuid::Uuid::new_v4().simple().to_string();
    let mut file = tempfile_in(dir)?;
    file.1.write_all(name.as_bytes()).and_then(|()| file.1.sync_all()).map_err(Error::unwritten(dir))?;
    fs::rename(&file.0, dir.join(NODE)).map_err(Error::unwritten(dir))?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::unwritten(dir))?;
    Ok(name)
}

fn tempfile_in(dir: &Path) -> Result<(PathBuf, fs::File)> {
    let path = dir.join(format!("{NODE}.new"));
    let file = fs::File::create(&path).map_err(Error::unwritten(dir))?;
    Ok((path, file))
}

/// What is said to a caller whose request could not be logged, and so is not answered otherwise.
pub(super) fn failed(error: journal::Error) -> Error {
    match &error {
        passing if passing.is_passing() => Error::unavailable(format!(
            "The request was scored, but its answer cannot be logged, and so is not given: {error}"
        ))
        .because(error),
        journal::Error::TooLong { bytes, limit } => Error::invalid(format!(
            "The request has {bytes} bytes with what is logged of it; it may have {limit}. Send fewer rows at a time."
        )),
        journal::Error::Io { .. } => Error::unavailable(
            "The disk that holds the payload log failed, which the server's log tells: nothing is answered that is not logged. Repeat \
             the request once the disk is well.",
        )
        .because(error),
        journal::Error::Closed => Error::unavailable(
            "The payload log takes nothing more: the server is shutting down, or its log failed, which the server's log tells. \
             Repeat the request later.",
        ),
        _ => Error::internal(error),
    }
}
