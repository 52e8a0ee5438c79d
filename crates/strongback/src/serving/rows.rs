//! Rows of JSON straight into typed columns.
//!
//! What must stay true: the parser's own error type cannot carry ours, so that a value that is refused leaves its error in a
//! slot and stops the parser; whoever began the parser takes it from there.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    body::not_json,
    cell::Cell,
    frame::{Column, Frame, missing_columns, twice},
    signature::{Form, Input, Schema},
    size::check_size,
};
use crate::error::{Code, Error, Result};

/// Where a refusal is left.
type Slot = Option<Error>;

/// Stops the parser.
fn stop<E: de::Error>(slot: &mut Slot, error: Error) -> E {
    *slot = Some(error);
    E::custom("refused")
}

/// Columns that a request may name.
const COLUMNS_MAX: usize = 50_000;

/// Names of columns as `dataframe_split` has them; `None` if they are not texts, as those of a frame without names.
pub(super) fn names(text: &str) -> Result<Option<Vec<String>>> {
    let mut slot = None;
    let mut parser = serde_json::Deserializer::from_str(text);
    let names = parser.deserialize_seq(Names { slot: &mut slot });
    names.map_err(|error| slot.take().unwrap_or_else(|| not_json(&error)))
}

struct Names<'r> {
    slot: &'r mut Slot,
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = Option<Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut has_others) = (Vec::new(), false);
        let mut count = 0;
        while let Some(name) = names.next_element::<&RawValue>()? {
            count += 1;
            if count > COLUMNS_MAX {
                let error = Error::invalid(format!(
                    "'dataframe_split.columns' has more than {COLUMNS_MAX} names. Send only the columns of the model."
                ));
                return Err(stop(self.slot, error));
            }
            match serde_json::from_str::<String>(name.get()) {
                Ok(name) => found.push(name),
                Err(_) => has_others = true,
            }
        }
        Ok((!has_others).then_some(found))
    }
}

/// Rows as lists of values, whose place says into which column they go.
pub(super) fn table(schema: &Schema, places: &[Option<usize>], text: &str) -> Result<Frame> {
    read(schema, text, |reader| reader.places = Some(places), "'dataframe_split.data' must be a list of rows")
}

/// Rows as objects, or as lists where the signature has no names.
pub(super) fn list(schema: &Schema, text: &str, name: &str) -> Result<Frame> {
    read(schema, text, |_| {}, &format!("'{name}' must be a list of rows"))
}

/// A list of rows, or an object of columns.
pub(super) fn inputs(schema: &Schema, text: &str) -> Result<Frame> {
    if text.trim_start().starts_with('{') {
        return columns(schema, text);
    }
    list(schema, text, "inputs")
}

fn read<'s>(
    schema: &'s Schema,
    text: &str,
    set: impl FnOnce(&mut Rows<'s>),
    expected: &str,
) -> Result<Frame> {
    if !text.trim_start().starts_with('[') {
        return Err(Error::new(Code::BadRequest, format!("{expected}.")));
    }
    let mut slot = None;
    // About 8 bytes a value: no more is set aside than the text can hold.
    let rows = (text.len() / (8 * schema.inputs.len().max(1))).clamp(1, 4096);
    let mut reader = Rows { schema, frame: Frame::new(schema, rows), places: None };
    set(&mut reader);
    let mut parser = serde_json::Deserializer::from_str(text);
    let seed = RowsSeed { reader: &mut reader, slot: &mut slot };
    match seed.deserialize(&mut parser) {
        Ok(()) => Ok(reader.frame),
        Err(error) => Err(slot.take().unwrap_or_else(|| not_json(&error))),
    }
}

struct Rows<'s> {
    schema: &'s Schema,
    frame: Frame,
    /// Of rows that are lists: where their values go.
    places: Option<&'s [Option<usize>]>,
}

impl Rows<'_> {
    fn positions(&self) -> usize {
        self.places.map_or(self.schema.inputs.len(), <[_]>::len)
    }

    /// Where the value at this place of a row goes.
    fn place(&self, at: usize) -> Option<usize> {
        match self.places {
            Some(places) => places.get(at).copied().flatten(),
            None => Some(at),
        }
    }

    fn cell<'r>(&'r mut self, place: usize, slot: &'r mut Slot) -> Option<CellSeed<'r>> {
        let (input, column) = (self.schema.inputs.get(place)?, self.frame.columns.get_mut(place)?);
        Some(CellSeed { input, column, slot })
    }

    /// Refuses rows without names for a model whose inputs have some.
    fn refuse_positions(&self) -> Option<Error> {
        let is_refused = self.places.is_none() && self.schema.form == Form::Named;
        is_refused.then(|| {
            Error::invalid(format!(
                "Failed to enforce schema: the model takes its inputs by name, and row {} has none. Send objects, or \
                 'dataframe_split' with 'columns'.",
                self.frame.rows
            ))
        })
    }
}

struct RowsSeed<'r, 's> {
    reader: &'r mut Rows<'s>,
    slot: &'r mut Slot,
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(RowSeed { reader: self.reader, slot: self.slot })?.is_some() {}
        Ok(())
    }
}

struct RowSeed<'r, 's> {
    reader: &'r mut Rows<'s>,
    slot: &'r mut Slot,
}

impl RowSeed<'_, '_> {
    fn end<E: de::Error>(self) -> Result<(), E> {
        let schema = self.reader.schema;
        self.reader.frame.end_row(schema).map_err(|error| stop(self.slot, error))
    }

    /// A row that is one value, of a model that has one input.
    fn only<E: de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        if let Some(error) = self.reader.refuse_positions() {
            return Err(stop(self.slot, error));
        }
        if self.reader.positions() != 1 {
            return Err(stop(self.slot, width(self.reader.frame.rows, 1, self.reader.positions())));
        }
        let place = self.reader.place(0);
        if let Some(seed) = place.and_then(|place| self.reader.cell(place, self.slot)) {
            seed.push(cell)?;
        }
        self.end()
    }
}

