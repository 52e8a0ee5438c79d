//! The logical node of the join.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DFSchemaRef, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore, cast,
};

use super::Bound;

/// `left ASOF JOIN right`. The output is the left columns followed by the right columns, all of these nullable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsofNode {
    pub(super) left: LogicalPlan,
    pub(super) right: LogicalPlan,
    /// Pairs (left, right) of one type each.
    pub(super) keys: Vec<(Expr, Expr)>,
    /// The times (left, right), of one type.
    pub(super) time: (Expr, Expr),
    pub(super) bound: Bound,
    /// Right expressions that rank rows of equal keys and time. None: all right columns do.
    pub(super) tie_break: Vec<Expr>,
    schema: DFSchemaRef,
}

impl AsofNode {
    /// A plan of the join. Expressions of a pair are brought to one type; types that cannot be compared exactly are refused.
    pub fn plan(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        time: (Expr, Expr),
        bound: Bound,
        tie_break: Vec<Expr>,
    ) -> Result<LogicalPlan> {
        let mut coerced = Vec::with_capacity(keys.len());
        for key in keys {
            let (key, kind) = coerce(key, left.schema(), right.schema())?;
            if kind.is_floating() || kind.is_nested() {
                return plan_err!(
                    "'{}' and '{}' are keys of type {kind}, which has no exact equality; cast them to integers or text",
                    key.0,
                    key.1
                );
            }
            coerced.push(key);
        }
        let (time, kind) = coerce(time, left.schema(), right.schema())?;
        if !is_time(&kind) {
            return plan_err!(
                "'{}' and '{}' are of type {kind}; times are timestamps, dates or integers of up to 64 bits with a sign",
                time.0,
                time.1
            );
        }
        super::keyed::steps(bound.max_age, &kind)?;
        let node = Self::try_new(left, right, coerced, time, bound, tie_break)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn try_new(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        time: (Expr, Expr),
        bound: Bound,
        tie_break: Vec<Expr>,
    ) -> Result<Self> {
        let pairs = keys.iter().chain([&time]).flat_map(|(left, right)| [left, right]);
        if let Some(expr) = pairs.chain(&tie_break).find(|expr| expr.is_volatile()) {
            return plan_err!("'{expr}' gives another value each time, so nothing can be joined by it");
        }
        let left_fields = left.schema().iter().map(|(of, field)| (of.cloned(), Arc::clone(field)));
        let right_fields = right.schema().iter().map(|(of, field)| {
            let field = field.as_ref().clone().with_nullable(true);
            (of.cloned(), Arc::new(field))
        });
        let fields = left_fields.chain(right_fields).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, left.schema().metadata().clone())?);
        Ok(Self { left, right, keys, time, bound, tie_break, schema })
    }

    /// Which columns of an input are read for keys and times, beside those asked for.
    fn read<'e>(
        schema: &DFSchema,
        asked: impl Iterator<Item = usize>,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> Vec<usize> {
        let columns = exprs.flat_map(Expr::column_refs);
        let mut indices: Vec<usize> =
            asked.chain(columns.filter_map(|column| schema.maybe_index_of_column(column))).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }
}

impl PartialOrd for AsofNode {
    /// Plans have no order.
    fn partial_cmp(&self, _: &Self) -> Option<Ordering> {
        None
    }
}

impl UserDefinedLogicalNodeCore for AsofNode {
    fn name(&self) -> &'static str {
        "AsofJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    /// The pairs of keys, the pair of times, the tie-break.
    fn expressions(&self) -> Vec<Expr> {
        let pairs = self.keys.iter().chain([&self.time]);
        pairs.flat_map(|(left, right)| [left, right]).chain(&self.tie_break).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.bound.strict { ">" } else { ">=" };
        write!(f, "AsofJoin: {} {sign} {}", self.time.0, self.time.1)?;
        for (left, right) in &self.keys {
            write!(f, ", {left} = {right}")?;
        }
        if let Some(age) = self.bound.max_age {
            write!(f, ", max_age={age:?}")?;
        }
        for expr in &self.tie_break {
            write!(f, ", tie_break={expr}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("an AsofJoin has two inputs");
        };
        let mut exprs = exprs.into_iter();
        let mut pairs = vec![];
        for _ in 0..=self.keys.len() {
            let (Some(left), Some(right)) = (exprs.next(), exprs.next()) else {
                return internal_err!("an AsofJoin has two expressions a key and two of the time");
            };
            pairs.push((left, right));
        }
        let Some(time) = pairs.pop() else {
            return internal_err!("an AsofJoin has a pair of times");
        };
        Self::try_new(left, right, pairs, time, self.bound, exprs.collect())
    }

    /// Without tie-break columns all right columns rank the rows, so none can be left out.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) =
            output_columns.iter().partition(|column| **column < width);
        let pairs = self.keys.iter().chain([&self.time]);
        let left = Self::read(self.left.schema(), left.into_iter(), pairs.clone().map(|(left, _)| left));
        let right = if self.tie_break.is_empty() {
            (0..self.right.schema().fields().len()).collect()
        } else {
            let exprs = pairs.map(|(_, right)| right).chain(&self.tie_break);
            Self::read(self.right.schema(), right.into_iter().map(|column| column - width), exprs)
        };
        Some(vec![left, right])
    }
}

/// Both expressions as one type, and that type.
fn coerce(pair: (Expr, Expr), left: &DFSchema, right: &DFSchema) -> Result<((Expr, Expr), DataType)> {
    let (a, b) = (pair.0.get_type(left)?, pair.1.get_type(right)?);
    if a == b {
        return Ok((pair, a));
    }
    let common = (is_text(&a) == is_text(&b)).then(|| comparison_coercion(&a, &b)).flatten();
    let Some(common) = common else {
        return plan_err!(
            "'{}' is of type {a} and '{}' of type {b}; cast one of them, so that both have one type",
            pair.0,
            pair.1
        );
    };
    let to = |expr: Expr, from: &DataType| {
        if *from == common { expr } else { cast(expr, common.clone()) }
    };
    Ok(((to(pair.0, &a), to(pair.1, &b)), common))
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text(value),
        other => other.is_string(),
    }
}

fn is_time(kind: &DataType) -> bool {
    use DataType::{Date32, Date64, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32};
    matches!(kind, Timestamp(..) | Date32 | Date64 | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32)
}
