//! What webhooks are told, and when.

use serde_json::{Value, json};

use super::{
    EVERYTHING, HERE, M, SECRET, Teller, deliveries, events, hook, model, patch,
    receiver::{Got, Receiver, Reply},
    settled, until,
};
use crate::support::{TestApp, ok, on_every_store_with, request};

/// What a receiver got, as topic and data, in the order of the log.
fn told(got: &[Got]) -> Vec<(String, Value)> {
    got.iter().map(|one| (one.topic(), one.json()["data"].clone())).collect()
}

async fn post(test: &TestApp, path: &str, body: Value) {
    ok(&test.post(&format!("{M}{path}"), body).await);
}

async fn remove(test: &TestApp, path: &str, body: Value) {
    ok(&test.send(request("DELETE", &format!("{M}{path}"), Some(body))).await);
}

fn sorted(mut told: Vec<(String, Value)>) -> Vec<(String, Value)> {
    told.sort_by_key(|(topic, data)| format!("{topic} {data}"));
    told
}

#[test]
fn models_tell_what_mlflow_says_of_them() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let id = hook(&test, &receiver.url, EVERYTHING).await;
        let teller = Teller::start(&test.app);
        let tags = json!([{ "key": "team", "value": "risk" }]);
        post(
            &test,
            "/registered-models/create",
            json!({ "name": "fraud", "tags": tags, "description": "scores" }),
        )
        .await;
        post(&test, "/registered-models/create", json!({ "name": "bare" })).await;
        let version =
            json!({ "name": "fraud", "source": "s3://bucket/m", "tags": tags, "description": "first" });
        post(&test, "/model-versions/create", version).await;
        let tag = json!({ "name": "fraud", "version": "1", "key": "k", "value": "v" });
        post(&test, "/model-versions/set-tag", tag.clone()).await;
        // What changes nothing is nothing that happened.
        post(&test, "/model-versions/set-tag", tag).await;
        post(&test, "/registered-models/set-tag", json!({ "name": "fraud", "key": "k", "value": "v" })).await;
        remove(&test, "/model-versions/delete-tag", json!({ "name": "fraud", "version": "1", "key": "k" }))
            .await;
        post(
            &test,
            "/registered-models/alias",
            json!({ "name": "fraud", "alias": "champion", "version": "1" }),
        )
        .await;
        remove(&test, "/registered-models/alias", json!({ "name": "fraud", "alias": "champion" })).await;
        let log = settled(&test, &id, 7).await;
        assert!(log.iter().all(|one| one["state"] == "delivered" && one["attempts"] == 1), "{log:?}");
        let got = receiver.got();
        for one in &got {
            one.verify(SECRET);
        }
        let created = "registered_model.created".to_owned();
        let expected = vec![
            (
                created.clone(),
                json!({ "name": "fraud", "tags": { "team": "risk" }, "description": "scores" }),
            ),
            (created, json!({ "name": "bare", "tags": {}, "description": "" })),
            (
                "model_version.created".into(),
                json!({
                    "name": "fraud", "version": "1", "source": "s3://bucket/m", "run_id": null, "tags": { "team": "risk" },
                    "description": "first",
                }),
            ),
            (
                "model_version_tag.set".into(),
                json!({ "name": "fraud", "version": "1", "key": "k", "value": "v" }),
            ),
            ("model_version_tag.deleted".into(), json!({ "name": "fraud", "version": "1", "key": "k" })),
            (
                "model_version_alias.created".into(),
                json!({ "name": "fraud", "alias": "champion", "version": "1" }),
            ),
            ("model_version_alias.deleted".into(), json!({ "name": "fraud", "alias": "champion" })),
        ];
        assert_eq!(sorted(told(&got)), sorted(expected));
        let mut ids: Vec<&str> = got.iter().map(|one| one.header("x-mlflow-delivery-id")).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);
        teller.stop().await;
    });
}

