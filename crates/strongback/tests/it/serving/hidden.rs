//! What `why` names is what its caller may read: the rows, and each further part by itself.

use std::sync::Arc;

use axum::body::Body;
use lake::arrow::{
    array::{ArrayRef, Float64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use serde_json::{Value, json};
use strongback::{
    catalog::{asset, names},
    db::Origin,
    serving::payload::{EndpointRef, FeatureVersion, LookedUp, Record, flush, recorder},
};
use syntax::names::FullName;
use uuid::Uuid;

use super::{
    M,
    lookup::{SET, endpoint_id, give, trained},
    make, versions,
};
use crate::{
    features::TABLE,
    support::{TestApp, call, ok, on_every_store_with, request, token_of},
};

const PAYLOAD: &str = "prod.risk.fraud_payload";

/// Version 3 of `prod.risk.m`, of this run.
async fn version_of(test: &TestApp, run: &str) {
    let models = format!("{M}/unity-catalog/model-versions");
    let body = json!({ "name": "prod.risk.m", "source": "s3://elsewhere/m", "run_id": run });
    ok(&test.post(&format!("{models}/create"), body).await);
    let mut put = request("PUT", "/api/2.0/fs/files/Models/prod/risk/m/3/f.txt", None);
    *put.body_mut() = Body::from("3");
    assert!(matches!(test.send(put).await.status, 200 | 204));
    ok(&test.post(&format!("{models}/finalize"), json!({ "name": "prod.risk.m", "version": "3" })).await);
}

/// Logs a request of the endpoint, whose one input was looked up in the feature table; answers its id.
async fn served(test: &TestApp) -> Uuid {
    let ctx = test.system();
    let endpoint = endpoint_id(test).await;
    let (owner, features) = ctx
        .app
        .db
        .read(&Origin::system(), move |sql| {
            let full = FullName::parse(TABLE).unwrap();
            let features = names::leaf(sql, &full, asset::Kind::Table)?.unwrap().id;
            Ok((asset::get(sql, endpoint)?.unwrap().owner_id, features))
        })
        .await
        .unwrap();
    let table = FullName::parse(PAYLOAD).unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("mean", DataType::Float64, true)]));
    let recorder = recorder(&ctx, &EndpointRef { asset: endpoint, table, owner }, &schema).await.unwrap();
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
    let request_id = Uuid::now_v7();
    let record = Record {
        config: 1,
        request_id,
        client_request_id: None,
        served_at_micros: 1_795_478_700_000_000,
        event_times_micros: Vec::new(),
        model_id: 0,
        model_version: 3,
        latency_us: 1,
        inputs: RecordBatch::try_new(schema, vec![column]).unwrap(),
        feature_versions: vec![FeatureVersion {
            table: features,
            definition: 1,
            version: Some(1),
            source_version: Some(1),
            inputs: vec![LookedUp { input: 0, rows: None }],
        }],
        scores: vec![0.5],
        labels: None,
    };
    recorder.append(record).await.unwrap();
    flush(&ctx).await.unwrap();
    request_id
}

#[test]
fn parts_that_the_caller_may_not_read_are_absent_and_named_as_hidden() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let eve = token_of(&test, "eve", false).await;
        let test = test.acting_as(&root);
        let run = trained(&test).await;
        versions(&test).await;
        version_of(&test, &run).await;
        ok(&make(&test, "fraud", "prod.risk.m/3").await);
        let id = served(&test).await;
        let path = format!("/api/1.0/requests/{id}/why");
        let whole = ok(&test.get(&path).await).clone();
        assert_eq!(
            (
                &whole["endpoint"]["name"],
                &whole["rows"][0]["inputs"][0]["from"]["table"],
                &whole["run"]["data"][0]
            ),
            (&json!("prod.risk.fraud"), &json!(TABLE), &json!([SET, "training set"])),
            "{whole:#}"
        );
        assert_eq!((&whole["model"]["name"], &whole["hidden"]), (&json!("prod.risk.m"), &Value::Null));
        let asked = async || call(&test, &eve, "GET", &path, None).await;
        assert_eq!(asked().await.status, 404, "nothing of it is hers");
        // Part by part, and no name of what is hidden anywhere.
        // Runs lie where everybody may read them.
        let all = [PAYLOAD, "prod.risk.fraud", "prod.risk.m", TABLE, SET];
        let steps: [&[&str]; 5] = [
            &["endpoint", "model", "feature tables"],
            &["model", "feature tables"],
            &["training set", "feature tables"],
            &["training set"],
            &[],
        ];
        for (at, hidden) in steps.iter().enumerate() {
            give(&test, all[at], "eve").await;
            let found = asked().await;
            let found = ok(&found);
            let told = found.get("hidden").cloned().unwrap_or_else(|| json!([]));
            assert_eq!(told, json!(hidden), "once {} is hers: {found:#}", all[at]);
            let text = found.to_string();
            for other in &all[at + 1..] {
                assert!(!text.contains(&format!("\"{other}\"")), "{other} is in {text}");
            }
            let from = &found["rows"][0]["inputs"][0]["from"];
            assert_eq!(from["version"], 1, "that it was looked up is no secret: {found:#}");
        }
        assert_eq!(ok(&asked().await), &whole);
    });
}
