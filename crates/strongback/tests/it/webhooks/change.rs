//! Making, listing, changing and deleting webhooks by MLflow's calls.

use serde_json::{Value, json};

use super::{EVERYTHING, HERE, M, SECRET, events, hook, patch};
use crate::support::{Answer, TestApp, ok, on_every_store, on_every_store_with, request};

#[track_caller]
fn refused(answer: &Answer, status: u16, part: &str) {
    let message = answer.json["message"].as_str().unwrap_or_default();
    assert!(answer.status == status && message.contains(part), "{part}: {answer:?}");
}

async fn newest_event(test: &TestApp) -> Value {
    ok(&test.get("/api/1.0/audit-log?max_results=1").await)["events"][0].clone()
}

async fn delete(test: &TestApp, id: &str) -> Answer {
    test.send(request("DELETE", &format!("{M}/webhooks/{id}"), None)).await
}

#[test]
fn a_webhook_is_made_read_changed_and_deleted_and_each_is_one_event() {
    on_every_store_with(HERE, async |test: TestApp| {
        let url = "https://127.0.0.1:9/services/T0/token-in-the-address";
        let body = json!({
            "name": "ci", "url": url, "description": "starts the pipeline", "secret": SECRET,
            "events": events(&["MODEL_VERSION.CREATED", "MODEL_VERSION_ALIAS.CREATED", "MODEL_VERSION.CREATED"]),
        });
        let made = ok(&test.post(&format!("{M}/webhooks"), body).await).clone();
        let id = made["webhook"]["webhook_id"].as_str().unwrap().to_owned();
        let at = made["webhook"]["creation_timestamp"].clone();
        let expected = json!({ "webhook": {
            "webhook_id": id, "name": "ci", "url": url, "description": "starts the pipeline", "status": "ACTIVE",
            "events": events(&["MODEL_VERSION.CREATED", "MODEL_VERSION_ALIAS.CREATED"]),
            "creation_timestamp": at, "last_updated_timestamp": at,
        }});
        assert_eq!(made, expected);
        uuid::Uuid::parse_str(&id).unwrap();
        let event = newest_event(&test).await;
        assert_eq!((&event["action"], &event["subject"]), (&json!("webhook.create"), &json!(id)));
        assert_eq!(ok(&test.get(&format!("{M}/webhooks/{id}")).await), &expected);
        assert_eq!(ok(&test.get(&format!("{M}/webhooks")).await)["webhooks"], json!([expected["webhook"]]));

        let changed =
            patch(&test, &id, json!({ "description": "", "status": "DISABLED", "name": "", "events": [] }))
                .await;
        let webhook = &ok(&changed)["webhook"];
        assert_eq!(webhook["description"], Value::Null);
        assert_eq!((&webhook["status"], &webhook["name"]), (&json!("DISABLED"), &json!("ci")));
        assert_eq!(webhook["events"], expected["webhook"]["events"]);
        assert_eq!(newest_event(&test).await["action"], "webhook.update");
        let before = newest_event(&test).await;
        // A repetition changes nothing.
        ok(&patch(&test, &id, json!({ "status": 2 })).await);
        assert_eq!(newest_event(&test).await, before);
        ok(&patch(&test, &id, json!({ "status": "ACTIVE", "events": events(EVERYTHING), "secret": "" }))
            .await);

        ok(&delete(&test, &id).await);
        assert_eq!(newest_event(&test).await["action"], "webhook.delete");
        for gone in [
            delete(&test, &id).await,
            test.get(&format!("{M}/webhooks/{id}")).await,
            patch(&test, &id, json!({ "name": "x" })).await,
            test.post(&format!("{M}/webhooks/{id}/test"), json!({})).await,
            test.get(&format!("/api/1.0/webhooks/{id}/deliveries")).await,
        ] {
            refused(&gone, 404, &format!("Webhook with ID {id} not found."));
            assert_eq!(gone.error_code(), "RESOURCE_DOES_NOT_EXIST");
        }
        let log = test.get("/api/1.0/audit-log?max_results=1000").await.json.to_string();
        assert!(!log.contains("token-in-the-address") && !log.contains(SECRET), "{log}");
    });
}

#[test]
fn a_secret_is_in_no_answer_and_not_in_the_store() {
    on_every_store_with(HERE, async |test: TestApp| {
        let id = hook(&test, "https://127.0.0.1:9/", EVERYTHING).await;
        for answer in [
            test.get(&format!("{M}/webhooks/{id}")).await,
            test.get(&format!("{M}/webhooks")).await,
            patch(&test, &id, json!({ "name": "other", "secret": format!("{SECRET}2") })).await,
            test.post(&format!("{M}/webhooks/{id}/test"), json!({})).await,
            test.get("/api/1.0/audit-log?max_results=1000").await,
            patch(&test, &id, json!({ "secret": 918_273 })).await,
        ] {
            let said = answer.json.to_string();
            assert!(!said.contains(SECRET) && !said.contains("918273"), "{said}");
        }
        // On SQLite the store is a file that can be looked through.
        let data = test.dir.path().join("data");
        let mut seen = 0;
        for name in ["metadata.db", "metadata.db-wal"] {
            let Ok(bytes) = std::fs::read(data.join(name)) else { continue };
            assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{name}");
            seen += usize::from(bytes.windows(id.len()).any(|part| part == id.as_bytes()));
        }
        assert!(seen > 0 || !data.join("metadata.db").exists(), "the webhook was not found in the store");
    });
}

