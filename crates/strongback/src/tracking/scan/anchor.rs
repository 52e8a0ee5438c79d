//! Where a page ended.

use syntax::search::OrderBy;

use crate::tracking::document::Damaged;
use crate::tracking::document::bytes::{Reader, put_int, put_text, put_uint};

use super::order::{By, Key, Order};
use crate::tracking::columns::{Kind, attribute};

const VERSION: u8 = 1;

/// A place in an order: the values and the run id of the last run of a page. It binds to the order, not to the filter.
///
/// Bytes, version 1: `01`, number of keys, per key 0 integer, 1 eight bytes of a float, 2 text, 3 NaN or 4 missing,
/// then the run id's 16 bytes. They make an opaque page token.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    pub(super) keys: Vec<Key>,
    pub(super) uuid: [u8; 16],
}

impl Eq for Anchor {}

impl Anchor {
    /// The bytes of a page token.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_uint(&mut out, self.keys.len() as u64);
        for key in &self.keys {
            match key {
                Key::Int(value) => {
                    out.push(0);
                    put_int(&mut out, *value);
                }
                Key::Float(value) => {
                    out.push(1);
                    out.extend_from_slice(&value.to_le_bytes());
                }
                Key::Text(text) => {
                    out.push(2);
                    put_text(&mut out, text);
                }
                Key::Nan => out.push(3),
                Key::Missing => out.push(4),
            }
        }
        out.extend_from_slice(&self.uuid);
        out
    }

    /// Reads a page token's bytes; refused if they are not one's or belong to another order.
    pub fn decode(bytes: &[u8], order: &[OrderBy]) -> Result<Self, Damaged> {
        let mut reader = Reader::new("page token", bytes);
        reader.version(VERSION)?;
        let count = reader.count(1)?;
        let order = Order::new(order);
        if count != order.clauses.len() {
            return Err(reader.damaged("it belongs to another order"));
        }
        let mut keys = Vec::with_capacity(count);
        for clause in &order.clauses {
            let key = match reader.byte()? {
                0 => Key::int(reader.int()?),
                1 => Key::float(f64::from_le_bytes(reader.array()?)),
                2 => Key::Text(reader.text()?.to_owned()),
                3 => Key::Nan,
                4 => Key::Missing,
                _ => return Err(reader.damaged("unknown kind of value")),
            };
            if !fits(&clause.by, &key) {
                return Err(reader.damaged("it belongs to another order"));
            }
            keys.push(key);
        }
        let uuid = reader.array()?;
        reader.end()?;
        Ok(Self { keys, uuid })
    }
}

fn fits(by: &By, key: &Key) -> bool {
    let is_time = |key: &str| key == attribute::START_TIME || key == attribute::END_TIME;
    match by {
        _ if *key == Key::Missing => true,
        By::Column(Kind::Metric, _) | By::Aggregate(_) => matches!(key, Key::Float(_) | Key::Nan),
        By::Column(Kind::Attribute, name) if is_time(name) => matches!(key, Key::Int(_)),
        By::Column(Kind::Attribute | Kind::Param | Kind::Tag | Kind::Dataset, _)
        | By::ArtifactRoot
        | By::Stage => matches!(key, Key::Text(_)),
        By::Experiment => matches!(key, Key::Int(_)),
        By::Column(Kind::Rows | Kind::MetricMin | Kind::MetricMax, _) | By::Nothing => false,
    }
}
