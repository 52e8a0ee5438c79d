//! SQL over tables that the caller has resolved.
//!
//! A statement is read first ([`read`]): it may only be a query, and the tables that it names are told. The caller finds
//! out which tables these are, at which version, and whether somebody may read them; the engine is given exactly those
//! ([`Lake::query`]) and can see nothing else: no file, no address, no other table.
//!
//! What must stay true:
//! - only queries run: nothing that a statement says writes, copies or reads a place by its address;
//! - an answer is a stream, and ends when nobody reads it any more; memory, spill space and time are bounded;
//! - names of tables and columns compare without case, as Unity Catalog and Spark compare them.

mod answer;
mod bounded;
mod columns;
mod common;
mod opened;
mod statement;
mod yielding;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider},
    common::ParamValues,
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream,
        context::{SQLOptions, SessionContext},
    },
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
    scalar::ScalarValue,
    sql::sqlparser::parser::ParserError,
};

use syntax::names::fold_case;
use tokio::sync::OwnedSemaphorePermit;

pub use answer::{Answer, Chunk, Form, Rows};
pub(crate) use opened::{Kept, Known};
pub(crate) use yielding::register;

pub use statement::{AsOf, Named, Statement, read};

use crate::{
    asof,
    engine::{Lake, Task},
    error::{Error, Result},
    expressions::volatile,
    root::TableId,
};

/// A table that a statement names, as the caller found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Name of its catalog.
    pub catalog: String,
    /// Name of its schema.
    pub schema: String,
    /// Its own part of the name.
    pub leaf: String,
    /// The table.
    pub id: TableId,
    /// The version to read.
    pub version: u64,
}

/// A value for a `$name` in a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
}

impl From<Value> for ScalarValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(Some(value)),
            Value::Int(value) => Self::Int64(Some(value)),
            Value::Float(value) => Self::Float64(Some(value)),
            Value::Text(value) => Self::Utf8(Some(value)),
        }
    }
}

/// How to answer.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The form of the answer.
    pub form: Form,
    /// Rows at most; more are cut off, and the answer says so.
    pub rows_max: Option<u64>,
    /// How long it may take until the last row is there.
    pub time: Duration,
    /// Values for the `$name`s of the statement.
    pub parameters: Vec<(String, Value)>,
}

impl Lake {
    /// Plans a query and begins to run it. `tables` are those that the statement names, in its order.
    pub fn query(&self, statement: Statement, tables: Vec<Resolved>, wanted: Wanted) -> Task<Answer> {
        let lake = self.clone();
        self.run(async move {
            let running = run(&lake, statement, &tables, &wanted.parameters).await?;
            answer::stream(&lake, running, &wanted)
        })
    }

    /// Plans a query and runs nothing of it: whether it could be run, and why not.
    pub fn check(&self, statement: Statement, tables: Vec<Resolved>) -> Task<()> {
        let lake = self.clone();
        self.run(async move {
            let session = lake.session()?;
            let plan = plan(&lake, &session, statement, &tables).await?;
            session.state().create_physical_plan(&plan).await?;
            Ok(())
        })
    }

    /// The same as [`Self::query`] for who computes on the rows: they come batch by batch, a few at a time in memory.
    pub fn rows(
        &self,
        statement: Statement,
        tables: Vec<Resolved>,
        parameters: Vec<(String, Value)>,
        time: Duration,
    ) -> Task<Rows> {
        let lake = self.clone();
        self.run(async move {
            let running = run(&lake, statement, &tables, &parameters).await?;
            Ok(answer::rows(&lake, running, time))
        })
    }
}

/// A query that was begun, and its turn.
pub(crate) struct Running {
    rows: SendableRecordBatchStream,
    turn: OwnedSemaphorePermit,
}

async fn run(
    lake: &Lake,
    statement: Statement,
    tables: &[Resolved],
    parameters: &[(String, Value)],
) -> Result<Running> {
    let turn = lake.query_turn().await?;
    let session = lake.session()?;
    let plan = plan(lake, &session, statement, tables).await?;
    let plan = if parameters.is_empty() { plan } else { bind(plan, parameters)? };
    begin(&session, &plan, turn).await
}

