//! A GraphQL document: read within bounds, and what its fields leave of an answer.
//!
//! What must stay true: a short text costs a short time, whatever stands in it, and none of it on the worker that others
//! wait for; no answer is larger than what it was cut from; a message shows a little of what came and never all of it.

use std::{borrow::Cow, collections::HashSet};

use async_graphql_parser::{
    Error as Unread, parse_query,
    types::{ExecutableDocument, Field, Selection, SelectionSet},
};
use async_graphql_value::{ConstValue, Variables};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Bytes of a document. The longest that MLflow 3.17's pages send has 1,454, and some 300 more once their client has
/// asked for `__typename` everywhere. The parser needs about a tenth of a second for as many as this.
pub(super) const QUERY_BYTES_MAX: usize = 8 << 10;
/// Brackets within brackets, looked at before the parser, which goes down once more for each.
const NESTING_MAX: usize = 32;
/// Fields within fields. The pages ask five deep.
const DEPTH_MAX: usize = 12;
/// Places where variables stand; each is filled with a copy of its value. The pages have two.
const VARIABLES_MAX: usize = 32;
/// Characters of the caller's own text in a message.
const SHOWN_CHARS: usize = 60;

/// Reads a document.
pub(super) fn read(text: &str) -> Result<ExecutableDocument> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "'query' exceeds the maximum length of {QUERY_BYTES_MAX} bytes; it has {}. Ask less at once.",
            text.len()
        )));
    }
    if nesting(text) > NESTING_MAX {
        return Err(Error::invalid(format!("'query' is nested deeper than {NESTING_MAX} brackets.")));
    }
    if text.bytes().filter(|byte| *byte == b'$').count() > VARIABLES_MAX {
        return Err(Error::invalid(format!("'query' names variables in more than {VARIABLES_MAX} places.")));
    }
    tokio::task::block_in_place(|| parse_query(text)).map_err(|error| unread(&error))
}

/// Brackets that are open at once, at most. Those in texts and comments count too: that they are some is all it says.
fn nesting(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'(' => open += 1,
            b'}' | b']' | b')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// What the parser missed, and where. Its own text repeats the document's lines.
fn unread(error: &Unread) -> Error {
    let text = error.to_string();
    let why = text.rsplit_once("= ").map_or(text.as_str(), |(_, why)| why);
    let place = error.positions().next().map(|at| format!(" at line {}, column {}", at.line, at.column));
    Error::invalid(format!(
        "Invalid value for parameter 'query' supplied: it is no GraphQL document{}: {}.",
        place.unwrap_or_default(),
        shown(why.trim_end_matches('.'))
    ))
}

/// As much of a text of the caller's as a message shows.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// The fields of a question document, once [`check`] found nothing else among them.
pub(super) fn fields_of(set: &SelectionSet) -> impl Iterator<Item = &Field> {
    set.items.iter().filter_map(|item| match &item.node {
        Selection::Field(field) => Some(&field.node),
        _ => None,
    })
}

/// The one argument of a question, with its variables filled in; one that is `null` is one without fields.
pub(super) fn argument(field: &Field, variables: &Variables) -> Result<Value> {
    let Some((_, value)) = field.arguments.first() else { return Ok(json!({})) };
    let filled: ConstValue = value.node.clone().into_const_with(|name| {
        variables
            .get(&name)
            .cloned()
            .ok_or_else(|| Error::invalid(format!("The GraphQL variable ${} has no value.", shown(&name))))
    })?;
    Ok(match filled {
        ConstValue::Null => json!({}),
        filled => filled.into_json().map_err(Error::internal)?,
    })
}

/// Refuses what [`cut`] would not understand, before anything is looked up for it: fragments, and fields that are asked
/// for again and again, by which an answer would grow.
pub(super) fn check(set: &SelectionSet) -> Result<()> {
    check_at(set, 0)
}

fn check_at(set: &SelectionSet, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::invalid(format!("The GraphQL query is nested deeper than {DEPTH_MAX} fields.")));
    }
    let mut seen = HashSet::new();
    for item in &set.items {
        let Selection::Field(field) = &item.node else {
            return Err(Error::invalid("Fragments are not understood here; name the fields."));
        };
        // Questions may be alike but for what they are asked with; their answers need names of their own.
        let name = if depth == 0 { field.node.response_key() } else { &field.node.name };
        if !seen.insert(name.node.as_str()) {
            let name = shown(&name.node);
            return Err(Error::invalid(format!("The GraphQL query has {name:?} twice in one place.")));
        }
        check_at(&field.node.selection_set.node, depth + 1)?;
    }
    Ok(())
}

