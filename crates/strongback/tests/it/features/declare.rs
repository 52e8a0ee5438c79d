//! Declaring: what is refused and where, what a new version is, who may.

use serde_json::{Value, json};

use super::{SOURCE, TABLE, apply, begin, dump, import, materialize, working, yaml};
use crate::{
    catalog::prod_risk,
    support::{TestApp, call, ok, on_every_store, on_every_store_with, request, token_of},
    tables::batch,
};

const PATH: &str = "/api/1.0/feature-tables";

async fn refused(test: &TestApp, yaml: &str) -> String {
    let answer = test.post(PATH, json!({ "yaml": yaml })).await;
    assert!((400..500).contains(&answer.status), "{answer:?}");
    answer.json["message"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        assert!(refused(&test, &yaml(TABLE, "", "")).await.contains("does not exist"));
        import(&test, "first", "append", &[(1, 7, 0, Some(1.0))]).await;
        let good = yaml(TABLE, "", "");
        let said = refused(&test, &good.replace("window: 10m", "window: 90s")).await;
        assert!(said.contains("line 12") && said.contains("whole number of panes"), "{said}");
        let said = refused(&test, &good.replace("lateness", "latenes")).await;
        assert!(said.contains("line 8") && said.contains("'lateness'"), "{said}");
        let said = refused(&test, &good.replace("column: amount", "column: amont")).await;
        assert!(said.contains("no column 'amont'") && said.contains("amount"), "{said}");
        let said = refused(&test, &good.replace("keys: []", "keys: [amount]")).await;
        assert!(said.contains("'amount'") && said.contains("key"), "{said}");
        let said = refused(&test, &good.replace("timestamp: at", "timestamp: id")).await;
        assert!(said.contains("'id'") && said.contains("timestamp"), "{said}");
        let said = refused(&test, &good.replace(TABLE, SOURCE)).await;
        assert!(said.contains("no feature table"), "{said}");
        let made = json!({
            "catalog_name": "prod", "schema_name": "risk", "name": "prices", "table_type": "MANAGED", "data_source_format": "DELTA",
            "columns": [
                { "name": "id", "type_name": "LONG" },
                { "name": "price", "type_name": "DECIMAL", "type_precision": 10, "type_scale": 2 },
                { "name": "at", "type_name": "TIMESTAMP" },
                { "name": "amount", "type_name": "DOUBLE" },
            ],
        });
        ok(&test.post("/api/2.1/unity-catalog/tables", made).await);
        let priced = good.replace(SOURCE, "prod.risk.prices").replace("keys: []", "keys: [price]");
        let said = refused(&test, &priced).await;
        assert!(said.contains("'price'") && said.contains("Make a text of it"), "{said}");
        apply(&test, &good).await;
        let other = good.replace(SOURCE, TABLE).replacen(TABLE, "prod.risk.second", 1);
        assert!(refused(&test, &other).await.contains("feature table itself"), "{other}");
        assert_eq!(test.get(&format!("{PATH}/{SOURCE}")).await.status, 400);
        assert_eq!(test.get(&format!("{PATH}/prod.risk.none")).await.status, 404);
        assert_eq!(test.get("/api/2.1/unity-catalog/tables/prod.risk.second").await.status, 404);
    });
}

#[test]
fn another_definition_is_the_next_version_and_the_same_is_none() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        let first = yaml(TABLE, "", "");
        let same = apply(&test, &first.replace("5m", "300s")).await;
        assert_eq!((same["definition"].clone(), same["changes"].clone()), (json!(1), json!([])));
        let second = first.replace("name: mean, aggregate: mean", "name: most, aggregate: max");
        let dry = test.post(PATH, json!({ "yaml": second, "dry_run": true })).await;
        let expected = json!([
            "feature mean goes (mean of amount over 5m)",
            "feature most comes (max of amount over 5m)"
        ]);
        assert_eq!(
            (ok(&dry)["definition"].clone(), ok(&dry)["changes"].clone()),
            (json!(2), expected.clone())
        );
        let shown = test.get(&format!("{PATH}/{TABLE}")).await;
        assert_eq!(ok(&shown)["definition"], 1, "nothing was done");
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let before = dump(&test, TABLE).await;
            assert!(before.starts_with("at,n,mean,std\n"), "{before}");
            assert_eq!(apply(&test, &second).await["changes"], expected);
            let done = materialize(&test, TABLE, false).await;
            assert_eq!((done["how"].clone(), done["definition"].clone()), (json!("full"), json!(2)));
            assert!(dump(&test, TABLE).await.starts_with("at,n,most,std\n"));
            let old = format!("{TABLE} VERSION AS OF 1");
            assert_eq!(dump(&test, &old).await, before, "older versions keep their columns");
        })
        .await;
        let shown = test.get(&format!("{PATH}/{TABLE}")).await;
        assert_eq!(ok(&shown)["definitions"].as_array().unwrap().len(), 2);
        let listed = test.get(&format!("{PATH}?catalog_name=prod&schema_name=risk")).await;
        assert_eq!(ok(&listed)["feature_tables"].as_array().unwrap().len(), 1, "the source is none");
    });
}

