//! The point-in-time join: to each row of the left side the newest row of the right side that was known by then.
//!
//! "Newest" is the greatest right time that is not after the left time (or before it, where the bound is strict), among the
//! right rows whose keys equal the left row's keys. Without keys there is one sequence for all (global features). Every
//! left row comes out exactly once; its right columns are null where nothing matched.
//!
//! What must stay true:
//! - A null key matches nothing; a null left time matches nothing; right rows with a null time or key are passed over.
//! - The answer depends on the rows alone, never on their order, on partitions or on batch sizes. Right rows of equal keys
//!   and equal time are ranked by the tie-break columns, ascending with nulls first, and the last one wins. Without tie-break
//!   columns all columns of the right side rank them, in the order of its schema; rows that still tie are equal. With
//!   tie-break columns, rows that tie and differ are an error: any choice would be arbitrary.
//! - An input that declares an order which it does not have is an error, not a wrong answer.
//!
//! Three ways in: [`sql`] for text, [`join`] for plans, and [`register`], which teaches a session both.
//!
//! Keys are any type with a total order but floats, whose zeros and NaNs compare one way and sort another. Times are
//! timestamps, dates and integers. Syntax and meaning follow Snowflake's `ASOF JOIN`
//! (<https://docs.snowflake.com/en/sql-reference/constructs/asof-join>), which the parser already knows.

mod bucket;
mod condition;
mod exec;
mod gather;
mod keyed;
mod merge;
mod node;
mod physical;
mod plan;
mod relation;
mod rewrite;
mod scatter;
mod stream;
mod ties;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{DataFrame, SessionContext};

pub use exec::{AsofExec, On, Sorting};
pub use node::AsofNode;
pub use physical::AsofPlanner;
pub use plan::{Asof, Taken, join};
pub use rewrite::rewrite;

/// How old a right row may be, at most, to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MaxAge {
    /// In microseconds; for timestamps and dates.
    Micros(i64),
    /// In the time column's own steps; for integers.
    Steps(i64),
}

/// Which right rows come into question, apart from the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Bound {
    /// Whether the right time must lie before the left time (`>`), not only not after it (`>=`).
    pub strict: bool,
    /// Right rows older than this do not match. None: any age.
    pub max_age: Option<MaxAge>,
}

/// Teaches the session that is being built to plan and run `ASOF JOIN`; see [`register_as`].
pub fn register(builder: SessionStateBuilder) -> SessionStateBuilder {
    register_as(builder, Sorting::default())
}

/// Teaches the session that is being built to plan and run `ASOF JOIN` by this sorting. It sets the query planner: whoever needs further
/// extension planners adds [`AsofPlanner`] to a planner of their own instead, after this call.
pub fn register_as(builder: SessionStateBuilder, sorting: Sorting) -> SessionStateBuilder {
    let mut builder = builder.with_query_planner(Arc::new(physical::Planner(sorting)));
    builder.relation_planners().get_or_insert_default().insert(0, Arc::new(relation::AsofRelation));
    builder
}

/// Plans one statement whose queries may contain `ASOF JOIN`. The session comes from [`register`].
pub async fn sql(session: &SessionContext, text: &str) -> Result<DataFrame> {
    let state = session.state();
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(text, &dialect)?;
    rewrite(&mut statement)?;
    session.execute_logical_plan(state.statement_to_plan(statement).await?).await
}

#[cfg(test)]
mod tests;
