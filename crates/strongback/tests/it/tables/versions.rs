//! Versions: reading old ones, pinning, cleaning, joining, and commits that somebody made past the server.

use serde_json::{Value, json};
use strongback::{
    catalog::{Action, asset, principal},
    context::Ctx,
    db::{Change, Origin},
    events::{Event, EventKind},
    tables::managed,
};
use uuid::Uuid;

use super::{NAME, batch, sql, versions};
use crate::{
    catalog::prod_risk,
    support::{TestApp, call, ok, on_every_store, on_every_store_with, request, token_of},
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
              version 1 is pinned by local (audit of November)
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

/// A pin is somebody's: another one's is another pin, and nobody's goes with it.
#[test]
fn a_pin_is_of_who_made_it() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let (ada, eve) = (token_of(&test, "ada", false).await, token_of(&test, "eve", false).await);
        let test = test.acting_as(&root);
        prod_risk(&test).await;
        let body = json!({ "name": "prod.risk", "owner": "ada" });
        ok(&test.send(request("PATCH", "/api/1.0/owner", Some(body))).await);
        for (id, query) in [("a", ""), ("b", "mode=overwrite")] {
            ok(&batch(&test, NAME, id, query, &format!("id\n{id}\n")).await);
        }
        let ask = async |token: &str, what: &str, body: Value| {
            call(&test, token, "POST", &format!("{TABLE}/{what}"), Some(body)).await
        };
        let pin = |reason: &str| json!({ "version": 1, "reason": reason });
        let mine = ask(&ada, "pins", pin("mine")).await;
        assert_eq!((ok(&mine)["by"].clone(), ok(&mine)["reason"].clone()), (json!("ada"), json!("mine")));
        let of_root = ask(&root, "pins", pin("audit")).await;
        assert_eq!(
            (ok(&of_root)["by"].clone(), ok(&of_root)["reason"].clone()),
            (json!("root"), json!("audit"))
        );
        assert_ne!(ok(&mine)["holder"], ok(&of_root)["holder"]);
        let again = ask(&ada, "pins", pin("another reason")).await;
        assert_eq!(ok(&again), ok(&mine), "the pin that is there");
        assert_eq!(ask(&eve, "pins", pin("")).await.status, 403);

        let unpin = json!({ "version": 1 });
        ok(&ask(&ada, "unpin", unpin.clone()).await);
        let twice = ask(&ada, "unpin", unpin.clone()).await;
        assert_eq!(twice.status, 404);
        assert!(twice.json["message"].as_str().unwrap().contains("ada has not pinned"), "{twice:?}");
        let refused = ask(&ada, "vacuum", json!({ "keep_from": 2 })).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.json["message"].as_str().unwrap().contains("by root (audit)"), "{refused:?}");
        // The owner may take another one's away, by its name, and nobody else may.
        let of_root = json!({ "version": 1, "principal": "root" });
        assert_eq!(ask(&eve, "unpin", of_root.clone()).await.status, 403);
        assert_eq!(ask(&ada, "unpin", json!({ "version": 1, "principal": "nobody-here" })).await.status, 404);
        ok(&ask(&ada, "unpin", of_root).await);
        ok(&ask(&ada, "vacuum", json!({ "keep_from": 2 })).await);
    });
}

/// Before a pin said who has it, one version had one for all persons.
#[test]
fn pins_of_before_stay_and_are_of_who_made_them() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        let local = |sql: &mut strongback::db::Sql<'_>| principal::get(sql, "local").map(|found| found.id);
        let local = test.app.db.read(&Origin::system(), local).await.unwrap();
        let caller =
            test.app.db.read(&Origin::system(), move |sql| principal::by_id(sql, local)).await.unwrap();
        let ctx = Ctx { origin: Origin { caller, ..Origin::system() }, ..test.system() };
        ctx.write(|tx| {
            let found = managed::get(tx, &managed::parse(NAME)?, Action::Edit)?;
            strongback::tables::pin_in_tx(tx, found.asset.id, 1, "person", "of before")?;
            let revision = asset::touch(tx, found.asset.id)?;
            Ok(Change::Made((), Event::new(EventKind::TablePinAdd).asset(found.asset.id, revision)))
        })
        .await
        .unwrap();
        let again = test.post(&format!("{TABLE}/pins"), json!({ "version": 1, "reason": "new" })).await;
        assert_eq!(
            (ok(&again)["by"].clone(), ok(&again)["reason"].clone()),
            (json!("local"), json!("of before"))
        );
        assert_eq!(versions(&test, NAME).await[0]["pins"].as_array().unwrap().len(), 1);
        ok(&test.post(&format!("{TABLE}/unpin"), json!({ "version": 1 })).await);
        assert!(versions(&test, NAME).await[0].get("pins").is_none());
    });
}

