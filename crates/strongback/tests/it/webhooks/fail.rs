//! Receivers that fail, hang, send elsewhere, or are where nothing is to be sent; and a server that stops in between.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    HERE, M, SECRET, Teller, deliveries, hook, model, patch,
    receiver::{Receiver, Reply},
    settled, until,
};
use crate::support::{TestApp, ok, on_every_store_with};

const CREATED: &[&str] = &["REGISTERED_MODEL.CREATED"];

#[test]
fn what_fails_is_sent_again_later_with_the_same_id_and_body() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::start(|n, _| match n {
            0 => Reply::Status(503),
            1 => Reply::With(429, "retry-after", "2".into()),
            _ => Reply::Status(204),
        })
        .await;
        let id = hook(&test, &receiver.url, CREATED).await;
        let teller = Teller::start(&test.app);
        model(&test, "m").await;
        let waiting = until("the first attempt has failed", || async {
            let found = deliveries(&test, &id).await;
            found.into_iter().find(|one| one["state"] == "waiting" && one["response_status"] == 503)
        })
        .await;
        assert!(
            waiting["error"].as_str().unwrap().contains("503") && waiting["next_attempt_at"].is_i64(),
            "{waiting}"
        );
        let log = settled(&test, &id, 1).await;
        let one = &log[0];
        assert_eq!(
            (&one["state"], &one["attempts"], &one["response_status"]),
            (&json!("delivered"), &json!(3), &json!(204))
        );
        assert_eq!((&one["error"], &one["next_attempt_at"]), (&Value::Null, &Value::Null));
        let got = receiver.got();
        for each in &got {
            each.verify(SECRET);
        }
        let ids: Vec<&str> = got.iter().map(|each| each.header("x-mlflow-delivery-id")).collect();
        assert_eq!(ids, [one["delivery_id"].as_str().unwrap(); 3]);
        assert!(got.iter().all(|each| each.body == got[0].body));
        assert!(got[1].at - got[0].at >= Duration::from_millis(450), "it waits before it tries again");
        assert!(got[2].at - got[1].at >= Duration::from_secs(2), "and as long as it is asked to");
        teller.stop().await;
    });
}

#[test]
fn what_cannot_be_mended_by_waiting_is_given_up_at_once_and_no_redirect_is_followed() {
    on_every_store_with(HERE, async |test: TestApp| {
        let elsewhere = Receiver::willing().await;
        let to = elsewhere.url.clone();
        let receiver = Receiver::start(move |n, _| match n {
            0 => Reply::Status(404),
            1 => Reply::With(307, "location", to.clone()),
            2 => Reply::With(302, "location", "http://169.254.169.254/latest/meta-data/".into()),
            _ => Reply::Status(200),
        })
        .await;
        let id = hook(&test, &receiver.url, CREATED).await;
        let teller = Teller::start(&test.app);
        for n in 0..4 {
            model(&test, &format!("m{n}")).await;
            settled(&test, &id, n + 1).await;
        }
        let log = settled(&test, &id, 4).await;
        let states: Vec<_> = log
            .iter()
            .map(|one| (one["state"].as_str().unwrap(), one["response_status"].as_i64().unwrap()))
            .collect();
        assert_eq!(states, [("failed", 404), ("failed", 307), ("failed", 302), ("delivered", 200)]);
        assert!(log.iter().all(|one| one["attempts"] == 1));
        assert!(log[1]["error"].as_str().unwrap().contains("redirects are not followed"), "{log:?}");
        assert!(elsewhere.got().is_empty());
        let tested = test.post(&format!("{M}/webhooks/{id}/test"), json!({})).await;
        assert_eq!(ok(&tested)["result"]["success"], true);
        teller.stop().await;
    });
}

/// What the operator allowed when the webhook was made and does not any more; and what a name means is asked at every attempt.
#[test]
fn where_one_may_send_is_asked_again_at_every_attempt() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let https = receiver.url.replace("http://", "https://");
        let plain = hook(&test, &receiver.url, CREATED).await;
        let tls = hook(&test, &https, CREATED).await;
        model(&test, "m").await;
        let test = test.reopen().await;
        let teller = Teller::start(&test.app);
        for (id, part) in
            [(&plain, "Allowed schemes are: https"), (&tls, "non-public IP address (127.0.0.1)")]
        {
            let log = settled(&test, id, 1).await;
            let error = log[0]["error"].as_str().unwrap();
            assert!(
                log[0]["state"] == "failed" && log[0]["attempts"] == 1 && error.contains(part),
                "{log:?}"
            );
            assert!(!error.contains("in-the-address"), "{error}");
            let tested = test.post(&format!("{M}/webhooks/{id}/test"), json!({})).await;
            let result = &ok(&tested)["result"];
            assert_eq!(result["success"], false);
            assert!(result["error_message"].as_str().unwrap().contains(part), "{result}");
        }
        assert!(receiver.got().is_empty());
        teller.stop().await;
    });
}

