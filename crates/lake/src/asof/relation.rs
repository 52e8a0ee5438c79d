//! A bracketed `ASOF JOIN` of a statement becomes a logical node.

use datafusion::common::{Column, DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator, ObjectName, TableFactor};

use super::condition::{equalities, moments};
use super::node::AsofNode;

#[derive(Debug)]
pub(super) struct AsofRelation;

impl RelationPlanner for AsofRelation {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::NestedJoin { table_with_joins, alias } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let [join] = table_with_joins.joins.as_slice() else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let JoinOperator::AsOf { match_condition, constraint } = &join.join_operator else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let left = context.plan(table_with_joins.relation.clone())?;
        let right = context.plan(join.relation.clone())?;
        let both = left.schema().join(right.schema())?;
        let keys = match constraint {
            JoinConstraint::On(on) => {
                equalities(&context.sql_to_expr(on.clone(), &both)?, left.schema(), right.schema())?
            }
            JoinConstraint::Using(names) => using(names, &*context, &left, &right)?,
            JoinConstraint::None => vec![],
            JoinConstraint::Natural => return plan_err!("ASOF JOIN takes ON or USING, not NATURAL"),
        };
        let condition = context.sql_to_expr(match_condition.clone(), &both)?;
        let (time, bound) = moments(&condition, left.schema(), right.schema())?;
        let plan = AsofNode::plan(left, right, keys, time, bound, vec![])?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

fn using(
    names: &[ObjectName],
    context: &dyn RelationPlannerContext,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Result<Vec<(Expr, Expr)>> {
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let [part] = name.0.as_slice() else {
            return plan_err!("USING takes plain column names, not '{name}'");
        };
        let Some(ident) = part.as_ident() else {
            return plan_err!("USING takes plain column names, not '{name}'");
        };
        let column = context.normalize_ident(ident.clone());
        keys.push((named(&column, left.schema())?, named(&column, right.schema())?));
    }
    Ok(keys)
}

/// The column of that name; an error where there is none, or several.
pub(super) fn named(column: &str, schema: &DFSchema) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(column)?;
    Ok(Expr::Column(Column::new(qualifier.cloned(), field.name())))
}