#[test]
fn prompts_tell_what_mlflow_says_of_them() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let names = [
            "PROMPT.CREATED",
            "PROMPT_VERSION.CREATED",
            "PROMPT_TAG.SET",
            "PROMPT_TAG.DELETED",
            "PROMPT_VERSION_TAG.SET",
            "PROMPT_VERSION_TAG.DELETED",
            "PROMPT_ALIAS.CREATED",
            "PROMPT_ALIAS.DELETED",
        ];
        let id = hook(&test, &receiver.url, &[&names[..], EVERYTHING].concat()).await;
        let teller = Teller::start(&test.app);
        let is_prompt = json!({ "key": "mlflow.prompt.is_prompt", "value": "true" });
        let kind = json!({ "key": "_mlflow_prompt_type", "value": "text" });
        let own = json!({ "key": "team", "value": "risk" });
        post(&test, "/registered-models/create", json!({ "name": "ask", "tags": [is_prompt, kind, own] }))
            .await;
        let text = json!({ "key": "mlflow.prompt.text", "value": "Hello {{name}}!" });
        let version =
            json!({ "name": "ask", "source": "prompt-template", "tags": [is_prompt, kind, text, own] });
        post(&test, "/model-versions/create", version).await;
        post(&test, "/registered-models/set-tag", json!({ "name": "ask", "key": "k", "value": "v" })).await;
        remove(&test, "/registered-models/delete-tag", json!({ "name": "ask", "key": "k" })).await;
        let tag = json!({ "name": "ask", "version": "1", "key": "k", "value": "v" });
        post(&test, "/model-versions/set-tag", tag).await;
        remove(&test, "/model-versions/delete-tag", json!({ "name": "ask", "version": "1", "key": "k" }))
            .await;
        post(
            &test,
            "/registered-models/alias",
            json!({ "name": "ask", "alias": "production", "version": "1" }),
        )
        .await;
        remove(&test, "/registered-models/alias", json!({ "name": "ask", "alias": "production" })).await;
        settled(&test, &id, 8).await;
        let expected = vec![
            (
                "prompt.created".into(),
                json!({ "name": "ask", "tags": { "team": "risk" }, "description": "" }),
            ),
            (
                "prompt_version.created".into(),
                json!({
                    "name": "ask", "version": "1", "template": "Hello {{name}}!", "tags": { "team": "risk" },
                    "description": null,
                }),
            ),
            ("prompt_tag.set".into(), json!({ "name": "ask", "key": "k", "value": "v" })),
            ("prompt_tag.deleted".into(), json!({ "name": "ask", "key": "k" })),
            (
                "prompt_version_tag.set".into(),
                json!({ "name": "ask", "version": "1", "key": "k", "value": "v" }),
            ),
            ("prompt_version_tag.deleted".into(), json!({ "name": "ask", "version": "1", "key": "k" })),
            ("prompt_alias.created".into(), json!({ "name": "ask", "alias": "production", "version": "1" })),
            ("prompt_alias.deleted".into(), json!({ "name": "ask", "alias": "production" })),
        ];
        assert_eq!(sorted(told(&receiver.got())), sorted(expected));
        teller.stop().await;
    });
}

#[test]
fn a_webhook_hears_what_it_asked_for_while_it_is_there_and_active() {
    on_every_store_with(HERE, async |test: TestApp| {
        let (first, second) = (Receiver::willing().await, Receiver::willing().await);
        model(&test, "before-all").await;
        let one = hook(&test, &first.url, &["REGISTERED_MODEL.CREATED"]).await;
        let other = hook(&test, &second.url, &["MODEL_VERSION_ALIAS.CREATED"]).await;
        let teller = Teller::start(&test.app);
        let past = async || tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        past().await;
        model(&test, "heard").await;
        settled(&test, &one, 1).await;
        ok(&patch(&test, &one, json!({ "status": "DISABLED" })).await);
        past().await;
        model(&test, "while-disabled").await;
        past().await;
        ok(&patch(&test, &one, json!({ "status": "ACTIVE" })).await);
        past().await;
        // One that comes later hears nothing of what was before it, although the stream was read already.
        let late = hook(&test, &second.url, &["REGISTERED_MODEL.CREATED"]).await;
        past().await;
        model(&test, "heard-again").await;
        settled(&test, &one, 2).await;
        settled(&test, &late, 1).await;
        let names = |receiver: &Receiver| -> Vec<Value> {
            receiver.got().iter().map(|got| got.json()["data"]["name"].clone()).collect()
        };
        assert_eq!(names(&first), ["heard", "heard-again"]);
        assert_eq!(names(&second), ["heard-again"]);
        assert_eq!(deliveries(&test, &other).await, Vec::<Value>::new());
        teller.stop().await;
    });
}

