//! Walking lineage upward (what it came from) and downward (what came from it), level by level, with limits.
//!
//! What must stay true: a walk goes on only along what the facts of an edge say. Through an experiment it follows the
//! runs that took part, through a model the versions that were made or copied, so that a version never inherits what
//! other versions of a model that it was copied from were made of.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde_json::Value as Json;

use super::{EdgeKind, store};
use crate::{
    bind,
    catalog::Kind,
    db::{Row, Sql},
    error::{Error, Result},
};

/// Facts of an edge are counted up to this many.
pub const FACTS_COUNTED_MAX: i64 = 10_000;
/// Facts of an edge are followed up to this many; where there are more, the answer is cut.
const FACTS_FOLLOWED_MAX: usize = 10_000;

/// Against or along the arrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To what it came from.
    Up,
    /// To what came from it.
    Down,
}

/// Where a walk begins.
#[derive(Debug, Clone)]
pub enum Start {
    /// At a node, with all that ever happened there.
    Node(i64),
    /// At one run: the node of its experiment, and the run.
    Run(i64, String),
    /// At one version of a node.
    Version(i64, String),
}

impl Start {
    /// The node that it begins at.
    pub fn node(&self) -> i64 {
        let (Self::Node(id) | Self::Run(id, _) | Self::Version(id, _)) = self;
        *id
    }
}

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Edges from the start.
    pub depth_max: usize,
    /// Nodes in the answer.
    pub nodes_max: usize,
    /// Edges in the answer.
    pub edges_max: usize,
}

/// A node as it is stored.
#[derive(Debug, Clone)]
pub struct Node {
    /// `lineage_node.id`
    pub id: i64,
    /// `asset`, `dataset` or what an external thing was called.
    pub kind: String,
    /// The asset, where it is one, and its kind.
    pub asset: Option<(i64, Kind)>,
    /// Name of what is no asset.
    pub name: String,
    /// More about what is no asset.
    pub detail: Json,
}

/// An edge of the answer.
#[derive(Debug, Clone)]
pub struct Edge {
    /// `lineage_edge.id`
    pub id: i64,
    /// The node that feeds.
    pub source_id: i64,
    /// The node that is fed.
    pub target_id: i64,
    /// What it means.
    pub kind: String,
    /// Milliseconds since the epoch.
    pub first_seen: i64,
    /// Which of its facts the walk came by; all of them if it was not narrowed.
    pub narrowed: Option<Narrowed>,
}

/// Runs or versions. There may be many, and many edges that were found by the same ones share them.
type Texts = Arc<BTreeSet<String>>;

/// Facts of an edge: those of these runs, from these versions of the source, or to these versions of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    runs: Texts,
    sources: Texts,
    targets: Texts,
}

/// Adds texts to others. Copies nothing where there is nothing to add.
fn add(known: &mut Texts, more: &Texts) {
    if known.is_empty() {
        *known = Arc::clone(more);
    } else if !Arc::ptr_eq(known, more) && !more.is_subset(known) {
        Arc::make_mut(known).extend(more.iter().cloned());
    }
}