#[test]
fn lists_have_pages() {
    on_every_store_with(HERE, async |test: TestApp| {
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(hook(&test, "https://127.0.0.1:9/", EVERYTHING).await);
        }
        made.reverse();
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = test.get(&format!("{M}/webhooks?max_results=2&page_token={token}")).await;
            let page = ok(&page);
            let ids = page["webhooks"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["webhook_id"].as_str().unwrap().to_owned());
            found.extend(ids);
            match page["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(found, made);
        assert_eq!(
            ok(&test.get(&format!("{M}/webhooks?max_results=0")).await)["webhooks"].as_array().unwrap().len(),
            5
        );
        for wrong in ["-1", "1001"] {
            let answer = test.get(&format!("{M}/webhooks?max_results={wrong}")).await;
            refused(&answer, 400, "max_results must be between 1 and 1000");
        }
        refused(&test.get(&format!("{M}/webhooks?page_token=x")).await, 400, "page_token");
        let ajax = test.get("/ajax-api/2.0/mlflow/webhooks").await;
        assert_eq!(ok(&ajax)["webhooks"].as_array().unwrap().len(), 5);
    });
}

#[test]
fn what_no_webhook_can_be_is_refused() {
    on_every_store(async |test: TestApp| {
        let good = json!({ "name": "h", "url": "https://8.8.8.8/x", "events": events(EVERYTHING) });
        let check = async |change: Value, part: &str| {
            let mut body = good.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let answer = test.post(&format!("{M}/webhooks"), body).await;
            refused(&answer, 400, part);
            assert_eq!(answer.error_code(), "INVALID_PARAMETER_VALUE");
        };
        for url in [
            "https://127.0.0.1/",
            "https://localhost/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://169.254.169.254/latest/",
            "https://0x7f.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://100.64.0.1/",
            "https://[fd00::1]/",
            "https://192.168.1.1:8443/",
        ] {
            check(json!({ "url": url }), "must not resolve to a non-public IP address").await;
        }
        check(json!({ "url": "http://8.8.8.8/" }), "Allowed schemes are: https").await;
        check(json!({ "url": "file:///etc/passwd" }), "Allowed schemes are: https").await;
        check(json!({ "url": "https://u:p@8.8.8.8/" }), "user name or a password").await;
        check(json!({ "url": "https://no-such-host.invalid/" }), "cannot be resolved").await;
        check(json!({ "url": "" }), "'url'").await;
        check(json!({ "url": "   " }), "URL").await;
        check(json!({ "name": "" }), "'name'").await;
        check(json!({ "name": "a b" }), "Webhook name \"a b\" is invalid").await;
        check(json!({ "name": "x".repeat(64) }), "at most 63 characters").await;
        check(json!({ "events": [] }), "'events'").await;
        check(json!({ "events": events(&["REGISTERED_MODEL.DELETED"]) }), "Invalid action 'deleted'").await;
        check(json!({ "events": events(&["BUDGET_POLICY.EXCEEDED"]) }), "AI gateway").await;
        check(json!({ "events": events(&["RUN.CREATED"]) }), "'events[0].entity'").await;
        check(json!({ "events": [{ "entity": "PROMPT" }] }), "'events[0].action'").await;
        check(json!({ "status": "ASLEEP" }), "'status'").await;
        check(json!({ "description": "x".repeat(1_001) }), "'description'").await;
        let made = ok(&test.post(&format!("{M}/webhooks"), good.clone()).await).clone();
        let id = made["webhook"]["webhook_id"].as_str().unwrap().to_owned();
        refused(&patch(&test, &id, json!({ "url": "https://127.0.0.1/" })).await, 400, "non-public");
        assert_eq!(ok(&test.get(&format!("{M}/webhooks/{id}")).await), &made);
    });
}

#[test]
fn only_administrators_have_to_do_with_webhooks() {
    on_every_store_with(&[("auth", "tokens"), ("webhooks_allow", "127.0.0.1")], async |test: TestApp| {
        let eve = crate::support::token_of(&test, "eve", false).await;
        let root = crate::support::token_of(&test, "root", true).await;
        let body = json!({ "name": "h", "url": "https://127.0.0.1:9/", "events": events(EVERYTHING) });
        let path = format!("{M}/webhooks");
        let call = async |token: &str, method: &str, path: &str, body: Option<Value>| {
            crate::support::call(&test, token, method, path, body).await
        };
        refused(&call(&eve, "POST", &path, Some(body.clone())).await, 403, "administrators");
        let made = call(&root, "POST", &path, Some(body)).await;
        let id = ok(&made)["webhook"]["webhook_id"].as_str().unwrap().to_owned();
        for (method, path) in [
            ("GET", path.clone()),
            ("GET", format!("{path}/{id}")),
            ("PATCH", format!("{path}/{id}")),
            ("DELETE", format!("{path}/{id}")),
            ("POST", format!("{path}/{id}/test")),
            ("GET", format!("/api/1.0/webhooks/{id}/deliveries")),
        ] {
            let body = (method != "GET").then(|| json!({}));
            refused(&call(&eve, method, &path, body).await, 403, "administrators");
        }
    });
}
