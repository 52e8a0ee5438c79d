//! What a JSON text must be before anything is built from it.
//!
//! A reader of known fields passes over what it does not know without looking, and a reader of values keeps the last of
//! two fields with one name. What is refused here is refused whichever reader comes after.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use super::{SHOWN_BYTES_MAX, broken, cut, wrong_field};
use crate::error::{Code, Error, Result};

/// Levels that a text may be nested.
const DEPTH_MAX: usize = 100;
/// Fields of one object: their names are kept while it is read. No object of these protocols has nearly as many.
const FIELDS_MAX: usize = 100_000;
/// Why a field beyond them is refused.
const CROWDED: &str = "its object has too many fields";
/// Why a name is refused.
pub(super) const REPEATED: &str = "it is given more than once";

/// Refuses what is nested too deep, texts with a NUL, which neither database stores, and a name that
/// one object has twice: MLflow's own server then takes the last value and drops the others unseen. What is
/// no JSON may pass where nothing else is wrong with it: whoever reads it after this sees that.
pub(super) fn check(json: &[u8]) -> Result<()> {
    if scan(json)? {
        return Ok(());
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    match Checked::deserialize(&mut reader).and_then(|_| reader.end()) {
        Ok(()) => Ok(()),
        Err(error) if error.is_data() => Err(named(json, &error)),
        Err(error) => Err(unreadable(json, &error)),
    }
}

/// The refusal of a text that is no JSON. What is clear nevertheless is refused by the name of its field, and with the way to write it.
pub(super) fn unreadable(json: &[u8], error: &serde_json::Error) -> Error {
    if unfit(json, error).is_some() { named(json, error) } else { broken(error) }
}

/// What is wrong with a value that nothing here can hold, or that JSON has no way to write.
fn unfit(json: &[u8], error: &serde_json::Error) -> Option<&'static str> {
    let text = error.to_string();
    if text.starts_with("number out of range") {
        return Some("it is beyond the numbers of 64 bits");
    }
    if text.contains("hex escape") {
        return Some("it has half of a character: a surrogate (\\ud800 to \\udfff) that stands alone");
    }
    let before: usize = json
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    let at = before + error.column().saturating_sub(1);
    let is_word = |from: usize| {
        let rest = json.get(from..).unwrap_or_default();
        [&b"NaN"[..], b"Infinity", b"-Infinity"].iter().any(|word| rest.starts_with(word))
    };
    (is_word(at) || is_word(at.saturating_sub(1)))
        .then_some(r#"JSON has no such number; write it as a text: "NaN", "Infinity" or "-Infinity""#)
}

/// The same error with the place where it is, for which one must keep count of it.
fn named(json: &[u8], error: &serde_json::Error) -> Error {
    let mut reader = serde_json::Deserializer::from_slice(json);
    // What follows the object belongs to no field.
    let Err(found) = serde_path_to_error::deserialize::<_, Checked>(&mut reader) else {
        return broken(error);
    };
    let path = found.path().to_string().replace('\0', "\\0");
    let inner = found.into_inner();
    match unfit(json, &inner) {
        // Nor does what stands between fields.
        Some(_) if matches!(path.as_str(), "." | "?") => broken(&inner),
        Some(why) => Error::invalid(format!(
            "Invalid value for parameter '{}' supplied: {why}.",
            cut(path, SHOWN_BYTES_MAX)
        )),
        None => wrong_field(&path, &inner, None),
    }
}

/// Names of one object that are compared here.
const NAMES_MAX: usize = 16;

/// An object or a list that is open where the scan is.
struct Level {
    is_object: bool,
    /// Where its names begin among those of all open objects.
    names_from: usize,
    /// Whether a text that begins now is a name.
    is_at_name: bool,
}

/// One pass over the bytes, in which nothing is built: refuses what is no text and what is nested too deep, and answers
/// whether it is certain that no name is repeated, no text has a NUL, and what no field takes can be read too. It is
/// certain of nearly every body, and costs a fraction of reading it; names with escapes, many names, odd escapes and huge
/// numbers are left to the closer look.
fn scan(json: &[u8]) -> Result<bool> {
    if std::str::from_utf8(json).is_err() {
        return Err(Error::new(Code::BadRequest, "The body is not valid JSON: it is not UTF-8 text."));
    }
    let (mut levels, mut names, mut is_clear) = (Vec::<Level>::new(), Vec::<&[u8]>::new(), true);
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let text = text_at(&json[at..]);
                at += text.bytes.len() + 1;
                is_clear &= !text.is_odd;
                if let Some(level) = levels.last_mut().filter(|level| level.is_at_name) {
                    level.is_at_name = false;
                    let known = &names[level.names_from..];
                    is_clear &= !text.has_escape && known.len() < NAMES_MAX && !known.contains(&text.bytes);
                    // Once the closer look is needed, there is no use in more names.
                    if is_clear {
                        names.push(text.bytes);
                    }
                }
            }
            b'{' | b'[' => {
                let is_object = *byte == b'{';
                levels.push(Level { is_object, names_from: names.len(), is_at_name: is_object });
                check_depth(levels.len())?;
            }
            b'}' | b']' => {
                if let Some(level) = levels.pop() {
                    names.truncate(level.names_from);
                }
            }
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.is_at_name = level.is_object;
                }
            }
            b'-' | b'0'..=b'9' => {
                let number = number_at(&json[at - 1..]);
                at += number.len() - 1;
                is_clear &= is_small(number);
            }
            _ => {}
        }
    }
    Ok(is_clear)
}

