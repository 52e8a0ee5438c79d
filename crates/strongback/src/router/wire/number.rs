//! Numbers as JSON of these protocols has them: too large for its own, or not to be written in it at all.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A 64-bit integer that may come as a number or as decimal text. It leaves as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int64(pub i64);

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Int64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit integer")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Int64, E> {
                Ok(Int64(value))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Int64, E> {
                i64::try_from(value).map(Int64).map_err(|_| E::custom("it does not fit into 64 bits"))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Int64, E> {
                // Exact integers below 2^53 only: anything else would be stored as another number than was sent.
                if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
                    Ok(Int64(value as i64))
                } else {
                    Err(E::custom("it is not an integer of 64 bits"))
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Int64, E> {
                text.trim().parse().map(Int64).map_err(|_| E::custom("it is not an integer of 64 bits"))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl JsonSchema for Int64 {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Int64".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "format": "int64" }, { "type": "string", "pattern": "^-?[0-9]+$" }] })
    }
}

/// A double that may be `NaN`, `Infinity` or `-Infinity` as text, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Double(pub f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or \"NaN\", \"Infinity\", \"-Infinity\"")
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Double, E> {
                Ok(Double(value as f64))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Double, E> {
                Ok(Double(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Double, E> {
                match text {
                    "NaN" | "nan" => Ok(Double(f64::NAN)),
                    "Infinity" | "inf" => Ok(Double(f64::INFINITY)),
                    "-Infinity" | "-inf" => Ok(Double(f64::NEG_INFINITY)),
                    text => text.trim().parse().map(Double).map_err(|_| E::custom("it is not a number")),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }
}

impl JsonSchema for Double {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Double".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number" }, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
    }
}
