//! From the log into tables: typed, once, whatever happens to the endpoint and the server meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::FutureExt as _;
use http::Method;
use strongback::serving::payload::{Figures, figures, find, flush, join_files, recorder};

use super::{endpoint, fraud, record, schema, sql};
use crate::{
    catalog::prod_risk,
    support::{TestApp, ok, on_every_store, request},
};

#[test]
fn an_idle_server_writes_nothing() {
    on_every_store(async |test: TestApp| {
        fraud(&test).await;
        flush(&test.system()).await.unwrap();
        assert!(!test.dir.path().join("data/payload").exists());
        assert!(!test.app.lake.is_open(), "nor is the engine needed");
    });
}

#[test]
fn every_scored_row_becomes_one_typed_row() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        let (one, three) = (record(4, 1), record(5, 3));
        let (first_id, second_id) = (one.request_id, three.request_id);
        recorder.append(one).await.unwrap();
        recorder.append(three).await.unwrap();
        flush(&test.system()).await.unwrap();
        let rows = sql(
            &test,
            "SELECT _request_id, _row, _client_request_id, cast(_served_at AS string) AS s, _event_time > _served_at AS e, \
             _endpoint_config, _model_version, _feature_versions, _latency_us, _prediction, _prediction_label, amount, \
             `__country_code` AS country, count, is_new FROM prod.risk.fraud_payload ORDER BY _served_at, _row",
        )
        .await;
        let expected = format!(
            "_request_id,_row,_client_request_id,s,e,_endpoint_config,_model_version,_feature_versions,_latency_us,_prediction,\
             _prediction_label,amount,country,count,is_new\n\
             {first_id},0,client 4,2026-11-18T11:06:40.000004Z,false,1,3,VERSIONS,412,0.0,l0,4.0,c4,4,true\n\
             {second_id},0,client 5,2026-11-18T11:06:40.000005Z,false,1,3,VERSIONS,412,0.0,l0,5.0,c5,5,false\n\
             {second_id},1,client 5,2026-11-18T11:06:40.000005Z,false,1,3,VERSIONS,412,0.25,l1,,c5,5,false\n\
             {second_id},2,client 5,2026-11-18T11:06:40.000005Z,false,1,3,VERSIONS,412,0.5,l2,5.25,,5,false\n"
        );
        let versions = r#""{""asset 999999"":{""definition"":2,""inputs"":[""amount""],""source_version"":5,""version"":7}}""#;
        assert_eq!(rows, expected.replace("VERSIONS", versions));
        let seen = figures(&test.system(), endpoint.asset).await.unwrap();
        let expected = Figures { served: 2, logged: 2, drained: 2, drained_rows: 4, ..Figures::default() };
        assert_eq!(seen, expected);
        let table = test.get("/api/2.1/unity-catalog/tables/prod.risk.fraud_payload").await;
        assert_eq!(ok(&table)["owner"], "local", "it is the endpoint's owner's");
        flush(&test.system()).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload").await, "n\n4\n");
    });
}

#[test]
fn endpoints_share_a_log_and_no_table() {
    on_every_store(async |test: TestApp| {
        let (fraud, first) = fraud(&test).await;
        let churn = endpoint(&test, "churn").await;
        let second = recorder(&test.system(), &churn, &schema()).await.unwrap();
        for number in 0..20 {
            let recorder = if number % 4 == 0 { &second } else { &first };
            recorder.append(record(number, 2)).await.unwrap();
        }
        let waiting = figures(&test.system(), fraud.asset).await.unwrap();
        assert_eq!((waiting.served, waiting.logged, waiting.waiting), (15, 15, 15));
        flush(&test.system()).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload").await, "n\n30\n");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.churn_payload").await, "n\n10\n");
        let drained = figures(&test.system(), churn.asset).await.unwrap();
        assert_eq!((drained.logged, drained.drained, drained.drained_rows, drained.waiting), (5, 5, 10, 0));
        let left = fs::read_dir(test.dir.path().join("data/payload")).unwrap();
        let names: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 2, "the node's name and an empty segment: {names:?}");
    });
}

#[test]
fn what_waits_is_there_after_opening_again() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        let mut ids = Vec::new();
        for number in 0..30 {
            if number == 10 {
                flush(&test.system()).await.unwrap();
            }
            let record = record(number, 1);
            ids.push(record.request_id);
            recorder.append(record).await.unwrap();
        }
        drop(recorder);
        let test = test.reopen().await;
        let seen = figures(&test.system(), endpoint.asset).await.unwrap();
        let expected = Figures {
            served: 30,
            logged: 30,
            drained: 10,
            drained_rows: 10,
            waiting: 20,
            ..Figures::default()
        };
        assert_eq!(seen, expected);
        for id in &ids {
            let rows = find(&test.system(), *id, 1_000).await.unwrap().unwrap().rows;
            assert_eq!((rows.len(), rows[0].request_id.clone()), (1, id.to_string()));
        }
        flush(&test.system()).await.unwrap();
        let recorder = super::recorder(&test.system(), &endpoint, &schema()).await.unwrap();
        recorder.append(record(30, 1)).await.unwrap();
        let seen = figures(&test.system(), endpoint.asset).await.unwrap();
        assert_eq!((seen.served, seen.logged, seen.drained, seen.waiting), (31, 31, 30, 1));
        let distinct = "SELECT count(*) AS n, count(DISTINCT _request_id) AS d FROM prod.risk.fraud_payload";
        assert_eq!(sql(&test, distinct).await, "n,d\n30,30\n");
    });
}

