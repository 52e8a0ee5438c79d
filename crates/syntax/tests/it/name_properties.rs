//! What holds for every name: three parts that pass are a name and print as it, and what is refused is named.

use proptest::prelude::*;
use proptest::sample::select;
use syntax::names::{
    FullName, NameError, PART_CHARS_MAX, check_alias, check_alias_not_reserved, check_catalog_name,
    check_endpoint_name, check_experiment_name, check_key, check_leaf_name, check_logged_model_name,
    check_model_name, check_schema_name, escape_wire_name, normalised_path, unescape_wire_name,
};
use syntax::paths::ArtifactPath;
use syntax::source::SourceUri;

use crate::edits::{edited, edits};

type Rule = fn(&str) -> Result<(), NameError>;

const PARTS: [Rule; 3] = [check_catalog_name, check_schema_name, check_leaf_name];

const RULES: [Rule; 10] = [
    check_catalog_name,
    check_schema_name,
    check_leaf_name,
    check_model_name,
    check_experiment_name,
    check_endpoint_name,
    check_logged_model_name,
    check_alias,
    check_alias_not_reserved,
    check_metric,
];

const PIECES: [&str; 30] = [
    ".",
    "..",
    "/",
    "//",
    ":",
    "@",
    "@7",
    "@+7",
    "@-1",
    "@18446744073709551616",
    "~",
    "%",
    "'",
    "\"",
    " ",
    "\t",
    "\n",
    "\u{0}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "é",
    "İ",
    "😀",
    "latest",
    "v1",
    "A",
    "-",
];

fn check_metric(key: &str) -> Result<(), NameError> {
    check_key("metrics[0].key", key)
}

/// Names of every kind, and such as are nearly so.
fn nearly_names() -> impl Strategy<Value = String> {
    let names = select(vec![
        "",
        "fraud",
        "Prod.risk.fraud_v2",
        "a.b.c@7",
        "val/loss",
        "/Shared/a",
        "champion",
        "m-1",
        "größe",
    ]);
    let lengths = select(vec![250, 251, 255, 256, 257, 500, 501]);
    let long = (select(vec!["x", "é", "😀", " "]), lengths).prop_map(|(c, length)| c.repeat(length));
    prop_oneof![
        4 => (names, edits(&PIECES)).prop_map(|(name, edits)| edited(name, &edits)),
        1 => (long, edits(&PIECES)).prop_map(|(name, edits)| edited(&name, &edits)),
        1 => any::<String>(),
    ]
}

/// A value as an error is to show it: control characters escaped, its first 80 characters.
fn shown(value: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    value.chars().take(80).map(escaped).collect()
}

/// What a part of a three-level name may be, written down once more.
fn is_part(part: &str) -> bool {
    let is_refused = |c: char| c == '.' || c == '/' || c.is_whitespace() || c.is_control();
    (1..=PART_CHARS_MAX).contains(&part.chars().count()) && !part.contains(is_refused)
}