#[test]
fn a_table_is_shown_with_its_newest_version_and_who_needs_it() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        ok(&batch(&test, NAME, "a", "comment=what%20happened", "id,who\n1,Ana\n2,\n").await);
        ok(&test.post(&format!("{TABLE}/pins"), json!({ "version": 1, "reason": "audit" })).await);
        let shown = test.get(TABLE).await;
        let shown = ok(&shown);
        assert_eq!(
            (shown["newest"]["version"].clone(), shown["newest"]["rows"].clone()),
            (json!(1), json!(2)),
            "{shown}"
        );
        assert!(shown["newest"]["bytes"].as_u64().unwrap() > 0);
        assert_eq!(
            (shown["table"]["owner"].clone(), shown["table"]["comment"].clone()),
            (json!("local"), json!("what happened"))
        );
        let columns: Vec<&str> = shown["table"]["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(columns, ["id", "who"]);
        assert_eq!(
            (shown["pins"][0]["by"].clone(), shown["pins"][0]["reason"].clone()),
            (json!("local"), json!("audit"))
        );
        assert!(shown["kept_by"].is_null(), "{shown}");
        crate::catalog::declare(&test, "prod.risk.elsewhere").await;
        let declared = test.get("/api/1.0/tables/prod.risk.elsewhere").await;
        assert_eq!(
            (ok(&declared)["table"]["table_type"].clone(), ok(&declared)["newest"].clone()),
            (json!("EXTERNAL"), json!(null))
        );
    });
}

#[test]
fn a_pinned_table_is_not_deleted_unless_by_force() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let delete = async |body: Value| {
            test.send(request("DELETE", "/api/2.1/unity-catalog/tables/prod.risk.t", Some(body))).await
        };
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        ok(&test.post(&format!("{TABLE}/pins"), json!({ "version": 1, "reason": "audit" })).await);
        let refused = delete(json!({})).await;
        assert_eq!((refused.status, refused.error_code()), (409, "RESOURCE_CONFLICT"));
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.json["message"].as_str().unwrap(), @r"
            Versions of the table 'prod.risk.t' are pinned, so it was not deleted:
              version 1 is pinned by local (audit)
            Take the pins away (a training set, a monitor and a gate report take theirs along when they go), or repeat with force=true; what stands on it cannot be made again then.
            ");
        }
        ok(&test.post(&format!("{TABLE}/unpin"), json!({ "version": 1 })).await);
        ok(&delete(json!({})).await);
        assert_eq!(test.get(TABLE).await.status, 404);

        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        ok(&test.post(&format!("{TABLE}/pins"), json!({ "version": 1 })).await);
        ok(&delete(json!({ "force": true })).await);
        assert_eq!(test.get(TABLE).await.status, 404);
    });
}

#[test]
fn a_name_of_another_kind_is_told_as_what_it_is() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let model = json!({ "name": "prod.risk.scorer" });
        ok(&test.post("/api/2.0/mlflow/registered-models/create", model).await);
        let (status, text) = sql(&test, "SELECT * FROM prod.risk.scorer").await;
        assert_eq!(status, 404, "{text}");
        let of_model = "There is no table 'prod.risk.scorer'. It is the name of a registered model (strongback model show \
                        prod.risk.scorer).";
        assert!(text.contains(of_model), "{text}");
        let shown = test.get("/api/1.0/tables/prod.risk.scorer").await;
        assert_eq!(shown.json["message"], of_model);
        ok(&batch(&test, NAME, "a", "", "id\n1\n").await);
        for (path, of) in [
            ("/api/1.0/training-sets/prod.risk.t", "training set"),
            ("/api/1.0/endpoints/prod.risk.t", "endpoint"),
            ("/api/1.0/commands/prod.risk.t", "command"),
            ("/api/1.0/model?name=prod.risk.t", "registered model"),
        ] {
            let missing = test.get(path).await;
            assert_eq!(missing.status, 404, "{missing:?}");
            assert_eq!(
                missing.json["message"],
                format!(
                    "There is no {of} 'prod.risk.t'. It is the name of a table (strongback table show prod.risk.t)."
                )
            );
        }
        let plain = test.get("/api/1.0/feature-tables/prod.risk.t").await;
        assert!(
            plain.json["message"].as_str().unwrap().contains("is a table and no feature table"),
            "{plain:?}"
        );
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
