//! Table, increment and look-up agree to the last bit, through the real stores.

use serde_json::json;
use testkit::random::Random;

use super::{
    DAY, MINUTE, Row, SOURCE, TABLE, apply, begin, dump, import, look_up, materialize, working, yaml,
};
use crate::{
    support::{TestApp, ok, on_every_store},
    tables::{batch, sql, versions},
};

#[test]
fn a_feature_is_what_one_computes_by_hand() {
    on_every_store(async |test: TestApp| {
        begin(&test, "").await;
        working(&test, async || {
            let done = materialize(&test, TABLE, false).await;
            assert_eq!((done["how"].clone(), done["table_version"].clone()), (json!("full"), json!(1)));
            // Panes 0, 1, 3, 4 hold 1 and 2, 4, nothing but a row, 8.
            let at = "SELECT n, mean FROM prod.risk.amounts WHERE at = TIMESTAMP '2026-11-24T00:05:00Z'";
            assert_eq!(sql(&test, at).await.1, "n,mean\n5,3.75\n");
            assert_eq!(look_up(&test, TABLE, None, 5 * MINUTE).await[..2], [Some(5.0), Some(3.75)]);
            assert_eq!(look_up(&test, TABLE, None, 5 * MINUTE - 1).await[..2], [Some(4.0), Some(7.0 / 3.0)]);
            assert_eq!(look_up(&test, TABLE, None, 0).await, [Some(0.0), None, None]);
            assert_eq!(look_up(&test, TABLE, None, 60 * MINUTE).await, [Some(0.0), None, None]);

            let again = materialize(&test, TABLE, false).await;
            assert_eq!((again["how"].clone(), again["table_version"].clone()), (json!("nothing"), json!(1)));
            import(&test, "late", "append", &[(6, 9, 4 * MINUTE, Some(0.5))]).await;
            let done = materialize(&test, TABLE, false).await;
            assert_eq!((done["how"].clone(), done["table_version"].clone()), (json!("increment"), json!(2)));
            assert_eq!(sql(&test, at).await.1, "n,mean\n6,3.1\n");
            let shown = test.get(&format!("/api/1.0/feature-tables/{TABLE}")).await;
            let published = &ok(&shown)["published"];
            assert_eq!(published["is_online"], true);
            assert_eq!(
                (published["source_version"].clone(), published["versions_behind"].clone()),
                (json!(2), json!(0))
            );
            let edges = test.get(&format!("/api/1.0/lineage?name={TABLE}&direction=up")).await;
            let edge = &ok(&edges)["edges"][0];
            assert_eq!(
                (edge["kind"].clone(), edge["source_version"].clone()),
                (json!("derives"), json!("2"))
            );
            let kept = versions(&test, SOURCE).await;
            assert!(
                kept.iter().all(|version| version.get("pins").is_none()),
                "nothing stays pinned: {kept:?}"
            );
        })
        .await;
    });
}

/// A column that is computed from each row is aggregated like any other, by the table, the increment and the look-up alike.
#[test]
fn an_expression_is_a_column() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        let with = |name: &str, sql: &str| {
            yaml(name, "card", "")
                .replace("features:", &format!("expressions:\n  doubled: {sql}\nfeatures:"))
                .replace("column: amount, window: 5m", "column: doubled, window: 5m")
        };
        let (own, whole) = ("prod.risk.doubled", "prod.risk.doubled_whole");
        let wrong =
            test.post("/api/1.0/feature-tables", json!({ "yaml": with(own, "random() * amount") })).await;
        assert!(wrong.json["message"].as_str().unwrap().contains("random()"), "{wrong:?}");
        let taken = with(own, "Amount * 2").replace("doubled", "amount");
        let taken = test.post("/api/1.0/feature-tables", json!({ "yaml": taken })).await;
        assert!(taken.json["message"].as_str().unwrap().contains("already"), "{taken:?}");
        let text = with(own, "concat('a', card)");
        let text = test.post("/api/1.0/feature-tables", json!({ "yaml": text })).await;
        assert!(text.json["message"].as_str().unwrap().contains("a number or a boolean"), "{text:?}");

        apply(&test, &with(own, "Amount * 2")).await;
        apply(&test, &with(whole, "Amount * 2")).await;
        working(&test, async || {
            materialize(&test, own, false).await;
            // 1, 2, nothing and 8 of card 7.
            assert_eq!(look_up(&test, own, Some(7), 5 * MINUTE).await[1], Some(22.0 / 3.0));
            import(&test, "late", "append", &[(6, 7, 4 * MINUTE, Some(0.5))]).await;
            let done = materialize(&test, own, false).await;
            assert_eq!(done["how"], "increment");
            materialize(&test, whole, false).await;
            assert_eq!(dump(&test, own).await, dump(&test, whole).await);
            assert_eq!(look_up(&test, own, Some(7), 5 * MINUTE).await[1], Some(23.0 / 4.0));
            let again = apply(&test, &with(own, "Amount * 3")).await;
            assert_eq!(again["changes"], json!(["expression doubled: Amount * 2 becomes Amount * 3"]));
            assert_eq!(materialize(&test, own, false).await["how"], "full");
        })
        .await;
    });
}