impl Edge {
    /// Takes in the facts by which the walk came along once more.
    fn widen(&mut self, other: Option<Narrowed>) {
        match (&mut self.narrowed, other) {
            (Some(known), Some(more)) => {
                add(&mut known.runs, &more.runs);
                add(&mut known.sources, &more.sources);
                add(&mut known.targets, &more.targets);
            }
            (known, _) => *known = None,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Graph {
    /// The start first, then by distance.
    pub nodes: Vec<Node>,
    /// In the order they were found.
    pub edges: Vec<Edge>,
    /// Whether a bound stopped it somewhere.
    pub is_cut: bool,
}

/// How the walk came to a node, which decides where it may go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Via {
    /// Nothing narrows it.
    All,
    /// By this edge: through an experiment only on to edges that share a run with it.
    Edge(i64),
    /// By these runs alone.
    Runs(Texts),
    /// By these versions of the node alone, and by facts that name none, which hold for all.
    Versions(Texts),
}

impl Via {
    fn versions(mut versions: BTreeSet<String>) -> Self {
        versions.insert(String::new());
        Self::Versions(Arc::new(versions))
    }
}

/// Walks in one direction and adds to what was found before.
pub fn walk(
    sql: &mut Sql<'_>,
    start: &Start,
    direction: Direction,
    bounds: Bounds,
    graph: &mut Graph,
) -> Result<()> {
    let via = match start {
        Start::Node(_) => Via::All,
        Start::Run(_, run) => Via::Runs(Arc::new(BTreeSet::from([run.clone()]))),
        Start::Version(_, version) => Via::versions(BTreeSet::from([version.clone()])),
    };
    let mut walk = Walk { sql, direction, bounds, known: HashMap::new(), graph };
    for node in &walk.graph.nodes {
        walk.known.insert(node.id, node.asset.map(|(_, kind)| kind));
    }
    walk.add_node(start.node())?;
    walk.run(start.node(), via)
}

struct Walk<'w, 's> {
    sql: &'w mut Sql<'s>,
    direction: Direction,
    bounds: Bounds,
    /// Nodes of the answer, and of which kind the assets are.
    known: HashMap<i64, Option<Kind>>,
    graph: &'w mut Graph,
}

impl Walk<'_, '_> {
    fn run(&mut self, start: i64, via: Via) -> Result<()> {
        let mut seen = HashSet::from([(start, via.clone())]);
        let mut edges_seen: HashMap<i64, usize> =
            self.graph.edges.iter().enumerate().map(|(at, edge)| (edge.id, at)).collect();
        let mut waiting = VecDeque::from([(start, via, 0)]);
        while let Some((node, via, depth)) = waiting.pop_front() {
            let found = self.edges(node, &via)?;
            if depth == self.bounds.depth_max {
                self.graph.is_cut |= !found.is_empty();
                continue;
            }
            for edge in found {
                let next = match self.direction {
                    Direction::Up => edge.source_id,
                    Direction::Down => edge.target_id,
                };
                if !self.known.contains_key(&next) {
                    if self.known.len() >= self.bounds.nodes_max {
                        self.graph.is_cut = true;
                        continue;
                    }
                    self.add_node(next)?;
                }
                let onward = self.onward(&edge, next, &via)?;
                if let Some(at) = edges_seen.get(&edge.id) {
                    self.graph.edges[*at].widen(edge.narrowed);
                } else if edges_seen.len() < self.bounds.edges_max {
                    edges_seen.insert(edge.id, self.graph.edges.len());
                    self.graph.edges.push(edge);
                } else {
                    self.graph.is_cut = true;
                    return Ok(());
                }
                if seen.insert((next, onward.clone())) {
                    waiting.push_back((next, onward, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn add_node(&mut self, id: i64) -> Result<()> {
        if self.known.contains_key(&id) {
            return Ok(());
        }
        let node = self.sql.one(&store::NODE_BY_ID, bind![id], read_node)?;
        self.known.insert(id, node.asset.map(|(_, kind)| kind));
        self.graph.nodes.push(node);
        Ok(())
    }

    /// The edges that lead on from a node.
    fn edges(&mut self, node: i64, via: &Via) -> Result<Vec<Edge>> {
        let is_up = self.direction == Direction::Up;
        // One more than the answer could hold, so that a bound that cuts is noticed.
        let most = self.bounds.nodes_max as i64 + 1;
        match via {
            Via::All => {
                let stmt = if is_up { &store::EDGES_IN } else { &store::EDGES_OUT };
                self.sql.all(stmt, bind![node, most], |row| read_edge(row, None))
            }
            Via::Edge(edge) => {
                let stmt = if is_up { &store::EDGES_IN_SHARED } else { &store::EDGES_OUT_SHARED };
                self.sql.all(stmt, bind![node, *edge, most], |row| read_edge(row, None))
            }
            Via::Runs(runs) => {
                let stmt = if is_up { &store::EDGES_IN_OF_RUNS } else { &store::EDGES_OUT_OF_RUNS };
                let narrowed = Narrowed { runs: Arc::clone(runs), ..Narrowed::default() };
                self.sql.all(stmt, bind![node, &json_list(runs), most], |row| {
                    read_edge(row, Some(narrowed.clone()))
                })
            }
            Via::Versions(versions) => {
                let (stmt, narrowed) = if is_up {
                    let narrowed = Narrowed { targets: Arc::clone(versions), ..Narrowed::default() };
                    (&store::EDGES_IN_OF_VERSIONS, narrowed)
                } else {
                    let narrowed = Narrowed { sources: Arc::clone(versions), ..Narrowed::default() };
                    (&store::EDGES_OUT_OF_VERSIONS, narrowed)
                };
                self.sql.all(stmt, bind![node, &json_list(versions), most], |row| {
                    read_edge(row, Some(narrowed.clone()))
                })
            }
        }
    }

    /// How the walk goes on behind an edge that it came to by `via`.
    fn onward(&mut self, edge: &Edge, next: i64, via: &Via) -> Result<Via> {
        if self.known.get(&next) == Some(&Some(Kind::Experiment)) {
            return Ok(match via {
                Via::All | Via::Edge(_) => Via::Edge(edge.id),
                Via::Runs(runs) => Via::Runs(Arc::clone(runs)),
                Via::Versions(_) => Via::Runs(self.followed(edge, via, |fact| fact.run_uuid)?),
            });
        }
        // What is read has no making of its own here, so that its versions lead nowhere.
        if edge.kind == EdgeKind::Reads.name() {
            return Ok(Via::All);
        }
        let versions = match self.direction {
            Direction::Up => self.followed(edge, via, |fact| fact.source_version)?,
            Direction::Down => self.followed(edge, via, |fact| fact.target_version)?,
        };
        // A fact without a version says nothing that could narrow the way.
        Ok(if versions.contains("") { Via::All } else { Via::versions(Arc::unwrap_or_clone(versions)) })
    }

    /// One side of those facts of an edge by which the walk came along.
    fn followed(&mut self, edge: &Edge, via: &Via, side: impl Fn(Occurrence) -> String) -> Result<Texts> {
        let most = FACTS_FOLLOWED_MAX as i64 + 1;
        let read = |row: &Row<'_>| read_occurrence(row).map(&side);
        let found = match via {
            Via::All => self.sql.all(&store::FACTS_OF_EDGE, bind![edge.id, most], read)?,
            Via::Edge(other) => self.sql.all(&store::FACTS_SHARED, bind![edge.id, *other, most], read)?,
            Via::Runs(runs) => {
                self.sql.all(&store::FACTS_OF_RUNS, bind![edge.id, &json_list(runs), most], read)?
            }
            Via::Versions(versions) => {
                let stmt = match self.direction {
                    Direction::Up => &store::FACTS_TO_VERSIONS,
                    Direction::Down => &store::FACTS_FROM_VERSIONS,
                };
                self.sql.all(stmt, bind![edge.id, &json_list(versions), most], read)?
            }
        };
        self.graph.is_cut |= found.len() > FACTS_FOLLOWED_MAX;
        Ok(Arc::new(found.into_iter().take(FACTS_FOLLOWED_MAX).collect()))
    }
}

/// What the facts of an edge say.
#[derive(Debug, Clone)]
pub struct Occurrences {
    /// How many there are, counted up to [`FACTS_COUNTED_MAX`].
    pub count: i64,
    /// The newest.
    pub newest: Option<Occurrence>,
}

/// One fact.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// The run that took part; may be empty.
    pub run_uuid: String,
    /// Version of the source; may be empty.
    pub source_version: String,
    /// Version of the target; may be empty.
    pub target_version: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// More about it.
    pub detail: Json,
}

/// Counts the facts of an edge and reads the newest; of those that the walk came by, if it was narrowed.
pub fn occurrences(sql: &mut Sql<'_>, edge: &Edge) -> Result<Occurrences> {
    let Some(Narrowed { runs, sources, targets }) = &edge.narrowed else {
        let count = sql.one(&store::FACT_COUNT, bind![edge.id, FACTS_COUNTED_MAX], |row| row.get(0))?;
        return Ok(Occurrences {
            count,
            newest: sql.first(&store::FACT_NEWEST, bind![edge.id], read_occurrence)?,
        });
    };
    let runs = json_list(runs);
    if sources.is_empty() && targets.is_empty() {
        let values = bind![edge.id, &runs, FACTS_COUNTED_MAX];
        let count = sql.one(&store::FACT_COUNT_OF_RUNS, values, |row| row.get(0))?;
        let newest = sql.first(&store::FACT_NEWEST_OF_RUNS, bind![edge.id, &runs], read_occurrence)?;
        return Ok(Occurrences { count, newest });
    }
    let (sources, targets) = (json_list(sources), json_list(targets));
    let values = bind![edge.id, &runs, &sources, &targets, FACTS_COUNTED_MAX];
    let count = sql.one(&store::FACT_COUNT_OF_ANY, values, |row| row.get(0))?;
    let values = bind![edge.id, &runs, &sources, &targets];
    Ok(Occurrences { count, newest: sql.first(&store::FACT_NEWEST_OF_ANY, values, read_occurrence)? })
}

fn read_occurrence(row: &Row<'_>) -> Result<Occurrence> {
    Ok(Occurrence {
        run_uuid: row.get(0)?,
        source_version: row.get(1)?,
        target_version: row.get(2)?,
        at: row.get(3)?,
        detail: read_json(&row.get::<String>(4)?)?,
    })
}

fn json_list(texts: &BTreeSet<String>) -> String {
    texts.iter().map(String::as_str).collect::<Json>().to_string()
}

fn read_json(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn read_node(row: &Row<'_>) -> Result<Node> {
    let asset = match (row.get::<Option<i64>>(2)?, row.get::<Option<String>>(5)?) {
        (Some(id), Some(kind)) => Some((id, Kind::parse(&kind)?)),
        _ => None,
    };
    Ok(Node {
        id: row.get(0)?,
        kind: row.get(1)?,
        asset,
        name: row.get(3)?,
        detail: read_json(&row.get::<String>(4)?)?,
    })
}

fn read_edge(row: &Row<'_>, narrowed: Option<Narrowed>) -> Result<Edge> {
    Ok(Edge {
        id: row.get(0)?,
        source_id: row.get(1)?,
        target_id: row.get(2)?,
        kind: row.get(3)?,
        first_seen: row.get(4)?,
        narrowed,
    })
}
