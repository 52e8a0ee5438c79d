//! The answer of a query: a stream of bytes in one of a few forms, made on the engine's threads while somebody reads it.

use std::{io::Write, pin::Pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::RecordBatch,
        csv::WriterBuilder as CsvBuilder,
        datatypes::SchemaRef,
        ipc::writer::StreamWriter,
        json::{LineDelimitedWriter, writer::LineDelimited, writer::WriterBuilder as JsonBuilder},
        util::display::{ArrayFormatter, FormatOptions},
    },
    execution::SendableRecordBatchStream,
};
use deltalake::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use futures::StreamExt as _;
use tokio::{sync::mpsc, time::Instant};

use super::{Running, Wanted};
use crate::{
    engine::{Lake, Task},
    error::{Error, Kind, Result},
    schema::{self, Column},
};

/// Pieces of an answer that wait for whoever reads it.
const WAITING: usize = 2;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Arrow's IPC stream.
    Arrow,
    /// CSV with a header.
    Csv,
    /// A JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
    /// A JSON array of texts a line, null where there is no value: for tables that people read.
    Texts,
}

/// A piece of an answer.
#[derive(Debug)]
pub struct Chunk {
    /// What it adds to the answer.
    pub bytes: Bytes,
    /// Rows in it.
    pub rows: u64,
    /// Whether it is the last piece: an answer without one broke off.
    pub is_last: bool,
    /// Whether rows were cut off because there were more than was asked for. Only the last piece says so.
    pub is_cut: bool,
}

/// A running query. Dropping it calls the query off.
pub struct Answer {
    /// The columns of the answer.
    pub columns: Vec<Column>,
    /// Whether its end came, which says that nothing is missing.
    has_ended: bool,
    chunks: mpsc::Receiver<Result<Chunk>>,
    _running: Task<()>,
}

impl Answer {
    /// The next piece; `None` when all was said.
    pub async fn next(&mut self) -> Option<Result<Chunk>> {
        let next = self.chunks.recv().await;
        self.told(next)
    }

    /// An answer that stops before its end (the engine's task died) is an error, never a shorter answer.
    fn told(&mut self, next: Option<Result<Chunk>>) -> Option<Result<Chunk>> {
        match &next {
            Some(Ok(chunk)) => self.has_ended |= chunk.is_last,
            Some(Err(_)) => self.has_ended = true,
            None if !self.has_ended => {
                self.has_ended = true;
                return Some(Err(Error::internal("the task of a query ended before its answer did")));
            }
            None => {}
        }
        next
    }
}

impl futures::Stream for Answer {
    type Item = Result<Chunk>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_recv(context).map(|next| self.told(next))
    }
}

/// A running query whose rows come as they are in memory. Dropping it calls the query off.
pub struct Rows {
    has_ended: bool,
    batches: mpsc::Receiver<Option<Result<RecordBatch>>>,
    _running: Task<()>,
}

impl Rows {
    /// The next rows; `None` when all were there. What stops before its end is an error, as in [`Answer`].
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        if self.has_ended {
            return None;
        }
        match self.batches.recv().await {
            Some(Some(Ok(batch))) => Some(Ok(batch)),
            Some(Some(Err(error))) => {
                self.has_ended = true;
                Some(Err(error))
            }
            Some(None) => {
                self.has_ended = true;
                None
            }
            None => {
                self.has_ended = true;
                Some(Err(Error::internal("the task of a query ended before its rows did")))
            }
        }
    }
}

/// Begins to hand over rows.
pub(super) fn rows(lake: &Lake, query: Running, time: Duration) -> Rows {
    let (sender, batches) = mpsc::channel(WAITING);
    let Running { rows: mut found, turn } = query;
    let running = lake.run(async move {
        let mut turn = Some(turn);
        let until = Instant::now() + time;
        loop {
            let next = match tokio::time::timeout_at(until, found.next()).await {
                Ok(next) => next.map(|batch| batch.map_err(Error::from)),
                Err(_) => Some(Err(too_long(time))),
            };
            let is_over = !matches!(next, Some(Ok(_)));
            if is_over {
                // Whoever reads slowly does not keep others waiting for a query that has ended.
                turn.take();
            }
            // Nobody may be reading any more.
            if sender.send(next).await.is_err() || is_over {
                return Ok(());
            }
        }
    });
    Rows { has_ended: false, batches, _running: running }
}

fn too_long(time: Duration) -> Error {
    Error::new(
        Kind::Time,
        format!(
            "The query took longer than its limit of {} s. Ask for less, or give it more time.",
            time.as_secs()
        ),
    )
}

