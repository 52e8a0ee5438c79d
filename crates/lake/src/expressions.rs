//! Scalar expressions over one row of a table: what they may be, and the columns that they make.
//!
//! What must stay true: an expression reads its row alone, and says the same each time: neither the clock, nor chance, nor another
//! row or table.

use std::{ops::ControlFlow, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider,
    common::tree_node::{TreeNode as _, TreeNodeRecursion},
    execution::context::SessionContext,
    logical_expr::{Expr, LogicalPlan, Volatility},
    sql::sqlparser::{
        ast::{Expr as Parsed, Query, Visit, Visitor},
        dialect::DatabricksDialect,
        parser::Parser,
        tokenizer::Token,
    },
};
use syntax::features::Expression;

use crate::{
    error::{Error, Result},
    query::{self, Resolved},
    root::TableId,
};

/// What the table is called in the statement that computes the columns.
const SOURCE: &str = "source_rows";

/// Reads one expression; else why it is none.
pub(crate) fn parse(text: &str) -> Result<Parsed, String> {
    let mut parser =
        Parser::new(&DatabricksDialect {}).try_with_sql(text).map_err(|error| error.to_string())?;
    let parsed = parser.parse_expr().map_err(|error| error.to_string())?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(format!("it should end before '{}'", rest.token));
    }
    Ok(parsed)
}

/// Whether an expression asks another query.
pub(crate) fn has_query(parsed: &Parsed) -> bool {
    struct Queries;
    impl Visitor for Queries {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    parsed.visit(&mut Queries).is_break()
}

/// The first function of a plan, or of a query within it, whose value is another one each time.
pub(crate) fn volatile(plan: &LogicalPlan) -> Result<Option<String>> {
    let mut culprit = None;
    plan.apply_with_subqueries(|node| {
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
    .map_err(Error::internal)?;
    Ok(culprit)
}

/// Columns of a table and, behind them, computed ones. Names of columns count without case within an expression.
pub(crate) async fn plan(
    session: &SessionContext,
    (schema, rows): (SchemaRef, Arc<dyn TableProvider>),
    columns: &[String],
    expressions: &[Expression],
) -> Result<LogicalPlan> {
    let mut selected: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    for expression in expressions {
        if let Some(taken) =
            schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(&expression.name))
        {
            return Err(unfit(expression, &format!("the source has a column '{}' already", taken.name())));
        }
        let parsed = parse(&expression.sql).map_err(|why| unfit(expression, &why))?;
        if has_query(&parsed) {
            return Err(unfit(expression, "it asks another query, and an expression reads its row alone"));
        }
        selected.push(format!("{parsed} AS {}", quoted(&expression.name)));
    }
    let statement = query::read(&format!("SELECT {} FROM {SOURCE}", selected.join(", ")))?;
    let table = Resolved {
        catalog: "main".to_owned(),
        schema: "default".to_owned(),
        leaf: SOURCE.to_owned(),
        id: TableId(uuid::Uuid::nil()),
        version: 0,
    };
    let opened = query::Opened::from([((table.id, table.version), (schema, rows))]);
    let plan = query::plan_over(session, statement, &[table], &opened).await?;
    check(&plan)?;
    Ok(plan)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn unfit(expression: &Expression, why: &str) -> Error {
    Error::invalid(format!(
        "The expression '{}' ({}) cannot be computed: {}. Write one over the columns of the source, such as ln(amount + 1).",
        expression.name,
        expression.sql.chars().take(200).collect::<String>(),
        why.trim_end_matches('.')
    ))
}

/// Refuses what reads more than its row, or says another thing each time.
fn check(plan: &LogicalPlan) -> Result<()> {
    if let Some(name) = volatile(plan)? {
        return Err(Error::invalid(format!(
            "An expression calls {name}(), whose value is another one each time, so that nobody could compute the features again. \
             Write the value itself."
        )));
    }
    let mut is_of_rows = true;
    plan.apply(|node| {
        is_of_rows &= matches!(
            node,
            LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::TableScan(_)
        );
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(Error::internal)?;
    if is_of_rows {
        return Ok(());
    }
    Err(Error::invalid(
        "An expression reads its row alone: aggregates and functions over other rows belong to features and their windows.",
    ))
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::{
            array::{ArrayRef, AsArray as _, Float64Array, RecordBatch},
            datatypes::Float64Type,
        },
        datasource::MemTable,
        prelude::DataFrame,
    };

    use super::*;

    async fn computed(sql: &str) -> Result<RecordBatch> {
        let amounts: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.0), None, Some(3.0)]));
        let batch = RecordBatch::try_from_iter_with_nullable([("Amount", amounts, true)]).unwrap();
        let rows: Arc<dyn TableProvider> =
            Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap());
        let session = SessionContext::new();
        let expression = Expression { name: "x".to_owned(), sql: sql.to_owned() };
        let plan = plan(&session, (batch.schema(), rows), &["Amount".to_owned()], &[expression]).await?;
        let batches = DataFrame::new(session.state(), plan).collect().await?;
        Ok(datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap())
    }

    #[tokio::test]
    async fn a_column_is_computed_from_its_row() {
        let rows = computed("ln(amount + 1)").await.unwrap();
        let values = rows.column_by_name("x").unwrap().as_primitive::<Float64Type>();
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some(0.0), None, Some(4.0_f64.ln())]);
        let rows = computed("CASE WHEN Amount > 1 THEN 1 ELSE 0 END").await.unwrap();
        assert_eq!((rows.num_rows(), rows.num_columns()), (3, 2));
    }

    #[tokio::test]
    async fn what_is_no_function_of_its_row_is_refused() {
        for (sql, part) in [
            ("amount +", "cannot be computed"),
            ("amount, 1", "end before"),
            ("nothing + 1", "nothing"),
            ("(SELECT 1)", "row alone"),
            ("random()", "random()"),
            ("sum(amount)", ""),
            ("count(*) OVER ()", "row alone"),
            ("row_number() OVER ()", "row alone"),
        ] {
            let error = computed(sql).await.unwrap_err();
            assert!(error.message().contains(part), "{sql}: {error}");
        }
    }
}
