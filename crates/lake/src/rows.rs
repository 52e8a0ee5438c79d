//! Rows that come from inside the server, as columns in memory, and the columns that they need.
//!
//! What must stay true: rows land whole or not at all; a column that a table gets later is null in the rows that it has.

use std::sync::Arc;

use datafusion::arrow::{
    array::{ArrayRef, RecordBatch, new_null_array},
    datatypes::{DataType, SchemaRef},
};
use deltalake::kernel::{StructField, engine::arrow_conversion::TryIntoKernel as _};

use crate::{
    commit::{Mode, Writing},
    engine::{Lake, Task},
    error::{Error, Result},
    root::TableId,
    schema::{self, Declared},
    table::{Committed, Mark},
};

/// Rows, batch by batch. They are made on the engine's threads, as the writer takes them.
pub type Rows =
    Box<dyn Iterator<Item = Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>> + Send>;

impl Lake {
    /// Appends rows to a table in one commit. Columns are matched by name; those that a batch does not have are null, and one
    /// that the table does not have is an error.
    pub fn append(&self, id: TableId, rows: Rows, mark: Mark) -> Task<Committed> {
        let root = self.root().clone();
        self.run(async move {
            let mut writing = Writing::begin(&root, id).await?;
            match pour(&mut writing, rows).await {
                Ok(()) => writing.commit(Mode::Append, &mark).await,
                Err(error) => {
                    writing.abort().await?;
                    Err(error)
                }
            }
        })
    }

    /// Adds columns to a table: a new version with the same rows. They may be null.
    pub fn add_columns(&self, id: TableId, columns: Vec<Declared>, mark: Mark) -> Task<Committed> {
        let root = self.root().clone();
        self.run(async move {
            let schema = schema::of_declared(&columns)?;
            let fields: Vec<StructField> = schema
                .fields()
                .iter()
                .map(|field| {
                    let field = field.as_ref().clone().with_nullable(true);
                    (&field).try_into_kernel().map_err(Error::internal)
                })
                .collect::<Result<_>>()?;
            let table = root.open(id, None).await?;
            let table =
                table.add_columns().with_fields(fields).with_commit_properties(mark.properties()).await?;
            Ok(Committed { version: table.version().unwrap_or_default(), ..Committed::default() })
        })
    }
}

/// The type in which a table keeps a column, by its name in SQL; refused where tables have none.
pub fn type_of(name: &str, kind: &DataType) -> Result<String> {
    Ok(schema::type_text(&schema::stored_type(name, kind)?))
}

async fn pour(writing: &mut Writing, rows: Rows) -> Result<()> {
    let wanted = writing.schema().clone();
    for batch in rows {
        let batch = aligned(&batch.map_err(Error::internal)?, &wanted)?;
        writing.write(&batch).await?;
    }
    Ok(())
}

/// A batch with the columns of a table, in its order.
fn aligned(batch: &RecordBatch, wanted: &SchemaRef) -> Result<RecordBatch> {
    let given = batch.schema();
    let is_known = |name: &str| wanted.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    if let Some(other) = given.fields().iter().find(|field| !is_known(field.name())) {
        return Err(Error::internal(format!("the table has no column '{}'", other.name())));
    }
    let columns: Vec<ArrayRef> = wanted
        .fields()
        .iter()
        .map(|field| {
            let found =
                given.fields().iter().position(|other| other.name().eq_ignore_ascii_case(field.name()));
            found.map_or_else(
                || new_null_array(field.data_type(), batch.num_rows()),
                |at| Arc::clone(batch.column(at)),
            )
        })
        .collect();
    RecordBatch::try_new(wanted.clone(), columns).map_err(Error::internal)
}
