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

/// Of values by column, those of a model that takes `asked`, in its order and under its names. Columns that other models have are
/// left out.
pub(crate) fn values_of(asked: &Schema, by_column: &Map<String, Json>) -> Result<Vec<(String, Json)>> {
    let inputs = inputs(asked)?;
    let names: HashSet<String> = inputs.iter().map(|input| input.name.to_lowercase()).collect();
    let value_at = |name: &str| {
        let found = by_column.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    };
    let value_of = |input: &Input| {
        let of_type = format!("{}_{}", input.name, input.kind.text());
        let of_type = Some(of_type).filter(|name| !names.contains(&name.to_lowercase()));
        let found = of_type.and_then(|name| value_at(&name)).or_else(|| value_at(&input.name));
        found.cloned().unwrap_or(Json::Null)
    };
    let asked = asked.fields().iter().map(|field| field.name().clone());
    Ok(asked.zip(inputs.iter().map(value_of)).collect())
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
        let asked = Schema::new(vec![
            Field::new("_z", DataType::Float64, true),
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Float64, true),
            Field::new("b_double", DataType::Float64, true),
        ]);
        let logged = serde_json::json!({
            "A_bigint": 7, "a": null, "__z": 1.5, "b": 2.0, "b_double": 3.0, "of_another_model": 9,
        });
        let found = values_of(&asked, logged.as_object().unwrap()).unwrap();
        let expected = [("_z", 1.5.into()), ("a", 7.into()), ("b", 2.0.into()), ("b_double", 3.0.into())];
        assert_eq!(found, expected.map(|(name, value): (&str, Json)| (name.to_owned(), value)));
        // What the model did not get is said to be missing.
        assert_eq!(values_of(&asked, &Map::new()).unwrap()[1], ("a".to_owned(), Json::Null));
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
