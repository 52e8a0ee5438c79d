//! What the join does not do, and what it says then.

use super::oracle::{LeftRow, RightRow};
use super::{session, with_tables};
use crate::asof::{Asof, Bound, MaxAge, Taken, join, sql};

fn rows() -> (Vec<LeftRow>, Vec<RightRow>) {
    let left = vec![LeftRow { id: 1, k: Some(1), name: Some("a"), ts: Some(5) }];
    let right = vec![
        RightRow { k: Some(1), name: Some("a"), ts: Some(4), x: Some(1.0), seq: 7 },
        RightRow { k: Some(1), name: Some("b"), ts: Some(4), x: Some(2.0), seq: 7 },
    ];
    (left, right)
}

async fn refusal(condition: &str, on: &str) -> String {
    let session = session(1, 8192);
    let (left, right) = rows();
    with_tables(&session, &left, &right);
    let text = format!("select x from l asof join r match_condition ({condition}) {on}");
    match sql(&session, &text).await {
        Ok(frame) => frame.collect().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn conditions_that_are_none_name_themselves() {
    for (condition, on, said) in [
        ("l.ts = r.ts", "on l.k = r.k", "not 'l.ts = r.ts'"),
        ("l.ts <= r.ts", "on l.k = r.k", "must say that the left time is not before the right time"),
        ("l.ts >= r.ts and l.id >= r.seq", "on l.k = r.k", "compares the times twice: 'l.id >= r.seq'"),
        ("l.ts >= r.ts and l.ts - r.ts < interval '1 hour'", "on l.k = r.k", "takes one age limit"),
        ("l.ts >= r.ts and l.ts - r.ts <= interval '1 month'", "on l.k = r.k", "is no age limit"),
        ("l.ts >= r.ts and l.ts - r.ts <= 5", "on l.k = r.k", "does not fit times of type Timestamp"),
        (
            "l.id >= r.seq and l.id - r.seq <= interval '1 hour'",
            "on l.k = r.k",
            "does not fit times of type Int64",
        ),
        ("l.name >= r.name", "on l.k = r.k", "times are timestamps, dates or integers"),
        ("l.ts >= r.ts", "on l.k > r.k", "takes equalities joined by AND, not 'l.k > r.k'"),
        ("l.ts >= r.ts", "on l.k = l.id", "compares a left with a right column"),
        ("l.ts >= r.ts", "on l.k = r.x", "has no exact equality"),
        ("l.ts >= r.ts", "on l.k = r.name", "is of type Int64 and 'r.name' of type Utf8"),
        ("l.ts >= r.ts", "on l.k = r.k + cast(random() as bigint)", "gives another value each time"),
    ] {
        let message = refusal(condition, on).await;
        assert!(message.contains(said), "{condition} {on}: {message}");
    }
}

#[tokio::test]
async fn a_chain_has_an_end() {
    let session = session(1, 8192);
    let (left, right) = rows();
    with_tables(&session, &left, &right);
    let link = |n: usize| format!(" asof join r r{n} match_condition (l.ts >= r{n}.ts)");
    let text = format!("select 1 from l{}", (0..65).map(link).collect::<String>());
    let message = sql(&session, &text).await.unwrap_err().to_string();
    assert!(
        message.contains("65 ASOF JOINs follow each other in one FROM item, at most 64 may"),
        "{message}"
    );
}

#[tokio::test]
async fn plans_name_the_column_that_is_wrong() {
    let session = session(1, 8192);
    let (left, right) = rows();
    with_tables(&session, &left, &right);
    let take = |column: &str, name: &str| Taken { column: column.to_owned(), name: name.to_owned() };
    let good = Asof {
        keys: vec![("k".to_owned(), "k".to_owned())],
        time: ("ts".to_owned(), "ts".to_owned()),
        bound: Bound::default(),
        tie_break: vec!["seq".to_owned()],
        take: vec![take("x", "x")],
    };
    for (asof, said) in [
        (
            Asof { tie_break: vec!["row".to_owned()], ..good.clone() },
            "the right side of the point-in-time join has no single column 'row'",
        ),
        (
            Asof { time: ("TS".to_owned(), "ts".to_owned()), ..good.clone() },
            "the left side of the point-in-time join has no single column 'TS'",
        ),
        (Asof { take: vec![take("x", "k")], ..good.clone() }, "two columns would be called 'k'"),
        (
            Asof { take: vec![take("x", "y"), take("seq", "y")], ..good.clone() },
            "two columns would be called 'y'",
        ),
        (
            Asof { bound: Bound { strict: false, max_age: Some(MaxAge::Micros(-1)) }, ..good.clone() },
            "an age limit of -1 matches nothing",
        ),
    ] {
        let left = session.table("l").await.unwrap().into_unoptimized_plan();
        let right = session.table("r").await.unwrap().into_unoptimized_plan();
        let message = join(left, right, &asof).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
    // The two rows differ, and their sequence number is the same.
    let left = session.table("l").await.unwrap().into_unoptimized_plan();
    let right = session.table("r").await.unwrap().into_unoptimized_plan();
    let frame = session.execute_logical_plan(join(left, right, &good).unwrap()).await.unwrap();
    let message = frame.collect().await.unwrap_err().to_string();
    assert!(message.contains("name a tie-break column that tells them apart"), "{message}");
}
