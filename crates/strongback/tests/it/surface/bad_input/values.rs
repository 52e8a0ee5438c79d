//! Values that are wrong for a field, and values that are merely odd.

use serde_json::{Value, json};

use super::fields::Field;

/// Values of types that the field does not take.
pub fn wrong(field: &Field) -> Vec<Value> {
    let (takes_text, takes_integer) = (field.takes("string"), field.takes("integer"));
    let takes_number = takes_integer || field.takes("number");
    let mut values = Vec::new();
    if takes_text && !takes_number && !field.takes("boolean") && !is_choice(field) {
        values.extend([json!(5), json!(1.5), json!("nul\0inside")]);
    }
    if takes_integer && takes_text && !field.types.contains("number") {
        values.push(json!(1.5));
    }
    if !takes_text && !field.takes("boolean") {
        values.push(json!("text"));
    }
    if !field.takes("boolean") {
        values.push(json!(true));
    }
    if !field.takes("array") {
        values.push(json!([{ "a": 1 }]));
    }
    if !field.takes("object") && !field.takes("map") {
        values.push(json!({ "a": 1 }));
    }
    if field.takes("map") {
        values.extend([
            json!({ "a": 5 }),
            json!({ "a": {} }),
            json!({ "a": "nul\0" }),
            json!({ "nul\0": "a" }),
        ]);
    }
    if field.takes("array") {
        values.extend([json!(5), json!({ "a": 1 })]);
    }
    if is_number(field) {
        values.extend(texts_for_numbers());
        values.push(serde_json::from_str("1e300").unwrap());
        values.push(serde_json::from_str("123456789012345678901234567890").unwrap());
    }
    if field.takes("boolean") {
        values.extend([json!("perhaps"), json!(7)]);
    }
    values
}

/// A 64-bit integer, which comes as a number or as decimal text.
pub fn is_number(field: &Field) -> bool {
    field.takes("integer") && !is_choice(field)
}

/// An enum by name or number. Which of them there are is not a matter of types, and MLflow takes unknown ones as the
/// default.
pub fn is_choice(field: &Field) -> bool {
    matches!(field.name(), "status" | "view_type" | "run_view_type")
}

/// Texts that are no integers of 64 bits.
pub fn texts_for_numbers() -> Vec<Value> {
    ["many", "1.5", "1e3", "0x10", "9223372036854775808", "--1", "١", "1_000"]
        .map(|text| json!(text))
        .to_vec()
}

/// Numbers at the edges, which may be refused or not.
pub fn edges(field: &Field) -> Vec<Value> {
    let mut values = Vec::new();
    if is_number(field) {
        values.extend([json!(-1), json!(0), json!(i64::MAX), json!(i64::MIN), json!("-0"), json!(" 7 ")]);
    }
    if field.takes("number") {
        let texts = ["NaN", "Infinity", "-Infinity"].map(|text| json!(text));
        values.extend(texts);
        values.extend([json!(f64::MAX), json!(-f64::MAX), json!(f64::MIN_POSITIVE), json!(-0.0)]);
    }
    values
}

/// Texts that lead astray what believes them.
pub fn odd_texts() -> Vec<Value> {
    [
        "",
        " ",
        "\t\r\nSet-Cookie: a=b",
        "../../../etc/passwd",
        "' OR '1'='1' --",
        "\u{202e}drowssap\u{feff}\u{fffe}\u{10ffff}\u{212a}",
        "a.b.c.d.e",
        "models:/x/y/z@",
        "dbfs:/../../x",
        "-1",
    ]
    .map(|text| json!(text))
    .to_vec()
}
