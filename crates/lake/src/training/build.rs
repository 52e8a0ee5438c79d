//! Making a training set, and reading one.

use std::{sync::Arc, time::Duration};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    execution::{SendableRecordBatchStream, context::SessionContext},
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{At, Recipe, canon::Canon, plan};
use crate::{
    commit::{Mode, Writing},
    engine::{Lake, Task},
    error::{Error, Kind, Result},
    feed::conform,
    query::{self, Answer, Form, Wanted},
    root::TableId,
    schema::{self, Column},
    table::{Mark, create},
};

/// The version that a new table's first rows make.
const FIRST: u64 = 1;

/// A training set that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The version of its table that holds its rows.
    pub version: u64,
    /// How many.
    pub rows: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// SHA-256 of its rows in their canonical form, hexadecimal.
    pub digest: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

impl Lake {
    /// Plans a recipe and runs nothing: its columns, or what is wrong with it.
    pub fn check_recipe(&self, recipe: Recipe) -> Task<Vec<Column>> {
        let lake = self.clone();
        self.run(async move {
            let session = lake.session()?;
            let plan = plan::of_recipe(&lake, &session, &recipe).await?;
            schema::columns(&stored(&plan))
        })
    }

    /// Makes the rows of a recipe and puts them into a new table. Nothing may be there; what an attempt before left is removed
    /// first.
    pub fn build_training_set(&self, target: TableId, recipe: Recipe, mark: Mark) -> Task<Built> {
        let lake = self.clone();
        self.run(async move {
            lake.remove(target).await?;
            let _turn = lake.query_turn().await?;
            let session = lake.session()?;
            let plan = plan::of_recipe(&lake, &session, &recipe).await?;
            let schema = stored(&plan);
            schema::check(&schema)?;
            create(lake.root(), target, &schema, &mark).await?;
            let mut rows = Rows::run(&session, &plan, Arc::clone(&schema)).await?;
            let mut writing = Writing::begin(lake.root(), target).await?;
            let mut canon = Canon::new(&schema);
            while let Some(batch) = rows.next().await? {
                canon.take(&batch)?;
                writing.write(&batch).await?;
            }
            let done = writing.commit(Mode::Append, &mark).await?;
            // Its directory was empty when this began: what an attempt that was given up commits late stands before or behind.
            if done.version != FIRST {
                return Err(Error::new(
                    Kind::Conflict,
                    "Another attempt wrote rows of the same training set at the same moment. It has to be made anew.",
                ));
            }
            let (rows, digest) = canon.finish();
            Ok(Built {
                version: done.version,
                rows,
                bytes: done.bytes_added,
                digest,
                columns: schema::columns(&schema)?,
            })
        })
    }

    /// The rows of a training set, in its order.
    pub fn training_rows(
        &self,
        set: At,
        timestamp: Option<String>,
        form: Form,
        time: Duration,
    ) -> Task<Answer> {
        let lake = self.clone();
        self.run(async move {
            let session = lake.session()?;
            let plan = of_set(&lake, &session, set, timestamp.as_deref()).await?;
            query::answer(
                &lake,
                &session,
                &plan,
                &Wanted { form, rows_max: None, time, parameters: Vec::new() },
            )
            .await
        })
    }
}

pub(super) async fn of_set(
    lake: &Lake,
    session: &SessionContext,
    set: At,
    timestamp: Option<&str>,
) -> Result<LogicalPlan> {
    let (plan, _) = plan::of_table(lake, session, set).await?;
    plan::in_order(plan, timestamp)
}

/// The columns that a plan's rows are stored in. Any value may be absent.
pub(super) fn stored(plan: &LogicalPlan) -> SchemaRef {
    let shown = schema::shown(plan.schema().as_arrow());
    let fields = shown.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows as they come, in the types in which they are stored.
pub(super) struct Rows {
    stream: SendableRecordBatchStream,
    schema: SchemaRef,
}

impl Rows {
    pub(super) async fn run(session: &SessionContext, plan: &LogicalPlan, schema: SchemaRef) -> Result<Self> {
        let state = session.state();
        let physical = state.create_physical_plan(plan).await?;
        Ok(Self { stream: execute_stream(physical, state.task_ctx())?, schema })
    }

    /// The next ones that are not none.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(batch) = self.stream.next().await {
            let batch = batch.map_err(Error::from)?;
            if batch.num_rows() > 0 {
                return Ok(Some(conform(&batch, &self.schema)?));
            }
        }
        Ok(None)
    }
}
