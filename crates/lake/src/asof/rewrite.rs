//! `ASOF JOIN` in a parsed statement, brought into the one shape that a relation planner is shown.
//!
//! DataFusion 55 parses the join and refuses to plan it. A relation planner sees table factors only, so
//! `a JOIN b … ASOF JOIN c … JOIN d` becomes `((a JOIN b …) ASOF JOIN c …) JOIN d`. Joins associate to the left, so the
//! brackets change nothing.

use std::mem::take;
use std::ops::ControlFlow;

use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::sql::parser::{CopyToSource, Statement};
use datafusion::sql::sqlparser::ast::{
    Join, JoinOperator, Query, SetExpr, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// How many `ASOF JOIN` one FROM item may chain. Each nests the ones before it, and planners recurse.
const CHAIN_MAX: usize = 64;

/// Brackets every `ASOF JOIN` of the statement, in sub-queries, common table expressions and set operations too.
pub fn rewrite(statement: &mut Statement) -> Result<()> {
    match statement {
        Statement::Statement(inner) => bracket(inner.as_mut()),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => bracket(query.as_mut()),
            CopyToSource::Relation(_) => Ok(()),
        },
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        _ => Ok(()),
    }
}

fn bracket(tree: &mut impl VisitMut) -> Result<()> {
    match tree.visit(&mut Brackets) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(length) => plan_err!(
            "{length} ASOF JOINs follow each other in one FROM item, at most {CHAIN_MAX} may; put some of them into a \
             sub-query"
        ),
    }
}

/// Works on the way up, so that what it has bracketed is not met again.
struct Brackets;

impl VisitorMut for Brackets {
    type Break = usize;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<usize> {
        bracket_set(&mut query.body)
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<usize> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => bracket_joins(table_with_joins),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn bracket_set(set: &mut SetExpr) -> ControlFlow<usize> {
    match set {
        SetExpr::Select(select) => select.from.iter_mut().try_for_each(bracket_joins),
        SetExpr::SetOperation { left, right, .. } => {
            bracket_set(left)?;
            bracket_set(right)
        }
        // A query in brackets is visited as a query.
        _ => ControlFlow::Continue(()),
    }
}

fn bracket_joins(item: &mut TableWithJoins) -> ControlFlow<usize> {
    let count = item.joins.iter().filter(|join| is_asof(join)).count();
    if count > CHAIN_MAX {
        return ControlFlow::Break(count);
    }
    while let Some(at) = item.joins.iter().position(is_asof) {
        let after = item.joins.split_off(at + 1);
        let asof = item.joins.split_off(at);
        let before = TableWithJoins { relation: item.relation.clone(), joins: take(&mut item.joins) };
        let left = if before.joins.is_empty() { before.relation } else { nested(before) };
        item.relation = nested(TableWithJoins { relation: left, joins: asof });
        item.joins = after;
    }
    ControlFlow::Continue(())
}

fn is_asof(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

fn nested(inner: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: None }
}
