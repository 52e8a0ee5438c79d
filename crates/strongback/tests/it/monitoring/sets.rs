//! Monitors whose baseline is a training set.

use super::*;
use crate::{
    features::{import, materialize, yaml},
    support::on_every_store,
};

const SET: &str = "prod.risk.learned";

/// The rows of `prod.risk.train` with a time and an id, and the training set of them with a feature.
async fn learned(test: &TestApp) {
    import(test, "first", "append", &[(1, 1, 0, Some(1.0)), (2, 1, 30_000_000, Some(2.0))]).await;
    ok(&test.post("/api/1.0/feature-tables", json!({ "yaml": yaml("prod.risk.amounts", "card", "") })).await);
    materialize(test, "prod.risk.amounts", false).await;
    let mut csv = "at,card,x,kind,y\n".to_owned();
    for row in 0..1_000 {
        let kind = if row % 4 == 0 { "a" } else { "b" };
        let _ = writeln!(csv, "2026-11-24T00:01:00Z,1,{},{kind},{}", row % 100, i32::from(row % 10 == 0));
    }
    land(test, "prod.risk.rows", "one", "at:timestamp,card:long,x:double,y:double", &csv).await;
    let body = json!({
        "name": SET, "labels": "prod.risk.rows", "features": ["prod.risk.amounts"], "label": "y", "wait_ms": 30_000,
    });
    let begun = test.post("/api/1.0/training-sets", body).await;
    assert_eq!(ok(&begun)["job"]["state"], "succeeded", "{begun:?}");
}

async fn figures(test: &TestApp) -> Vec<Value> {
    sql(
        test,
        "SELECT window_start, metric, column_name, status, value, p_value, reference_n FROM prod.risk.fraud_drift \
         WHERE metric IN ('psi', 'missing', 'label_drift') ORDER BY window_start, metric, column_name",
    )
    .await
}

#[test]
fn windows_are_compared_with_a_training_set_as_with_a_table_of_its_rows() {
    on_every_store(async |test: TestApp| {
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        assert_eq!(computed(&test).await, 2);
        let of_table = figures(&test).await;
        assert_eq!(of_table.len(), 8, "{of_table:?}");
        ok(&test.send(request("DELETE", "/api/1.0/monitors/prod.risk.fraud", None)).await);
        for table in ["prod.risk.fraud_drift", "prod.risk.fraud_sketch"] {
            let path = format!("/api/2.1/unity-catalog/tables/{table}");
            ok(&test.send(request("DELETE", &path, None)).await);
        }

        learned(&test).await;
        // It has one version, which need not be named; a table has to say which.
        let of_set = YAML.replace("prod.risk.train@1", SET);
        ok(&apply(&test, &of_set).await);
        assert_eq!(computed(&test).await, 2);
        for (own, other) in figures(&test).await.iter().zip(&of_table) {
            for field in ["window_start", "metric", "column_name", "status", "reference_n"] {
                assert_eq!(own[field], other[field], "{own} {other}");
            }
            // The set has its rows in an order of its own, and a sketch is as exact as it is.
            let apart = own["value"].as_f64().unwrap() - other["value"].as_f64().unwrap();
            assert!(apart.abs() < 0.02, "{own} {other}");
        }
        assert_eq!(figures(&test).await.len(), of_table.len());
        let references =
            sql(&test, "SELECT DISTINCT reference FROM prod.risk.fraud_drift WHERE metric = 'psi'").await;
        assert_eq!(references, [json!({ "reference": SET })]);
        let versions = test.get(&format!("/api/1.0/tables/{SET}/versions")).await;
        let pins = ok(&versions)["versions"][0]["pins"].as_array().unwrap().clone();
        assert!(pins.iter().any(|pin| pin["holder"].as_str().unwrap().starts_with("monitor ")), "{pins:?}");

        // A feature of the set that the payload lacks is none that is compared, and one that is named is refused.
        let named = of_set.replace("lateness: 6h", "lateness: 6h\nfeatures: { include: [mean] }");
        let refused = apply(&test, &named).await;
        assert_eq!(refused.status, 400);
        assert!(
            refused.json["message"]
                .as_str()
                .unwrap()
                .contains("'prod.risk.fraud_payload' has no column 'mean'"),
            "{refused:?}"
        );
        let refused = apply(&test, &of_set.replace(SET, &format!("{SET}@7"))).await;
        assert!(refused.json["message"].as_str().unwrap().contains("has no version 7"), "{refused:?}");
        worker.stop().await;
    });
}
