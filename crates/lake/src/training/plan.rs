//! From a recipe to a plan.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    common::Column,
    execution::context::SessionContext,
    functions::core::expr_fn::coalesce,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit},
};

use super::{At, Features, Recipe, filter};
use crate::{
    asof::{self, Asof},
    engine::Lake,
    error::{Error, Result},
    query::{self, Resolved},
    table::schema_of,
};

fn named(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// The rows of a recipe, in its order.
pub(super) async fn of_recipe(lake: &Lake, session: &SessionContext, recipe: &Recipe) -> Result<LogicalPlan> {
    let mut plan = labels(lake, session, recipe).await?;
    let mut output = recipe.columns.clone();
    for features in &recipe.features {
        plan = joined(lake, session, plan, recipe, features).await?;
        output.extend(features.take.iter().map(|taken| taken.column.clone()));
    }
    let plan = LogicalPlanBuilder::from(plan).project(output.iter().map(|name| named(name)))?.build()?;
    in_order(plan, recipe.timestamp.as_deref())
}

/// Rows in the order of training sets.
pub(super) fn in_order(plan: LogicalPlan, timestamp: Option<&str>) -> Result<LogicalPlan> {
    let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    let first = timestamp.into_iter().filter(|first| names.iter().any(|name| name == first));
    let others = names.iter().map(String::as_str).filter(|name| Some(*name) != timestamp);
    let order = first.chain(others).map(|name| named(name).sort(true, true)).collect::<Vec<_>>();
    Ok(LogicalPlanBuilder::from(plan).sort(order)?.build()?)
}

/// The plan that reads a table at a version, and its columns.
pub(super) async fn of_table(
    lake: &Lake,
    session: &SessionContext,
    at: At,
) -> Result<(LogicalPlan, SchemaRef)> {
    let table = lake.root().open(at.id(), Some(at.version)).await?;
    let provider = table.table_provider().build().await?;
    Ok((session.read_table(Arc::new(provider))?.into_unoptimized_plan(), schema_of(&table)?))
}

/// The labels that a condition lets through, with the columns that are needed of them.
async fn labels(lake: &Lake, session: &SessionContext, recipe: &Recipe) -> Result<LogicalPlan> {
    let (all, schema) = of_table(lake, session, recipe.labels).await?;
    let mut needed = recipe.columns.clone();
    let keys = recipe.features.iter().flat_map(|features| &features.keys);
    for name in recipe.timestamp.iter().chain(keys) {
        if !needed.contains(name) {
            needed.push(name.clone());
        }
    }
    for name in &needed {
        let Ok(field) = schema.field_with_name(name) else {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::invalid(format!(
                "The table of labels has no column '{name}'; it has {}.",
                known.join(", ")
            )));
        };
        check_type(field.name(), field.data_type(), recipe)?;
    }
    let plan = match &recipe.filter {
        None => all,
        Some(condition) => {
            let statement = query::read(&filter::statement(condition)?)?;
            let of_labels = Resolved {
                catalog: "main".to_owned(),
                schema: "default".to_owned(),
                leaf: filter::LABELS.to_owned(),
                id: recipe.labels.id(),
                version: recipe.labels.version,
            };
            let plan = query::plan(lake, session, statement, &[of_labels]).await?;
            filter::check_repeatable(&plan)?;
            plan
        }
    };
    Ok(LogicalPlanBuilder::from(plan).project(needed.iter().map(|name| named(name)))?.build()?)
}

fn check_type(name: &str, kind: &DataType, recipe: &Recipe) -> Result<()> {
    let is_time = recipe.timestamp.as_deref() == Some(name);
    if is_time && !matches!(kind, DataType::Timestamp(..) | DataType::Date32) {
        return Err(Error::invalid(format!(
            "The column '{name}' is of type {}, and a time at which features were known is a timestamp or a date. Name another \
             column, or import the table with one.",
            crate::schema::type_text(kind)
        )));
    }
    if kind.is_nested() {
        return Err(Error::invalid(format!(
            "The column '{name}' is of type {}, in which rows have no order. Leave it out of the columns.",
            crate::schema::type_text(kind)
        )));
    }
    Ok(())
}

async fn joined(
    lake: &Lake,
    session: &SessionContext,
    labels: LogicalPlan,
    recipe: &Recipe,
    features: &Features,
) -> Result<LogicalPlan> {
    let time = recipe.timestamp.clone().ok_or_else(|| {
        Error::invalid("Features are joined by time. Say which column of the labels is their time.")
    })?;
    let known: Vec<String> = labels.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (right, _) = of_table(lake, session, features.at).await?;
    let asof = Asof {
        keys: features.keys.iter().map(|key| (key.clone(), key.clone())).collect(),
        time: (time, features.timestamp.clone()),
        // A feature table has one row an entity and moment; were there two, any choice would be arbitrary.
        tie_break: vec![features.timestamp.clone()],
        take: features
            .take
            .iter()
            .map(|taken| asof::Taken { column: taken.column.clone(), name: taken.column.clone() })
            .collect(),
        ..Asof::default()
    };
    let plan = asof::join(labels, right, &asof)?;
    let counted = features.take.iter().map(|taken| match taken.is_count {
        true => coalesce(vec![named(&taken.column), lit(0_i64)]).alias(&taken.column),
        false => named(&taken.column),
    });
    let output = known.iter().map(|name| named(name)).chain(counted);
    Ok(LogicalPlanBuilder::from(plan).project(output)?.build()?)
}
