//! The payload log: what was served becomes rows once, is found by its id meanwhile, and is counted.

mod drain;
mod evolve;
mod find;
mod kill;
mod speed;

use std::sync::Arc;

use http::{Method, header};
use http_body_util::BodyExt as _;
use lake::arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use serde_json::json;
use strongback::{
    catalog::{asset, principal},
    context::Ctx,
    db::Origin,
    serving::payload::{EndpointRef, FeatureVersion, LookedUp, Record, Recorder, recorder},
};
use syntax::names::FullName;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{
    catalog::{declare, prod_risk},
    support::{TestApp, request},
};

/// An endpoint: any asset will do, since the log knows only its number.
async fn endpoint(test: &TestApp, leaf: &str) -> EndpointRef {
    declare(test, &format!("prod.risk.{leaf}")).await;
    endpoint_there(&test.system(), leaf).await
}

/// The same where it was made before.
async fn endpoint_there(ctx: &Ctx, leaf: &str) -> EndpointRef {
    let key = leaf.to_owned();
    let found = ctx
        .app
        .db
        .read(&Origin::system(), move |sql| {
            let (_, schema) = strongback::catalog::names::schema_of(sql, "prod", "risk")?;
            asset::find(sql, Some(schema.id), asset::Kind::Table, &key)
        })
        .await;
    let table = FullName { catalog: "prod".into(), schema: "risk".into(), leaf: format!("{leaf}_payload") };
    EndpointRef { asset: found.unwrap().unwrap().id, table, owner: principal::LOCAL }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("amount", DataType::Float64, true),
        Field::new("_country code", DataType::Utf8, true),
        Field::new("count", DataType::Int64, false),
        Field::new("is_new", DataType::Boolean, true),
    ]))
}

/// A request of so many rows. Its columns follow from its number.
fn record(number: i64, rows: usize) -> Record {
    let amounts: Vec<Option<f64>> =
        (0..rows).map(|row| (row % 3 != 1).then(|| number as f64 + row as f64 / 8.0)).collect();
    let countries: Vec<Option<String>> =
        (0..rows).map(|row| (row != 2).then(|| format!("c{number}"))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(amounts)),
        Arc::new(StringArray::from(countries)),
        Arc::new(Int64Array::from(vec![number; rows])),
        Arc::new(BooleanArray::from(vec![number % 2 == 0; rows])),
    ];
    Record {
        config: 1,
        request_id: Uuid::now_v7(),
        client_request_id: Some(format!("client {number}")),
        served_at_micros: 1_795_000_000_000_000 + number,
        event_times_micros: if number % 2 == 0 {
            vec![1_700_000_000_000_000 + number; rows]
        } else {
            Vec::new()
        },
        model_id: 77,
        model_version: 3,
        latency_us: 412,
        inputs: RecordBatch::try_new(schema(), columns).unwrap(),
        feature_versions: vec![FeatureVersion {
            table: 999_999,
            definition: 2,
            version: Some(7),
            source_version: Some(5),
            inputs: vec![LookedUp { input: 0, rows: None }],
        }],
        scores: (0..rows).map(|row| row as f64 / 4.0).collect(),
        labels: Some((0..rows).map(|row| format!("l{row}")).collect()),
    }
}

async fn fraud(test: &TestApp) -> (EndpointRef, Recorder) {
    prod_risk(test).await;
    let endpoint = endpoint(test, "fraud").await;
    let recorder = recorder(&test.system(), &endpoint, &schema()).await.unwrap();
    (endpoint, recorder)
}

/// The answer of a query as CSV.
async fn sql(test: &TestApp, statement: &str) -> String {
    let body = json!({ "statement": statement, "format": "csv" });
    let mut request = request(Method::POST.as_str(), "/api/1.0/sql", Some(body));
    request.headers_mut().remove(header::ACCEPT);
    let response = test.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(status, 200, "{text}");
    text
}
