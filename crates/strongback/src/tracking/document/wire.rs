//! Bytes of a run document, version 2.
//!
//! ```text
//! 02
//! count, then per param    key text, value text
//! count, then per tag      key text, value text
//! count, then per metric   key text, points × 2 + narrow, value (4 bytes if narrow, else 8),
//!                          time and step as differences to the metric before; of more than one point, the bounds:
//!                          how the largest is kept × 16 + how the smallest is, then both (4 or 8 bytes, or none)
//! count, then per data set name text, digest text, 0 | 1 context text
//! ```
//!
//! Counts and lengths are varints, differences wrap and are zigzag varints, floats are little-endian bits. A value is
//! narrow if single precision holds it exactly, which is what training losses are. A bound is kept as 0 the same as the value,
//! 1 four bytes, 2 eight bytes, 3 there is none; both as 4 where the history alone knows them, followed by those of the points that
//! came since it was so, in the same form. One point is its own bounds.
//!
//! Version 1 knew no bounds, and is otherwise the same. It is read, and written no more.

use super::bytes::{Reader, exact_f32, put_int, put_text, put_uint};
use super::sorted::SortedMap;
use super::{Bounds, Damaged, DatasetInput, Metric, Point, RunDocument, Value};

const VERSION: u8 = 2;
/// Without bounds.
const VERSION_1: u8 = 1;

/// How a bound is kept.
mod bound {
    pub(super) const SAME: u8 = 0;
    pub(super) const NARROW: u8 = 1;
    pub(super) const WIDE: u8 = 2;
    pub(super) const NONE: u8 = 3;
    pub(super) const UNSETTLED: u8 = 4;
}

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
        if metric.is_in_history() {
            put_bounds(&mut out, metric);
        }
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

fn put_bounds(out: &mut Vec<u8>, metric: &Metric) {
    if !metric.is_settled {
        out.push(bound::UNSETTLED << 4 | bound::UNSETTLED);
    }
    let own = metric.latest.value.get().to_bits();
    let form = |number: Option<f64>| match number {
        None => bound::NONE,
        Some(number) if number.to_bits() == own => bound::SAME,
        Some(number) if exact_f32(number).is_some() => bound::NARROW,
        Some(_) => bound::WIDE,
    };
    let (min, max) = (metric.bounds.min(), metric.bounds.max());
    out.push(form(max) << 4 | form(min));
    for number in [min, max].into_iter().flatten() {
        match form(Some(number)) {
            bound::NARROW => out.extend_from_slice(&(number as f32).to_le_bytes()),
            bound::WIDE => out.extend_from_slice(&number.to_le_bytes()),
            _ => {}
        }
    }
}

/// See [`RunDocument::decode`].
pub(super) fn decode(bytes: &[u8]) -> Result<RunDocument, Damaged> {
    let mut reader = Reader::new("run document", bytes);
    let has_bounds = reader.version_among(&[VERSION_1, VERSION])? != VERSION_1;
    let params = decode_texts(&mut reader)?;
    let tags = decode_texts(&mut reader)?;
    let metrics = decode_metrics(&mut reader, has_bounds)?;
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

fn decode_metrics(reader: &mut Reader<'_>, has_bounds: bool) -> Result<SortedMap<Metric>, Damaged> {
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
        let latest = Point::new(time, step, stored);
        let bounds = std::iter::once(latest.value).collect();
        let mut metric = Metric { latest, points: head >> 1, bounds, is_settled: true };
        if metric.is_in_history() {
            match has_bounds {
                true => read_bounds(reader, &mut metric)?,
                false => metric.is_settled = false,
            }
        }
        if metric.points == 0 || !metrics.push(key, metric) {
            return Err(reader.damaged("metric without points, or keys do not ascend"));
        }
    }
    Ok(metrics)
}

/// Bounds hold the latest value, which is one of those that they are of.
fn read_bounds(reader: &mut Reader<'_>, metric: &mut Metric) -> Result<(), Damaged> {
    let mut forms = reader.byte()?;
    metric.is_settled = forms != bound::UNSETTLED << 4 | bound::UNSETTLED;
    if !metric.is_settled {
        forms = reader.byte()?;
    }
    let own = metric.latest.value;
    let mut read = |form: u8| -> Result<Option<Value>, Damaged> {
        Ok(match form {
            bound::NONE => None,
            bound::SAME => Some(own),
            bound::NARROW => Some(Value::new(f32::from_le_bytes(reader.array()?).into())),
            bound::WIDE => Some(Value::new(f64::from_le_bytes(reader.array()?))),
            _ => return Err(reader.damaged("unknown form of a bound")),
        })
    };
    let (min, max) = (read(forms & 15)?, read(forms >> 4)?);
    let given: Bounds = min.into_iter().chain(max).collect();
    let is_of_own = given == [own].into_iter().chain(min).chain(max).collect();
    if min.is_some() != max.is_some() || given.min() != min.map(Value::get) || !is_of_own {
        return Err(reader.damaged("bounds that do not hold the latest value"));
    }
    metric.bounds = given;
    Ok(())
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
