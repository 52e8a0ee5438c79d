//! Bytes of a run document, version 1.
//!
//! ```text
//! 01
//! count, then per param    key text, value text
//! count, then per tag      key text, value text
//! count, then per metric   key text, points × 2 + narrow, value (4 bytes if narrow, else 8),
//!                          time and step as differences to the metric before
//! count, then per data set name text, digest text, 0 | 1 context text
//! ```
//!
//! Counts and lengths are varints, differences wrap and are zigzag varints, floats are little-endian bits. A value is
//! narrow if single precision holds it exactly, which is what training losses are.

use super::bytes::{Reader, exact_f32, put_int, put_text, put_uint};
use super::sorted::SortedMap;
use super::{Damaged, DatasetInput, Metric, Point, RunDocument};

const VERSION: u8 = 1;

/// See [`RunDocument::encode`].
pub(super) fn encode(document: &RunDocument) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.push(VERSION);
    for texts in [&document.params, &document.tags] {
        put_uint(&mut out, texts.len() as u64);
        for (key, value) in texts.iter() {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
    }
    put_uint(&mut out, document.metrics.len() as u64);
    let (mut time, mut step) = (0, 0);
    for (key, metric) in document.metrics.iter() {
        let Point { timestamp_ms, step: at_step, value } = metric.latest;
        put_text(&mut out, key);
        // The top bit of the count makes room for the flag; nobody logs 2^63 points.
        if let Some(narrow) = exact_f32(value.get()) {
            put_uint(&mut out, (metric.points << 1) | 1);
            out.extend_from_slice(&narrow.to_le_bytes());
        } else {
            put_uint(&mut out, metric.points << 1);
            out.extend_from_slice(&value.get().to_le_bytes());
        }
        put_int(&mut out, timestamp_ms.wrapping_sub(time));
        put_int(&mut out, at_step.wrapping_sub(step));
        (time, step) = (timestamp_ms, at_step);
    }
    put_uint(&mut out, document.datasets.len() as u64);
    for input in &document.datasets {
        put_text(&mut out, &input.name);
        put_text(&mut out, &input.digest);
        out.push(u8::from(input.context.is_some()));
        if let Some(context) = &input.context {
            put_text(&mut out, context);
        }
    }
    out
}

/// See [`RunDocument::decode`].
pub(super) fn decode(bytes: &[u8]) -> Result<RunDocument, Damaged> {
    let mut reader = Reader::new("run document", bytes);
    reader.version(VERSION)?;
    let params = decode_texts(&mut reader)?;
    let tags = decode_texts(&mut reader)?;
    let metrics = decode_metrics(&mut reader)?;
    let datasets = decode_datasets(&mut reader)?;
    reader.end()?;
    Ok(RunDocument { params, tags, metrics, datasets })
}

fn decode_texts(reader: &mut Reader<'_>) -> Result<SortedMap<String>, Damaged> {
    let count = reader.count(2)?;
    let mut texts = SortedMap::with_capacity(count);
    for _ in 0..count {
        let key = reader.text()?;
        let value = reader.text()?;
        if !texts.push(key, value.to_owned()) {
            return Err(reader.damaged("keys do not ascend"));
        }
    }
    Ok(texts)
}

fn decode_metrics(reader: &mut Reader<'_>) -> Result<SortedMap<Metric>, Damaged> {
    let count = reader.count(8)?;
    let mut metrics = SortedMap::with_capacity(count);
    let (mut time, mut step) = (0_i64, 0_i64);
    for _ in 0..count {
        let key = reader.text()?;
        let head = reader.uint()?;
        let stored = if head & 1 == 1 {
            f64::from(f32::from_le_bytes(reader.array()?))
        } else {
            f64::from_le_bytes(reader.array()?)
        };
        time = time.wrapping_add(reader.int()?);
        step = step.wrapping_add(reader.int()?);
        let metric = Metric { latest: Point::new(time, step, stored), points: head >> 1 };
        if metric.points == 0 || !metrics.push(key, metric) {
            return Err(reader.damaged("metric without points, or keys do not ascend"));
        }
    }
    Ok(metrics)
}

fn decode_datasets(reader: &mut Reader<'_>) -> Result<Vec<DatasetInput>, Damaged> {
    let count = reader.count(3)?;
    let mut datasets: Vec<DatasetInput> = Vec::new();
    for _ in 0..count {
        let name = reader.text()?.to_owned();
        let digest = reader.text()?.to_owned();
        let context = match reader.byte()? {
            0 => None,
            1 => Some(reader.text()?.to_owned()),
            _ => return Err(reader.damaged("unknown flag")),
        };
        let input = DatasetInput { name, digest, context };
        if datasets.last().is_some_and(|last| *last >= input) {
            return Err(reader.damaged("data sets do not ascend"));
        }
        datasets.push(input);
    }
    Ok(datasets)
}
