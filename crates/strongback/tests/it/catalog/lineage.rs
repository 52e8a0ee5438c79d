//! Recording lineage and walking it.

use serde_json::{Value, json};
use strongback::{
    catalog::{
        Kind, authorize_admin,
        lineage::{self, EdgeKind, Fact, NodeRef, record, walk},
    },
    db::Change,
    events::{Event, EventKind},
};

use super::{acting_as, declare, plain_asset, prod_risk};
use crate::support::{TestApp, ok, on_every_store};

/// Records one fact; answers whether it was new.
async fn add(test: &TestApp, source: i64, target: i64, kind: EdgeKind, run: &str, version: &str) -> bool {
    let (run, version) = (run.to_owned(), version.to_owned());
    let write = move |tx: &mut strongback::db::Sql<'_>| {
        authorize_admin(tx, "record lineage")?;
        let fact = Fact { run_uuid: &run, target_version: &version, ..Fact::default() };
        let is_new = record(tx, NodeRef::Asset(source), NodeRef::Asset(target), kind, fact)?;
        Ok(if is_new {
            Change::Made(true, Event::new(EventKind::LineageRecord))
        } else {
            Change::Nothing(false)
        })
    };
    test.system().write(write).await.unwrap()
}

async fn table(test: &TestApp, name: &'static str) -> i64 {
    declare(test, name).await;
    let find = move |sql: &mut strongback::db::Sql<'_>| {
        authorize_admin(sql, "look")?;
        Ok(strongback::catalog::names::resolve(sql, name, None)?.id)
    };
    test.system().read(find).await.unwrap()
}

/// Two tables, one experiment, two models. Run `r1` made model `m` from table `a`; run `r2` made model `n` from `b`.
async fn two_runs(test: &TestApp) {
    prod_risk(test).await;
    let (a, b) = (table(test, "prod.risk.a").await, table(test, "prod.risk.b").await);
    let experiment = plain_asset(test, Kind::Experiment, "/exp").await;
    let m = plain_asset(test, Kind::Model, "m").await;
    let n = plain_asset(test, Kind::Model, "n").await;
    assert!(add(test, a, experiment, EdgeKind::Reads, "r1", "").await);
    assert!(add(test, b, experiment, EdgeKind::Reads, "r2", "").await);
    assert!(add(test, experiment, m, EdgeKind::Produces, "r1", "1").await);
    assert!(add(test, experiment, n, EdgeKind::Produces, "r2", "1").await);
    assert!(!add(test, experiment, n, EdgeKind::Produces, "r2", "1").await, "the same again is nothing new");
}

async fn names(test: &TestApp, query: &str) -> Vec<String> {
    let answer = test.get(&format!("/api/1.0/lineage?{query}")).await;
    let mut found: Vec<String> = ok(&answer)["nodes"].as_array().unwrap().iter().map(name).collect();
    found.sort();
    found
}

fn name(node: &Value) -> String {
    node["name"].as_str().unwrap_or("(not visible)").to_owned()
}

#[test]
fn a_walk_passes_through_an_experiment_by_run() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        assert_eq!(names(&test, "name=m&direction=up").await, ["/exp", "m", "prod.risk.a"]);
        assert_eq!(names(&test, "name=n&direction=up").await, ["/exp", "n", "prod.risk.b"]);
        assert_eq!(names(&test, "name=prod.risk.a&direction=down").await, ["/exp", "m", "prod.risk.a"]);
        assert_eq!(names(&test, "name=m").await, ["/exp", "m", "prod.risk.a"]);
        let all = ["/exp", "m", "n", "prod.risk.a", "prod.risk.b"];
        assert_eq!(names(&test, "name=%2Fexp").await, all);
    });
}

#[test]
fn limits_are_said_and_wrong_questions_refused() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        let near = test.get("/api/1.0/lineage?name=m&direction=up&depth=1").await;
        assert_eq!(ok(&near)["is_cut"], json!(true));
        assert_eq!(near.json["nodes"].as_array().unwrap().len(), 2);
        let whole = test.get("/api/1.0/lineage?name=m&direction=up&depth=2").await;
        assert_eq!(ok(&whole)["is_cut"], json!(false));
        for (query, status) in [
            ("name=m&depth=0", 400),
            ("name=m&depth=65", 400),
            ("name=m&direction=sideways", 400),
            ("name=m&kind=robot", 400),
            ("name=nothing", 404),
            ("name=runs:/0123456789abcdef0123456789abcdef", 404),
            ("name=models:/m/7", 404),
            ("name=models:/m@champion", 404),
            ("name=%00", 400),
            ("", 400),
        ] {
            let refused = test.get(&format!("/api/1.0/lineage?{query}")).await;
            assert_eq!(refused.status, status, "{query}: {refused:?}");
        }
    });
}

#[test]
fn an_edge_has_its_newest_occurrence() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        let answer = test.get("/api/1.0/lineage?name=m&direction=up").await;
        let edges = ok(&answer)["edges"].as_array().unwrap().clone();
        let made = edges.iter().find(|edge| edge["kind"] == "produces").unwrap();
        assert_eq!(
            (&made["run_id"], &made["target_version"], &made["count"]),
            (&json!("r1"), &json!("1"), &json!(1))
        );
    });
}

