//! Reading the log page by page, newest first.

use super::{damage, note};
use crate::support::{TestApp, on_every_store};

async fn page(test: &TestApp, query: &str) -> (Vec<String>, Option<String>) {
    let answer = test.get(&format!("/api/1.0/audit-log?action=catalog.update{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let texts = answer.json["events"].as_array().unwrap().iter();
    let texts = texts.map(|event| event["detail"]["text"].as_str().unwrap().to_owned()).collect();
    (texts, answer.json["next_page_token"].as_str().map(str::to_owned))
}

#[test]
fn pages_lose_and_repeat_nothing_while_the_log_grows() {
    on_every_store(|test| async move {
        // Many at once, so that blocks hold several entries.
        let writes = (0..40).map(|n| {
            let ctx = test.system();
            tokio::spawn(async move { note(&ctx, &format!("{n:02}")).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap();
        }
        let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (texts, next) = page(&test, &format!("&max_results=7{token}")).await;
            assert!(texts.len() <= 7);
            found.extend(texts);
            pages += 1;
            let Some(next) = next else { break };
            token = format!("&page_token={next}");
            note(&test.system(), "newer than the first page").await;
        }
        assert!(pages >= 6, "{pages}");
        found.sort();
        let expected: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
        assert_eq!(found, expected);
        let bad = test.get("/api/1.0/audit-log?page_token=what").await;
        assert_eq!((bad.status, bad.error_code()), (400, "INVALID_PARAMETER_VALUE"));
    });
}

#[test]
fn a_page_ends_after_so_many_bytes_and_loses_nothing() {
    on_every_store(|test| async move {
        let long = "x".repeat(60_000);
        for group in 0..4 {
            let writes = (0..40).map(|n| {
                let (ctx, text) = (test.system(), format!("{:03} {long}", group * 40 + n));
                tokio::spawn(async move { note(&ctx, &text).await })
            });
            for write in writes.collect::<Vec<_>>() {
                write.await.unwrap();
            }
        }
        let (first, next) = page(&test, "&max_results=10000").await;
        assert!((100..160).contains(&first.len()), "{} events of 60,000 bytes", first.len());
        let (rest, none) = page(&test, &format!("&max_results=10000&page_token={}", next.unwrap())).await;
        assert_eq!(none, None);
        let mut found: Vec<String> = first.iter().chain(&rest).map(|text| text[..3].to_owned()).collect();
        found.sort();
        assert_eq!(found, (0..160).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    });
}

#[test]
fn times_bound_the_list_on_both_sides() {
    on_every_store(|test| async move {
        let mut moments = Vec::new();
        for text in ["first", "second", "third"] {
            note(&test.system(), text).await;
            moments.push(strongback::time::now_ms());
            while strongback::time::now_ms() <= moments[moments.len() - 1] {
                tokio::task::yield_now().await;
            }
        }
        let (until, since) = (moments[1], moments[0] + 1);
        assert_eq!(page(&test, &format!("&until={until}")).await.0, ["second", "first"]);
        assert_eq!(page(&test, &format!("&since={since}")).await.0, ["third", "second"]);
        assert_eq!(page(&test, &format!("&since={since}&until={until}")).await.0, ["second"]);
    });
}

#[test]
fn a_damaged_block_hides_no_other() {
    on_every_store(|test| async move {
        for text in ["first", "second", "third"] {
            note(&test.system(), text).await;
        }
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        let block = listed.json["events"][1]["block"].as_str().unwrap().to_owned();
        // The details alone: the entry is there without what was said.
        damage(&test, "details", &block);
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        let texts: Vec<_> = listed.json["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["detail"]["text"].as_str())
            .collect();
        assert_eq!(texts, [Some("third"), None, Some("first")]);
        // All of it, its hash too: a line stands for the block, whatever is asked for.
        for column in ["body", "hash", "previous_hash"] {
            damage(&test, column, &block);
        }
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        let actions: Vec<_> = listed.json["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["action"].as_str().unwrap())
            .collect();
        assert_eq!(actions, ["catalog.update", "audit_log.unreadable", "catalog.update"]);
        assert_eq!(listed.json["events"][1]["block"], block);
    });
}
