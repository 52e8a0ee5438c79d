//! What a table gained: the files that came between two versions, and rows read into memory by column, file or time.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array as _, ArrayRef, RecordBatch},
        compute::concat_batches,
        datatypes::{Field, Schema, SchemaRef},
    },
    catalog::TableProvider,
    common::{Column, ScalarValue},
    logical_expr::LogicalPlan,
    prelude::{DataFrame, Expr, lit},
};
use deltalake::{
    DeltaTable,
    kernel::{Action, Add},
};
use futures::StreamExt as _;
use syntax::features::Expression;

use crate::{
    engine::{Lake, Task},
    error::{Error, Kind, Result},
    expressions,
    panes::{KeyKind, PaneError, PanePlan, Panes, Rows},
    root::TableId,
    schema::{Declared, type_text},
    table::{actions, schema_of},
};

/// Files of a table that came together.
#[derive(Debug, Clone, Default)]
pub struct Files(Vec<Add>);

impl Files {
    pub(crate) fn of(files: Vec<Add>) -> Self {
        Self(files)
    }

    /// Their bytes, as the log says.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|file| file.size.unsigned_abs()).sum()
    }
}

/// What became of a table between two versions.
#[derive(Debug, Clone)]
pub enum Gained {
    /// No row came or went.
    Nothing,
    /// Rows came and none went.
    Appended(Files),
    /// What there was is not all there any more, or cannot be told apart from what came; why.
    Replaced(&'static str),
}

/// Which rows to read.
#[derive(Debug, Clone)]
pub enum Part {
    /// All.
    All,
    /// Those of some files.
    Files(Files),
    /// Those with a time from one moment on and before another.
    Between {
        /// Column of the time.
        column: String,
        /// Microseconds since 1970.
        from_micros: i64,
        /// Microseconds since 1970.
        before_micros: i64,
    },
}

/// Which columns to read.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// Those of the table. Names count to the letter.
    pub stored: Vec<String>,
    /// Those that are computed from each row, behind them.
    pub computed: Vec<Expression>,
}

impl From<Vec<String>> for Columns {
    fn from(stored: Vec<String>) -> Self {
        Self { stored, computed: Vec::new() }
    }
}

impl Lake {
    /// What a table gained after one version, up to another one.
    pub fn gained(&self, id: TableId, after: u64, upto: u64) -> Task<Gained> {
        let root = self.root().clone();
        self.run(async move {
            let log_store = root.log_store(id)?;
            let (mut added, mut moved) = (Vec::new(), Vec::new());
            for version in after + 1..=upto {
                let Some(entry) = log_store.read_commit_entry(version).await? else {
                    return Err(Error::new(
                        Kind::Missing,
                        format!("The log of the table has no version {version}."),
                    ));
                };
                for action in actions(&entry)? {
                    match action {
                        Action::Add(add)
                            if add.deletion_vector.is_some() || !add.partition_values.is_empty() =>
                        {
                            return Ok(Gained::Replaced("a file has a form that this server does not write"));
                        }
                        Action::Add(add) if add.data_change => added.push(add),
                        Action::Remove(remove) if remove.data_change => {
                            return Ok(Gained::Replaced("rows were replaced"));
                        }
                        Action::Remove(remove) => moved.push(remove.path),
                        Action::Metadata(_) | Action::Protocol(_) => {
                            return Ok(Gained::Replaced("its columns changed"));
                        }
                        _ => {}
                    }
                }
            }
            if added.iter().any(|add| moved.contains(&add.path)) {
                return Ok(Gained::Replaced("its files were joined"));
            }
            Ok(if added.is_empty() { Gained::Nothing } else { Gained::Appended(Files(added)) })
        })
    }

    /// The columns of a feature table over a source, or why it cannot be computed from that.
    pub fn feature_columns(&self, source: TableId, version: u64, plan: Arc<PanePlan>) -> Task<Vec<Declared>> {
        let lake = self.clone();
        self.run(async move {
            let table = lake.root().open(source, Some(version)).await?;
            let mut schema = schema_of(&table)?;
            let computed = &plan.declared().expressions;
            if !computed.is_empty() {
                let stored: Vec<String> =
                    schema.fields().iter().map(|field| field.name().clone()).collect();
                let rows = (Arc::clone(&schema), table.table_provider().await?);
                let plan = expressions::plan(&lake.session()?, rows, &stored, computed).await?;
                schema = with_computed(&schema, &stored, &plan)?;
            }
            let unfit = |error: PaneError| Error::invalid(format!("The source does not fit: {error}."));
            let rows = Rows::read(&plan, &RecordBatch::new_empty(schema)).map_err(unfit)?;
            let panes = Panes::of(plan, &rows).map_err(unfit)?;
            let kinds = panes.key_kinds().map_err(unfit)?;
            let keys = panes.plan().declared().keys.iter().zip(kinds);
            if let Some((key, _)) = keys.into_iter().find(|(_, kind)| *kind == KeyKind::Decimal) {
                return Err(Error::invalid(format!(
                    "The source does not fit: the key '{key}' is a decimal number, which no request can name to the last digit. Make \
                     a text of it: strongback sql --format csv 'SELECT *, cast({key} AS string) AS key FROM SOURCE' > FILE, and import \
                     that as another table, with --type key:string."
                )));
            }
            let columns = panes.to_batch(&[]).map_err(unfit)?.schema();
            let declared = columns.fields().iter().map(|field| Declared {
                name: field.name().clone(),
                type_text: type_text(field.data_type()),
                nullable: field.is_nullable(),
            });
            Ok(declared.collect())
        })
    }

