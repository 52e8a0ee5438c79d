//! What something came from, and what came from it.

use std::collections::{HashMap, HashSet};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::target::{self, Target};
use crate::{
    catalog::{
        Action, Kind, asset,
        authorize::is_allowed,
        lineage::{
            self,
            walk::{self, Bounds, Direction, Edge, FACTS_COUNTED_MAX, Graph, Node, Start},
        },
        owner::parse_kind,
    },
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    router::{Limits, Policy, Route, wire::Int64},
};

/// Edges from the start when nothing is asked for.
const DEPTH: i64 = 8;
/// Edges from the start at most.
const DEPTH_MAX: i64 = 64;
/// Nodes in an answer at most.
const NODES_MAX: usize = 1_000;
/// Edges in an answer at most.
const EDGES_MAX: usize = 3_000;

pub(super) fn routes() -> Vec<Route> {
    vec![Route::json(
        Method::GET,
        "/api/1.0/lineage",
        Policy::Asset(Action::Read),
        Limits::SMALL,
        "What something came from, and what came from it",
        lineage_get,
    )]
}

/// Whose lineage.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LineageRequest {
    /// `catalog.schema.name`, an experiment's path, a model's or an endpoint's name, `runs:/<id>`, `models:/<name>/<version>` or
    /// `models:/<name>@<alias>`.
    pub name: String,
    /// Which kind, where several have that name: table, experiment, model, endpoint, monitor.
    pub kind: Option<String>,
    /// `up`, `down` or `both` (the default).
    pub direction: Option<String>,
    /// Edges from the start, 1 to 64; 8 by default.
    pub depth: Option<Int64>,
}

/// A graph. Times in milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LineageResponse {
    /// What was asked about.
    pub name: String,
    /// The node that it is.
    pub start: i64,
    /// The start first, then by distance.
    pub nodes: Vec<NodeInfo>,
    /// What feeds what.
    pub edges: Vec<EdgeInfo>,
    /// Whether a limit on depth or nodes left something out.
    pub is_cut: bool,
}

/// A node.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// Its id within the answer.
    pub id: i64,
    /// table, training_set, experiment, model, endpoint, monitor, dataset, or what an outside thing was called.
    pub kind: String,
    /// Its name; absent where the caller may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// More about what is no asset.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub detail: Json,
}

/// An edge, and what its occurrences say. Nothing of them is told where the caller may not read an end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EdgeInfo {
    /// The node that feeds.
    pub source: i64,
    /// The node that is fed.
    pub target: i64,
    /// reads, produces, derives, copies, serves, feeds, logs or judges.
    pub kind: String,
    /// When it was seen first.
    pub first_seen: i64,
    /// When it was seen last; within the run or version that was asked about, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<i64>,
    /// How often it was seen; within the run or version that was asked about, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Whether there are more than were counted.
    #[serde(default)]
    pub count_is_least: bool,
    /// The run that took part last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Version of the source then: a digest, a version number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,
    /// Version of the target then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
}

/// Answers the lineage of a name, as the caller may see it.
pub async fn lineage_get(ctx: Ctx, request: LineageRequest) -> Result<LineageResponse> {
    let kind = request.kind.as_deref().map(parse_kind).transpose()?;
    let directions: &[Direction] = match request.direction.as_deref().unwrap_or("both") {
        "up" => &[Direction::Up],
        "down" => &[Direction::Down],
        "both" => &[Direction::Up, Direction::Down],
        other => {
            return Err(Error::invalid(format!(
                "Invalid value '{other}' for parameter 'direction' supplied: it is up, down or both."
            )));
        }
    };
    let depth = request.depth.map_or(DEPTH, |depth| depth.0);
    if !(1..=DEPTH_MAX).contains(&depth) {
        return Err(Error::invalid(format!(
            "Invalid value {depth} for parameter 'depth' supplied: it is 1 to {DEPTH_MAX}."
        )));
    }
    let bounds = Bounds { depth_max: depth as usize, nodes_max: NODES_MAX, edges_max: EDGES_MAX };
    ctx.read(move |sql| {
        let target = target::find(sql, &request.name, kind)?;
        let Some(node) = lineage::node_of_asset(sql, target.asset.id)? else {
            return nothing_known(sql, &request.name, &target);
        };
        let start = match (&target.run, target.version) {
            (Some(run), _) => Start::Run(node, run.clone()),
            (None, Some(version)) => Start::Version(node, version.to_string()),
            (None, None) => Start::Node(node),
        };
        let mut graph = Graph::default();
        for direction in directions {
            walk::walk(sql, &start, *direction, bounds, &mut graph)?;
        }
        show(sql, request.name, node, graph)
    })
    .await
}