/// Refused for what it is, in words that MLflow's clients know and that need no value.
fn is_known_by_heart(name: &str) -> bool {
    name.trim().is_empty() || name.eq_ignore_ascii_case("latest")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(640))]

    #[test]
    fn a_refusal_names_the_value_and_stays_one_short_line(name in nearly_names()) {
        for (at, rule) in RULES.iter().enumerate() {
            let Err(error) = rule(&name) else { continue };
            let message = error.message();
            prop_assert!(is_known_by_heart(&name) || message.contains(&shown(&name)), "{at}: {message}");
            prop_assert!(is_known_by_heart(&name) || message.len() > shown(&name).len() + 10, "{at}: {message}");
            prop_assert!(!message.contains(char::is_control) && message.chars().count() < 1_300, "{at}: {message}");
        }
    }

    #[test]
    fn the_parts_of_a_name_are_what_their_rule_says(part in nearly_names()) {
        for rule in PARTS {
            prop_assert_eq!(rule(&part).is_ok(), is_part(&part), "{:?}", part);
        }
    }

    #[test]
    fn parts_that_pass_are_a_name_and_no_others(parts in prop::array::uniform3(nearly_names())) {
        let [catalog, schema, leaf] = &parts;
        let name = FullName::new(catalog, schema, leaf);
        prop_assert_eq!(name.is_ok(), parts.iter().all(|part| is_part(part)));
        let parsed = FullName::parse(&parts.join("."));
        match name {
            Ok(name) => {
                prop_assert_eq!([&name.catalog, &name.schema, &name.leaf], [catalog, schema, leaf]);
                prop_assert_eq!(parsed, Ok(name));
            }
            // A dot in one may stand for another that is missing, never in a name of three.
            Err(error) => {
                let refused = parts.iter().find(|part| !is_part(part)).unwrap();
                prop_assert!(parsed.is_err() && error.message().contains(&shown(refused)), "{error}");
            }
        }
    }

    #[test]
    fn a_name_prints_as_it_was_parsed(text in nearly_names()) {
        match FullName::parse(&text) {
            Ok(name) => {
                prop_assert_eq!(name.to_string(), text.clone());
                prop_assert_eq!(text.parse(), Ok(name.clone()));
                prop_assert!(name.is_same(&name) && FullName::parse(&name.key()).is_ok_and(|key| key.is_same(&name)));
            }
            Err(error) => {
                let names_it = error.message().contains(&shown(&text));
                let names_a_part = text.split('.').any(|part| error.message().contains(&format!("'{}", shown(part))));
                prop_assert!(names_it || names_a_part, "{error}");
                prop_assert!(text.split('.').count() != 3 || !text.split('.').all(is_part), "{text:?}");
            }
        }
    }

    #[test]
    fn a_version_is_what_stands_behind_the_last_at_sign(parts in prop::array::uniform3("[a-zé@7+-]{1,8}"), version: u64) {
        let name = FullName::parse(&parts.join(".")).unwrap();
        prop_assert_eq!(FullName::parse_versioned(&format!("{name}@{version}")), Ok((name.clone(), Some(version))));
        let wrong = [".5", "@"].map(|end| format!("{name}@{version}{end}"));
        let padded = ["+", "0", "00"].map(|before| format!("{name}@{before}{version}"));
        for bad in wrong.into_iter().chain(padded).chain([format!("{name}@{}0", u64::MAX), format!("{name}@")]) {
            prop_assert!(FullName::parse_versioned(&bad).is_err(), "{bad}");
        }
        if !parts[2].contains('@') {
            prop_assert_eq!(FullName::parse_versioned(&name.to_string()), Ok((name, None)));
        }
    }

    #[test]
    fn what_is_read_with_a_version_prints_and_reads_the_same(text in nearly_names()) {
        match FullName::parse_versioned(&text) {
            Ok((name, None)) => prop_assert!(name.to_string() == text && !name.leaf.contains('@')),
            Ok((name, Some(version))) => {
                let printed = format!("{name}@{version}");
                prop_assert_eq!(FullName::parse_versioned(&printed), Ok((name.clone(), Some(version))));
                prop_assert!(text.starts_with(&name.to_string()) && text[name.to_string().len()..].starts_with('@'));
            }
            Err(error) => prop_assert!(!error.message().contains(char::is_control), "{error}"),
        }
    }

    #[test]
    fn a_model_that_passes_has_a_leaf_of_its_own(model in nearly_names()) {
        if check_model_name(&model).is_ok() {
            let leaf = escape_wire_name(&model);
            prop_assert_eq!(unescape_wire_name(&leaf), Some(model.clone()));
            let fits = leaf.chars().count() <= PART_CHARS_MAX;
            prop_assert_eq!(FullName::parse(&format!("c.s.{leaf}")).is_ok(), fits, "{}", leaf);
        }
    }

    #[test]
    fn a_model_an_alias_and_a_version_that_pass_are_an_address(
        model in nearly_names(),
        alias in nearly_names(),
        version in 1_u64..,
    ) {
        let is_path = |address: &str| ArtifactPath::parse(address).is_ok();
        let names_pass = check_model_name(&model).is_ok() && check_alias(&alias).is_ok();
        let by_alias = format!("{model}@{alias}");
        if !model.starts_with('/') {
            let expected = SourceUri::ModelAlias { name: model.clone(), alias: alias.clone() };
            let is_address = SourceUri::parse(&format!("models:/{by_alias}")) == Ok(expected);
            prop_assert_eq!(is_address, names_pass && is_path(&by_alias), "{}", by_alias);
        }
        if check_model_name(&model).is_ok() && is_path(&model) {
            let found = SourceUri::parse(&format!("models:/{model}/{version}"));
            prop_assert_eq!(found, Ok(SourceUri::ModelVersion { name: model, version }));
        }
    }

    #[test]
    fn normalising_once_is_enough(path in nearly_names(), climbing in "[a./]{0,12}") {
        for path in [path, climbing] {
            let normalised = normalised_path(&path);
            prop_assert_eq!(normalised_path(&normalised), normalised.clone());
            prop_assert!(normalised.len() <= path.len().max(1) && path.starts_with('/') == normalised.starts_with('/'));
        }
    }
}
