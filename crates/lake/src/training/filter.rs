//! The condition of a recipe: an expression over one row of the table of labels.

use std::ops::ControlFlow;

use datafusion::{
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, Volatility},
    sql::sqlparser::{
        ast::{Expr as Parsed, Query, Visit, Visitor},
        dialect::DatabricksDialect,
        parser::Parser,
        tokenizer::Token,
    },
};

use crate::error::{Error, Result};

/// Bytes that a condition may have.
const BYTES_MAX: usize = 16 << 10;

/// What a condition calls the table of labels.
pub(super) const LABELS: &str = "labels";

/// The statement that selects what a condition lets through.
pub(super) fn statement(condition: &str) -> Result<String> {
    let unreadable = |why: &str| {
        Error::invalid(format!(
            "The condition '{}' cannot be read: {why}. Write one over the columns of the labels, such as amount > 0 AND class IS \
             NOT NULL.",
            condition.chars().take(200).collect::<String>()
        ))
    };
    if condition.len() > BYTES_MAX {
        return Err(unreadable(&format!("it has {} bytes and may have {BYTES_MAX}", condition.len())));
    }
    let mut parser = Parser::new(&DatabricksDialect {})
        .try_with_sql(condition)
        .map_err(|error| unreadable(&error.to_string()))?;
    let parsed = parser.parse_expr().map_err(|error| unreadable(&error.to_string()))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(unreadable(&format!("it should end before '{}'", rest.token)));
    }
    if has_query(&parsed) {
        return Err(unreadable("it asks another query, and a condition reads its row alone"));
    }
    Ok(format!("SELECT * FROM {LABELS} WHERE {parsed}"))
}

fn has_query(parsed: &Parsed) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    parsed.visit(&mut Queries).is_break()
}

/// Refuses what would let other rows through another time.
pub(super) fn check_repeatable(plan: &LogicalPlan) -> Result<()> {
    let mut culprit = None;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    culprit = Some(call.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(|error: DataFusionError| Error::internal(error))?;
    match culprit {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "The condition calls {name}(), whose value is another one each time, so that nobody could make the set again. Write the \
             value itself."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_one_expression() {
        assert!(statement("Time < 86400 AND class IS NOT NULL").is_ok());
        for (wrong, part) in [
            ("", "cannot be read"),
            ("a > 1) OR (b", "end before"),
            ("a > 1 LIMIT 5", "end before"),
            ("a > 1; SELECT 2", "end before"),
            ("a IN (SELECT b FROM c)", "row alone"),
            ("EXISTS (SELECT 1)", "row alone"),
        ] {
            let error = statement(wrong).unwrap_err();
            assert!(error.message().contains(part), "{wrong}: {error}");
        }
    }
}
