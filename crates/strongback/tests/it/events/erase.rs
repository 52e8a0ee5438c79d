//! Erasing what was said: what goes, what stays, and that the log verifies as before.

use serde_json::{Value, json};
use strongback::{bind, db::Stmt};

use super::{checkpointed, damage, finds, note, report, tamper};
use crate::support::{TestApp, ok, on_every_store, request};

const ERASE: &str = "/api/1.0/audit-log/erase";

static HASHED: Stmt = Stmt::new(
    "SELECT slot, n, body, hash, previous_hash, entries, first_at, last_at FROM event_block ORDER BY slot, n",
);

type Hashed = (i64, i64, Vec<u8>, Vec<u8>, Vec<u8>, (i64, i64, i64));

/// All of the blocks but their details.
async fn hashed(test: &TestApp) -> Vec<Hashed> {
    let read = |sql: &mut strongback::db::Sql<'_>| {
        sql.all(&HASHED, bind![], |row| {
            let times = (row.get(5)?, row.get(6)?, row.get(7)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, times))
        })
    };
    test.app.db.read(&strongback::db::Origin::system(), read).await.unwrap()
}

async fn erase(test: &TestApp, fields: Value) -> Value {
    let answer = test.post(ERASE, fields).await;
    ok(&answer).clone()
}

async fn events(test: &TestApp, query: &str) -> Vec<Value> {
    let listed = test.get(&format!("/api/1.0/audit-log?max_results=10000&{query}")).await;
    ok(&listed)["events"].as_array().unwrap().clone()
}

async fn make(test: &TestApp, name: &str) {
    let body = json!({ "name": name, "comment": "about ana@example.com" });
    ok(&test.post("/api/2.1/unity-catalog/catalogs", body).await);
}

#[test]
fn what_an_asset_says_goes_and_the_log_verifies_as_before() {
    on_every_store(|test| async move {
        make(&test, "gone").await;
        make(&test, "stays").await;
        let kept = checkpointed(&test).await;
        let before = hashed(&test).await;

        let dry = erase(&test, json!({ "asset": "gone", "dry_run": true })).await;
        assert_eq!(dry, json!({ "details": 1, "blocks": 1, "unreadable_blocks": 0 }));
        assert_eq!(hashed(&test).await, before, "a dry run writes nothing");
        assert_eq!(events(&test, "action=audit_log").await, [Value::Null; 0]);

        let done = erase(&test, json!({ "asset": "gone", "reason": "request 7" })).await;
        assert_eq!(done, dry);
        let gone = &events(&test, "asset=gone").await[0];
        assert_eq!((&gone["action"], gone.get("detail")), (&json!("catalog.create"), None));
        assert!(events(&test, "asset=stays").await[0]["detail"].is_object());
        let noted = &events(&test, "action=audit_log.erase").await[0]["detail"];
        assert_eq!(
            (&noted["details"], &noted["blocks"], &noted["reason"]),
            (&json!(1), &json!(1), &json!("request 7"))
        );
        assert_eq!(noted["assets"].as_array().unwrap().len(), 1);
        assert!(
            !noted.to_string().contains("gone"),
            "the name of what was erased is not said again: {noted}"
        );

        let after = hashed(&test).await;
        assert!(before.iter().all(|block| after.contains(block)), "what is hashed stays as it was");
        let report = report(&test, Some(kept)).await;
        assert!(report.is_clean() && report.erased == 1, "{report:?}");
        let again = erase(&test, json!({ "asset": "gone", "reason": "once more" })).await;
        assert_eq!(again, json!({ "details": 0, "blocks": 0, "unreadable_blocks": 0 }));
        assert_eq!(events(&test, "action=audit_log").await.len(), 1, "nothing went, so nothing is said");
    });
}

#[test]
fn many_blocks_go_in_batches_with_an_event_each_and_times_bound_them() {
    on_every_store(|test| async move {
        for n in 0..70 {
            note(&test.system(), &format!("early {n}")).await;
        }
        let until = strongback::time::now_ms();
        while strongback::time::now_ms() <= until {
            tokio::task::yield_now().await;
        }
        note(&test.system(), "late").await;
        let mut request = json!({ "principal": "system", "subject": "note", "until": until, "reason": "r" });
        let (mut details, mut calls) = (0, 0);
        loop {
            let batch = erase(&test, request.clone()).await;
            details += batch["details"].as_i64().unwrap();
            calls += 1;
            let Some(token) = batch.get("next_page_token") else { break };
            request["page_token"] = token.clone();
        }
        assert_eq!((details, calls), (70, 2));
        assert_eq!(events(&test, "action=audit_log.erase").await.len(), 2);
        let left = events(&test, "subject=note").await;
        let said: Vec<&Value> = left.iter().filter_map(|event| event.get("detail")).collect();
        assert_eq!((left.len(), said), (71, vec![&json!({ "text": "late" })]));

        // What erasing says about itself is not erased, by whomever it was done.
        let own = json!({ "principal": "local", "reason": "to hide it" });
        assert_eq!(erase(&test, own).await["details"], 0);
        let kept = checkpointed(&test).await;
        let report = report(&test, Some(kept)).await;
        assert!(report.is_clean() && report.erased == 70, "{report:?}");
    });
}

