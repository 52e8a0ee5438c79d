//! Joins that go on for long give way.
//!
//! A join of rows that need not be equal in anything looks at every pair. It does that in one step after the other without asking
//! whether anybody still waits: a limit of time, or a caller who has gone, would be seen when it is over, and until then its thread
//! does nothing else. So each join gives way after some batches, as scans do, and one with more pairs than any limit of time has is
//! refused before it begins: a join that finds nothing has no batches to give way between.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode as _},
    },
    execution::SessionStateBuilder,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        coop::CooperativeExec,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec},
        statistics::{StatisticsArgs, StatisticsContext},
    },
};

/// Pairs that a join without equal keys may look at: some minutes of a processor.
const PAIRS_MAX: usize = 10_000_000_000;

/// Lets the joins of the session that is being built give way.
pub(crate) fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    builder.with_physical_optimizer_rule(Arc::new(YieldingJoins))
}

#[derive(Debug)]
struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|plan| {
            let is_of_pairs = looks_at_pairs(&*plan);
            if is_of_pairs {
                refuse_too_many(&*plan)?;
            }
            let is_join = is_of_pairs
                || plan.downcast_ref::<HashJoinExec>().is_some()
                || plan.downcast_ref::<SortMergeJoinExec>().is_some();
            Ok(if is_join {
                Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>)
            } else {
                Transformed::no(plan)
            })
        })?;
        Ok(done.data)
    }

    fn name(&self) -> &'static str {
        "yielding_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether it is a join that looks at every pair of rows.
fn looks_at_pairs(plan: &dyn ExecutionPlan) -> bool {
    plan.downcast_ref::<CrossJoinExec>().is_some()
        || plan.downcast_ref::<NestedLoopJoinExec>().is_some()
        || plan.downcast_ref::<PiecewiseMergeJoinExec>().is_some()
}

/// As far as it is known how many rows there are: where it is not, the limits of time and memory are what is left.
fn refuse_too_many(plan: &dyn ExecutionPlan) -> Result<()> {
    // Of its own: it remembers plans by where they lie, and these are rewritten.
    let (statistics, mut pairs) = (StatisticsContext::new(), 1_usize);
    for side in plan.children() {
        let found = statistics.compute(side.as_ref(), &StatisticsArgs::new())?;
        match found.num_rows.get_value() {
            Some(rows) => pairs = pairs.saturating_mul(*rows),
            None => return Ok(()),
        }
    }
    if pairs > PAIRS_MAX {
        return plan_err!(
            "A join here has no equal keys, and so looks at every pair of rows, which are {pairs}; it may look at {PAIRS_MAX}. \
             Join on columns that are equal, use ASOF JOIN for times, or aggregate before you join"
        );
    }
    Ok(())
}