/// Begins to answer.
pub(super) fn stream(lake: &Lake, query: Running, wanted: &Wanted) -> Result<Answer> {
    let Wanted { form, rows_max, time, .. } = *wanted;
    let Running { rows, turn } = query;
    let schema = rows.schema();
    let columns = schema::columns(&schema::shown(&schema))?;
    let (sender, chunks) = mpsc::channel(WAITING);
    let running = lake.run(async move {
        let until = Instant::now() + time;
        let end = match tokio::time::timeout_at(until, pass(rows, form, rows_max, &sender)).await {
            Ok(end) => end,
            Err(_) => Err(too_long(time)),
        };
        // Whoever reads slowly does not keep others waiting for a query that has ended.
        drop(turn);
        if let Err(error) = end {
            // Nobody may be reading any more.
            let _ = sender.send(Err(error)).await;
        }
        Ok(())
    });
    Ok(Answer { columns, has_ended: false, chunks, _running: running })
}

async fn pass(
    mut rows: SendableRecordBatchStream,
    form: Form,
    rows_max: Option<u64>,
    sender: &mpsc::Sender<Result<Chunk>>,
) -> Result<()> {
    let mut writing = Writing::begin(form, &rows.schema())?;
    let mut left = rows_max.unwrap_or(u64::MAX);
    let mut is_cut = false;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let fits = usize::try_from(left).unwrap_or(usize::MAX).min(batch.num_rows());
        is_cut = fits < batch.num_rows();
        left -= fits as u64;
        if fits > 0 {
            let bytes = writing.write(&batch.slice(0, fits))?;
            let chunk = Chunk { bytes, rows: fits as u64, is_last: false, is_cut: false };
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        if is_cut {
            break;
        }
    }
    let last = Chunk { bytes: writing.finish()?, rows: 0, is_last: true, is_cut };
    let _ = sender.send(Ok(last)).await;
    Ok(())
}

/// A place for bytes that a writer keeps while somebody else takes them out of it.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<parking_lot::Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock()).into()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Writing {
    out: Shared,
    writer: Writer,
}

enum Writer {
    Arrow(Box<StreamWriter<Shared>>),
    /// Whether the header was written.
    Csv(bool, SchemaRef),
    Json(LineDelimitedWriter<Shared>),
    Parquet(Box<ArrowWriter<Shared>>),
    Texts,
}

impl Writing {
    fn begin(form: Form, schema: &SchemaRef) -> Result<Self> {
        let out = Shared::default();
        let writer = match form {
            Form::Arrow => {
                let writer = StreamWriter::try_new(out.clone(), schema).map_err(Error::internal)?;
                Writer::Arrow(Box::new(writer))
            }
            Form::Csv => Writer::Csv(false, Arc::clone(schema)),
            Form::Json => Writer::Json(
                JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out.clone()),
            ),
            Form::Parquet => {
                let writer =
                    ArrowWriter::try_new(out.clone(), Arc::clone(schema), Some(parquet_properties()));
                Writer::Parquet(Box::new(writer.map_err(Error::internal)?))
            }
            Form::Texts => Writer::Texts,
        };
        Ok(Self { out, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<Bytes> {
        match &mut self.writer {
            Writer::Arrow(writer) => writer.write(batch).map_err(Error::internal)?,
            Writer::Csv(has_header, _) => {
                let header = !std::mem::replace(has_header, true);
                csv(header, &self.out, batch)?;
            }
            Writer::Json(writer) => writer.write(batch).map_err(unfit)?,
            Writer::Parquet(writer) => writer.write(batch).map_err(Error::internal)?,
            Writer::Texts => texts(&mut self.out, batch)?,
        }
        Ok(self.out.take())
    }

    fn finish(mut self) -> Result<Bytes> {
        match &mut self.writer {
            Writer::Arrow(writer) => writer.finish().map_err(Error::internal)?,
            // An answer without rows has a header too.
            Writer::Csv(false, schema) => csv(true, &self.out, &RecordBatch::new_empty(schema.clone()))?,
            Writer::Json(writer) => writer.finish().map_err(Error::internal)?,
            Writer::Parquet(writer) => {
                writer.finish().map_err(Error::internal)?;
            }
            Writer::Csv(true, _) | Writer::Texts => {}
        }
        Ok(self.out.take())
    }
}

/// Bytes of the rows that are encoded together in an answer as Parquet: they are in memory until the group is full.
const GROUP_BYTES: usize = 64 << 20;

fn parquet_properties() -> WriterProperties {
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(128 << 10))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()))
        .build()
}

fn csv(header: bool, out: &Shared, batch: &RecordBatch) -> Result<()> {
    CsvBuilder::new().with_header(header).build(out.clone()).write(batch).map_err(unfit)
}

fn texts(out: &mut Shared, batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default();
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>().map_err(unfit)?;
    for row in 0..batch.num_rows() {
        let line: Vec<Option<String>> = columns
            .iter()
            .zip(batch.columns())
            .map(|(shown, column)| column.is_valid(row).then(|| shown.value(row).to_string()))
            .collect();
        serde_json::to_writer(&mut *out, &line).map_err(Error::internal)?;
        out.write_all(b"\n").map_err(Error::internal)?;
    }
    Ok(())
}

fn unfit(error: datafusion::arrow::error::ArrowError) -> Error {
    Error::invalid(format!("The answer cannot be written in this form: {error}. Ask for it as Arrow."))
}