/// Rows of the next batch: mostly newer ones, some late, a few later than is allowed for.
fn next(random: &mut Random, id: &mut i64, newest: &mut i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..=random.below(25) {
        let back = match random.below(20) {
            0 => 12 * MINUTE,
            1..=5 => random.below(4 * 60) as i64 * 1_000_000,
            _ => 0,
        };
        *newest += random.below(90) as i64 * 500_000;
        let amount = random.chance(9, 10).then(|| (random.below(100_000) as f64) / 7.0 - 3_000.0);
        rows.push((*id, random.below(3) as i64, (*newest - back).max(0), amount));
        *id += 1;
    }
    rows
}

#[test]
fn increments_leave_what_computing_everything_does() {
    let seed = Random::arbitrary_seed();
    println!("seed {seed}");
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        let (global, whole) = ("prod.risk.global", "prod.risk.whole");
        apply(&test, &yaml(global, "", "")).await;
        apply(&test, &yaml(whole, "card", "")).await;
        apply(&test, &yaml("prod.risk.whole_global", "", "")).await;
        let mut random = Random::new(seed);
        let (mut id, mut newest) = (100, 5 * MINUTE);
        let mut ways = std::collections::BTreeSet::new();
        working(&test, async || {
            for round in 0..7 {
                let rows = next(&mut random, &mut id, &mut newest);
                let mode = if round == 5 { "overwrite" } else { "append" };
                import(&test, &format!("b{round}"), mode, &rows).await;
                for (table, twin) in [(TABLE, whole), (global, "prod.risk.whole_global")] {
                    let done = materialize(&test, table, false).await;
                    ways.insert(done["how"].as_str().unwrap().to_owned());
                    assert_eq!(materialize(&test, twin, true).await["how"], "full");
                    assert_eq!(
                        dump(&test, table).await,
                        dump(&test, twin).await,
                        "round {round} of {table}: {done}"
                    );
                    let unique = format!("SELECT count(*) - count(DISTINCT at) AS n FROM {global}");
                    assert_eq!(sql(&test, &unique).await.1, "n\n0\n");
                    for _ in 0..4 {
                        let card = (table == TABLE).then(|| random.below(3) as i64);
                        let at = random.below((newest + 15 * MINUTE) as u64) as i64;
                        let bits = |values: Vec<Option<f64>>| {
                            values.into_iter().map(|value| value.map(f64::to_bits)).collect::<Vec<_>>()
                        };
                        let (one, other) =
                            (look_up(&test, table, card, at).await, look_up(&test, twin, card, at).await);
                        assert_eq!(bits(one.clone()), bits(other), "round {round}, card {card:?} at {at}");
                        assert_eq!(
                            bits(one),
                            bits(published(&test, table, card, at).await),
                            "card {card:?} at {at}"
                        );
                    }
                }
            }
        })
        .await;
        assert_eq!(ways.into_iter().collect::<Vec<_>>(), ["full", "increment"], "seed {seed} tries both");
    });
}

/// What the newest published row by a moment says; what nothing has where there is none.
async fn published(test: &TestApp, table: &str, card: Option<i64>, micros: i64) -> Vec<Option<f64>> {
    let which = card.map_or_else(String::new, |card| format!("AND card = {card}"));
    let statement = format!(
        "SELECT n, mean, std FROM {table} WHERE to_unixtime(at) * 1000000 + 0 <= {} {which} ORDER BY at DESC LIMIT 1",
        (DAY + micros).div_euclid(MINUTE) * MINUTE
    );
    let (status, text) = sql(test, &statement).await;
    assert_eq!(status, 200, "{text}");
    match text.lines().nth(1) {
        Some(line) => line.split(',').map(|value| value.parse().ok()).collect(),
        None => vec![Some(0.0), None, None],
    }
}

/// A clock that is wrong dates one row ahead: what comes at its time goes on being computed as before.
#[test]
fn a_row_that_is_dated_ahead_ends_no_increments() {
    on_every_store(async |test: TestApp| {
        begin(&test, "card").await;
        let land = async |id: &str, at: &str| {
            let types = "types=id:long,card:long,at:timestamp,amount:double";
            let rows = format!("id,card,at,amount\n{id},7,{at},5\n");
            ok(&batch(&test, SOURCE, id, types, &rows).await);
        };
        land("90", "2090-01-01T00:00:00Z").await;
        working(&test, async || {
            assert_eq!(materialize(&test, TABLE, false).await["how"], "full");
            for id in ["91", "92"] {
                land(id, &chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)).await;
                assert_eq!(materialize(&test, TABLE, false).await["how"], "increment");
            }
            let by_increments = dump(&test, TABLE).await;
            materialize(&test, TABLE, true).await;
            assert_eq!(dump(&test, TABLE).await, by_increments);
        })
        .await;
    });
}