#[test]
fn whoever_does_not_wait_for_the_log_to_be_read_through_has_nothing_counted_twice() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        for number in 0..30 {
            recorder.append(record(number, 1)).await.unwrap();
        }
        drop(recorder);
        let test = test.reopen().await;
        let ctx = test.system();
        // Each goes away a moment later in what the first began.
        for micros in [0, 50, 200, 1_000, 3_000] {
            let asked = figures(&ctx, endpoint.asset);
            let _ = tokio::time::timeout(Duration::from_micros(micros), asked).await;
        }
        let seen = figures(&ctx, endpoint.asset).await.unwrap();
        assert_eq!((seen.served, seen.logged, seen.waiting), (30, 30, 30));
    });
}

#[test]
fn who_goes_away_before_his_record_is_durable_is_counted_as_unanswered() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        let ctx = test.system();
        recorder.append(record(0, 1)).await.unwrap();
        // Where this thread had to wait, a record may be durable before it is asked for: then its sender was answered.
        let (mut numbers, mut answered, mut unanswered) = (1.., 1_u64, 0_u64);
        while unanswered < 3 {
            match recorder.append(record(numbers.next().unwrap(), 1)).now_or_never() {
                Some(landed) => {
                    landed.unwrap();
                    answered += 1;
                }
                None => unanswered += 1,
            }
        }
        // What comes behind them is durable after them.
        recorder.append(record(numbers.next().unwrap(), 1)).await.unwrap();
        answered += 1;
        let all = answered + unanswered;
        let seen = figures(&ctx, endpoint.asset).await.unwrap();
        assert_eq!((seen.served, seen.unanswered, seen.logged), (answered, unanswered, all));
        flush(&ctx).await.unwrap();
        let seen = figures(&ctx, endpoint.asset).await.unwrap();
        assert_eq!(
            (seen.served, seen.unanswered, seen.logged, seen.drained),
            (answered, unanswered, all, all)
        );
        drop((recorder, ctx));
        let test = test.reopen().await;
        let seen = figures(&test.system(), endpoint.asset).await.unwrap();
        assert_eq!(
            (seen.served, seen.unanswered, seen.logged),
            (answered, unanswered, all),
            "after a restart"
        );
    });
}

#[test]
fn a_batch_whose_end_was_not_noted_lands_no_second_time() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        recorder.append(record(1, 2)).await.unwrap();
        // A copy of the segment as a crash leaves it that comes between landing and freeing.
        let dir = test.dir.path().join("data/payload");
        let segment = dir.join("00000000000000000000.segment");
        let bytes = fs::read(&segment).unwrap();
        flush(&test.system()).await.unwrap();
        assert!(!segment.exists());
        drop(recorder);
        fs::write(&segment, bytes).unwrap();
        let test = test.reopen().await;
        let expected = Figures { served: 1, logged: 1, drained: 1, drained_rows: 2, ..Figures::default() };
        assert_eq!(figures(&test.system(), endpoint.asset).await.unwrap(), expected);
        flush(&test.system()).await.unwrap();
        assert!(!segment.exists(), "it went this time");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload").await, "n\n2\n");
        assert_eq!(figures(&test.system(), endpoint.asset).await.unwrap(), expected);
    });
}

#[test]
fn many_small_files_of_a_payload_table_are_joined() {
    on_every_store(async |test: TestApp| {
        let (_, recorder) = fraud(&test).await;
        let ctx = test.system();
        let mut ids = Vec::new();
        for number in 0..5 {
            let record = record(number, 2);
            ids.push(record.request_id);
            recorder.append(record).await.unwrap();
            flush(&ctx).await.unwrap();
            assert_eq!(join_files(&ctx, 5).await.unwrap(), if number < 4 { 0 } else { 5 });
        }
        assert_eq!(join_files(&ctx, 0).await.unwrap(), 0, "no table got rows since");
        let count = "SELECT count(*) AS n, count(DISTINCT _request_id) AS d FROM prod.risk.fraud_payload";
        assert_eq!(sql(&test, count).await, "n,d\n10,5\n");
        for id in ids {
            assert_eq!(find(&ctx, id, 10).await.unwrap().unwrap().rows.len(), 2);
        }
        recorder.append(record(5, 2)).await.unwrap();
        flush(&ctx).await.unwrap();
        assert_eq!(join_files(&ctx, 5).await.unwrap(), 0, "counted from the last time");
        assert_eq!(sql(&test, count).await, "n,d\n12,6\n");
    });
}

