//! Rows of tables, as they are read for gates: one table, at one version, as a stream of batches.

use std::time::Duration;

use lake::{
    TableId,
    arrow::{array::RecordBatch, buffer::Buffer, ipc::reader::StreamDecoder},
    query::{self, Answer, AsOf, Form, Resolved, Wanted},
};
use syntax::{gates::TableRef, names::FullName};

use crate::{
    catalog::Action,
    context::Ctx,
    db::Sql,
    error::{Error, Result},
    tables::managed,
};

/// How long reading one table may take.
const TIME: Duration = Duration::from_hours(1);

/// A table at a version.
#[derive(Debug, Clone)]
pub struct Source {
    /// `asset.id`, for the pin.
    pub asset_id: i64,
    /// Its name.
    pub name: FullName,
    /// Where it lies.
    pub table: TableId,
    /// The version.
    pub version: u64,
}

impl Source {
    /// `catalog.schema.table@7`
    pub fn shown(&self) -> String {
        format!("{}@{}", managed::show(&self.name), self.version)
    }
}

/// The table or training set that is meant, at its newest version where none is named, for a caller who may read it.
pub fn resolve(sql: &mut Sql<'_>, wanted: &TableRef) -> Result<Source> {
    let found = managed::get(sql, &managed::parse(&wanted.name)?, Action::Read)?;
    let version = found.version_at(sql, wanted.version.map(AsOf::Version))?;
    Ok(Source { asset_id: found.asset.id, name: found.name, table: found.table, version })
}

/// Which rows of a table, in which order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// A condition of SQL that was checked by [`syntax::gates`].
    pub condition: Option<&'a str>,
    /// Only the newest by a column, so many.
    pub newest: Option<(&'a str, u64)>,
}

/// Batches of a table's rows.
pub struct Rows {
    answer: Answer,
    decoder: StreamDecoder,
    waiting: Buffer,
}

impl Rows {
    /// Begins to read all columns of a table.
    pub async fn open(ctx: &Ctx, source: &Source, which: Which<'_>) -> Result<Self> {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let FullName { catalog, schema, leaf } = &source.name;
        let mut text = format!("SELECT * FROM {}.{}.{}", quoted(catalog), quoted(schema), quoted(leaf));
        if let Some(condition) = which.condition {
            text = format!("{text} WHERE ({condition})");
        }
        if let Some((column, most)) = which.newest {
            text = format!("{text} ORDER BY {} DESC LIMIT {most}", quoted(column));
        }
        let statement =
            query::read(&text).map_err(|error| Error::from(error).in_field("where"))?.repeatable();
        if statement.tables.len() != 1 {
            return Err(Error::invalid(
                "The condition of the evaluation rows names other tables; it speaks of columns alone.",
            ));
        }
        let table = Resolved {
            catalog: catalog.clone(),
            schema: schema.clone(),
            leaf: leaf.clone(),
            id: source.table,
            version: source.version,
        };
        let wanted = Wanted { form: Form::Arrow, rows_max: None, time: TIME, parameters: Vec::new() };
        let answer = ctx.app.lake.query(statement, vec![table], wanted).await?;
        Ok(Self { answer, decoder: StreamDecoder::new(), waiting: Buffer::from(Vec::<u8>::new()) })
    }

    /// The next batch; none when all were read.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            while !self.waiting.is_empty() {
                if let Some(batch) = self.decoder.decode(&mut self.waiting).map_err(Error::internal)? {
                    return Ok(Some(batch));
                }
            }
            match self.answer.next().await.transpose()? {
                Some(chunk) => self.waiting = Buffer::from(chunk.bytes),
                None => return Ok(None),
            }
        }
    }
}
