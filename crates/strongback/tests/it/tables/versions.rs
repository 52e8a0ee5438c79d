//! Versions: reading old ones, pinning, cleaning, joining, and commits that somebody made past the server.

use serde_json::json;
use uuid::Uuid;

use super::{NAME, batch, sql, versions};
use crate::{
    catalog::prod_risk,
    support::{TestApp, ok, on_every_store},
};

const TABLE: &str = "/api/1.0/tables/prod.risk.t";

#[test]
fn a_vacuum_goes_round_pins_or_refuses_and_names_them() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        for (id, query, rows) in
            [("a", "", "1\n"), ("b", "mode=overwrite", "2\n"), ("c", "mode=overwrite", "3\n")]
        {
            ok(&batch(&test, NAME, id, query, &format!("id\n{rows}")).await);
        }
        let pin = json!({ "version": 1, "reason": "audit of November" });
        assert_eq!(ok(&test.post(&format!("{TABLE}/pins"), pin.clone()).await)["by"], "local");
        ok(&test.post(&format!("{TABLE}/pins"), pin).await);
        let pinned = &versions(&test, NAME).await[2];
        assert_eq!(pinned["pins"].as_array().unwrap().len(), 1, "twice is once");

        let keep = json!({ "keep_from": 3 });
        let refused = test.post(&format!("{TABLE}/vacuum"), keep.clone()).await;
        assert_eq!((refused.status, refused.error_code()), (409, "RESOURCE_CONFLICT"));
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.json["message"].as_str().unwrap(), @r"
            Pinned versions need some of the files, so nothing was removed:
              version 1 is pinned by local for person (audit of November)
            Repeat with keep_pinned=true to go round them, or take the pins away.
            ");
        }
        let planned = test.post(&format!("{TABLE}/vacuum"), json!({ "keep_from": 3, "dry_run": true })).await;
        assert_eq!(
            (ok(&planned)["files"].clone(), ok(&planned)["pins"][0]["version"].clone()),
            (json!(2), json!(1))
        );
        let done =
            test.post(&format!("{TABLE}/vacuum"), json!({ "keep_from": 3, "keep_pinned": true })).await;
        assert_eq!(ok(&done)["files"], 1);

        let at = async |version: u32| {
            sql(&test, &format!("SELECT id FROM prod.risk.t VERSION AS OF {version}")).await
        };
        assert_eq!(at(1).await, (200, "id\n1\n".into()));
        assert_eq!(at(3).await, (200, "id\n3\n".into()));
        let (status, text) = at(2).await;
        assert!(status == 404 && text.contains("removed by a vacuum"), "{status} {text}");
        let lost = test.post(&format!("{TABLE}/pins"), json!({ "version": 2 })).await;
        assert_eq!(lost.status, 404);

        ok(&test.post(&format!("{TABLE}/unpin"), json!({ "version": 1 })).await);
        assert_eq!(test.post(&format!("{TABLE}/unpin"), json!({ "version": 1 })).await.status, 404);
        assert_eq!(ok(&test.post(&format!("{TABLE}/vacuum"), keep).await)["files"], 1);
        assert_eq!(at(1).await.0, 404);
        assert_eq!(at(3).await.0, 200);
    });
}

#[test]
fn a_moment_means_the_version_of_then() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let between = chrono::DateTime::from_timestamp_millis(strongback::time::now_ms()).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        ok(&batch(&test, NAME, "b", "", "id\n2\n").await);
        let then = between.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let asked = format!("SELECT count(*) AS n FROM prod.risk.t TIMESTAMP AS OF '{then}'");
        assert_eq!(sql(&test, &asked).await.1, "n\n1\n");
        let (status, text) = sql(&test, "SELECT * FROM prod.risk.t TIMESTAMP AS OF '2020-01-01'").await;
        assert!(status == 404 && text.contains("made after"), "{status} {text}");
        let (status, text) = sql(&test, "SELECT * FROM prod.risk.t VERSION AS OF 9").await;
        assert!(status == 404 && text.contains("the newest is 2"), "{status} {text}");
    });
}

#[test]
fn small_files_are_joined_and_the_rows_stay() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        for n in 0..4 {
            ok(&batch(&test, NAME, &n.to_string(), "", &format!("id\n{n}\n")).await);
        }
        let done = test.post(&format!("{TABLE}/compact"), json!({})).await;
        assert_eq!((ok(&done)["files_removed"].clone(), ok(&done)["version"].clone()), (json!(4), json!(5)));
        let again = test.post(&format!("{TABLE}/compact"), json!({})).await;
        assert_eq!(
            (ok(&again)["files_removed"].clone(), ok(&again)["version"].clone()),
            (json!(0), json!(5))
        );
        let newest = &versions(&test, NAME).await[0];
        assert_eq!((newest["rows"].clone(), newest["files"].clone()), (json!(4), json!(1)));
        assert_eq!(sql(&test, "SELECT sum(id) AS s FROM prod.risk.t").await.1, "s\n6\n");
    });
}

/// Somebody with a key to the directory writes there with a tool of their own.
#[test]
fn commits_past_the_server_become_versions_before_the_next_of_its_own() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        let table = test.get("/api/2.1/unity-catalog/tables/prod.risk.t").await;
        let id = ok(&table)["table_id"].as_str().unwrap().parse().unwrap();
        let path = test.dir.path().join("foreign.csv");
        std::fs::write(&path, "id\n2\n").unwrap();
        let import = lake::import::Import {
            table: id,
            is_new: false,
            source: lake::decode::Source {
                path,
                format: lake::decode::Format::Csv,
                delimiter: b',',
                null: None,
                clean_names: false,
                declared: Vec::new(),
            },
            mode: lake::commit::Mode::Append,
            mark: lake::table::Mark { operation: Uuid::now_v7(), notes: Vec::new() },
            after: Some(1),
            quarantine: None,
        };
        test.app.lake.import(import).await.unwrap();
        // Not before somebody here knows of it.
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t").await.1, "n\n1\n");
        ok(&batch(&test, NAME, "b", "", "id\n3\n").await);
        let kinds: Vec<String> = versions(&test, NAME)
            .await
            .iter()
            .map(|version| version["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["append", "foreign", "append", "create"]);
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t").await.1, "n\n3\n");
    });
}
