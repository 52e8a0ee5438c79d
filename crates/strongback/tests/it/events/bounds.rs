//! What one event may hold.

use serde_json::json;
use strongback::{
    catalog::authorize_admin,
    db::Change,
    events::{Event, EventKind},
};

use super::{checkpointed, note, report};
use crate::support::{ok, on_every_store};

#[test]
fn a_huge_detail_becomes_a_summary_that_verifies() {
    on_every_store(|test| async move {
        note(&test.system(), &"x".repeat(1 << 20)).await;
        note(&test.system(), "small").await;
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        let events = &ok(&listed)["events"];
        assert_eq!(events[0]["detail"], json!({ "text": "small" }));
        let summary = &events[1]["detail"]["too_large"];
        assert_eq!(summary["bytes"], (1 << 20) + r#"{"text":""}"#.len());
        assert_eq!(summary["left_out"], json!(["text"]));
        let kept = checkpointed(&test).await;
        let report = report(&test, Some(kept)).await;
        assert!(report.is_clean() && report.erased == 0, "{report:?}");
    });
}

#[test]
fn a_text_as_subject_fails_alone_and_leaves_nothing() {
    on_every_store(|test| async move {
        let named = |subject: &'static str| {
            let ctx = test.system();
            tokio::spawn(async move {
                let write = ctx.write(move |tx| {
                    authorize_admin(tx, "test")?;
                    Ok(Change::Made((), Event::new(EventKind::CatalogUpdate).subject(subject)))
                });
                write.await
            })
        };
        let (good, bad, other) = (named("1"), named("ana@example.com"), named("2"));
        assert!(good.await.unwrap().is_ok() && other.await.unwrap().is_ok());
        assert!(bad.await.unwrap().is_err());
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        assert_eq!(ok(&listed)["events"].as_array().unwrap().len(), 2);
    });
}