#[test]
fn a_detail_that_somebody_changed_is_not_erased() {
    on_every_store(|test| async move {
        note(&test.system(), "one").await;
        note(&test.system(), "two").await;
        // Both say what one of them said.
        tamper(
            &test,
            "UPDATE event_block SET details =
                (SELECT b.details FROM event_block b WHERE b.entries = 1 ORDER BY b.last_at DESC LIMIT 1) WHERE entries = 1",
        );
        let erased = erase(&test, json!({ "subject": "note", "reason": "to hide it" })).await;
        assert_eq!(erased["details"], 1, "the genuine one");
        let left = events(&test, "subject=note").await;
        assert_eq!(left.iter().filter(|event| event.get("detail").is_some()).count(), 1);
        finds(&report(&test, None).await, "detail was changed");
    });
}

#[test]
fn who_erases_says_what_and_why() {
    on_every_store(|test| async move {
        for (body, part) in [
            (json!({ "reason": "r" }), "principal"),
            (json!({ "since": 1, "until": 2, "reason": "r" }), "principal"),
            (json!({ "subject": "1" }), "reason"),
            (json!({ "principal": "nobody", "reason": "r" }), "nobody"),
            (json!({ "subject": "1", "reason": "r", "page_token": "x" }), "page_token"),
        ] {
            let answer = test.post(ERASE, body.clone()).await;
            assert!(matches!(answer.status, 400 | 404), "{body}: {answer:?}");
            assert!(answer.json["message"].as_str().unwrap().contains(part), "{body}: {answer:?}");
        }
        assert_eq!(events(&test, "action=audit_log").await, [Value::Null; 0]);
    });
}

#[test]
fn a_damaged_block_keeps_no_other_from_being_erased() {
    on_every_store(|test| async move {
        for column in ["details", "body"] {
            for text in ["first", "second", "third"] {
                note(&test.system(), text).await;
            }
            let damaged = events(&test, "subject=note").await[1]["block"].as_str().unwrap().to_owned();
            damage(&test, column, &damaged);
        }
        let expected = json!({ "details": 4, "blocks": 4, "unreadable_blocks": 2 });
        let dry = erase(&test, json!({ "subject": "note", "dry_run": true })).await;
        let done = erase(&test, json!({ "subject": "note", "reason": "request 7" })).await;
        assert_eq!((dry, done), (expected.clone(), expected));
        let left = events(&test, "subject=note&action=catalog.update").await;
        let said =
            left.iter().filter(|event| event["action"] == "catalog.update" && event.get("detail").is_some());
        assert_eq!(said.count(), 0, "{left:?}");
    });
}

#[test]
fn what_went_with_its_schema_is_erased_where_that_says_its_name() {
    on_every_store(|test| async move {
        let schemas = "/api/2.1/unity-catalog/schemas";
        let models = "/api/2.1/unity-catalog/models";
        ok(&test.post(schemas, json!({ "name": "s", "catalog_name": "main" })).await);
        for name in ["ana_model", "other"] {
            let body = json!({ "name": name, "catalog_name": "main", "schema_name": "s" });
            ok(&test.post(models, body).await);
        }
        ok(&test.send(request("DELETE", &format!("{schemas}/main.s?force=true"), None)).await);
        let asset = "asset=main.s.ana_model";
        let shown = events(&test, asset).await;
        assert_eq!(shown[0]["action"], "schema.delete");
        assert!(shown[0]["detail"].to_string().contains("ana_model"), "{shown:?}");
        let done = erase(&test, json!({ "asset": "main.s.ana_model", "reason": "request 7" })).await;
        assert_eq!(done["details"], shown.len(), "all that the list shows");
        assert!(events(&test, asset).await.iter().all(|event| event.get("detail").is_none()));
        let all = json!(events(&test, "").await);
        assert!(
            !all.as_array().unwrap().iter().any(|event| event["detail"].to_string().contains("ana_model")),
            "{all}"
        );
    });
}

/// Details that unpack to 200 MB of nothing, which no list is.
static INFLATE: Stmt = Stmt::new("UPDATE event_block SET details = $1");

#[test]
fn a_look_ends_after_so_many_bytes_and_goes_on_with_its_token() {
    on_every_store(|test| async move {
        for _ in 0..5 {
            note(&test.system(), "note").await;
        }
        let packed = strongback::events::chain::pack(&vec![b'x'; 200 << 20]).unwrap();
        test.app.db.derive(move |tx| tx.execute(&INFLATE, bind![&packed])).await.unwrap();
        let mut request = json!({ "subject": "note", "dry_run": true });
        let first = erase(&test, request.clone()).await;
        assert_eq!(first["unreadable_blocks"], 2, "{first}");
        request["page_token"] = first["next_page_token"].clone();
        let second = erase(&test, request).await;
        assert_eq!(second["unreadable_blocks"], 2, "{second}");
        assert_ne!(first["next_page_token"], second["next_page_token"]);
    });
}