async fn begin(session: &SessionContext, plan: &LogicalPlan, turn: OwnedSemaphorePermit) -> Result<Running> {
    let state = session.state();
    let physical = state.create_physical_plan(plan).await?;
    Ok(Running { rows: execute_stream(physical, state.task_ctx())?, turn })
}

/// Runs a plan and answers with its rows.
pub(crate) async fn answer(
    lake: &Lake,
    session: &SessionContext,
    plan: &LogicalPlan,
    wanted: &Wanted,
) -> Result<Answer> {
    let running = begin(session, plan, lake.query_turn().await?).await?;
    answer::stream(lake, running, wanted)
}

/// Plans a statement over the tables that it names, in its order.
pub(crate) async fn plan(
    lake: &Lake,
    session: &SessionContext,
    statement: Statement,
    tables: &[Resolved],
) -> Result<LogicalPlan> {
    let mut opened = Opened::new();
    for table in tables {
        // A statement may name a table several times.
        if let Entry::Vacant(place) = opened.entry((table.id, table.version)) {
            place.insert(lake.opened().open(lake.root(), table.id, table.version).await?);
        }
    }
    plan_over(session, statement, tables, &opened).await
}

/// Tables that were opened, by id and version.
pub(crate) type Opened = HashMap<(TableId, u64), Known>;

/// The same over tables that were opened.
pub(crate) async fn plan_over(
    session: &SessionContext,
    mut statement: Statement,
    tables: &[Resolved],
    opened: &Opened,
) -> Result<LogicalPlan> {
    bounded::register(session)?;
    let mut schemas = Vec::with_capacity(tables.len());
    let mut places: HashMap<(String, String), Arc<MemorySchemaProvider>> = HashMap::new();
    for table in tables {
        let known = opened
            .get(&(table.id, table.version))
            .ok_or_else(|| Error::internal("a statement names a table that was not opened"))?;
        schemas.push(known.0.clone());
        let place = (fold_case(&table.catalog), fold_case(&table.schema));
        let (place, name) = (places.entry(place).or_default(), statement::registered_as(table));
        if !place.table_exist(&name) {
            place.register_table(name, Arc::clone(&known.1))?;
        }
    }
    let mut catalogs: HashMap<String, Arc<MemoryCatalogProvider>> = HashMap::new();
    for ((catalog, schema), tables) in places {
        catalogs.entry(catalog).or_default().register_schema(&schema, tables)?;
    }
    for (name, catalog) in catalogs {
        session.register_catalog(name, catalog);
    }
    let aliases = statement.point_at(tables)?;
    columns::spell_out(&mut statement, &aliases, &schemas);
    let is_repeatable = statement.is_repeatable;
    asof::rewrite(&mut statement.parsed)?;
    let plan = session.state().statement_to_plan(statement.parsed).await?;
    let allowed = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    allowed.verify_plan(&plan)?;
    if is_repeatable && let Some(name) = volatile(&plan)? {
        return Err(Error::invalid(format!(
            "The condition calls {name}(), whose value is another one each time, so that nobody could read the same rows again. Write \
             the value itself."
        )));
    }
    Ok(plan)
}

fn bind(plan: LogicalPlan, parameters: &[(String, Value)]) -> Result<LogicalPlan> {
    let values: HashMap<String, ScalarValue> =
        parameters.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    Ok(plan.with_param_values(ParamValues::from(values))?)
}

fn unreadable(error: &DataFusionError) -> Error {
    let said = match error.find_root() {
        DataFusionError::SQL(said, _) => match said.as_ref() {
            ParserError::ParserError(said) | ParserError::TokenizerError(said) => said.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
        },
        other => other.strip_backtrace(),
    };
    Error::invalid(format!("The statement cannot be read: {}.", said.trim_end_matches('.')))
}
