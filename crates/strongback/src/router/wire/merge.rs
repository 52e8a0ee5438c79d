//! Fields of a query and of a path, beside and over those of the object that came as the body.
//!
//! What must stay true: a field that the body gives otherwise than query or path is refused, since whoever stands between, and reads
//! one of them, would see another request than the one that is made.
//! The body is rewritten as text and never becomes a tree of values, which takes many times the memory of its text.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::check::unreadable;
use crate::error::{Error, Result};

/// The text of an object with the fields of a query and of a path beside its own.
pub(super) fn over(
    object: &[u8],
    mut query: Map<String, Value>,
    path: Map<String, Value>,
) -> Result<Vec<u8>> {
    let (mut out, mut twice) = (Vec::with_capacity(object.len() + 64), None);
    query.retain(|name, value| match path.get(name) {
        Some(said) if said != value => {
            twice = Some(name.clone());
            false
        }
        said => said.is_none(),
    });
    out.push(b'{');
    let mut reader = serde_json::Deserializer::from_slice(object);
    reader
        .deserialize_map(Kept { query: &query, path: &path, out: &mut out, twice: &mut twice })
        .and_then(|()| reader.end())
        .map_err(|error| unreadable(object, &error))?;
    if let Some(name) = twice {
        return Err(Error::invalid(format!(
            "Invalid value for parameter '{name}' supplied: body, query and path give different values. Give it once."
        )));
    }
    for (name, value) in query.into_iter().chain(path) {
        write_field(&mut out, &name, &value).map_err(Error::internal)?;
    }
    out.push(b'}');
    Ok(out)
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) -> serde_json::Result<()> {
    if out.len() > 1 {
        out.push(b',');
    }
    serde_json::to_writer(&mut *out, name)?;
    out.push(b':');
    serde_json::to_writer(out, value)
}

/// Writes the fields that are not given elsewhere, each as it came, and notes one that is given otherwise there.
struct Kept<'k> {
    query: &'k Map<String, Value>,
    path: &'k Map<String, Value>,
    out: &'k mut Vec<u8>,
    twice: &'k mut Option<String>,
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some((name, value)) = fields.next_entry::<String, &RawValue>()? {
            match self.query.get(&name).or_else(|| self.path.get(&name)) {
                Some(given) if !is_same(given, value) => *self.twice = Some(name),
                Some(_) => {}
                None => write_field(self.out, &name, &value).map_err(de::Error::custom)?,
            }
        }
        Ok(())
    }
}

/// Whether a text of the query, or a list of them, is what the body says: numbers and booleans are texts there, and null says nothing.
fn is_same(given: &Value, body: &RawValue) -> bool {
    let body = body.get();
    match given {
        Value::String(text) if body.starts_with('"') => {
            serde_json::from_str::<String>(body).is_ok_and(|body| body == *text)
        }
        _ if body == "null" => true,
        Value::String(text) => text == body,
        Value::Array(given) => serde_json::from_str::<Vec<&RawValue>>(body).is_ok_and(|body| {
            given.len() == body.len() && given.iter().zip(body).all(|(given, body)| is_same(given, body))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_the_body_says_stays_as_it_came() {
        let check = |object: &str, path: Value, expected: &str| {
            let text = over(object.as_bytes(), Map::new(), fields(&path)).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        };
        check("{}", json!({}), "{}");
        check(" { } ", json!({ "a": "b" }), r#"{"a":"b"}"#);
        check(r#"{"n": 1.50, "b": [1, 2]}"#, json!({ "a": "x" }), r#"{"n":1.50,"b":[1, 2],"a":"x"}"#);
        check(r#"{"\u0061": 2, "\"": {"a": null}}"#, json!({ "a": "2" }), r#"{"\"":{"a": null},"a":"2"}"#);
        for bad in ["", "[]", "{", r#"{"a":}"#, "{} {}", r#"{"a": NaN}"#, r#"{"a": 1} NaN"#, "\n", "7"] {
            assert!(over(bad.as_bytes(), Map::new(), Map::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn query_and_body_are_read_together_and_never_against_each_other() {
        let both = |object: &str, query: Value, path: Value| {
            let text = over(object.as_bytes(), fields(&query), fields(&path));
            text.map(|text| String::from_utf8(text).unwrap()).map_err(|error| error.message().to_owned())
        };
        let none = || json!({});
        assert_eq!(both(r#"{"b": 1}"#, json!({ "a": "x" }), none()), Ok(r#"{"b":1,"a":"x"}"#.to_owned()));
        let same = json!({ "n": "5", "t": "x", "b": "true", "l": ["1", "y"] });
        let text = both(r#"{"n": 5, "t": "x", "b": true, "l": [1, "y"]}"#, same.clone(), none()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), same);
        for (object, query) in [
            (r#"{"n": 5}"#, json!({ "n": "6" })),
            (r#"{"n": ["6"]}"#, json!({ "n": "6" })),
            (r#"{"n": ["6"]}"#, json!({ "n": ["6", "7"] })),
            (r#"{"n": {"a": 1}}"#, json!({ "n": "6" })),
        ] {
            let refused = both(object, query, none()).unwrap_err();
            assert!(refused.starts_with("Invalid value for parameter 'n'"), "{refused}");
        }
        assert_eq!(both(r#"{"n": null}"#, json!({ "n": "6" }), none()), Ok(r#"{"n":"6"}"#.to_owned()));
        // The same of what an address says twice.
        assert!(both("{}", json!({ "n": "q" }), json!({ "n": "p" })).unwrap_err().contains("'n'"));
        let repeated = both(r#"{"n": "p"}"#, json!({ "n": "p" }), json!({ "n": "p" }));
        assert_eq!(repeated, Ok(r#"{"n":"p"}"#.to_owned()));
        assert!(both(r#"{"n": "b"}"#, none(), json!({ "n": "p" })).unwrap_err().contains("'n'"));
    }
}
