//! From the logical node to the operator.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::exec::{AsofExec, On, Sorting};
use super::node::AsofNode;

/// The default planner, which knows the join too.
#[derive(Debug, Default)]
pub(super) struct Planner(pub(super) Sorting);

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(AsofPlanner(self.0))])
            .create_physical_plan(plan, session)
            .await
    }
}

/// Plans the join's node, and no other.
#[derive(Debug, Default)]
pub struct AsofPlanner(pub Sorting);

#[async_trait]
impl ExtensionPlanner for AsofPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<AsofNode>() else {
            return Ok(None);
        };
        let [left, right] = physical_inputs else {
            return internal_err!("an AsofJoin has two inputs, not {}", physical_inputs.len());
        };
        let physical = |expr: &Expr, schema: &DFSchema| -> Result<Arc<dyn PhysicalExpr>> {
            planner.create_physical_expr(expr, schema, session, context)
        };
        let (left_schema, right_schema) = (node.left.schema(), node.right.schema());
        let mut keys = Vec::with_capacity(node.keys.len());
        for (of_left, of_right) in &node.keys {
            keys.push((physical(of_left, left_schema)?, physical(of_right, right_schema)?));
        }
        let time = (physical(&node.time.0, left_schema)?, physical(&node.time.1, right_schema)?);
        let ranks = node.tie_break.iter().map(|expr| physical(expr, right_schema));
        let on = On { keys, time, tie_break: ranks.collect::<Result<_>>()?, bound: node.bound };
        Ok(Some(Arc::new(AsofExec::try_new(Arc::clone(left), Arc::clone(right), on, self.0)?)))
    }
}