/// Keeps what was asked for. What REST leaves out because it is empty is null here.
pub(super) fn cut(value: &Value, set: &SelectionSet, name: &str) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| cut(value, set, name)).collect(),
        Value::Object(fields) => {
            let kept = fields_of(set).map(|field| {
                let asked = field.name.node.as_str();
                let below = &field.selection_set.node;
                let found = match fields.get(asked) {
                    // REST writes it as a text; here a number is a number or none.
                    Some(Value::String(text)) if name == "metrics" && asked == "value" && text == "NaN" => {
                        Value::Null
                    }
                    Some(found) => cut(found, below, asked),
                    None if asked == "__typename" => Value::String(format!("Mlflow_{name}")),
                    // REST leaves empty lists out; the pages walk through them.
                    None if asked.ends_with('s') && !below.items.is_empty() => json!([]),
                    None => Value::Null,
                };
                (field.response_key().node.to_string(), found)
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => Value::String(number.to_string()),
        other => other.clone(),
    }
}

/// About how many bytes an answer holds.
pub(super) fn bytes(value: &Value) -> u64 {
    let below = match value {
        Value::Array(values) => values.iter().map(bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() as u64 + bytes(value)).sum(),
        Value::String(text) => text.len() as u64,
        _ => 0,
    };
    size_of::<Value>() as u64 + below
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn of(text: &str) -> ExecutableDocument {
        read(text).unwrap()
    }

    fn selection(document: &ExecutableDocument) -> &SelectionSet {
        &document.operations.iter().next().unwrap().1.node.selection_set.node
    }

    #[test]
    fn an_answer_is_cut_to_what_was_asked_for() {
        let document = of("query Q { a(input: {x: 1}) { b { cD e missing lists { x } } __typename } }");
        let set = selection(&document);
        check(set).unwrap();
        let field = fields_of(set).next().unwrap();
        let whole = json!({ "b": [{ "cD": 5, "e": 1.5, "f": "left out" }], "g": 1 });
        assert_eq!(
            cut(&whole, &field.selection_set.node, "a"),
            json!({ "b": [{ "cD": "5", "e": 1.5, "missing": null, "lists": [] }], "__typename": "Mlflow_a" })
        );
        assert_eq!(argument(field, &Variables::default()).unwrap(), json!({ "x": 1 }));
    }

    #[test]
    fn an_answer_cannot_grow_by_what_is_asked() {
        let refused = |text: &str, part: &str| {
            let error = check(selection(&of(text))).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        };
        refused("{ a { b c: b } }", "\"b\" twice");
        refused("{ a { b } a { c } }", "\"a\" twice");
        refused("{ a { ... on B { c } } }", "Fragments");
        refused(&format!("{}{}", "{a".repeat(14), "}".repeat(14)), "deeper than 12");
        check(selection(&of("{ one: a { b } two: a { b } }"))).unwrap();
    }

    /// As long as a text may be: what the parser does with it is the same few steps a byte, whatever it is.
    #[test]
    fn no_text_within_the_limit_takes_long() {
        let full = |unit: &str| unit.repeat(QUERY_BYTES_MAX / unit.len() - 16);
        let nested = |open: &str, close: &str| format!("{}{}", open.repeat(31), close.repeat(31));
        for text in [
            format!("query{{{}}}", full("a ")),
            format!("query{{{}", full("a ")),
            format!("{{a(b:[{}])}}", full("1 ")),
            format!("{{a(b:[{}", full("{a:1}")),
            format!("{{a(b:\"{}", full("x")),
            format!("{{a(b:\"\"\"{}", full("\\\"\"\"")),
            format!("{{a{}}}", full("@b")),
            format!("query Q({}){{a}}", full("a:[b]=1 ")),
            full("fragment f on a{b}"),
            full("#\n"),
            full(","),
            full("{a}"),
            full(&nested("{a", "}")),
            format!("{{a(b:{}", full(&nested("[", "]"))),
            format!("{{a(b:{}", full(&nested("{a:", "}"))),
        ] {
            let began = Instant::now();
            let outcome = read(&text);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(5), "{took:?}: {}", shown(&text));
            if let Err(error) = outcome {
                let told = error.message();
                assert!(told.len() < 300 && !told.contains('\n'), "{told}");
            }
        }
    }

    #[test]
    fn what_is_not_read_is_named_by_its_place_and_not_repeated() {
        let refused = |text: &str| read(text).unwrap_err().message().to_owned();
        let told = refused(&format!("query {{\n  {}\n  ! }}", "a ".repeat(1_000)));
        assert!(told.contains("line 3, column 3") && told.len() < 300, "{told}");
        assert!(refused(&"{a".repeat(200)).contains("deeper than 32"));
        assert!(refused(&format!("{{a(b:[{}])}}", "$v ".repeat(40))).contains("32 places"));
        let told = refused(&"x".repeat(QUERY_BYTES_MAX + 1));
        assert!(told.contains("'query'") && told.contains("8192"), "{told}");
        let named = format!("query {0} {{a}} query {0} {{a}}", "n".repeat(1_000));
        assert!(refused(&named).len() < 300);
    }
}