fn width(row: usize, got: usize, expected: usize) -> Error {
    let values = if got == 1 { "value" } else { "values" };
    Error::new(
        Code::BadRequest,
        format!("Failed to enforce schema: row {row} has {got} {values}, and {expected} are expected."),
    )
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    () => {
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
            self.only(Cell::Bool(value))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
            self.only(Cell::Int(value))
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
            self.only(i64::try_from(value).map_or(Cell::Huge(value), Cell::Int))
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
            self.only(Cell::Float(value))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
            self.only(Cell::Text(value))
        }

        fn visit_unit<E: de::Error>(self) -> Result<(), E> {
            self.only(Cell::Null)
        }
    };
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        if let Some(error) = self.reader.refuse_positions() {
            return Err(stop(self.slot, error));
        }
        let expected = self.reader.positions();
        let mut got = 0;
        loop {
            let place = self.reader.place(got).filter(|_| got < expected);
            let is_more = match place.and_then(|place| self.reader.cell(place, self.slot)) {
                Some(seed) => cells.next_element_seed(seed)?.is_some(),
                None => cells.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_more {
                break;
            }
            got += 1;
        }
        if got != expected {
            return Err(stop(self.slot, width(self.reader.frame.rows, got, expected)));
        }
        self.end()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        let (schema, row) = (self.reader.schema, self.reader.frame.rows);
        let mut guess = 0;
        while let Some(place) = cells.next_key_seed(KeySeed { schema, guess })? {
            guess = place.map_or(guess, |place| place + 1);
            match place.and_then(|place| self.reader.cell(place, self.slot)) {
                Some(seed) if seed.column.len() > row => {
                    let error = twice(&seed.input.name, row);
                    return Err(stop(self.slot, error));
                }
                Some(seed) => cells.next_value_seed(seed)?,
                None => drop(cells.next_value::<IgnoredAny>()?),
            }
        }
        self.end()
    }
}

/// A name of an input, as its place.
struct KeySeed<'s> {
    schema: &'s Schema,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an input")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.schema.position(name, self.guess))
    }
}

/// A value of one input.
struct CellSeed<'r> {
    input: &'r Input,
    column: &'r mut Column,
    slot: &'r mut Slot,
}

impl CellSeed<'_> {
    fn push<E: de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        self.column.push(self.input, cell).map_err(|error| stop(self.slot, error))
    }

    fn only<E: de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        self.push(cell)
    }

    fn nested<E: de::Error>(self, what: &str) -> E {
        let error = Error::new(
            Code::BadRequest,
            format!(
                "Failed to enforce schema: column '{}', row {}: expected {}, got {what}.",
                self.input.name,
                self.column.len(),
                self.input.kind.name()
            ),
        );
        stop(self.slot, error)
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.nested("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.nested("an object"))
    }
}

/// An object of columns, each a list of values or one value.
fn columns(schema: &Schema, text: &str) -> Result<Frame> {
    let mut slot = None;
    let mut frame = Frame::new(schema, 1);
    let mut parser = serde_json::Deserializer::from_str(text);
    let seed = ColumnsSeed { schema, frame: &mut frame, slot: &mut slot };
    if let Err(error) = parser.deserialize_map(seed) {
        return Err(slot.take().unwrap_or_else(|| not_json(&error)));
    }
    frame.rows = frame.columns.iter().map(Column::len).max().unwrap_or(0);
    let rows = frame.rows;
    check_size(rows, schema.inputs.len())?;
    let mut missing = Vec::new();
    for (column, input) in frame.columns.iter_mut().zip(&schema.inputs) {
        match column.len() {
            len if len == rows && rows > 0 => {}
            0 if input.required => missing.push(&input.name),
            0 => (0..rows).try_for_each(|_| column.push(input, Cell::Null))?,
            len => {
                let message = format!(
                    "Failed to enforce schema: column '{}' has {len} values, and the longest has {rows}.",
                    input.name
                );
                return Err(Error::new(Code::BadRequest, message));
            }
        }
    }
    if missing.is_empty() { Ok(frame) } else { Err(missing_columns(schema, &missing, None)) }
}

struct ColumnsSeed<'r> {
    schema: &'r Schema,
    frame: &'r mut Frame,
    slot: &'r mut Slot,
}

impl<'de> Visitor<'de> for ColumnsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut columns: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(place) = columns.next_key_seed(KeySeed { schema: self.schema, guess })? {
            guess = place.map_or(guess, |place| place + 1);
            let found =
                place.and_then(|at| Some((self.schema.inputs.get(at)?, self.frame.columns.get_mut(at)?)));
            match found {
                Some((input, column)) if !column.is_empty() => {
                    let error = twice(&input.name, 0);
                    return Err(stop(self.slot, error));
                }
                Some((input, column)) => {
                    columns.next_value_seed(ColumnSeed { input, column, slot: self.slot })?;
                }
                None => drop(columns.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct ColumnSeed<'r> {
    input: &'r Input,
    column: &'r mut Column,
    slot: &'r mut Slot,
}

impl ColumnSeed<'_> {
    fn only<E: de::Error>(self, cell: Cell<'_>) -> Result<(), E> {
        self.column.push(self.input, cell).map_err(|error| stop(self.slot, error))
    }
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column")
    }

    scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        while cells
            .next_element_seed(CellSeed { input: self.input, column: self.column, slot: self.slot })?
            .is_some()
        {
            check_size(self.column.len(), 1).map_err(|error| stop(self.slot, error))?;
        }
        Ok(())
    }
}
