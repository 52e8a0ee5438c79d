//! Rows that the product itself makes or completes land like any batch: once an id, as an operation.

use axum::body::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use lake::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    commit::Mode,
    decode::{Format, Report, Source},
    query::Value,
    refill::{Look, Refilling, encode},
    schema::Declared,
};
use syntax::names::FullName;

use super::{
    hold::to_the_end,
    land::{self, Landed, Wanted},
    managed, spool, store,
};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    files::FILE_BYTES_MAX,
    objects::{ObjectId, Written},
};

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The version that the rows made.
    pub version: u64,
    /// Rows of the batch.
    pub rows: u64,
    /// Whether the batch had landed before, so that nothing was written now.
    pub is_repeat: bool,
}

/// The version that a batch made, if it has landed; for a caller who may read the table. No table has no batches.
pub fn landed(sql: &mut Sql<'_>, name: &FullName, batch_id: &str) -> Result<Option<u64>> {
    match managed::find(sql, name)? {
        managed::Found::Managed(found) => {
            authorize(sql, Action::Read, found.asset.id)?;
            sql.first(&store::VERSION_OF_BATCH, bind![found.asset.id, batch_id], |row| {
                Ok(row.get::<i64>(0)? as u64)
            })
        }
        managed::Found::Declared(found) => {
            authorize(sql, Action::Read, found.id)?;
            Err(managed::elsewhere(name))
        }
        managed::Found::Nothing { schema } => {
            authorize(sql, Action::Read, schema.id)?;
            Ok(None)
        }
    }
}

/// Lets rows land in a table, which is made with their schema where it does not exist. It goes on to its end where nobody waits any
/// more.
pub async fn append(
    ctx: &Ctx,
    name: &FullName,
    batch_id: &str,
    comment: &str,
    schema: &SchemaRef,
    rows: &[RecordBatch],
) -> Result<Appended> {
    let bytes = encode(schema, rows)?;
    let wanted = wanted(name, batch_id, comment);
    land::check(ctx, &wanted).await?;
    let ctx = ctx.clone();
    let work = async move {
        let spool = spool::ready(&ctx.app).await?;
        let claim = spool.claim(ObjectId::random());
        let body = stream::iter([Ok(bytes)]).boxed();
        match spool.write(&claim, FILE_BYTES_MAX, body).await {
            Ok(written) => land::land(ctx, wanted, claim, written).await,
            Err(error) => {
                spool.remove(vec![claim.id()]).await;
                Err(error)
            }
        }
    };
    answer(&to_the_end(work).await?)
}

/// A file of somebody's that lands in a table of fixed columns, with values in the place of those that it lacks.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The table, made where it does not exist.
    pub name: FullName,
    /// What names the batch in the table.
    pub batch_id: String,
    /// Description of a new table.
    pub comment: &'static str,
    /// What the file is written in.
    pub format: Format,
    /// The table's columns.
    pub columns: Vec<Declared>,
    /// What stands where a column of the file is absent or has no value.
    pub defaults: Vec<(String, Value)>,
}

/// Lets it land, unless `look` finds something wrong with its rows. It goes on to its end where nobody waits any more, once all of the
/// file is there. The same file under the same batch is the same batch, whatever was filled in meanwhile.
pub async fn append_filled(
    ctx: &Ctx,
    filled: Filled,
    look: Look,
    body: BoxStream<'static, Result<Bytes>>,
) -> Result<Appended> {
    let wanted = wanted(&filled.name, &filled.batch_id, filled.comment);
    land::check(ctx, &wanted).await?;
    answer(&to_the_end(fill(ctx.clone(), wanted, filled, look, body)).await?)
}

async fn fill(
    ctx: Ctx,
    wanted: Wanted,
    filled: Filled,
    look: Look,
    body: BoxStream<'static, Result<Bytes>>,
) -> Result<Landed> {
    let spool = spool::ready(&ctx.app).await?;
    let given = spool.claim(ObjectId::random());
    let outcome = async {
        let written = spool.write(&given, FILE_BYTES_MAX, body).await?;
        let source = Source { path: spool.path(given.id()), ..source(filled.format) };
        let Refilling { pieces, report } =
            ctx.app.lake.refill(source, filled.columns, filled.defaults, look)?;
        let pieces = stream::unfold(pieces, |mut pieces| async {
            pieces.recv().await.map(|piece| (Ok(piece), pieces))
        });
        let claim = spool.claim(ObjectId::random());
        let refilled = spool.write(&claim, FILE_BYTES_MAX, pieces.boxed()).await;
        let report: Result<Report> = report.await.map_err(Error::from);
        // What cannot be written is called off, so that its own error says why.
        let outcome = refilled.and_then(|refilled| {
            let report = report?;
            match report.bad_rows {
                0 => Ok(refilled.size),
                _ => Err(land::refusal(&report, "Mend the file.")),
            }
        });
        match outcome {
            Ok(size) => land::land(ctx.clone(), wanted, claim, Written { size, ..written }).await,
            Err(error) => {
                spool.remove(vec![claim.id()]).await;
                Err(error)
            }
        }
    };
    let outcome = outcome.await;
    spool.remove(vec![given.id()]).await;
    outcome
}

fn answer(landed: &Landed) -> Result<Appended> {
    let report: Report = serde_json::from_str(&landed.report).map_err(Error::internal)?;
    Ok(Appended { version: landed.version, rows: report.rows, is_repeat: landed.is_repeat })
}

fn source(format: Format) -> Source {
    Source {
        path: std::path::PathBuf::new(),
        format,
        delimiter: b',',
        null: None,
        clean_names: false,
        declared: Vec::new(),
    }
}

fn wanted(name: &FullName, batch_id: &str, comment: &str) -> Wanted {
    Wanted {
        name: name.clone(),
        batch_id: batch_id.to_owned(),
        create: true,
        comment: comment.to_owned(),
        mode: Mode::Append,
        source: source(Format::Arrow),
        quarantine: None,
    }
}
