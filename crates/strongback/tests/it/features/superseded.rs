//! Superseded definitions: kept as far as the source is while something served stands on them, and let go then.

use std::time::{Duration, Instant};

use serde_json::json;
use strongback::features::{self, FeatureRef, KeyValue};

use super::{
    Found, MINUTE, TABLE, apply, begin, find, id_of, import, look_up, looking, materialize, working, yaml,
};
use crate::support::{TestApp, on_every_store};

/// What a definition answers, once it can be looked up.
async fn found(test: &TestApp, feature_ref: FeatureRef) -> Found {
    let system = test.system();
    features::when_online(&system, feature_ref, Duration::from_mins(1)).await.unwrap();
    let online = features::open(&system, feature_ref).await.unwrap();
    find(&online, &[KeyValue::Int(7)], 7 * MINUTE).unwrap()
}

/// Waits until a definition that nothing stands on is let go.
async fn let_go(test: &TestApp, feature_ref: FeatureRef) {
    looking(test, async || {
        let until = Instant::now() + Duration::from_mins(1);
        while features::open(&test.system(), feature_ref).await.is_ok() {
            assert!(Instant::now() < until, "it is not let go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn a_definition_is_kept_up_to_date_while_something_stands_on_it() {
    on_every_store(async |mut test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || materialize(&test, TABLE, false).await).await;
        let table = id_of(&test, TABLE).await;
        let first = FeatureRef { table, definition: 1 };
        let holder = id_of(&test, super::SOURCE).await;
        features::hold(&test.system(), holder, &[first]).await.unwrap();

        // Another window of one feature: the others are computed alike, and that one is not.
        apply(&test, &yaml(TABLE, "card", "").replace("10m", "20m")).await;
        let same = "prod.risk.same";
        apply(&test, &yaml(same, "card", "")).await;
        import(&test, "more", "append", &[(9, 7, 6 * MINUTE, Some(0.1)), (10, 7, 3 * MINUTE, Some(0.7))])
            .await;
        let done = working(&test, async || {
            materialize(&test, same, false).await;
            materialize(&test, TABLE, false).await
        })
        .await;
        let upheld = &done["superseded"][0];
        assert_eq!(
            (&upheld["definition"], &upheld["source_version"], &upheld["how"]),
            (&json!(1), &json!(2), &json!("increment")),
            "{done}"
        );
        let expected = look_up(&test, same, Some(7), 7 * MINUTE).await;
        let now = found(&test, first).await;
        assert_eq!((&now.values, now.table_version, now.source_version), (&expected, None, 2));
        let choose = async |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            features::choose(&test.system(), first, names).await.unwrap().definition
        };
        assert_eq!((choose(&["n", "mean"]).await, choose(&["n", "std"]).await), (2, 1));

        // Nothing new: nothing is computed, and said so.
        let done = working(&test, async || materialize(&test, TABLE, false).await).await;
        assert_eq!(done["superseded"][0]["how"], "nothing", "{done}");

        let path = test.dir.path().join("data/online.redb");
        test = test.reopen_after(move || std::fs::remove_file(&path).unwrap()).await;
        let again = working(&test, async || found(&test, first).await).await;
        assert_eq!((again.values, again.source_version), (expected, 2));

        features::hold(&test.system(), holder, &[]).await.unwrap();
        let_go(&test, first).await;
        features::open(&test.system(), FeatureRef { table, definition: 2 }).await.unwrap();
    });
}

/// A model of an older definition is served again, of which nothing is online: it is computed without anybody asking, as far as
/// what is published.
#[test]
fn what_is_stood_on_comes_online_by_itself() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        working(&test, async || {
            apply(&test, &yaml(TABLE, "card", "").replace("10m", "20m")).await;
            materialize(&test, TABLE, false).await;
            import(&test, "more", "append", &[(9, 7, 6 * MINUTE, Some(0.1))]).await;
            let table = id_of(&test, TABLE).await;
            let first = FeatureRef { table, definition: 1 };
            assert!(features::open(&test.system(), first).await.is_err());
            let holder = id_of(&test, super::SOURCE).await;
            features::hold(&test.system(), holder, &[first]).await.unwrap();
            let now = found(&test, first).await;
            assert_eq!(
                (now.source_version, now.table_version),
                (1, None),
                "no further than what is published"
            );
        })
        .await;
        let first = FeatureRef { table: id_of(&test, TABLE).await, definition: 1 };
        let holder = id_of(&test, super::SOURCE).await;
        features::hold(&test.system(), holder, &[]).await.unwrap();
        let_go(&test, first).await;
        // Rolled back to, it is computed once more, though its source has nothing new.
        features::hold(&test.system(), holder, &[first]).await.unwrap();
        assert_eq!(working(&test, async || found(&test, first).await).await.source_version, 1);
    });
}