#[test]
fn a_receiver_that_is_away_or_hangs_holds_up_no_other_and_no_stop() {
    on_every_store_with(HERE, async |test: TestApp| {
        let hanging = Receiver::start(|_, _| Reply::Hang).await;
        let gone = Receiver::willing().await;
        let willing = Receiver::willing().await;
        let mut ids = Vec::new();
        for receiver in [&hanging, &gone, &willing] {
            ids.push(hook(&test, &receiver.url, CREATED).await);
        }
        drop(gone);
        let teller = Teller::start(&test.app);
        for n in 0..30 {
            model(&test, &format!("m{n}")).await;
        }
        let log = settled(&test, &ids[2], 30).await;
        assert!(log.iter().all(|one| one["state"] == "delivered"), "{log:?}");
        let away = until("it was tried", || async {
            deliveries(&test, &ids[1])
                .await
                .into_iter()
                .find(|one| one["attempts"].as_i64() > Some(0) && !one["error"].is_null())
        })
        .await;
        assert!(
            away["state"] == "waiting" && away["error"].as_str().unwrap().contains("No answer"),
            "{away}"
        );
        assert!(!away["error"].as_str().unwrap().contains("in-the-address"), "{away}");
        assert_eq!(hanging.got().len(), 4, "so many at a time");
        let begun = Instant::now();
        teller.stop().await;
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
        // A webhook that is deleted takes what waits along.
        let path = format!("{M}/webhooks/{}", ids[0]);
        ok(&test.send(crate::support::request("DELETE", &path, None)).await);
    });
}

/// The limit of a request is half a minute, so that this takes as long, on one store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_an_answer_ends_and_is_made_again() {
    let test = TestApp::open(HERE, None).await;
    let receiver = Receiver::start(|n, _| if n == 0 { Reply::Hang } else { Reply::Status(200) }).await;
    let id = hook(&test, &receiver.url, CREATED).await;
    let teller = Teller::start(&test.app);
    model(&test, "m").await;
    let log = settled(&test, &id, 1).await;
    assert_eq!((&log[0]["state"], &log[0]["attempts"]), (&json!("delivered"), &json!(2)), "{log:?}");
    let got = receiver.got();
    let pause = got[1].at - got[0].at;
    assert!((29..50).contains(&pause.as_secs()), "{pause:?}");
    teller.stop().await;
}

#[test]
fn what_a_process_left_behind_is_told_by_the_next_one() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::start(|n, _| if n < 2 { Reply::Hang } else { Reply::Status(200) }).await;
        let id = hook(&test, &receiver.url, CREATED).await;
        // Happened, and nobody looked at it.
        model(&test, "unread").await;
        let test = test.reopen_with(HERE, || ()).await;
        // Entered, and not sent.
        assert_eq!(strongback::webhooks::consume(&test.app).await.unwrap(), 1);
        let test = test.reopen_with(HERE, || ()).await;
        model(&test, "second").await;
        // Sent, and nobody heard what became of it.
        let teller = Teller::start(&test.app);
        until("both are under way", || async { (receiver.got().len() == 2).then_some(()) }).await;
        teller.kill().await;
        assert!(deliveries(&test, &id).await.iter().all(|one| one["state"] == "waiting"));
        let test = test.reopen_with(HERE, || ()).await;
        let teller = Teller::start(&test.app);
        let log = settled(&test, &id, 2).await;
        assert!(log.iter().all(|one| one["state"] == "delivered" && one["attempts"] == 2), "{log:?}");
        let mut names: Vec<(String, String)> = receiver
            .got()
            .iter()
            .map(|got| {
                let name = got.json()["data"]["name"].as_str().unwrap().to_owned();
                (name, got.header("x-mlflow-delivery-id").to_owned())
            })
            .collect();
        names.sort();
        assert_eq!(names[0], names[1], "sent twice, and known by its id");
        assert_eq!(names[2], names[3]);
        assert_eq!((&*names[0].0, &*names[2].0, names.len()), ("second", "unread", 4));
        teller.stop().await;
    });
}

#[test]
fn a_secret_of_another_key_signs_nothing_and_says_so() {
    on_every_store_with(HERE, async |test: TestApp| {
        let receiver = Receiver::willing().await;
        let id = hook(&test, &receiver.url, CREATED).await;
        let key = test.dir.path().join("data/keys/secrets.key");
        let test = test.reopen_with(HERE, move || std::fs::remove_file(key).unwrap()).await;
        let teller = Teller::start(&test.app);
        model(&test, "m").await;
        let log = settled(&test, &id, 1).await;
        assert!(
            log[0]["state"] == "failed" && log[0]["error"].as_str().unwrap().contains("Set the secret again"),
            "{log:?}"
        );
        assert!(receiver.got().is_empty());
        ok(&patch(&test, &id, json!({ "secret": SECRET })).await);
        model(&test, "next").await;
        settled(&test, &id, 2).await;
        receiver.got()[0].verify(SECRET);
        teller.stop().await;
    });
}
