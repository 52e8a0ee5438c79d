//! The online state: derived, and whole again after it was lost; what happens by itself.

use std::time::{Duration, Instant};

use serde_json::json;
use strongback::features::KeyValue;

use super::{
    MINUTE, TABLE, apply, begin, dump, find, import, look_up, looking, materialize, open, working, yaml,
};
use crate::support::{TestApp, ok, on_every_store};

/// Waits until a feature table is published from this version of its source, and online.
async fn published(test: &TestApp, version: u64) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let shown = test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await;
        let published = &ok(&shown)["published"];
        if published["source_version"] == version && published["is_online"] == true {
            return;
        }
        assert!(Instant::now() < until, "{published}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_lost_or_damaged_file_is_computed_again_at_the_next_start() {
    on_every_store(async |mut test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let expected = look_up(&test, TABLE, Some(7), 5 * MINUTE).await;
        assert_eq!(expected[0], Some(4.0));
        let rows = dump(&test, TABLE).await;
        for damage in [None, Some("no database"), Some("")] {
            let path = test.dir.path().join("data/online.redb");
            let file = path.clone();
            let opened = test.reopen_after(move || match damage {
                None => std::fs::remove_file(&file).unwrap(),
                Some(text) => std::fs::write(&file, text).unwrap(),
            });
            test = opened.await;
            let missing = open(&test, TABLE).await;
            assert!(missing.is_err(), "nothing is online yet");
            working(&test, async || published(&test, 1).await).await;
            assert_eq!(look_up(&test, TABLE, Some(7), 5 * MINUTE).await, expected, "{damage:?}");
            assert_eq!(dump(&test, TABLE).await, rows);
            let kept = crate::tables::versions(&test, TABLE).await;
            assert_eq!(kept.len(), 2, "no version was made for that: {kept:?}");
        }
    });
}

/// Whoever looks after what is lost opens the file, and so is the one who finds it damaged.
#[test]
fn a_damaged_file_is_restored_by_one_job() {
    on_every_store(async |mut test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let path = test.dir.path().join("data/online.redb");
        test = test.reopen_after(move || std::fs::write(&path, "no database").unwrap()).await;
        let waiting = async || {
            let found = test.get("/api/1.0/jobs?state=queued").await;
            ok(&found)["jobs"].as_array().unwrap().len()
        };
        looking(&test, async || {
            let until = Instant::now() + Duration::from_mins(1);
            while waiting().await == 0 {
                assert!(Instant::now() < until, "nothing is restored");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // The job that was queued has it look again.
            tokio::time::sleep(Duration::from_millis(500)).await;
        })
        .await;
        assert_eq!(waiting().await, 1);
        working(&test, async || published(&test, 1).await).await;
    });
}

#[test]
fn a_commit_to_the_source_refreshes_what_asks_for_it() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        apply(&test, &yaml(TABLE, "", "refresh: on_commit\n")).await;
        working(&test, async || {
            published(&test, 1).await;
            import(&test, "more", "append", &[(9, 7, 6 * MINUTE, Some(3.0))]).await;
            published(&test, 2).await;
        })
        .await;
        assert_eq!(look_up(&test, TABLE, None, 7 * MINUTE).await[0], Some(3.0));
    });
}

/// A request brings a day as a text.
#[test]
fn a_key_that_is_a_day_is_looked_up_by_its_text() {
    on_every_store(async |test: TestApp| {
        crate::catalog::prod_risk(&test).await;
        let csv =
            "id,day,at,amount\n1,2026-11-23,2026-11-24T00:00:00Z,1\n2,2026-11-24,2026-11-24T00:00:30Z,2\n";
        let types = "types=id:long,day:date,at:timestamp,amount:double";
        ok(&crate::tables::batch(&test, super::SOURCE, "first", types, csv).await);
        apply(&test, &yaml(TABLE, "day", "")).await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let online = open(&test, TABLE).await.unwrap();
        let of = |day: &str| find(&online, &[KeyValue::Text(day.to_owned())], MINUTE);
        assert_eq!(of("2026-11-24").unwrap().values, [Some(1.0), Some(2.0), None]);
        assert_eq!(of("2026-11-23").unwrap().values, [Some(1.0), Some(1.0), None]);
        assert!(of("yesterday").unwrap_err().message().contains("like 2026-11-24"));
    });
}

#[test]
fn a_look_up_refuses_what_means_nothing() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        let error = open(&test, TABLE).await.err().unwrap();
        assert!(error.message().contains("materialize"), "{error}");
        working(&test, async || {
            materialize(&test, TABLE, false).await;
            let online = open(&test, TABLE).await.unwrap();
            assert_eq!((online.keys(), online.timestamp()), (&["card".to_owned()][..], "at"));
            assert_eq!(online.features(), ["n", "mean", "std"]);
            let said = |keys: &[KeyValue]| find(&online, keys, 0).unwrap_err().message().to_owned();
            assert!(said(&[]).contains("1 keys"), "{}", said(&[]));
            assert!(said(&[KeyValue::Text("7".into())]).contains("a whole number; a text"));
            let found = find(&online, &[KeyValue::Int(12_345)], 0).unwrap();
            assert_eq!((found.values, found.table_version), (vec![Some(0.0), None, None], Some(1)));
            apply(&test, &yaml(TABLE, "card", "").replace("10m", "20m")).await;
            let before = find(&online, &[KeyValue::Int(7)], 5 * MINUTE).unwrap();
            materialize(&test, TABLE, false).await;
            let after = find(&online, &[KeyValue::Int(7)], 5 * MINUTE).unwrap();
            assert_eq!(after, before, "what was opened stays what it was");
            let again = open(&test, TABLE).await.unwrap();
            assert_eq!(again.feature_ref().definition, 2);
        })
        .await;
        let nobody = json!({ "full_name": TABLE });
        assert_eq!(
            ok(&test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await)["full_name"],
            nobody["full_name"]
        );
    });
}