/// What stands between two quotes.
struct Text<'t> {
    bytes: &'t [u8],
    has_escape: bool,
    /// Whether an escape may stand for a NUL or for half a character.
    is_odd: bool,
}

/// The text that begins here, up to its closing quote, or to the end where there is none.
fn text_at(rest: &[u8]) -> Text<'_> {
    let (mut end, mut has_escape, mut is_odd) = (0, false, false);
    while let Some(byte) = rest.get(end) {
        match byte {
            b'"' => break,
            b'\\' => {
                has_escape = true;
                let escaped = &rest[end..];
                is_odd |= [&b"\\u0000"[..], b"\\ud", b"\\uD"].iter().any(|odd| escaped.starts_with(odd));
                end += 2;
            }
            _ => end += 1,
        }
    }
    Text { bytes: &rest[..end.min(rest.len())], has_escape, is_odd }
}

fn number_at(rest: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    &rest[..rest.iter().take_while(|byte| is_part(byte)).count()]
}

/// Whether a number is certainly within the range of a double: by its digits below 10^40, by its exponent below 10^99.
fn is_small(number: &[u8]) -> bool {
    let exponent = number.split(|byte| matches!(byte, b'e' | b'E')).nth(1).unwrap_or_default();
    let digits = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
    number.len() <= 40 && digits.len() <= 2
}

fn check_depth(depth: usize) -> Result<()> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    Err(Error::new(
        Code::BadRequest,
        format!("The body is nested deeper than {DEPTH_MAX} levels. Send it flatter."),
    ))
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
            } else if names.many.len() == FIELDS_MAX {
                object.next_value_seed(Refused(CROWDED))?;
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

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn the_scan_is_certain_of_ordinary_bodies_and_of_nothing_odd() {
        let batch = r#"{"run_id":"a","metrics":[{"key":"k","value":-1.5e-05,"step":3},{"key":"k","value":2}],"tags":[]}"#;
        let texts = r#"{"a":"a","b":{"a":1},"c":"\\u0000 \" , \n"}"#;
        for sure in [batch, texts, r#"[{"a":1},{"a":1}]"#, "true", ""] {
            assert!(scan(sure.as_bytes()).unwrap(), "{sure}");
        }
        let many = (0..20).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
        let odd = [
            r#"{"a":1,"a":2}"#,
            r#"{"x":[{"a":{"b":1,"c":[],"b":2}}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":"\u0000"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":1E+400}"#,
            &"9".repeat(400),
            &format!("{{{many}}}"),
        ];
        for odd in odd {
            assert!(!scan(odd.as_bytes()).unwrap(), "{odd}");
        }
    }
}
