//! The join for callers in Rust: by the names of columns.

use datafusion::common::{Column, DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::Bound;
use super::node::AsofNode;
use super::relation::named;

/// What is joined by what. Names are those of columns, to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asof {
    /// Pairs (left, right) of columns whose values are equal. None: one sequence for all.
    pub keys: Vec<(String, String)>,
    /// The times (left, right).
    pub time: (String, String),
    /// Which right rows come into question.
    pub bound: Bound,
    /// Right columns that rank rows of equal keys and time. With them only what is read of the right side is scanned.
    pub tie_break: Vec<String>,
    /// The right columns that come out, in this order.
    pub take: Vec<Taken>,
}

/// A right column of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its name on the right side.
    pub column: String,
    /// Its name in the output.
    pub name: String,
}

/// A plan whose output is all left columns, under their names, and then the right columns that are taken.
///
/// # Errors
/// A column that an input does not have, or has several of, or an output name that would stand twice.
pub fn join(left: LogicalPlan, right: LogicalPlan, asof: &Asof) -> Result<LogicalPlan> {
    let left = LogicalPlanBuilder::from(left).alias("asof_left")?.build()?;
    let right = LogicalPlanBuilder::from(right).alias("asof_right")?.build()?;
    let (left_schema, right_schema) = (left.schema().clone(), right.schema().clone());
    let pair = |(of_left, of_right): &(String, String)| -> Result<(Expr, Expr)> {
        Ok((column(of_left, &left_schema, "left")?, column(of_right, &right_schema, "right")?))
    };
    let keys = asof.keys.iter().map(pair).collect::<Result<Vec<_>>>()?;
    let time = pair(&asof.time)?;
    let ranks = asof.tie_break.iter().map(|name| column(name, &right_schema, "right"));
    let ranks = ranks.collect::<Result<Vec<_>>>()?;
    let mut output: Vec<Expr> = left_schema
        .iter()
        .map(|(of, field)| Expr::Column(Column::new(of.cloned(), field.name())).alias(field.name()))
        .collect();
    for (index, taken) in asof.take.iter().enumerate() {
        let before = asof.take.iter().take(index);
        if left_schema.has_column_with_unqualified_name(&taken.name)
            || before.into_iter().any(|other| other.name == taken.name)
        {
            return plan_err!("two columns would be called '{}'; take it under another name", taken.name);
        }
        output.push(column(&taken.column, &right_schema, "right")?.alias(&taken.name));
    }
    let joined = AsofNode::plan(left, right, keys, time, asof.bound, ranks)?;
    LogicalPlanBuilder::from(joined).project(output)?.build()
}

fn column(name: &str, schema: &DFSchema, side: &str) -> Result<Expr> {
    let Ok(found) = named(name, schema) else {
        return plan_err!(
            "the {side} side of the point-in-time join has no single column '{name}'; it has {}",
            schema.field_names().join(", ")
        );
    };
    Ok(found)
}