/// A renamed source is the same one; another table under its name is not.
#[test]
fn a_source_is_known_by_its_id() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let renamed = json!({ "new_name": "fraud" });
            let path = "/api/2.1/unity-catalog/schemas/prod.risk";
            ok(&test.send(request("PATCH", path, Some(renamed))).await);
            let table = TABLE.replace("risk", "fraud");
            let done = materialize(&test, &table, false).await;
            assert_eq!(done["how"], "nothing");
            let moved = yaml(&table, "card", "").replace(SOURCE, &SOURCE.replace("risk", "fraud"));
            assert_eq!(apply(&test, &moved).await["changes"], json!([]), "it computes the same");

            let source = SOURCE.replace("risk", "fraud");
            let gone = format!("/api/2.1/unity-catalog/tables/{source}");
            ok(&test.send(request("DELETE", &gone, None)).await);
            let path = format!("{PATH}/{table}/materialize");
            let failed = test.post(&path, json!({ "wait_ms": 30_000 })).await;
            let said = ok(&failed)["error"]["message"].as_str().unwrap().to_owned();
            assert!(said.contains("was deleted") && said.contains("Apply"), "{said}");
            let types = "types=id:long,card:long,at:timestamp,amount:double";
            ok(&batch(&test, &source, "new", types, &super::csv(&[(9, 7, 0, Some(3.0))])).await);
            let again = apply(&test, &moved).await;
            assert_eq!(again["definition"], 2);
            assert!(again["changes"][0].as_str().unwrap().contains("another table"), "{again}");
            assert_eq!(materialize(&test, &table, false).await["how"], "full");
        })
        .await;
    });
}

#[test]
fn nobody_else_writes_its_rows() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        let answer = batch(&test, TABLE, "x", "", "at,n\n2026-11-24T00:00:00Z,1\n").await;
        assert_eq!(answer.status, 400);
        assert!(answer.json["message"].as_str().unwrap().contains("computed"), "{answer:?}");
    });
}

#[test]
fn strangers_may_nothing() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let eve = token_of(&test, "eve", false).await;
        for (path, body) in [
            ("/api/2.1/unity-catalog/catalogs", json!({ "name": "prod" })),
            ("/api/2.1/unity-catalog/schemas", json!({ "name": "risk", "catalog_name": "prod" })),
            ("/api/2.1/unity-catalog/schemas", json!({ "name": "eves", "catalog_name": "prod" })),
        ] {
            ok(&call(&test, &root, "POST", path, Some(body)).await);
        }
        let owner = json!({ "name": "prod.eves", "owner": "eve" });
        ok(&call(&test, &root, "PATCH", "/api/1.0/owner", Some(owner)).await);
        let path = format!("/api/1.0/tables/{SOURCE}/batches/a?format=csv&create=true&types=at:timestamp");
        let mut put = request("PUT", &path, None);
        put.headers_mut().insert("authorization", format!("Bearer {root}").parse().unwrap());
        *put.body_mut() = super::csv(&[(1, 7, 0, Some(1.0))]).into();
        ok(&test.send(put).await);
        let body = |name: &str| Some(json!({ "yaml": yaml(name, "", "") }));
        let theirs = call(&test, &eve, "POST", PATH, body(TABLE)).await;
        assert_eq!(theirs.status, 403, "{theirs:?}");
        let own = call(&test, &eve, "POST", PATH, body("prod.eves.amounts")).await;
        assert_eq!(own.status, 403, "the source is not hers: {own:?}");
        ok(&call(&test, &root, "POST", PATH, body(TABLE)).await);
        let one = format!("{PATH}/{TABLE}");
        assert_eq!(call(&test, &eve, "GET", &one, None).await.status, 403);
        let compute = call(&test, &eve, "POST", &format!("{one}/materialize"), Some(json!({}))).await;
        assert_eq!(compute.status, 403);
        let set = json!({ "name": "prod.eves.set", "labels": SOURCE, "features": [TABLE] });
        let made = call(&test, &eve, "POST", "/api/1.0/training-sets", Some(set)).await;
        assert_eq!(made.status, 403, "{made:?}");
        let listed: Value =
            call(&test, &eve, "GET", &format!("{PATH}?catalog_name=prod&schema_name=eves"), None).await.json;
        assert_eq!(listed["feature_tables"], json!([]));
    });
}
