//! The columns of a payload table: those that every one has, and one an input.
//!
//! An input's name becomes a column's: one that begins with `_` gets one more, characters that tables refuse become `_`, and
//! of two that are then the same without regard to case the later gets a number. A later model's input with a name that is
//! there and another type gets a column of its own, `<name>_<type>`.

use std::collections::HashSet;

use lake::{
    arrow::datatypes::{DataType, Field, Schema},
    schema::{Column as TableColumn, Declared},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::values::Kind;
use crate::error::Result;

/// What tables refuse in a name.
const REFUSED: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];
/// Longest name of a column, in bytes, with room for what is put behind it.
const NAME_BYTES_MAX: usize = 230;

/// Column that says when a row was served.
pub(crate) const SERVED_AT: &str = "_served_at";
/// Column that says what of a row was looked up, and where ([`super::FromTable`]).
pub(crate) const FEATURE_VERSIONS: &str = "_feature_versions";

/// Columns of every payload table, with their types.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("_request_id", "string"),
    ("_row", "int"),
    ("_client_request_id", "string"),
    (SERVED_AT, "timestamp"),
    ("_event_time", "timestamp"),
    ("_endpoint_config", "bigint"),
    ("_model_version", "bigint"),
    (FEATURE_VERSIONS, "string"),
    ("_latency_us", "bigint"),
    ("_prediction", "double"),
    ("_prediction_label", "string"),
];

/// An input of a model: the name of its column before any other table is looked at, and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    pub name: String,
    pub kind: Kind,
}

/// The inputs of a schema, with names that tables take.
pub(super) fn inputs(schema: &Schema) -> Result<Vec<Input>> {
    let mut taken = HashSet::new();
    schema
        .fields()
        .iter()
        .map(|field| {
            let kind = Kind::of(field.name(), field.data_type())?;
            Ok(Input { name: free(clean(field.name()), &mut taken), kind })
        })
        .collect()
}

fn clean(name: &str) -> String {
    let mut clean = String::with_capacity(name.len() + 1);
    if name.is_empty() || name.starts_with('_') {
        clean.push('_');
    }
    for character in name.chars() {
        if clean.len() + character.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        let is_refused = REFUSED.contains(&character) || character.is_control();
        clean.push(if is_refused { '_' } else { character });
    }
    // One that begins with a refused character would look like one of ours.
    if clean.starts_with('_') && !clean.starts_with("__") { format!("_{clean}") } else { clean }
}

fn free(name: String, taken: &mut HashSet<String>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.to_lowercase()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

/// The columns of an empty payload table.
pub(super) fn fixed() -> Vec<Declared> {
    FIXED.iter().map(|(name, kind)| declared(name, kind)).collect()
}

fn declared(name: &str, kind: &str) -> Declared {
    Declared { name: name.to_owned(), type_text: kind.to_owned(), nullable: true }
}

/// The column of each input in a table that has `columns` and gets those that are told in the second place.
pub(super) fn place(inputs: &[Input], columns: &[TableColumn]) -> (Vec<String>, Vec<Declared>) {
    let (mut placed, mut new) = (Vec::with_capacity(inputs.len()), Vec::new());
    for input in inputs {
        let suffixed = |number: usize| match number {
            0 => input.name.clone(),
            1 => format!("{}_{}", input.name, input.kind.text()),
            more => format!("{}_{}_{more}", input.name, input.kind.text()),
        };
        let mut number = 0;
        loop {
            let name = suffixed(number);
            let is_used = placed.iter().any(|other: &String| other.eq_ignore_ascii_case(&name));
            match columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase()) {
                Some(column) if !is_used && column.type_text == input.kind.text() => {
                    placed.push(column.name.clone());
                    break;
                }
                None if !is_used => {
                    new.push(declared(&name, input.kind.text()));
                    placed.push(name);
                    break;
                }
                _ => number += 1,
            }
        }
    }
    (placed, new)
}

/// The type whose values these are: a table is read in whichever form is cheapest.
fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => &DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => &DataType::Binary,
        other => other,
    }
}

/// Which column of a payload table holds each input of a model that takes `asked`; none where the table has none for it. An
/// input that was asked for with another type lies in the column of its name.
pub(crate) fn columns_of(asked: &Schema, table: &Schema) -> Result<Vec<Option<usize>>> {
    let column = |field: &Field| TableColumn {
        name: field.name().clone(),
        type_name: String::new(),
        type_text: Kind::of(field.name(), plain(field.data_type())).map_or("", Kind::text).to_owned(),
        type_json: String::new(),
        nullable: true,
    };
    let columns: Vec<TableColumn> = table.fields().iter().map(|field| column(field)).collect();
    let inputs = inputs(asked)?;
    let (placed, _) = place(&inputs, &columns);
    let at = |name: &str| columns.iter().position(|known| known.name.to_lowercase() == name.to_lowercase());
    Ok(inputs.iter().zip(&placed).map(|(input, placed)| at(placed).or_else(|| at(&input.name))).collect())
}

