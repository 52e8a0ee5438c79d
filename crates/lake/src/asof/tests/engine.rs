//! How the operator stands in the engine: orders, memory, measures, cancellation.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::col;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions, StatisticsArgs, StatisticsContext,
    collect, displayable,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use super::oracle::{LeftRow, Question, RightRow, expected};
use super::{answer, left_batch, right_batch, session, session_of, with_tables};
use crate::asof::{Sorting, register_as, sql};

const QUERY: &str = "select l.id, r.x, r.seq from l asof join r match_condition (l.ts >= r.ts) on l.k = r.k";
const QUESTION: Question = Question { by: (true, false), strict: false, age_max: None, by_seq: false };

/// Rows in no order: keys 0..keys, times 0..1000.
fn many(left: usize, right: usize, keys: i64) -> (Vec<LeftRow>, Vec<RightRow>) {
    let mut state = 88_172_645_463_325_252_u64;
    let mut below = |bound: i64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound.unsigned_abs()).cast_signed()
    };
    let left = (0..left.try_into().unwrap())
        .map(|id| LeftRow { id, k: Some(below(keys)), name: None, ts: Some(below(1000)) })
        .collect();
    let right = (0..right.try_into().unwrap())
        .map(|seq: i64| {
            let (k, ts) = (Some(below(keys)), Some(below(1000)));
            RightRow { k, name: Some("some text that takes room"), ts, x: Some(below(9) as f64), seq }
        })
        .collect();
    (left, right)
}

async fn plan(session: &SessionContext, query: &str) -> Arc<dyn ExecutionPlan> {
    sql(session, query).await.unwrap().create_physical_plan().await.unwrap()
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

/// `l` and `r` in the order (k, ts), declared as such. Their nulls, if they had any, would stand at either end.
fn register_sorted(session: &SessionContext, left: RecordBatch, right: RecordBatch) {
    for (name, batch, nulls_first) in [("l", left, true), ("r", right, false)] {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        let order = vec![col("k").sort(true, nulls_first), col("ts").sort(true, nulls_first)];
        session.register_table(name, Arc::new(table.with_sort_order(vec![order]))).unwrap();
    }
}

#[tokio::test]
async fn inputs_declared_sorted_are_not_sorted_again() {
    let (mut left, mut right) = many(50, 200, 7);
    left.sort_by_key(|row| (row.k, row.ts));
    right.sort_by_key(|row| (row.k, row.ts));
    let config = SessionConfig::new().with_target_partitions(3);
    let kept = config.clone().set_bool("datafusion.optimizer.prefer_existing_sort", true);
    for session in [session(1, 8192), session_of(Sorting::Choose, kept)] {
        register_sorted(&session, left_batch(&left), right_batch(&right));
        let plan = plan(&session, QUERY).await;
        assert!(!text(&plan).contains("SortExec"), "{}", text(&plan));
        let got = collect(plan, session.task_ctx()).await.unwrap();
        assert_eq!(answer(&got), expected(&left, &right, QUESTION));
    }
    for (sorting, sorts) in [(Sorting::Engine, 2), (Sorting::Choose, 0)] {
        let unsorted = session_of(sorting, config.clone());
        with_tables(&unsorted, &left, &right);
        let text = text(&plan(&unsorted, QUERY).await);
        assert_eq!(text.matches("SortExec").count(), sorts, "{text}");
        assert_eq!(text.contains(", scattered"), sorts == 0, "{text}");
    }
}

#[tokio::test]
async fn an_order_that_is_declared_and_untrue_is_an_error() {
    let (left, right) = many(50, 200, 7);
    let mut sorted = left.clone();
    sorted.sort_by_key(|row| (row.k, row.ts));
    for (left, side) in [(left, "left"), (sorted, "right")] {
        let session = session(1, 8192);
        register_sorted(&session, left_batch(&left), right_batch(&right));
        let error = collect(plan(&session, QUERY).await, session.task_ctx()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("the {side} side of the point-in-time join")), "{error}");
    }
}

#[tokio::test]
async fn a_left_order_is_kept() {
    let (mut left, mut right) = many(50, 200, 7);
    left.sort_by_key(|row| (row.k, row.ts));
    right.sort_by_key(|row| (row.k, row.ts));
    let session = session(1, 8192);
    register_sorted(&session, left_batch(&left), right_batch(&right));
    let plan = plan(&session, &format!("{QUERY} order by l.k nulls first, l.ts nulls first")).await;
    assert!(!text(&plan).contains("SortExec"), "{}", text(&plan));
}

#[tokio::test]
async fn a_small_memory_limit_spills_and_changes_nothing() {
    let (left, right) = many(3_000, 120_000, 500);
    let large = session(2, 8192);
    with_tables_of(&large, &left, &right);
    let whole = answer(&sql(&large, QUERY).await.unwrap().collect().await.unwrap());
    for sorting in [Sorting::Engine, Sorting::Scatter] {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(5 << 20, 1.0).build_arc().unwrap();
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_batch_size(1024)
            .with_sort_spill_reservation_bytes(64 << 10);
        let builder =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
        let small = SessionContext::new_with_state(register_as(builder, sorting).build());
        with_tables_of(&small, &left, &right);
        let plan = plan(&small, QUERY).await;
        let got = answer(&collect(Arc::clone(&plan), small.task_ctx()).await.unwrap());
        assert!(spills(&plan) > 0, "nothing was spilled: {}", text(&plan));
        assert!(got == whole, "{sorting:?}: another answer than in memory");
        assert_eq!(got.len(), left.len());
    }
}

