//! A request by its id.

use strongback::{
    context::Ctx,
    db::Origin,
    serving::payload::{find, flush},
};
use uuid::Uuid;

use super::{fraud, record};
use crate::support::{TestApp, on_every_store};

#[test]
fn a_request_is_found_in_the_log_and_then_in_its_table() {
    on_every_store(async |test: TestApp| {
        let (endpoint, recorder) = fraud(&test).await;
        let wanted = record(6, 3);
        let id = wanted.request_id;
        recorder.append(record(5, 1)).await.unwrap();
        recorder.append(wanted).await.unwrap();
        recorder.append(record(7, 1)).await.unwrap();
        let ctx = test.system();
        let mut waiting = find(&ctx, id, 1_000).await.unwrap().unwrap().rows;
        assert!(waiting.iter().all(|row| row.is_waiting));
        let second = &waiting[1];
        assert_eq!((second.row, second.endpoint, second.model_version), (1, endpoint.asset, 3));
        assert_eq!((second.prediction, second.prediction_label.as_deref()), (Some(0.25), Some("l1")));
        assert_eq!(
            (second.served_at_micros, second.event_time_micros),
            (1_795_000_000_000_006, 1_700_000_000_000_006)
        );
        assert_eq!(second.feature_versions["asset 999999"]["version"], 7);
        assert_eq!(
            (&second.features["count"], &second.features["amount"]),
            (&6.into(), &serde_json::Value::Null)
        );
        assert_eq!(waiting[2].features["amount"], 6.25);
        assert_eq!(find(&ctx, id, 2).await.unwrap().unwrap().rows, waiting[..2]);

        flush(&ctx).await.unwrap();
        let drained = find(&ctx, id, 1_000).await.unwrap().unwrap().rows;
        assert!(drained.iter().all(|row| !row.is_waiting));
        for row in &mut waiting {
            row.is_waiting = false;
        }
        assert_eq!(drained, waiting, "the same from either place");
        assert_eq!(find(&ctx, id, 2).await.unwrap().unwrap().rows, waiting[..2], "so many at most");
        assert!(find(&ctx, Uuid::now_v7(), 1_000).await.unwrap().is_none());
    });
}

#[test]
fn who_may_not_read_the_table_finds_nothing() {
    on_every_store(async |test: TestApp| {
        let (_, recorder) = fraud(&test).await;
        let wanted = record(1, 1);
        let id = wanted.request_id;
        recorder.append(wanted).await.unwrap();
        crate::support::token_of(&test, "eve", false).await;
        let caller = test
            .app
            .db
            .read(&Origin::system(), |sql| {
                let eve = strongback::catalog::principal::require(sql, "eve")?;
                strongback::catalog::principal::by_id(sql, eve)
            })
            .await
            .unwrap();
        let eve = Ctx { app: test.app.clone(), origin: Origin { caller, ..Origin::system() } };
        assert!(find(&eve, id, 1_000).await.unwrap().is_none(), "in the log");
        flush(&test.system()).await.unwrap();
        assert!(find(&eve, id, 1_000).await.unwrap().is_none(), "in the table");
        assert!(find(&test.system(), id, 1_000).await.unwrap().is_some());
    });
}