/// An input of a model as a row of the log or of a payload table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedInput {
    /// Its name in the signature.
    pub name: String,
    /// Its name in `_feature_versions`.
    pub logged_as: String,
    /// Its value; null where the row has none.
    pub value: Json,
}

/// Of the values of a row by column, those of a model that takes `asked`, in its order and under its names. Columns that other models
/// have are left out.
pub(crate) fn values_of(
    asked: &Schema,
    columns: &Schema,
    values: &Map<String, Json>,
) -> Result<Vec<LoggedInput>> {
    let places = columns_of(asked, columns)?;
    let names = asked.fields().iter().map(|field| field.name().clone());
    let logged = inputs(asked)?.into_iter().zip(places);
    let found = names.zip(logged).map(|(name, (input, place))| {
        let value = place.and_then(|at| values.get(columns.field(at).name())).cloned();
        LoggedInput { name, logged_as: input.name, value: value.unwrap_or_default() }
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> Vec<String> {
        let fields: Vec<Field> =
            given.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect();
        inputs(&Schema::new(fields)).unwrap().into_iter().map(|input| input.name).collect()
    }

    #[test]
    fn values_come_back_in_the_models_order_and_under_its_names() {
        let field = |(name, kind): (&str, DataType)| Field::new(name, kind, true);
        let double = DataType::Float64;
        let asked = [
            ("_z", double.clone()),
            ("a", DataType::Int64),
            ("b", DataType::Int64),
            ("b_double", double.clone()),
        ];
        let asked = Schema::new(asked.map(field).to_vec());
        // Another model's `a` and `b` are doubles, and so is this one's `b_double`, which has its own column.
        let table = [
            ("A", double.clone()),
            ("A_bigint", DataType::Int64),
            ("__z", double.clone()),
            ("b", double.clone()),
            ("b_bigint", DataType::Int64),
            ("b_double", double.clone()),
            ("of_another_model", double),
        ];
        let table = Schema::new(table.map(field).to_vec());
        let logged = serde_json::json!({
            "A": 1.0, "A_bigint": 7, "__z": 1.5, "b": 2.0, "b_bigint": 4, "b_double": 3.0, "of_another_model": 9,
        });
        let found = values_of(&asked, &table, logged.as_object().unwrap()).unwrap();
        let found: Vec<(&str, &str, &Json)> =
            found.iter().map(|one| (&*one.name, &*one.logged_as, &one.value)).collect();
        let (z, a, b, c) = (1.5.into(), 7.into(), 4.into(), 3.0.into());
        assert_eq!(found, [("_z", "__z", &z), ("a", "a", &a), ("b", "b", &b), ("b_double", "b_double", &c)]);
        // What the model did not get is said to be missing.
        assert_eq!(values_of(&asked, &table, &Map::new()).unwrap()[1].value, Json::Null);
    }

    #[test]
    fn every_input_has_a_column_of_its_own_and_none_of_ours() {
        assert_eq!(
            names(&["amount", "_row", "__x", " y", "", "a b;c"]),
            ["amount", "__row", "___x", "__y", "__", "a_b_c"]
        );
        assert_eq!(names(&["a", "A", "a_2", "a"]), ["a", "A_2", "a_2_2", "a_3"]);
        let long = "ü".repeat(300);
        assert!(names(&[&long])[0].len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn what_was_recorded_is_found_again_by_its_input() {
        let schema = |fields: &[(&str, DataType)]| {
            Schema::new(
                fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>(),
            )
        };
        let double = DataType::Float64;
        let table = schema(&[
            ("_row", DataType::Int32),
            ("a_b", double.clone()),
            ("a_b_2", double.clone()),
            ("__x", double.clone()),
            ("count", DataType::Int64),
            ("count_double", double.clone()),
            ("kept", DataType::Int64),
            ("place", double.clone()),
            ("place_string", DataType::Utf8View),
        ]);
        let asked = schema(&[
            ("a b", double.clone()),
            ("a;b", double.clone()),
            ("_x", double.clone()),
            ("Count", double.clone()),
            ("kept", double.clone()),
            ("_row", double.clone()),
            ("place", DataType::Utf8),
            ("gone", double),
        ]);
        let found = columns_of(&asked, &table).unwrap();
        assert_eq!(found, [Some(1), Some(2), Some(3), Some(5), Some(6), None, Some(8), None]);
    }

    #[test]
    fn a_name_with_another_type_gets_a_column_beside() {
        let column = |name: &str, kind: &str| TableColumn {
            name: name.into(),
            type_name: String::new(),
            type_text: kind.into(),
            type_json: String::new(),
            nullable: true,
        };
        let input = |name: &str, kind| Input { name: name.into(), kind };
        let there = [column("Amount", "double"), column("count_string", "double"), column("count", "bigint")];
        let wanted =
            [input("amount", Kind::Double), input("count", Kind::String), input("new", Kind::Boolean)];
        let (placed, new) = place(&wanted, &there);
        assert_eq!(placed, ["Amount", "count_string_2", "new"]);
        assert_eq!(new, [declared("count_string_2", "string"), declared("new", "boolean")]);
    }
}