    /// Rows of a table at a version, in memory, in no order; refused where they take more than half of what queries may hold.
    pub fn rows_of(&self, id: TableId, version: u64, columns: Columns, part: Part) -> Task<RecordBatch> {
        let lake = self.clone();
        self.run(async move {
            let _turn = lake.query_turn().await?;
            let table = lake.root().open(id, Some(version)).await?;
            read(&lake, &table, &columns, part, lake.memory_bytes() / 2).await
        })
    }
}

/// Reads rows of an open table, up to so many bytes of them. Names of columns count to the letter.
pub(crate) async fn read(
    lake: &Lake,
    table: &DeltaTable,
    columns: &Columns,
    part: Part,
    bytes_max: usize,
) -> Result<RecordBatch> {
    let schema = schema_of(table)?;
    let named = |name: &str| Expr::Column(Column::from_name(name));
    let provider = table.table_provider();
    let (provider, filter) = match part {
        Part::All => (provider, None),
        Part::Files(files) => (provider.with_adds(files.0), None),
        Part::Between { column, from_micros, before_micros } => {
            let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
            let from = named(&column).gt_eq(at(from_micros));
            (provider, Some(from.and(named(&column).lt(at(before_micros)))))
        }
    };
    let (session, provider) = (lake.session()?, Arc::new(provider.build().await?));
    let (mut rows, wanted) = if columns.computed.is_empty() {
        (session.read_table(provider)?, Arc::new(Schema::new(fields_of(&schema, &columns.stored)?)))
    } else {
        let of_table: (SchemaRef, Arc<dyn TableProvider>) = (Arc::clone(&schema), provider);
        let plan = expressions::plan(&session, of_table, &columns.stored, &columns.computed).await?;
        let wanted = with_computed(&schema, &columns.stored, &plan)?;
        (DataFrame::new(session.state(), plan), wanted)
    };
    if let Some(filter) = filter {
        rows = rows.filter(filter)?;
    }
    let selected = wanted.fields().iter().map(|field| named(field.name())).collect::<Vec<_>>();
    let mut stream = rows.select(selected)?.execute_stream().await?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = conform(&batch?, &wanted)?;
        bytes += bytes_of(&batch);
        if bytes > bytes_max {
            return Err(Error::invalid(format!(
                "The rows that are needed take more than {bytes_max} bytes of memory, which is the limit. Let queries use more of it \
                 (query_memory_mb), or compute from fewer rows."
            )));
        }
        rows.push(batch);
    }
    concat_batches(&wanted, &rows).map_err(Error::internal)
}

fn fields_of(schema: &Schema, columns: &[String]) -> Result<Vec<Field>> {
    let of = |name: &String| {
        schema.field_with_name(name).cloned().map_err(|_| {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::invalid(format!("The table has no column '{name}'; it has {}.", known.join(", ")))
        })
    };
    columns.iter().map(of).collect()
}

/// The columns of a table, and those that a plan computes behind them.
fn with_computed(schema: &Schema, stored: &[String], plan: &LogicalPlan) -> Result<SchemaRef> {
    let mut fields = fields_of(schema, stored)?;
    let computed = plan.schema().fields().iter().skip(stored.len());
    fields.extend(computed.map(|field| field.as_ref().clone().with_nullable(true)));
    Ok(Arc::new(Schema::new(fields)))
}

/// About how many bytes the rows of a batch take.
fn bytes_of(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(of).sum()
}

/// The same rows in the types of a table: the engine computes in others.
pub(crate) fn conform(batch: &RecordBatch, wanted: &Arc<Schema>) -> Result<RecordBatch> {
    use datafusion::arrow::{array::RecordBatchOptions, compute::cast};
    let columns = batch.columns().iter().zip(wanted.fields());
    let columns = columns
        .map(|(column, field)| cast(column, field.data_type()).map_err(Error::internal))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &options).map_err(Error::internal)
}