#[test]
fn one_version_of_two_by_the_same_run_is_told_apart() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        let run = "0123456789abcdef0123456789abcdef";
        let experiment = plain_asset(&test, Kind::Experiment, "/other").await;
        let model = plain_asset(&test, Kind::Model, "twice").await;
        for version in ["1", "2"] {
            assert!(add(&test, experiment, model, EdgeKind::Produces, run, version).await);
        }
        let narrowed = test
            .system()
            .read(move |sql| {
                authorize_admin(sql, "walk")?;
                let node = lineage::node_of_asset(sql, model)?.unwrap();
                let mut graph = walk::Graph::default();
                let bounds = walk::Bounds { depth_max: 3, nodes_max: 10, edges_max: 10 };
                walk::walk(
                    sql,
                    &walk::Start::Version(node, "1".into()),
                    walk::Direction::Up,
                    bounds,
                    &mut graph,
                )?;
                walk::occurrences(sql, &graph.edges[0])
            })
            .await
            .unwrap();
        let newest = narrowed.newest.unwrap();
        assert_eq!((narrowed.count, newest.target_version.as_str(), newest.run_uuid.as_str()), (1, "1", run));
    });
}

#[test]
fn a_data_set_is_one_node_whatever_its_digest() {
    on_every_store(async |test: TestApp| {
        let experiment = plain_asset(&test, Kind::Experiment, "/exp").await;
        for (run, digest) in [("r1", "d1"), ("r2", "d2")] {
            let write = move |tx: &mut strongback::db::Sql<'_>| {
                authorize_admin(tx, "record lineage")?;
                let source = NodeRef::Dataset { name: "train", digest, source: "{\"uri\":\"s3://b\"}" };
                let fact = Fact { run_uuid: run, ..Fact::default() };
                record(tx, source, NodeRef::Asset(experiment), EdgeKind::Reads, fact)?;
                Ok(Change::Made((), Event::new(EventKind::LineageRecord)))
            };
            test.system().write(write).await.unwrap();
        }
        let answer = test.get("/api/1.0/lineage?name=%2Fexp").await;
        assert_eq!(ok(&answer)["nodes"].as_array().unwrap().len(), 2);
        let edge = &answer.json["edges"][0];
        assert_eq!(edge["count"], 2);
        assert!(["d1", "d2"].contains(&edge["source_version"].as_str().unwrap()));
    });
}

#[test]
fn what_one_may_not_read_is_there_without_a_name() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        ok(&test.post("/api/1.0/principals", json!({ "name": "stranger" })).await);
        let stranger = acting_as(&test, "stranger").await;
        let answer = strongback::answers::lineage_get(
            stranger,
            serde_json::from_value(json!({ "name": "m", "direction": "up" })).unwrap(),
        )
        .await
        .unwrap();
        let answer = serde_json::to_value(answer).unwrap();
        let mut found: Vec<String> = answer["nodes"].as_array().unwrap().iter().map(name).collect();
        found.sort();
        assert_eq!(found, ["(not visible)", "/exp", "m"]);
        let hidden = answer["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "reads").unwrap();
        assert_eq!((hidden.get("run_id"), hidden.get("count")), (None, None), "{hidden}");
    });
}

static FACTS: strongback::db::Stmt = strongback::db::Stmt::new(
    "INSERT INTO lineage_fact (edge_id, run_uuid, target_version, source_version, at, detail)
    WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10100)
    SELECT $1, $2, CAST(i AS TEXT), '', 1, '{}' FROM n",
);

#[test]
fn facts_of_a_narrowed_edge_are_counted_up_to_a_bound() {
    on_every_store(async |test: TestApp| {
        two_runs(&test).await;
        let model = plain_asset(&test, Kind::Model, "many").await;
        let experiment = plain_asset(&test, Kind::Experiment, "/many").await;
        assert!(add(&test, experiment, model, EdgeKind::Produces, "r9", "1").await);
        let seen = async |start: fn(i64) -> walk::Start| {
            let read = move |sql: &mut strongback::db::Sql<'_>| {
                authorize_admin(sql, "walk")?;
                let node = lineage::node_of_asset(sql, model)?.unwrap();
                let mut graph = walk::Graph::default();
                let bounds = walk::Bounds { depth_max: 3, nodes_max: 10, edges_max: 10 };
                walk::walk(sql, &start(node), walk::Direction::Up, bounds, &mut graph)?;
                let edge = &graph.edges[0];
                Ok((edge.id, edge.narrowed.is_some(), walk::occurrences(sql, edge)?.count))
            };
            test.system().read(read).await.unwrap()
        };
        let by_run = |node| walk::Start::Run(node, "r9".to_owned());
        let (edge, narrowed, count) = seen(by_run).await;
        assert_eq!((narrowed, count), (true, 1));
        test.app.db.derive(move |tx| tx.execute(&FACTS, strongback::bind![edge, "r9"])).await.unwrap();
        assert_eq!(seen(by_run).await, (edge, true, walk::FACTS_COUNTED_MAX));
        let by_version = |node| walk::Start::Version(node, "7".to_owned());
        assert_eq!(seen(by_version).await, (edge, true, 1));
        assert_eq!(seen(walk::Start::Node).await, (edge, false, walk::FACTS_COUNTED_MAX));
    });
}
