//! `meta.yaml` and its like: what PyYAML writes is read as it was meant, and nothing that is nearly so does harm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::select;
use syntax::flat_yaml::FlatYaml;

use crate::edits::{edited, edits};
use crate::pyyaml::{Text, Value, dump};

/// Marks of the language, and what looks like one.
const PIECES: [&str; 40] = [
    ":",
    ": ",
    " :",
    "-",
    "- ",
    "? ",
    "#",
    " #",
    "'",
    "''",
    "\"",
    "\\",
    "\\x",
    "\\u12",
    "\n",
    "\n ",
    "\n\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!!str ",
    "!",
    "|",
    "|2-",
    ">",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "<<: ",
    "\u{feff}",
    "\u{0}",
];

/// Texts that mean something to the language, and such as stand in a `meta.yaml`.
const KNOWN: [&str; 32] = [
    "",
    "~",
    "null",
    "Null",
    "true",
    "no",
    "0",
    "-1",
    "1e3",
    ".nan",
    "=",
    "<<",
    "---",
    "...",
    "--- a",
    "- a",
    "-",
    "?",
    "? a",
    ":",
    "a: b",
    "a:",
    "a #b",
    "#",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "it's \"a\"",
    "file:///a%20b/0/1f/artifacts",
    "[a, {b: c}]",
];

/// One text, in one of the forms that it may have.
fn text() -> impl Strategy<Value = Text> {
    let words = prop::collection::vec("[a-z'\"\\\\:,é😀]{0,14}", 0..30);
    let text = prop_oneof![
        select(KNOWN.to_vec()).prop_map(str::to_owned),
        "[ -~]{0,30}",
        words.prop_map(|words| words.join(" ")),
        "[ab '\"\\\\:#\n\t\r\\-\u{7f}\u{80}\u{a0}\u{feff}\u{ffff}é😀]{0,30}",
        // What ends a line in YAML 1.1 and no longer in 1.2 is left out: readers differ.
        "[^\u{85}\u{2028}\u{2029}]{0,20}",
    ];
    (text, any::<usize>()).prop_map(|(text, pick)| Text { text, pick })
}

/// Entries with keys that are all different.
fn entries(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(Text, Value)>> {
    prop::collection::vec((text(), value), 0..5).prop_map(|entries| {
        let unique: BTreeMap<String, (Text, Value)> =
            entries.into_iter().map(|entry| (entry.0.text.clone(), entry)).collect();
        unique.into_values().collect()
    })
}

fn single_value() -> impl Strategy<Value = Value> {
    let bare = select(vec!["true", "0", "-17", "1.5e-05", ".nan", "1700000000000"]);
    prop_oneof![
        1 => Just(Value::Null),
        1 => bare.prop_map(|text| Value::Bare(text.to_owned())),
        6 => text().prop_map(Value::Text),
        1 => prop::collection::vec(text(), 0..3).prop_map(Value::List),
    ]
}

fn file() -> impl Strategy<Value = Vec<(Text, Value)>> {
    entries(prop_oneof![5 => single_value(), 1 => entries(single_value()).prop_map(Value::Mapping)])
}

/// The text of a value that is one.
fn meant(value: &Value) -> Option<&str> {
    match value {
        Value::Bare(text) => Some(text),
        Value::Text(text) => Some(&text.text),
        Value::Null | Value::List(_) | Value::Mapping(_) => None,
    }
}

/// The texts of a mapping; one that is null is empty.
fn meant_mapping(value: &Value) -> Option<BTreeMap<String, String>> {
    let Value::Mapping(entries) = value else { return None };
    let kept = entries.iter().filter_map(|(key, value)| {
        let text = meant(value).or(matches!(value, Value::Null).then_some(""))?;
        Some((key.text.clone(), text.to_owned()))
    });
    Some(kept.collect())
}

/// Reads a file that may be anything. A refusal says where in the file, or behind its last line, and why.
fn read(file: &str) -> Result<Option<FlatYaml>, TestCaseError> {
    match FlatYaml::read(file) {
        Ok(flat) => Ok(Some(flat)),
        Err(error) => {
            let lines = file.split(['\n', '\r']).count() + 1;
            prop_assert!((1..=lines).contains(&error.position.line), "{error}");
            prop_assert!(error.position.column >= 1 && !error.message.is_empty(), "{error}");
            prop_assert!(!error.message.contains(char::is_control) && error.message.len() < 1_000, "{error}");
            Ok(None)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_pyyaml_writes_is_read_as_it_was_meant(entries in file(), windows: bool) {
        let unix = dump(&entries);
        let file = if windows { unix.replace('\n', "\r\n") } else { unix };
        let flat = FlatYaml::read(&file);
        prop_assert!(flat.is_ok(), "{flat:?}\n{file}");
        let flat = flat.unwrap();
        for (key, value) in &entries {
            prop_assert_eq!(flat.text(&key.text), meant(value), "{}", file);
            prop_assert_eq!(flat.mapping(&key.text).cloned(), meant_mapping(value), "{}", file);
        }
    }

    #[test]
    fn arbitrary_files_never_panic(file in any::<String>(), pieces in prop::collection::vec(select(PIECES.to_vec()), 0..20)) {
        read(&file)?;
        read(&pieces.concat())?;
        read(&format!("a: {}", pieces.join("a")))?;
    }

    #[test]
    fn a_file_that_is_nearly_right_gives_no_more_than_stands_in_it(entries in file(), edits in edits(&PIECES)) {
        let file = edited(&dump(&entries), &edits);
        if let Some(flat) = read(&file)? {
            let known = entries.iter().map(|(key, _)| key.text.as_str());
            let texts: usize = known.clone().filter_map(|key| flat.text(key)).map(|text| text.chars().count()).sum();
            let mapped = known.filter_map(|key| flat.mapping(key)).flatten();
            let mapped: usize = mapped.map(|(key, value)| key.chars().count() + value.chars().count()).sum();
            prop_assert!(texts + mapped <= file.chars().count(), "{}", file);
        }
    }
}

/// What could be read again and again is read once: each of these would take minutes at a step for every pair of bytes.
#[test]
fn hostile_files_cost_little() {
    let long = |piece: &str| piece.repeat((1 << 16) / piece.len());
    let started = Instant::now();
    for piece in [
        "[", "{", "- ", "? ", "a: ", "[a, ", "{a: ", "\n", "# a\n", " ", "\t", "---\n", "&a ", "!a ", "\"",
        "'", "''", "%a\n", "a ",
    ] {
        let pieces = long(piece);
        for file in [
            pieces.clone(),
            format!("a: {pieces}"),
            format!("a: '{pieces}"),
            format!("a: \"{pieces}\"\n"),
            format!("{pieces}\n: a"),
        ] {
            _ = FlatYaml::read(&file);
        }
    }
    let numbered = (0..8_000).map(|at| format!("a{at}: b")).collect::<Vec<_>>().join("\n");
    assert!(FlatYaml::read(&numbered).is_ok_and(|flat| flat.text("a7999") == Some("b")));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