#[test]
fn values_too_large_for_an_event_are_told_whole_and_deleted_models_by_their_name() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let id = hook(&test, &receiver.url, EVERYTHING).await;
        let long = "ü\"".repeat(45_000);
        let tags = json!([{ "key": "long", "value": long }]);
        post(&test, "/registered-models/create", json!({ "name": "m", "tags": tags, "description": long }))
            .await;
        post(
            &test,
            "/model-versions/create",
            json!({ "name": "m", "source": "s3://b/m", "tags": tags, "description": long }),
        )
        .await;
        post(
            &test,
            "/model-versions/set-tag",
            json!({ "name": "m", "version": "1", "key": "other", "value": long }),
        )
        .await;
        post(&test, "/registered-models/create", json!({ "name": "gone" })).await;
        post(&test, "/model-versions/create", json!({ "name": "gone", "source": "s3://b/m" })).await;
        remove(&test, "/registered-models/delete", json!({ "name": "gone" })).await;
        let teller = Teller::start(&test.app);
        settled(&test, &id, 5).await;
        let mut told = told(&receiver.got());
        told.sort_by_key(|(topic, data)| format!("{topic} {}", data["name"]));
        assert_eq!(told.len(), 5);
        let found: Vec<_> =
            told.iter().map(|(topic, data)| (topic.as_str(), data["name"].as_str().unwrap())).collect();
        let expected = [
            ("model_version.created", "gone"),
            ("model_version.created", "m"),
            ("model_version_tag.set", "m"),
            ("registered_model.created", "gone"),
            ("registered_model.created", "m"),
        ];
        assert_eq!(found, expected);
        for at in [1, 4] {
            assert!(
                told[at].1["description"] == long.as_str() && told[at].1["tags"]["long"] == long.as_str()
            );
        }
        assert!(told[2].1["value"] == long.as_str());
        teller.stop().await;
    });
}

/// A stage may take its alias along, which is part of the event of the stage, or of the version that was deleted.
#[test]
fn aliases_that_move_with_a_stage_are_told() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let id =
            hook(&test, &receiver.url, &["MODEL_VERSION_ALIAS.CREATED", "MODEL_VERSION_ALIAS.DELETED"]).await;
        post(&test, "/registered-models/create", json!({ "name": "m" })).await;
        for _ in 0..3 {
            post(&test, "/model-versions/create", json!({ "name": "m", "source": "s3://b/m" })).await;
        }
        for (version, stage) in [("1", "Production"), ("2", "Production"), ("3", "Staging"), ("3", "None")] {
            let body = json!({
                "name": "m", "version": version, "stage": stage, "archive_existing_versions": false,
            });
            post(&test, "/model-versions/transition-stage", body).await;
        }
        // The alias goes to what is left in the stage, and then with the last of it, which is not told.
        for version in ["2", "1"] {
            remove(&test, "/model-versions/delete", json!({ "name": "m", "version": version })).await;
        }
        let teller = Teller::start(&test.app);
        settled(&test, &id, 5).await;
        let set = |alias: &str, version: &str| {
            let data = json!({ "name": "m", "alias": alias, "version": version });
            ("model_version_alias.created".to_owned(), data)
        };
        let expected = vec![
            set("production", "1"),
            set("production", "2"),
            set("staging", "3"),
            ("model_version_alias.deleted".into(), json!({ "name": "m", "alias": "staging" })),
            set("production", "1"),
        ];
        assert_eq!(sorted(told(&receiver.got())), sorted(expected));
        teller.stop().await;
    });
}

#[test]
fn a_test_is_sent_at_once_and_is_no_delivery() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::start(|n, _| match n {
            0 => Reply::Text(201, "thanks".into()),
            1 => Reply::Text(418, "x".repeat(100_000)),
            _ => Reply::Status(200),
        })
        .await;
        let id = hook(&test, &receiver.url, &["MODEL_VERSION.CREATED"]).await;
        let path = format!("{M}/webhooks/{id}/test");
        let first = test.post(&path, json!({})).await;
        assert_eq!(
            ok(&first)["result"],
            json!({ "success": true, "response_status": 201, "response_body": "thanks" })
        );
        ok(&patch(&test, &id, json!({ "status": "DISABLED" })).await);
        let event = json!({ "entity": "PROMPT_VERSION", "action": "CREATED" });
        let second = test.post(&path, json!({ "event": event })).await;
        let result = &ok(&second)["result"];
        assert_eq!((&result["success"], &result["response_status"]), (&json!(false), &json!(418)));
        assert!(result.get("error_message").is_none(), "an answer came: {result}");
        assert_eq!(result["response_body"].as_str().unwrap().len(), 16 << 10, "an answer is cut");
        let got = receiver.got();
        for one in &got {
            one.verify(SECRET);
        }
        assert_eq!(got[0].json()["data"]["source"], "models:/123");
        assert_eq!(got[1].json()["data"]["template"], "Hello {{name}}!");
        assert_eq!(deliveries(&test, &id).await, Vec::<Value>::new());
        ok(&patch(&test, &id, json!({ "secret": "" })).await);
        ok(&test.post(&path, json!({})).await);
        assert_eq!(receiver.got()[2].header("x-mlflow-signature"), "");
    });
}

