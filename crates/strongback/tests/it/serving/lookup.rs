//! What endpoints look up in feature tables, and for whom.

use serde_json::{Value, json};
use strongback::{
    catalog::Action,
    serving::{
        endpoints,
        frame::{Column, Frame, Values},
        lookup::Lookup,
        payload::LookedUp,
        runtime::ScoredVersion,
        signature::Schema,
    },
};

use super::{M, make, versions};
use crate::{
    features::{TABLE, begin, materialize, working},
    support::{TestApp, ok, on_every_store, request, token_of},
    tables::batch,
};

pub(super) const SET: &str = "prod.risk.day";
/// 2026-11-24 00:05 UTC, in microseconds.
const AT: i64 = 1_795_478_700_000_000;

/// A feature table and a training set on it, and a run that says that its model was trained on that; answers the run.
pub(super) async fn trained(test: &TestApp) -> String {
    begin(test, "card").await;
    let types = "types=id:long,card:long,at:timestamp,class:long";
    let csv = "id,at,card,class\n1,2026-11-24T00:05:00Z,7,1\n2,2026-11-24T00:05:00Z,8,0\n";
    ok(&batch(test, "prod.risk.labels", "first", types, csv).await);
    working(test, async || {
        materialize(test, TABLE, false).await;
        let body = json!({
            "name": SET, "labels": "prod.risk.labels", "features": [TABLE], "label": "class", "wait_ms": 30_000,
        });
        ok(&test.post("/api/1.0/training-sets", body).await);
    })
    .await;
    let experiment = test.post(&format!("{M}/experiments/create"), json!({ "name": "training" })).await;
    let body = json!({ "experiment_id": ok(&experiment)["experiment_id"] });
    let run = test.post(&format!("{M}/runs/create"), body).await;
    let run = ok(&run)["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let tag = json!({ "run_id": run, "key": "strongback.training_set", "value": SET });
    ok(&test.post(&format!("{M}/runs/set-tag"), tag).await);
    run
}

pub(super) async fn endpoint_id(test: &TestApp) -> i64 {
    let found = test.system().read(|sql| Ok(endpoints::find(sql, "fraud", Action::Read)?.asset.id)).await;
    found.unwrap()
}

/// What an endpoint looks up for a model of this run that takes the mean of the card's amounts.
async fn opened(test: &TestApp, run: &str) -> Lookup {
    let system = test.system();
    let id = endpoint_id(test).await;
    let inputs: Value = json!({ "inputs": [{ "type": "double", "name": "mean", "required": true }] });
    let version = ScoredVersion {
        model_id: 0,
        name: "prod.risk.m".into(),
        version: 1,
        run_id: run.to_owned(),
        digest: String::new(),
    };
    Lookup::open(&system, id, &version, &Schema::new(inputs.as_object())).await.unwrap()
}

pub(super) async fn give(test: &TestApp, name: &str, owner: &str) {
    let body = json!({ "name": name, "owner": owner });
    ok(&test.send(request("PATCH", "/api/1.0/owner", Some(body))).await);
}

/// A mean that is missing, and the key to look it up by.
fn row(card: Column) -> Frame {
    Frame {
        rows: 1,
        columns: vec![Column { values: Values::Double(vec![f64::NAN]), missing: vec![0] }, card],
    }
}

#[test]
fn what_the_owner_of_an_endpoint_may_not_read_is_not_looked_up() {
    on_every_store(async |test: TestApp| {
        let run = trained(&test).await;
        versions(&test).await;
        ok(&make(&test, "fraud", "prod.risk.m/1").await);
        assert!(matches!(opened(&test, &run).await, Lookup::Tables(_)));
        token_of(&test, "eve", false).await;
        for (name, is_given) in [("prod.risk.fraud", false), (SET, false), (TABLE, true)] {
            give(&test, name, "eve").await;
            let found = matches!(opened(&test, &run).await, Lookup::Tables(_));
            assert_eq!(found, is_given, "once {name} is eve's");
        }
        // What was opened for him ends with his right, and is there again with it.
        let (system, lookup) = (test.system(), opened(&test, &run).await);
        let id = endpoint_id(&test).await;
        for (owner, is_given) in [("local", false), ("eve", true)] {
            give(&test, TABLE, owner).await;
            lookup.renew(&system, id).await.unwrap();
            assert_eq!(lookup.request_schema().is_some(), is_given, "once the table is of {owner}");
        }
        // Whoever names no run of his gets nothing either.
        assert!(matches!(opened(&test, "").await, Lookup::Nothing));
    });
}

/// A model is served with what it learned from, whatever has the name of its training set by now.
#[test]
fn a_set_that_was_deleted_or_made_anew_is_not_another() {
    on_every_store(async |test: TestApp| {
        let run = trained(&test).await;
        versions(&test).await;
        ok(&make(&test, "fraud", "prod.risk.m/1").await);
        let (system, id) = (test.system(), endpoint_id(&test).await);
        let lookup = opened(&test, &run).await;
        ok(&test.send(request("DELETE", &format!("/api/1.0/training-sets/{SET}"), None)).await);
        // What answers goes on, and so does what is loaded anew.
        lookup.renew(&system, id).await.unwrap();
        assert!(lookup.request_schema().is_some());
        assert!(matches!(opened(&test, &run).await, Lookup::Tables(_)));
        // A set of the same name that has no features.
        working(&test, async || {
            let body = json!({ "name": SET, "labels": "prod.risk.labels", "wait_ms": 30_000 });
            assert_eq!(ok(&test.post("/api/1.0/training-sets", body).await)["job"]["state"], "succeeded");
        })
        .await;
        assert!(matches!(opened(&test, &run).await, Lookup::Tables(_)));
        // Another tag of the run says nothing about that, and nobody points it at a set by the tag of the server's.
        let made = test.get(&format!("/api/1.0/training-sets/{SET}")).await;
        let id = ok(&made)["training_set_id"].clone();
        let tags = json!([{ "key": "feature_store_table", "value": "prod.risk.labels" }, { "key": "note", "value": "x" }]);
        ok(&test.post(&format!("{M}/runs/log-batch"), json!({ "run_id": run, "tags": tags })).await);
        assert!(matches!(opened(&test, &run).await, Lookup::Tables(_)));
        let other = test
            .post(
                &format!("{M}/runs/create"),
                json!({ "experiment_id": "0", "tags": [{
            "key": "strongback.training_set_id", "value": id,
        }] }),
            )
            .await;
        assert!(!ok(&other)["run"]["data"]["tags"].to_string().contains("training_set_id"), "{other:?}");
        let forged = json!([{ "key": "strongback.training_set_id", "value": id }]);
        ok(&test
            .post(
                &format!("{M}/runs/set-tag"),
                json!({ "run_id": run, "key": forged[0]["key"], "value": id }),
            )
            .await);
        ok(&test.post(&format!("{M}/runs/log-batch"), json!({ "run_id": run, "tags": forged })).await);
        let deleted = json!({ "run_id": run, "key": forged[0]["key"] });
        let refused = test.post(&format!("{M}/runs/delete-tag"), deleted).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(matches!(opened(&test, &run).await, Lookup::Tables(_)));
        // Whose run says so learned from that one.
        let tag = json!({ "run_id": run, "key": "strongback.training_set", "value": SET });
        ok(&test.post(&format!("{M}/runs/set-tag"), tag).await);
        assert!(matches!(opened(&test, &run).await, Lookup::Nothing));
        // Whose run says that it learned from something that is not there learned from nothing that is known.
        let tag = json!({ "run_id": run, "key": "strongback.training_set", "value": "prod.risk.other" });
        ok(&test.post(&format!("{M}/runs/set-tag"), tag).await);
        assert!(matches!(opened(&test, &run).await, Lookup::Nothing));
    });
}

#[test]
fn features_are_looked_up_by_a_key_that_has_a_value() {
    on_every_store(async |test: TestApp| {
        let run = trained(&test).await;
        versions(&test).await;
        ok(&make(&test, "fraud", "prod.risk.m/1").await);
        let lookup = opened(&test, &run).await;
        let names: Vec<&str> =
            lookup.request_schema().unwrap().inputs.iter().map(|input| input.name.as_str()).collect();
        assert_eq!(names, ["mean", "card"]);
        let card = |card| Column { values: Values::Long(vec![card]), missing: Vec::new() };
        let (filled, read) = lookup.fill(row(card(8)), &[AT]).unwrap();
        assert_eq!(filled.columns, [Column { values: Values::Double(vec![4.0]), missing: Vec::new() }]);
        assert_eq!(read[0].inputs, [LookedUp { input: 0, rows: None }]);
        let two = Frame {
            rows: 2,
            columns: vec![
                Column { values: Values::Double(vec![9.0, f64::NAN]), missing: vec![1] },
                Column { values: Values::Long(vec![8, 8]), missing: Vec::new() },
            ],
        };
        let (filled, read) = lookup.fill(two, &[AT, AT]).unwrap();
        assert_eq!(filled.columns[0].values, Values::Double(vec![9.0, 4.0]));
        assert_eq!(read[0].inputs, [LookedUp { input: 0, rows: Some(vec![1]) }]);
        // Nobody has heard of this one: the value stays missing.
        let (filled, _) = lookup.fill(row(card(99)), &[AT]).unwrap();
        assert_eq!(filled.columns[0].missing, [0]);
        let none = Column { values: Values::Long(vec![0]), missing: vec![0] };
        let refused = lookup.fill(row(none), &[AT]).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(refused.message().contains("column 'card', row 0"), "{refused}");
    });
}
