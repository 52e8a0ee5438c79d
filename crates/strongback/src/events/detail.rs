//! What lies beside the hashed bytes: what was said about an event, bounded in bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Bytes of a detail's JSON text. Above it, a summary takes its place.
pub(super) const JSON_BYTES_MAX: usize = 64 << 10;
/// Bytes of a detail as it is stored, at most: JSON text within JSON text takes at most twice the room, since control
/// characters are escaped already, and quotes and backslashes become two bytes each.
pub(super) const STORED_BYTES_MAX: usize = 2 * JSON_BYTES_MAX + 128;
/// Bytes of a field that a summary takes over as it is.
const SHORT_BYTES_MAX: usize = 1 << 10;
/// Bytes of the fields that a summary takes over, and of the keys that it lists, each of both at most.
const SHARE_BYTES_MAX: usize = 16 << 10;
/// Where a summary says what it stands for.
const TOO_LARGE: &str = "too_large";

// Both shares, and what a summary says besides, stay below the limit.
const _: () = assert!(2 * SHARE_BYTES_MAX + 1024 <= JSON_BYTES_MAX);

/// What an entry's digest stands for; it lies beside the hashed bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detail {
    /// 16 random bytes in hexadecimal, so that the digest of an erased detail cannot be guessed.
    pub salt: String,
    /// The detail as JSON text.
    pub json: String,
}

impl Detail {
    pub(super) fn new(value: Value) -> Self {
        Self { salt: hex::encode(rand::random::<[u8; 16]>()), json: bounded(value) }
    }

    /// The digest that the entry carries.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::new().chain_update(&self.salt).chain_update(&self.json).finalize())
    }
}

/// The detail's text, or, where that is too long, a summary: the short ones of its top-level fields as they are, and under
/// `too_large` the bytes and the SHA-256 of the whole text and the keys of what was left out.
fn bounded(value: Value) -> String {
    let whole = value.to_string();
    if whole.len() <= JSON_BYTES_MAX {
        return whole;
    }
    let mut kept = Map::new();
    let (mut left_out, mut unlisted) = (Vec::new(), 0_u64);
    let (mut room_of_fields, mut room_of_keys) = (SHARE_BYTES_MAX, SHARE_BYTES_MAX);
    if let Value::Object(fields) = value {
        for (key, field) in fields {
            let key_bytes = text_bytes(&key) + 2;
            let bytes = key_bytes + field.to_string().len();
            if bytes <= SHORT_BYTES_MAX && bytes <= room_of_fields {
                room_of_fields -= bytes;
                kept.insert(key, field);
            } else if key_bytes <= SHORT_BYTES_MAX && key_bytes <= room_of_keys {
                room_of_keys -= key_bytes;
                left_out.push(key);
            } else {
                unlisted += 1;
            }
        }
    }
    let mut summary = json!({
        "bytes": whole.len(),
        "sha256": hex::encode(Sha256::digest(&whole)),
        "left_out": left_out,
    });
    if unlisted > 0 {
        summary["left_out_unlisted"] = json!(unlisted);
    }
    kept.insert(TOO_LARGE.to_owned(), summary);
    Value::Object(kept).to_string()
}

/// Bytes of a text as JSON.
fn text_bytes(text: &str) -> usize {
    Value::from(text).to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_detail_up_to_the_limit_is_kept_and_one_above_it_summed_up() {
        let of = |bytes: usize| json!({ "name": "fraud", "tags": "x".repeat(bytes - r#"{"name":"fraud","tags":""}"#.len()) });
        let largest = of(JSON_BYTES_MAX);
        assert_eq!(read(&bounded(largest.clone())), largest);
        let above = of(JSON_BYTES_MAX + 1);
        let text = above.to_string();
        assert_eq!(
            read(&bounded(above)),
            json!({ "name": "fraud", "too_large": {
                "bytes": JSON_BYTES_MAX + 1, "sha256": hex::encode(Sha256::digest(&text)), "left_out": ["tags"],
            } })
        );
    }

    #[test]
    fn no_summary_is_above_the_limit() {
        let many = |key: &dyn Fn(usize) -> String, value: &str, n: usize| {
            Value::Object((0..n).map(|at| (key(at), Value::from(value))).collect())
        };
        let short = |at: usize| format!("key {at}");
        let long = |at: usize| format!("{at} {}", "\"\n\u{1}".repeat(50));
        let huge = |at: usize| format!("{at} {}", "k".repeat(SHORT_BYTES_MAX));
        let cases = [
            Value::from("\u{0}".repeat(JSON_BYTES_MAX)),
            Value::from(vec![7; JSON_BYTES_MAX]),
            many(&short, "a value", 10_000),
            many(&short, &"\u{1}".repeat(500), 2_000),
            many(&long, &"v".repeat(2_000), 200),
            many(&huge, "v", 100),
        ];
        for case in cases {
            let fields = case.as_object().map_or(0, Map::len);
            let detail = Detail::new(case);
            assert!(detail.json.len() <= JSON_BYTES_MAX, "{}", detail.json.len());
            assert!(serde_json::to_vec(&detail).unwrap().len() <= STORED_BYTES_MAX);
            let summary = read(&detail.json);
            let said = &summary["too_large"];
            let listed = said["left_out"].as_array().unwrap().len();
            let unlisted = said["left_out_unlisted"].as_u64().unwrap_or(0) as usize;
            assert_eq!(
                summary.as_object().unwrap().len() - 1 + listed + unlisted,
                fields,
                "every field is accounted for"
            );
        }
    }
}
