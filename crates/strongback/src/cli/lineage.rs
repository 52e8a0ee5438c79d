//! `strongback lineage`: what something came from, and what came from it, as trees.

use std::{
    collections::{HashMap, HashSet},
    process::ExitCode,
};

use clap::Args;

use super::{client::Remote, kind::AssetKind, printer};
use crate::{
    answers::{EdgeInfo, LineageResponse, NodeInfo},
    time,
};

const EXAMPLES: &str = "\
Examples:
  strongback lineage prod.risk.fraud_classifier
  strongback lineage models:/prod.risk.fraud_classifier@champion --up
  strongback lineage prod.risk.transaction_features --down
  strongback lineage prod.risk.fraud --kind endpoint --up

`<-` reads \"came from\", `->` reads \"went into\".";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LineageArgs {
    /// A table, a model, an endpoint, a monitor, an experiment's path, runs:/ID, models:/NAME/VERSION or models:/NAME@ALIAS
    name: String,
    /// Only what it came from
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Only what came from it
    #[arg(long)]
    down: bool,
    /// Edges from the start, at most
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(i64).range(1..=64))]
    depth: i64,
    /// Which kind, where several have that name
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<AssetKind>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &LineageArgs) -> anyhow::Result<ExitCode> {
    let direction = match (args.up, args.down) {
        (true, _) => "up",
        (_, true) => "down",
        _ => "both",
    };
    let depth = args.depth.to_string();
    let mut query = vec![("name", args.name.as_str()), ("direction", direction), ("depth", depth.as_str())];
    query.extend(args.kind.map(|kind| ("kind", kind.name())));
    let found: LineageResponse = args.remote.client()?.get("/api/1.0/lineage", &query)?;
    if args.json {
        printer::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in show(&found, direction) {
        printer::data(&line);
    }
    if found.edges.is_empty() {
        printer::talk("No lineage is recorded for it. Runs record it by logging inputs and models.");
    }
    if found.is_cut {
        printer::talk("There is more: the depth or the limit of nodes was reached (--depth).");
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of the tree: the start, then what it came from (`<-`), then what came from it (`->`).
fn show(found: &LineageResponse, direction: &str) -> Vec<String> {
    let nodes: HashMap<i64, &NodeInfo> = found.nodes.iter().map(|node| (node.id, node)).collect();
    let mut tree = Tree { found, nodes, lines: Vec::new(), shown: HashSet::new() };
    let start = tree.label(found.start);
    let start = if start.contains(&found.name) { start } else { format!("{start} ({})", found.name) };
    tree.lines.push(start);
    for (wanted, is_up) in [("up", true), ("down", false)] {
        if direction == wanted || direction == "both" {
            tree.shown = HashSet::from([found.start]);
            tree.branch(found.start, is_up, "");
        }
    }
    tree.lines
}

struct Tree<'t> {
    found: &'t LineageResponse,
    nodes: HashMap<i64, &'t NodeInfo>,
    lines: Vec<String>,
    shown: HashSet<i64>,
}

impl Tree<'_> {
    fn branch(&mut self, node: i64, is_up: bool, indent: &str) {
        let edges: Vec<EdgeInfo> = self
            .found
            .edges
            .iter()
            .filter(|edge| node == if is_up { edge.target } else { edge.source })
            .cloned()
            .collect();
        let last = edges.len().saturating_sub(1);
        for (at, edge) in edges.iter().enumerate() {
            let next = if is_up { edge.source } else { edge.target };
            let (arrow, corner, stem) = match (is_up, at == last) {
                (true, true) => ("<-", "└", "   "),
                (true, false) => ("<-", "├", "│  "),
                (false, true) => ("->", "└", "   "),
                (false, false) => ("->", "├", "│  "),
            };
            let is_new = self.shown.insert(next);
            let again = if is_new { "" } else { "  (see above)" };
            let line = format!("{indent}{corner}{arrow} {}{}{again}", self.label(next), facts(edge));
            self.lines.push(line);
            if is_new {
                self.branch(next, is_up, &format!("{indent}{stem}"));
            }
        }
    }

    fn label(&self, id: i64) -> String {
        match self.nodes.get(&id) {
            Some(NodeInfo { kind, name: Some(name), .. }) => format!("{kind} {name}"),
            Some(NodeInfo { kind, name: None, .. }) => format!("{kind} (not visible)"),
            None => "(unknown)".to_owned(),
        }
    }
}

/// What the occurrences of an edge say, in brackets.
fn facts(edge: &EdgeInfo) -> String {
    let mut parts = vec![edge.kind.clone()];
    if let Some(version) = &edge.source_version {
        parts.push(format!("from {version}"));
    }
    if let Some(version) = &edge.target_version {
        parts.push(format!("version {version}"));
    }
    if let Some(run) = &edge.run_id {
        parts.push(format!("run {run}"));
    }
    if let Some(at) = edge.last_seen {
        parts.push(time::utc(at));
    }
    if let Some(count) = edge.count.filter(|count| *count > 1) {
        parts.push(format!("{count}{} times", if edge.count_is_least { " or more" } else { "" }));
    }
    format!("  [{}]", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_directions_are_shown_and_circles_end() {
        let found: LineageResponse = serde_json::from_value(json!({
            "name": "a.b.model", "start": 1, "is_cut": false,
            "nodes": [
                { "id": 1, "kind": "model", "name": "a.b.model" },
                { "id": 2, "kind": "experiment", "name": "/exp" },
                { "id": 3, "kind": "table" },
                { "id": 4, "kind": "model", "name": "copy" },
            ],
            "edges": [
                { "source": 2, "target": 1, "kind": "produces", "first_seen": 0, "run_id": "r1", "target_version": "3" },
                { "source": 3, "target": 2, "kind": "reads", "first_seen": 0 },
                { "source": 1, "target": 4, "kind": "copies", "first_seen": 0, "count": 2 },
                { "source": 4, "target": 1, "kind": "copies", "first_seen": 0 },
            ],
        }))
        .unwrap();
        let lines = show(&found, "both").join("\n");
        insta::assert_snapshot!(lines, @r"
        model a.b.model
        ├<- experiment /exp  [produces, version 3, run r1]
        │  └<- table (not visible)  [reads]
        └<- model copy  [copies]
           └<- model a.b.model  [copies, 2 times]  (see above)
        └-> model copy  [copies, 2 times]
           └-> model a.b.model  [copies]  (see above)
        ");
    }
}
