//! Rows that the product made or completed, as bytes that can land like any file.
//!
//! What must stay true: no value that a file has is changed; only what is absent is filled in.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch},
        compute::{is_null, kernels::zip::zip},
        datatypes::SchemaRef,
        ipc::writer::StreamWriter,
    },
    scalar::ScalarValue,
};
use tokio::sync::mpsc;

use crate::{
    decode::{self, BadRow, Report, Sink, Source},
    engine::{Lake, Task},
    error::{Error, Kind, Result},
    meter,
    query::Value,
    schema::{Declared, of_declared},
};

/// Pieces that wait for whoever takes them.
const WAITING: usize = 2;

/// Rows as a stream of Arrow's IPC format.
pub fn encode(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Bytes> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, schema).map_err(Error::internal)?;
    for batch in batches {
        writer.write(batch).map_err(Error::internal)?;
    }
    writer.finish().map_err(Error::internal)?;
    drop(writer);
    Ok(bytes.into())
}

/// The schema of a table that was declared with these columns.
pub fn schema(columns: &[Declared]) -> Result<SchemaRef> {
    of_declared(columns)
}

/// Is shown the rows, whole and in order, a piece at a time; what it answers is what is wrong with them, as a sentence.
pub type Look = Box<dyn FnMut(&RecordBatch) -> std::result::Result<(), String> + Send>;

/// A file on its way into another form.
pub struct Refilling {
    /// Pieces of the new form, in order.
    pub pieces: mpsc::Receiver<Bytes>,
    /// What the file held; whole only if no row of it is bad.
    pub report: Task<Report>,
}

impl Lake {
    /// Reads a file as rows of these columns and gives them back in Arrow's IPC format, with a value in the place of each
    /// that is absent from a column of `defaults`. Memory grows with the length of a row. A column of the file that is not
    /// among these is refused, and so is a file in which `look` finds something wrong.
    pub fn refill(
        &self,
        source: Source,
        columns: Vec<Declared>,
        defaults: Vec<(String, Value)>,
        look: Look,
    ) -> Result<Refilling> {
        let schema = of_declared(&columns)?;
        let mut filling = vec![None; schema.fields().len()];
        for (name, value) in defaults {
            let at = schema.index_of(&name).map_err(Error::internal)?;
            let value = ScalarValue::from(value).cast_to(schema.field(at).data_type())?;
            filling[at] = Some(value);
        }
        let (sender, pieces) = mpsc::channel(WAITING);
        let report = self.run(async move {
            let work = move || {
                let writer = StreamWriter::try_new(Vec::new(), &schema).map_err(Error::internal)?;
                let mut pouring = Pouring { writer, schema: Arc::clone(&schema), filling, look, sender };
                let report = decode::decode(&source, &schema, &mut pouring)?;
                pouring.writer.finish().map_err(Error::internal)?;
                pouring.send()?;
                Ok(report)
            };
            meter::spawn_blocking(work).await.map_err(Error::internal)?
        });
        Ok(Refilling { pieces, report })
    }
}

struct Pouring {
    writer: StreamWriter<Vec<u8>>,
    schema: SchemaRef,
    filling: Vec<Option<ScalarValue>>,
    look: Look,
    sender: mpsc::Sender<Bytes>,
}

impl Pouring {
    fn send(&mut self) -> Result<()> {
        let piece = std::mem::take(self.writer.get_mut());
        let gone = |_| Error::new(Kind::Cancelled, "The import was called off.");
        self.sender.blocking_send(piece.into()).map_err(gone)
    }
}

impl Sink for Pouring {
    fn rows(&mut self, batch: RecordBatch) -> Result<()> {
        let fill = |(column, value): (&ArrayRef, &Option<ScalarValue>)| match value {
            Some(value) if column.null_count() > 0 => {
                let value = value.to_scalar().map_err(Error::from)?;
                let absent = is_null(column).map_err(Error::internal)?;
                zip(&absent, &value, column).map_err(Error::internal)
            }
            _ => Ok(Arc::clone(column)),
        };
        let columns = batch.columns().iter().zip(&self.filling).map(fill).collect::<Result<_>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(Error::internal)?;
        (self.look)(&batch).map_err(Error::invalid)?;
        self.writer.write(&batch).map_err(Error::internal)?;
        self.send()
    }

    /// The report counts them and names the first.
    fn bad_row(&mut self, _: BadRow) -> Result<()> {
        Ok(())
    }
}