/// The answer for an asset that never took part in anything.
fn nothing_known(sql: &mut Sql<'_>, name: &str, target: &Target) -> Result<LineageResponse> {
    let node = NodeInfo {
        id: 0,
        kind: target.asset.kind.name().to_owned(),
        name: Some(asset::display_name(sql, target.asset.id)?),
        detail: Json::Null,
    };
    Ok(LineageResponse {
        name: name.to_owned(),
        start: 0,
        nodes: vec![node],
        edges: Vec::new(),
        is_cut: false,
    })
}

fn show(sql: &mut Sql<'_>, name: String, start: i64, graph: Graph) -> Result<LineageResponse> {
    let visible = visible(sql, &graph)?;
    let Graph { nodes, edges, is_cut } = graph;
    let nodes = nodes
        .into_iter()
        .map(|node| {
            let is_visible = visible.contains(&node.id);
            node_info(sql, node, is_visible)
        })
        .collect::<Result<_>>()?;
    let edges = edges
        .into_iter()
        .map(|edge| {
            let is_visible = visible.contains(&edge.source_id) && visible.contains(&edge.target_id);
            edge_info(sql, edge, is_visible)
        })
        .collect::<Result<_>>()?;
    Ok(LineageResponse { name, start, nodes, edges, is_cut })
}

/// Nodes that may be named: assets that the caller may read, and what is no asset but touches one of them.
fn visible(sql: &mut Sql<'_>, graph: &Graph) -> Result<HashSet<i64>> {
    let mut visible = HashSet::new();
    let mut is_asset = HashMap::new();
    for node in &graph.nodes {
        is_asset.insert(node.id, node.asset.is_some());
        if let Some((id, _)) = node.asset
            && is_allowed(sql, Action::Read, id)?
        {
            visible.insert(node.id);
        }
    }
    let mut touched = HashSet::new();
    for edge in &graph.edges {
        for (one, other) in [(edge.source_id, edge.target_id), (edge.target_id, edge.source_id)] {
            if is_asset.get(&one) == Some(&false) && visible.contains(&other) {
                touched.insert(one);
            }
        }
    }
    visible.extend(touched);
    Ok(visible)
}

fn node_info(sql: &mut Sql<'_>, node: Node, is_visible: bool) -> Result<NodeInfo> {
    let kind = node.asset.map_or(node.kind, |(_, kind): (i64, Kind)| kind.name().to_owned());
    if !is_visible {
        return Ok(NodeInfo { id: node.id, kind, name: None, detail: Json::Null });
    }
    let (name, detail) = match node.asset {
        Some((id, _)) => (asset::display_name(sql, id)?, Json::Null),
        None => (node.name, node.detail),
    };
    Ok(NodeInfo { id: node.id, kind, name: Some(name), detail })
}

fn edge_info(sql: &mut Sql<'_>, edge: Edge, is_visible: bool) -> Result<EdgeInfo> {
    let mut info = EdgeInfo {
        source: edge.source_id,
        target: edge.target_id,
        kind: edge.kind.clone(),
        first_seen: edge.first_seen,
        last_seen: None,
        count: None,
        count_is_least: false,
        run_id: None,
        source_version: None,
        target_version: None,
    };
    if !is_visible {
        return Ok(info);
    }
    let seen = walk::occurrences(sql, &edge)?;
    info.count = Some(seen.count);
    info.count_is_least = seen.count == FACTS_COUNTED_MAX;
    if let Some(newest) = seen.newest {
        let said = |text: String| (!text.is_empty()).then_some(text);
        info.last_seen = Some(newest.at);
        info.run_id = said(newest.run_uuid);
        info.source_version = said(newest.source_version);
        info.target_version = said(newest.target_version);
    }
    Ok(info)
}