/// Tables in batches of the usual size.
fn with_tables_of(session: &SessionContext, left: &[LeftRow], right: &[RightRow]) {
    session.register_table("l", super::table(&left_batch(left), 2, 8192)).unwrap();
    session.register_table("r", super::table(&right_batch(right), 2, 8192)).unwrap();
}

fn spills(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let here = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
    here + plan.children().into_iter().map(spills).sum::<usize>()
}

/// The join in a plan.
fn operator(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    if plan.name() == "AsofExec" {
        return Some(Arc::clone(plan));
    }
    plan.children().into_iter().find_map(operator)
}

#[tokio::test]
async fn it_is_measured_estimated_and_explained() {
    let (left, right) = many(300, 1000, 9);
    let session = session(2, 64);
    with_tables(&session, &left, &right);
    let plan = plan(&session, QUERY).await;
    collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    let join = operator(&plan).unwrap();
    let matched = expected(&left, &right, QUESTION).iter().filter(|(_, _, seq)| seq.is_some()).count();
    let metrics = join.metrics().unwrap();
    for (name, count) in [("left_rows", 300), ("right_rows", 1000), ("matched_rows", matched)] {
        assert_eq!(metrics.sum_by_name(name).map(|value| value.as_usize()), Some(count), "{name}");
    }
    assert_eq!(metrics.output_rows(), Some(300));
    let statistics = StatisticsContext::new().compute(join.as_ref(), &StatisticsArgs::new()).unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(300));
    assert_eq!(statistics.column_statistics.len(), join.schema().fields().len());
    assert!(text(&plan).contains("AsofExec: ts@2 >= ts@2, k@1 = k@0"), "{}", text(&plan));
    let explained = sql(&session, &format!("explain {QUERY}")).await.unwrap().collect().await.unwrap();
    let explained = datafusion::arrow::util::pretty::pretty_format_batches(&explained).unwrap().to_string();
    assert!(explained.contains("AsofJoin: l.ts >= r.ts, l.k = r.k"), "{explained}");
}

#[tokio::test]
async fn new_children_make_a_new_operator() {
    let (left, right) = many(30, 100, 3);
    let session = session(1, 64);
    with_tables(&session, &left, &right);
    let plan = plan(&session, QUERY).await;
    let join = operator(&plan).unwrap();
    let children: Vec<_> = join.children().into_iter().cloned().collect();
    let options = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    let again = Arc::clone(&join).replace_children(children.clone(), options()).unwrap();
    let rows = collect(Arc::clone(&again), session.task_ctx()).await.unwrap();
    let columns: Vec<RecordBatch> = rows.iter().map(|batch| batch.project(&[0, 6, 7]).unwrap()).collect();
    assert_eq!(answer(&columns), expected(&left, &right, QUESTION));
    // What the new one counted, the old one did not.
    assert_eq!(join.metrics().unwrap().output_rows(), None);
    let message = again.replace_children(children[..1].to_vec(), options()).unwrap_err().to_string();
    assert!(message.contains("has two inputs"), "{message}");
}

#[tokio::test]
async fn a_dropped_stream_gives_its_memory_back() {
    let (left, right) = many(5_000, 20_000, 100);
    let session = session(2, 256);
    with_tables(&session, &left, &right);
    let plan = plan(&session, QUERY).await;
    let mut stream = datafusion::physical_plan::execute_stream(plan, session.task_ctx()).unwrap();
    assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    let pool = Arc::clone(&session.runtime_env().memory_pool);
    assert!(pool.reserved() > 0);
    drop(stream);
    for _ in 0..1_000 {
        if pool.reserved() == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} bytes are still reserved", pool.reserved());
}

#[tokio::test]
async fn with_a_tie_break_only_what_is_read_is_scanned() {
    use crate::asof::{Asof, Bound, Taken, join};
    let (left, right) = many(30, 100, 3);
    let session = session(1, 64);
    with_tables(&session, &left, &right);
    let same = |name: &str| (name.to_owned(), name.to_owned());
    let mut asof = Asof {
        keys: vec![same("k")],
        time: same("ts"),
        bound: Bound::default(),
        tie_break: vec!["seq".to_owned()],
        take: vec![Taken { column: "x".to_owned(), name: "x".to_owned() }],
    };
    for (tie_break, width) in [(vec!["seq".to_owned()], 4), (vec![], 5)] {
        asof.tie_break = tie_break;
        let left = session.table("l").await.unwrap().into_unoptimized_plan();
        let right = session.table("r").await.unwrap().into_unoptimized_plan();
        let frame = session.execute_logical_plan(join(left, right, &asof).unwrap()).await.unwrap();
        let plan = frame.select_columns(&["x"]).unwrap().create_physical_plan().await.unwrap();
        let join = operator(&plan).unwrap();
        let widths: Vec<usize> = join.children().iter().map(|input| input.schema().fields().len()).collect();
        assert_eq!(widths, [2, width], "{}", text(&plan));
    }
}
