//! Walking lineage upward (what it came from) and downward (what came from it), level by level, with limits.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value as Json;

use super::store;
use crate::{
    bind,
    catalog::Kind,
    db::{Row, Sql},
    error::{Error, Result},
};

/// Facts of an edge are counted up to this many.
pub const FACTS_COUNTED_MAX: i64 = 10_000;

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
    /// The runs that the walk was narrowed to when it came by, as a JSON list; none if it was not.
    pub runs: Option<String>,
    /// The version that the walk began at, on the edges that touch it; else empty.
    pub version: String,
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
    /// By these runs alone, as a JSON list.
    Runs(String),
    /// Starting at this version.
    Version(String),
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
        Start::Run(_, run) => Via::Runs(json_list([run.as_str()])),
        Start::Version(_, version) => Via::Version(version.clone()),
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
        let mut edges_seen: HashSet<i64> = self.graph.edges.iter().map(|edge| edge.id).collect();
        let mut waiting = VecDeque::from([(start, via, 0)]);
        while let Some((node, via, depth)) = waiting.pop_front() {
            let found = self.edges(node, &via)?;
            if depth == self.bounds.depth_max {
                self.graph.is_cut |= !found.is_empty();
                continue;
            }
            for (edge, onward) in found {
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
                // Where a node is no experiment, the way there does not matter.
                let is_experiment = self.known.get(&next) == Some(&Some(Kind::Experiment));
                let onward = if is_experiment { onward } else { Via::All };
                if !edges_seen.contains(&edge.id) {
                    if edges_seen.len() >= self.bounds.edges_max {
                        self.graph.is_cut = true;
                        return Ok(());
                    }
                    edges_seen.insert(edge.id);
                    self.graph.edges.push(edge);
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

    /// The edges that lead on from a node, and how the walk is to go on behind each.
    fn edges(&mut self, node: i64, via: &Via) -> Result<Vec<(Edge, Via)>> {
        let is_up = self.direction == Direction::Up;
        // One more than the answer could hold, so that a bound that cuts is noticed.
        let most = self.bounds.nodes_max as i64 + 1;
        let plain = |row: &Row<'_>| read_edge(row, None);
        let found = match via {
            Via::All => {
                let stmt = if is_up { &store::EDGES_IN } else { &store::EDGES_OUT };
                self.sql.all(stmt, bind![node, most], plain)?
            }
            Via::Edge(edge) => {
                let stmt = if is_up { &store::EDGES_IN_SHARED } else { &store::EDGES_OUT_SHARED };
                self.sql.all(stmt, bind![node, *edge, most], plain)?
            }
            Via::Runs(runs) => {
                let stmt = if is_up { &store::EDGES_IN_OF_RUNS } else { &store::EDGES_OUT_OF_RUNS };
                self.sql.all(stmt, bind![node, runs, most], |row| read_edge(row, Some(runs.clone())))?
            }
            Via::Version(version) => return self.edges_of_version(node, version, most),
        };
        Ok(found
            .into_iter()
            .map(|edge| {
                let onward = edge.runs.clone().map_or(Via::Edge(edge.id), Via::Runs);
                (edge, onward)
            })
            .collect())
    }

    fn edges_of_version(&mut self, node: i64, version: &str, most: i64) -> Result<Vec<(Edge, Via)>> {
        let is_up = self.direction == Direction::Up;
        let stmt = if is_up { &store::EDGES_IN_OF_VERSION } else { &store::EDGES_OUT_OF_VERSION };
        let rows = self.sql.all(stmt, bind![node, version, most], |row| {
            Ok((read_edge(row, None)?, row.get::<String>(5)?))
        })?;
        let mut merged: Vec<(Edge, Vec<String>)> = Vec::new();
        for (edge, run) in rows {
            match merged.last_mut() {
                Some((last, runs)) if last.id == edge.id => runs.push(run),
                _ => merged.push((edge, vec![run])),
            }
        }
        Ok(merged
            .into_iter()
            .map(|(mut edge, runs)| {
                let runs = json_list(runs.iter().map(String::as_str));
                edge.runs = Some(runs.clone());
                version.clone_into(&mut edge.version);
                (edge, Via::Runs(runs))
            })
            .collect())
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

/// Counts the facts of an edge and reads the newest; of the runs and the version that the walk was narrowed to, if it
/// was.
pub fn occurrences(sql: &mut Sql<'_>, edge: &Edge) -> Result<Occurrences> {
    let read = |row: &Row<'_>| {
        Ok(Occurrence {
            run_uuid: row.get(0)?,
            source_version: row.get(1)?,
            target_version: row.get(2)?,
            at: row.get(3)?,
            detail: read_json(&row.get::<String>(4)?)?,
        })
    };
    let (count, newest) = match &edge.runs {
        Some(runs) => {
            let narrowed = bind![edge.id, runs, &edge.version];
            let count = sql.one(&store::FACT_COUNT_OF_RUNS, narrowed, |row| row.get(0))?;
            (count, sql.first(&store::FACT_NEWEST_OF_RUNS, narrowed, read)?)
        }
        None => {
            let count = sql.one(&store::FACT_COUNT, bind![edge.id, FACTS_COUNTED_MAX], |row| row.get(0))?;
            (count, sql.first(&store::FACT_NEWEST, bind![edge.id], read)?)
        }
    };
    Ok(Occurrences { count, newest })
}

fn json_list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    Json::from_iter(texts).to_string()
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

fn read_edge(row: &Row<'_>, runs: Option<String>) -> Result<Edge> {
    Ok(Edge {
        id: row.get(0)?,
        source_id: row.get(1)?,
        target_id: row.get(2)?,
        kind: row.get(3)?,
        first_seen: row.get(4)?,
        runs,
        version: String::new(),
    })
}
