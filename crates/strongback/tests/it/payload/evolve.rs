//! A later model has other inputs.

use std::sync::Arc;

use lake::arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use strongback::serving::payload::{Record, flush, recorder};

use super::{fraud, record, sql};
use crate::support::{TestApp, ok, on_every_store};

#[test]
fn new_inputs_are_new_columns_and_another_type_is_another_column() {
    on_every_store(async |test: TestApp| {
        let (endpoint, first) = fraud(&test).await;
        first.append(record(1, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        let later = Arc::new(Schema::new(vec![
            Field::new("amount", DataType::Utf8, true),
            Field::new("velocity", DataType::Float64, true),
        ]));
        let second = recorder(&test.system(), &endpoint, &later).await.unwrap();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["much"])), Arc::new(Float64Array::from(vec![0.5]))];
        let inputs = RecordBatch::try_new(later, columns).unwrap();
        let newer = Record { inputs, model_version: 4, labels: None, ..record(2, 1) };
        // Both in one segment, as when an alias moves.
        first.append(record(3, 1)).await.unwrap();
        second.append(newer).await.unwrap();
        first.append(record(4, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        let rows = "SELECT _model_version, amount, amount_string, velocity, count, _prediction_label \
                    FROM prod.risk.fraud_payload ORDER BY _served_at";
        assert_eq!(
            sql(&test, rows).await,
            "_model_version,amount,amount_string,velocity,count,_prediction_label\n\
             3,1.0,,,1,l0\n4,,much,0.5,,\n3,3.0,,,3,l0\n3,4.0,,,4,l0\n"
        );
        let versions = test.get("/api/1.0/tables/prod.risk.fraud_payload/versions").await;
        let kinds: Vec<&str> = ok(&versions)["versions"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|version| version["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["create", "columns", "append", "columns", "append"]);
        let table = test.get("/api/2.1/unity-catalog/tables/prod.risk.fraud_payload").await;
        let names: Vec<_> =
            ok(&table)["columns"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert!(names.contains(&"velocity".into()), "the catalog knows them: {names:?}");
    });
}

#[test]
fn what_does_not_fit_the_recorder_is_refused_before_it_is_logged() {
    on_every_store(async |test: TestApp| {
        let (_, recorder) = fraud(&test).await;
        let short = Record { scores: vec![0.1], ..record(1, 2) };
        assert!(recorder.append(short).await.is_err());
        let other = Record { inputs: record(1, 1).inputs.project(&[0, 1]).unwrap(), ..record(1, 1) };
        assert!(recorder.append(other).await.is_err());
        assert!(!test.dir.path().join("data/payload").exists());
        let nested = Schema::new(vec![Field::new("x", DataType::Null, true)]);
        let endpoint = super::endpoint_there(&test.system(), "fraud").await;
        let error = super::recorder(&test.system(), &endpoint, &nested).await.err().unwrap();
        assert!(error.message().contains("'x'"), "{error}");
    });
}
