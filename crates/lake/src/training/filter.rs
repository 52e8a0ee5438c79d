//! The condition of a recipe: an expression over one row of the table of labels.

use datafusion::logical_expr::LogicalPlan;

use crate::{
    error::{Error, Result},
    expressions::{has_query, parse, volatile},
};

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
    let parsed = parse(condition).map_err(|why| unreadable(&why))?;
    if has_query(&parsed) {
        return Err(unreadable("it asks another query, and a condition reads its row alone"));
    }
    Ok(format!("SELECT * FROM {LABELS} WHERE {parsed}"))
}

/// Refuses what would let other rows through another time.
pub(super) fn check_repeatable(plan: &LogicalPlan) -> Result<()> {
    match volatile(plan)? {
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