#[test]
fn a_renamed_table_still_gets_its_rows() {
    on_every_store(async |test: TestApp| {
        let (_, recorder) = fraud(&test).await;
        recorder.append(record(1, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        let rename = serde_json::json!({ "new_name": "danger" });
        let path = "/api/2.1/unity-catalog/schemas/prod.risk";
        ok(&test.send(request(Method::PATCH.as_str(), path, Some(rename))).await);
        recorder.append(record(2, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.danger.fraud_payload").await, "n\n2\n");
    });
}

#[test]
fn records_of_a_deleted_endpoint_land_and_only_without_a_place_are_given_up() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        recorder.append(record(1, 1)).await.unwrap();
        let delete = async |name: &str| {
            let path = format!("/api/2.1/unity-catalog/tables/prod.risk.{name}");
            ok(&test.send(request(Method::DELETE.as_str(), &path, None)).await);
        };
        delete("fraud").await;
        flush(&test.system()).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload").await, "n\n1\n");
        recorder.append(record(2, 1)).await.unwrap();
        delete("fraud_payload").await;
        flush(&test.system()).await.unwrap();
        let segments = test.dir.path().join("data/payload/00000000000000000001.segment");
        assert!(!segments.exists(), "it is not kept for ever");
        let ctx = test.system();
        let found = figures(&ctx, endpoint.asset).await.unwrap();
        assert_eq!((found.logged, found.drained, found.given_up, found.waiting), (2, 1, 1, 0));
    });
}

#[test]
fn a_table_that_cannot_be_written_to_keeps_its_records_and_nobody_elses() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let (bad, good) = (endpoint(&test, "bad").await, endpoint(&test, "good").await);
        let mut recorders = Vec::new();
        for of in [&bad, &good] {
            recorders.push(recorder(&test.system(), of, &schema()).await.unwrap());
        }
        let log = async |n| {
            let mut ids = Vec::new();
            for recorder in &recorders {
                let record = record(n, 1);
                ids.push(record.request_id);
                recorder.append(record).await.unwrap();
            }
            ids
        };
        log(1).await;
        flush(&test.system()).await.unwrap();
        // The files of one are out of reach for a while.
        let found = test.get("/api/2.1/unity-catalog/tables/prod.risk.bad_payload").await;
        let home =
            directory(&test.dir.path().join("data"), ok(&found)["table_id"].as_str().unwrap()).unwrap();
        let away = home.with_extension("away");
        fs::rename(&home, &away).unwrap();
        let ids = log(2).await;
        flush(&test.system()).await.unwrap_err();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.good_payload").await, "n\n2\n");
        let ctx = test.system();
        let seen = (figures(&ctx, bad.asset).await.unwrap(), figures(&ctx, good.asset).await.unwrap());
        assert_eq!((seen.0.waiting, seen.0.drained, seen.1.waiting, seen.1.drained), (1, 1, 0, 2));
        // The segment is kept for one of them, and the other's row is in its table by now.
        for (id, is_waiting) in ids.iter().zip([true, false]) {
            assert_eq!(find(&ctx, *id, 10).await.unwrap().unwrap().rows[0].is_waiting, is_waiting);
        }
        // More than are tried for a table that fails: what is left untried loses nothing either.
        for n in 3..9 {
            log(n).await;
            flush(&ctx).await.unwrap_err();
        }
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.good_payload").await, "n\n8\n");
        fs::rename(&away, &home).unwrap();
        flush(&ctx).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.bad_payload").await, "n\n8\n");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.good_payload").await, "n\n8\n", "once");
    });
}

/// The directory of this name somewhere below another.
fn directory(below: &Path, name: &str) -> Option<PathBuf> {
    let inside = fs::read_dir(below).ok()?.flatten().map(|entry| entry.path());
    let mut folders = inside.filter(|path| path.is_dir());
    folders.find_map(|path| if path.ends_with(name) { Some(path) } else { directory(&path, name) })
}

#[test]
fn an_endpoint_that_is_made_again_gets_a_table_of_its_own_that_nobody_else_writes() {
    on_every_store(async |test: TestApp| {
        let (_, first) = fraud(&test).await;
        first.append(record(1, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        let delete = request(Method::DELETE.as_str(), "/api/2.1/unity-catalog/tables/prod.risk.fraud", None);
        ok(&test.send(delete).await);
        let again = endpoint(&test, "fraud").await;
        let second = recorder(&test.system(), &again, &schema()).await.unwrap();
        second.append(record(2, 1)).await.unwrap();
        second.append(record(3, 1)).await.unwrap();
        flush(&test.system()).await.unwrap();
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload").await, "n\n1\n");
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.fraud_payload_2").await, "n\n2\n");
        let path = "/api/1.0/tables/prod.risk.fraud_payload_2/batches/mine?format=csv";
        let mut put = request("PUT", path, None);
        *put.body_mut() = axum::body::Body::from("_request_id\nx\n");
        let refused = test.send(put).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.json["message"].as_str().unwrap().contains("what an endpoint served"), "{refused:?}");
    });
}
