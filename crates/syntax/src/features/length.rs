//! Lengths of time: `250ms`, `90s`, `1m`, `1h`, `7d`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::shown;

/// Units, the largest first, with their microseconds.
const UNITS: [(&str, i64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A length of time of whole microseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Length(i64);

impl Length {
    /// None for a negative length.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (micros >= 0).then_some(Self(micros))
    }

    /// In microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Length {
    /// In the largest unit that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, micros)| self.0 != 0 && self.0 % micros == 0);
        match whole {
            Some((unit, micros)) => write!(f, "{}{unit}", self.0 / micros),
            None => f.write_str("0s"),
        }
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let micros = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, micros)| *micros);
        let length = number.parse::<i64>().ok().zip(micros);
        match length.and_then(|(number, micros)| number.checked_mul(micros)) {
            Some(micros) => Ok(Self(micros)),
            None => Err(format!(
                "'{}' is no length of time; write a whole number and one of d, h, m, s, ms, us, like 90s or 1h",
                shown(text)
            )),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