#[test]
fn two_that_tell_send_each_delivery_once() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let id = hook(&test, &receiver.url, &["REGISTERED_MODEL.CREATED"]).await;
        let tellers = [Teller::start(&test.app), Teller::start(&test.app), Teller::start(&test.app)];
        for n in 0..40 {
            model(&test, &format!("m{n}")).await;
        }
        settled(&test, &id, 40).await;
        let mut names: Vec<String> = receiver
            .got()
            .iter()
            .map(|got| got.json()["data"]["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        let mut expected: Vec<String> = (0..40).map(|n| format!("m{n}")).collect();
        expected.sort();
        assert_eq!(names, expected);
        for teller in tellers {
            teller.stop().await;
        }
    });
}

#[test]
fn the_log_has_pages_and_states_and_forgets() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::start(|n, _| Reply::Status(if n % 2 == 0 { 200 } else { 400 })).await;
        let id = hook(&test, &receiver.url, &["REGISTERED_MODEL.CREATED"]).await;
        let teller = Teller::start(&test.app);
        for n in 0..6 {
            model(&test, &format!("m{n}")).await;
        }
        let all = settled(&test, &id, 6).await;
        let path = format!("/api/1.0/webhooks/{id}/deliveries");
        let failed =
            ok(&test.get(&format!("{path}?state=failed")).await)["deliveries"].as_array().unwrap().clone();
        assert_eq!(failed.len(), 3, "{all:?}");
        assert!(
            failed
                .iter()
                .all(|one| one["response_status"] == 400 && one["error"].as_str().unwrap().contains("400"))
        );
        let first = ok(&test.get(&format!("{path}?max_results=4")).await).clone();
        let token = first["next_page_token"].as_str().unwrap();
        let second = ok(&test.get(&format!("{path}?max_results=4&page_token={token}")).await).clone();
        assert_eq!(second["next_page_token"], Value::Null);
        let mut pages = [
            first["deliveries"].as_array().unwrap().clone(),
            second["deliveries"].as_array().unwrap().clone(),
        ]
        .concat();
        pages.reverse();
        assert_eq!(pages, all);
        assert_eq!(test.get(&format!("{path}?state=gone")).await.status, 400);
        teller.stop().await;
        // Entered and not sent: it is not forgotten, however old.
        model(&test, "waiting").await;
        assert_eq!(strongback::webhooks::consume(&test.app).await.unwrap(), 1);
        let later = strongback::time::now_ms() + 1_000;
        assert_eq!(strongback::webhooks::sweep(&test.app, 0).await.unwrap(), 0);
        assert_eq!(strongback::webhooks::sweep(&test.app, later).await.unwrap(), 6);
        let left = deliveries(&test, &id).await;
        assert_eq!((left.len(), &left[0]["state"]), (1, &json!("waiting")));
        ok(&test.send(request("DELETE", &format!("{M}/webhooks/{id}"), None)).await);
    });
}

/// Nobody reads the stream while there is no webhook, and the first one does not begin with years of it.
#[test]
fn the_first_webhook_begins_where_the_stream_is() {
    on_every_store_with(HERE, async |test: TestApp| {
        for n in 0..30 {
            model(&test, &format!("old{n}")).await;
        }
        assert_eq!(strongback::webhooks::consume(&test.app).await.unwrap(), 0);
        let receiver = Receiver::willing().await;
        let id = hook(&test, &receiver.url, &["REGISTERED_MODEL.CREATED"]).await;
        let pending = test
            .app
            .db
            .read(&strongback::db::Origin::system(), |sql| {
                strongback::events::cursor::pending(sql, "webhooks", usize::MAX)
            })
            .await
            .unwrap();
        // Its own making, and on PostgreSQL what other writers have at the same time.
        assert_eq!(pending.len(), 1);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        model(&test, "new").await;
        let teller = Teller::start(&test.app);
        settled(&test, &id, 1).await;
        assert_eq!(receiver.got().len(), 1);
        let unused = json!({ "name": "x", "url": receiver.url, "events": events(EVERYTHING) });
        ok(&test.post(&format!("{M}/webhooks"), unused).await);
        until("both webhooks are there", || async {
            let all = test.get(&format!("{M}/webhooks")).await;
            (ok(&all)["webhooks"].as_array().unwrap().len() == 2).then_some(())
        })
        .await;
        teller.stop().await;
    });
}
