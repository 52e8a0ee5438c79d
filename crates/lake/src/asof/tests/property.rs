//! Any rows, any partitions, any batches: the answer is the oracle's.

use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tokio::runtime::Builder;

use super::oracle::{LeftRow, Question, RightRow, expected};
use super::{answer, left_batch, right_batch, session_by, table};
use crate::asof::{Asof, Bound, MaxAge, Sorting, Taken, join, sql};

const NAMES: [Option<&str>; 4] = [None, Some(""), Some("a"), Some("ab")];
const VALUES: [Option<f64>; 6] =
    [None, Some(f64::NAN), Some(-0.0), Some(0.0), Some(f64::NEG_INFINITY), Some(1.5)];

fn key() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 6 => (-1_i64..3).prop_map(Some), 1 => Just(Some(i64::MIN))]
}

fn time() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 12 => (-4_i64..8).prop_map(Some)]
}

fn left_rows() -> impl Strategy<Value = Vec<LeftRow>> {
    let row = (key(), 0..NAMES.len(), time());
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        let row = |(id, (k, name, ts))| LeftRow { id, k, name: NAMES[name], ts };
        (0..).zip(rows).map(row).collect()
    })
}

/// `seq` tells all rows apart, unless rows are written twice.
fn right_rows() -> impl Strategy<Value = Vec<RightRow>> {
    let row = (key(), 0..NAMES.len(), time(), 0..VALUES.len());
    (prop::collection::vec(row, 0..60), any::<bool>()).prop_map(|(rows, twice)| {
        let row = |(seq, (k, name, ts, x))| RightRow { k, name: NAMES[name], ts, x: VALUES[x], seq };
        // Falling numbers: the row that comes last is not the one that wins.
        let mut rows: Vec<RightRow> = (0..).map(|seq: i64| -seq).zip(rows).map(row).collect();
        if twice {
            rows.extend(rows.clone());
        }
        rows
    })
}

fn question() -> impl Strategy<Value = Question> {
    let age = prop_oneof![Just(None), (0_i64..6).prop_map(Some)];
    (any::<bool>(), any::<bool>(), any::<bool>(), age, any::<bool>()).prop_map(
        |(by_k, by_name, strict, age_max, by_seq)| Question { by: (by_k, by_name), strict, age_max, by_seq },
    )
}

async fn by_plan(session: &SessionContext, question: Question) -> Vec<(i64, Option<u64>, Option<i64>)> {
    let left = session.table("l").await.unwrap().into_unoptimized_plan();
    let right = session.table("r").await.unwrap().into_unoptimized_plan();
    let same = |name: &str| (name.to_owned(), name.to_owned());
    let keys = [(question.by.0, "k"), (question.by.1, "name")];
    let take = |name: &str| Taken { column: name.to_owned(), name: name.to_owned() };
    let asof = Asof {
        keys: keys.iter().filter(|(used, _)| *used).map(|(_, name)| same(name)).collect(),
        time: same("ts"),
        bound: Bound { strict: question.strict, max_age: question.age_max.map(MaxAge::Micros) },
        tie_break: if question.by_seq { vec!["seq".to_owned()] } else { vec![] },
        take: vec![take("x"), take("seq")],
    };
    let joined = session.execute_logical_plan(join(left, right, &asof).unwrap()).await.unwrap();
    let columns = joined.select_columns(&["id", "x", "seq"]).unwrap();
    answer(&columns.collect().await.unwrap())
}

/// Text has no tie-break columns: a sub-query that puts `seq` first does the same.
async fn by_text(session: &SessionContext, question: Question) -> Vec<(i64, Option<u64>, Option<i64>)> {
    let right = if question.by_seq { "(select seq, k, name, ts, x from r)" } else { "r" };
    let sign = if question.strict { ">" } else { ">=" };
    let age = question
        .age_max
        .map_or(String::new(), |age| format!("and l.ts - f.ts <= interval '{age} microseconds'"));
    let keys = match question.by {
        (true, true) => "on l.k = f.k and f.name = l.name",
        (true, false) => "on f.k = l.k",
        (false, true) => "using (name)",
        (false, false) => "",
    };
    let text = format!(
        "select l.id, f.x, f.seq from l asof join {right} f match_condition (l.ts {sign} f.ts {age}) {keys}"
    );
    answer(&sql(session, &text).await.unwrap().collect().await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_are_joined_as_by_looking_at_all_pairs(
        left in left_rows(),
        right in right_rows(),
        question in question(),
        target in 1_usize..4,
        batch_rows in prop_oneof![Just(1_usize), Just(3), Just(8192)],
        (partitions, rows_a_batch) in (1_usize..4, 1_usize..20),
        as_text in any::<bool>(),
        sorting in prop::sample::select(vec![Sorting::Engine, Sorting::Scatter]),
    ) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let session = session_by(sorting, target, batch_rows);
        session.register_table("l", table(&left_batch(&left), partitions, rows_a_batch)).unwrap();
        session.register_table("r", table(&right_batch(&right), partitions, rows_a_batch)).unwrap();
        let got = if as_text {
            runtime.block_on(by_text(&session, question))
        } else {
            runtime.block_on(by_plan(&session, question))
        };
        prop_assert_eq!(got, expected(&left, &right, question));
    }
}
