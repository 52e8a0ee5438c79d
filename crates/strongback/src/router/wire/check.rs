//! What a JSON text must be before anything is built from it.
//!
//! A reader of known fields passes over what it does not know without looking, and a reader of values keeps the last of
//! two fields with one name. What is refused here is refused whichever reader comes after.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use super::{broken, wrong_field};
use crate::error::{Code, Error, Result};

/// Levels that a text may be nested.
const DEPTH_MAX: usize = 100;
/// Why a name is refused.
pub(super) const REPEATED: &str = "it is given more than once";

/// Refuses what is no JSON, what is nested too deep, texts with a NUL, which neither database stores, and a name that
/// one object has twice: MLflow's own server then takes the last value and drops the others unseen.
pub(super) fn check(json: &[u8]) -> Result<()> {
    flat(json)?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    match Checked::deserialize(&mut reader).and_then(|_| reader.end()) {
        Ok(()) => Ok(()),
        Err(error) if error.is_data() => Err(named(json)),
        Err(error) => Err(broken(&error)),
    }
}

/// The same error with the place where it is, for which one must keep count of it.
fn named(json: &[u8]) -> Error {
    let mut reader = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, Checked>(&mut reader) {
        Ok(_) => Error::internal("a body was refused and then was not"),
        Err(error) => {
            let path = error.path().to_string().replace('\0', "\\0");
            wrong_field(&path, &error.into_inner(), None)
        }
    }
}

fn flat(json: &[u8]) -> Result<()> {
    if std::str::from_utf8(json).is_err() {
        return Err(Error::new(Code::BadRequest, "The body is not valid JSON: it is not UTF-8 text."));
    }
    let (mut depth, mut in_text) = (0_usize, false);
    let mut bytes = json.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_text => _ = bytes.next(),
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Error::new(
                        Code::BadRequest,
                        format!("The body is nested deeper than {DEPTH_MAX} levels. Send it flatter."),
                    ));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// A value that was looked at and not kept.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Checked, E> {
        if text.contains('\0') { Err(E::custom(super::HAS_NUL)) } else { Ok(Checked) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Checked, A::Error> {
        while list.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Checked, A::Error> {
        let mut names = Names::default();
        while let Some(Name(name)) = object.next_key()? {
            // Refused as a value, so that the name is part of the place.
            if name.contains('\0') {
                object.next_value_seed(Refused(super::HAS_NUL))?;
            } else if names.insert(name) {
                object.next_value::<Checked>()?;
            } else {
                object.next_value_seed(Refused(REPEATED))?;
            }
        }
        Ok(Checked)
    }
}

/// A value that is wrong, whatever it is.
struct Refused(&'static str);

impl<'de> de::DeserializeSeed<'de> for Refused {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(de::Error::custom(self.0))
    }
}

/// Names of one object. Nearly all have a few.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// Whether it is a new one.
    fn insert(&mut self, name: Cow<'de, str>) -> bool {
        const FEW: usize = 12;
        if self.few.len() < FEW {
            let is_new = !self.few.contains(&name);
            self.few.push(name);
            return is_new;
        }
        !self.few.contains(&name) && self.many.insert(name)
    }
}

/// A name, copied only where an escape stands in it.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}
