//! Fields of a query and of a path, laid over the object that came as the body.
//!
//! The body is rewritten as text and never becomes a tree of values, which takes many times the memory of its text.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::broken;
use crate::error::{Error, Result};

/// The text of an object with these fields in the place of its own that have the same names.
pub(super) fn over(object: &[u8], given: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(object.len() + 64);
    out.push(b'{');
    let mut reader = serde_json::Deserializer::from_slice(object);
    reader
        .deserialize_map(Kept { given, out: &mut out })
        .and_then(|()| reader.end())
        .map_err(|error| broken(&error))?;
    for (name, value) in given {
        write_field(&mut out, name, value).map_err(Error::internal)?;
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

/// Writes the fields that are not given elsewhere, each as it came.
struct Kept<'k> {
    given: &'k Map<String, Value>,
    out: &'k mut Vec<u8>,
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some((name, value)) = fields.next_entry::<String, &RawValue>()? {
            if !self.given.contains_key(&name) {
                write_field(self.out, &name, &value).map_err(de::Error::custom)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_given_elsewhere_wins_and_the_rest_stays_as_it_came() {
        let check = |object: &str, given: Value, expected: &str| {
            let given = given.as_object().cloned().unwrap();
            assert_eq!(String::from_utf8(over(object.as_bytes(), &given).unwrap()).unwrap(), expected);
        };
        check("{}", json!({}), "{}");
        check(" { } ", json!({ "a": "b" }), r#"{"a":"b"}"#);
        check(r#"{"n": 1.50, "a": [1, 2]}"#, json!({ "a": ["x"] }), r#"{"n":1.50,"a":["x"]}"#);
        check(r#"{"\u0061": 1, "\"": {"a": null}}"#, json!({ "a": "2" }), r#"{"\"":{"a": null},"a":"2"}"#);
        for bad in ["", "[]", "{", r#"{"a":}"#, "{} {}"] {
            assert!(over(bad.as_bytes(), &Map::new()).is_err(), "{bad}");
        }
    }
}
