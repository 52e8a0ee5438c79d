//! The three fields of a run of points, column by column.
//!
//! ```text
//! block of times    differences of differences, zigzag varints
//! block of steps    the same
//! width             4 if single precision holds every value exactly, else 8
//! width blocks      byte planes of the values, lowest byte first
//! ```
//!
//! Each block is compressed by itself and only where that pays: the planes of a loss's noise stay as they are and cost
//! no time, those of its sign and exponent all but vanish.

use std::borrow::Cow;

use crate::tracking::document::bytes::{Reader, exact_f32, put_int, put_packed};
use crate::tracking::document::{Damaged, Point};

use super::POINTS_MAX;

/// Appends the fields of `points`; `level` is zstd's.
pub(super) fn put_points<'a>(out: &mut Vec<u8>, points: impl Iterator<Item = &'a Point> + Clone, level: i32) {
    let mut block = Vec::new();
    put_differences(&mut block, points.clone().map(|point| point.timestamp_ms));
    put_packed(out, &block, level);
    block.clear();
    put_differences(&mut block, points.clone().map(|point| point.step));
    put_packed(out, &block, level);
    let values = points.map(|point| point.value.get());
    let narrow: Option<Vec<[u8; 4]>> =
        values.clone().map(|value| exact_f32(value).map(f32::to_le_bytes)).collect();
    if let Some(narrow) = narrow {
        put_planes(out, &narrow, level);
    } else {
        let wide: Vec<[u8; 8]> = values.map(f64::to_le_bytes).collect();
        put_planes(out, &wide, level);
    }
}

/// The fields of a run of points, of which a reader may want a few alone.
pub(super) struct Columns<'a> {
    pub times: Vec<i64>,
    pub steps: Vec<i64>,
    values: Planes<'a>,
}

enum Planes<'a> {
    Narrow([Cow<'a, [u8]>; 4]),
    Wide([Cow<'a, [u8]>; 8]),
}

impl<'a> Columns<'a> {
    /// Reads the fields of `count` points.
    pub(super) fn read(reader: &mut Reader<'a>, count: usize) -> Result<Self, Damaged> {
        if count > POINTS_MAX {
            return Err(reader.damaged("too many points"));
        }
        let times = reader.packed()?;
        let steps = reader.packed()?;
        let values = match reader.byte()? {
            4 => Planes::Narrow(read_planes(reader, count)?),
            8 => Planes::Wide(read_planes(reader, count)?),
            _ => return Err(reader.damaged("unknown width of values")),
        };
        // The planes were long enough, so `count` is backed by real bytes.
        Ok(Self { times: read_differences(&times, count)?, steps: read_differences(&steps, count)?, values })
    }

    /// The point at a place; none beyond the last.
    pub(super) fn point(&self, at: usize) -> Option<Point> {
        let (time, step) = (*self.times.get(at)?, *self.steps.get(at)?);
        let value = match &self.values {
            Planes::Narrow(planes) => f64::from(f32::from_le_bytes(bytes_at(planes, at)?)),
            Planes::Wide(planes) => f64::from_le_bytes(bytes_at(planes, at)?),
        };
        Some(Point::new(time, step, value))
    }

    /// All of them.
    pub(super) fn points(&self) -> Vec<Point> {
        let values = match &self.values {
            Planes::Narrow(planes) => join_planes(planes, |bytes| f64::from(f32::from_le_bytes(bytes))),
            Planes::Wide(planes) => join_planes(planes, f64::from_le_bytes),
        };
        let numbers = self.times.iter().zip(&self.steps);
        numbers.zip(values).map(|((time, step), value)| Point::new(*time, *step, value)).collect()
    }
}

fn bytes_at<const N: usize>(planes: &[Cow<'_, [u8]>; N], at: usize) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, plane) in bytes.iter_mut().zip(planes) {
        *byte = *plane.get(at)?;
    }
    Some(bytes)
}

/// Reads the fields of `count` points.
pub(super) fn read_points(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Point>, Damaged> {
    Columns::read(reader, count).map(|columns| columns.points())
}

/// Steady clocks and counters become zeros; arithmetic wraps, so any sequence works.
fn put_differences(out: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let (mut last, mut last_difference) = (0_i64, 0_i64);
    for number in numbers {
        let difference = number.wrapping_sub(last);
        put_int(out, difference.wrapping_sub(last_difference));
        (last, last_difference) = (number, difference);
    }
}

fn read_differences(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let mut reader = Reader::new("metric history column", bytes);
    let (mut last, mut difference) = (0_i64, 0_i64);
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        difference = difference.wrapping_add(reader.int()?);
        last = last.wrapping_add(difference);
        numbers.push(last);
    }
    reader.end()?;
    Ok(numbers)
}

fn put_planes<const N: usize>(out: &mut Vec<u8>, values: &[[u8; N]], level: i32) {
    out.push(N as u8);
    let mut plane = Vec::with_capacity(values.len());
    for at in 0..N {
        plane.clear();
        plane.extend(values.iter().map(|bytes| bytes[at]));
        put_packed(out, &plane, level);
    }
}

fn read_planes<'a, const N: usize>(
    reader: &mut Reader<'a>,
    count: usize,
) -> Result<[Cow<'a, [u8]>; N], Damaged> {
    let mut planes = [const { Cow::Borrowed([].as_slice()) }; N];
    for plane in &mut planes {
        *plane = reader.packed()?;
        if plane.len() != count {
            return Err(reader.damaged("plane has another length"));
        }
    }
    Ok(planes)
}

fn join_planes<const N: usize>(planes: &[Cow<'_, [u8]>; N], join: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let mut rows = vec![[0_u8; N]; planes.first().map_or(0, |plane| plane.len())];
    for (at, plane) in planes.iter().enumerate() {
        for (row, byte) in rows.iter_mut().zip(plane.iter()) {
            row[at] = *byte;
        }
    }
    rows.into_iter().map(join).collect()
}
