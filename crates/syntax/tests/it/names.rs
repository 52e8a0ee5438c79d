//! Every rule about names, by table, and the algebra of escaping.

use proptest::prelude::*;
use syntax::names::{
    FullName, NameError, check_alias, check_alias_not_reserved, check_endpoint_name, check_experiment_name,
    check_key, check_leaf_name, check_logged_model_name, check_model_name, escape_wire_name, fold_case,
    normalised_path, unescape_wire_name,
};

/// Accepted if `expected` is empty; else refused with a message that contains it.
fn check(rule: fn(&str) -> Result<(), NameError>, name: &str, expected: &str) {
    match rule(name) {
        Ok(()) => assert_eq!(expected, "", "{name:?} passed"),
        Err(error) => {
            assert!(!expected.is_empty(), "{name:?}: {error}");
            assert!(error.message().contains(expected), "{name:?}: {error}");
        }
    }
}

#[test]
fn leaf_names() {
    let long = "x".repeat(256);
    for good in ["fraud_classifier", "a-b", "größe", "42", "%20", "a:b", "~", &long[..255]] {
        check(check_leaf_name, good, "");
    }
    check(check_leaf_name, "", "it is empty");
    check(check_leaf_name, "a.b", "Invalid name 'a.b': it contains '.'");
    check(check_leaf_name, "a/b", "it contains '/'");
    check(check_leaf_name, "a b", "it contains ' '");
    check(check_leaf_name, "a\u{a0}b", "spaces");
    check(check_leaf_name, "a\0b", "Invalid name 'a\\u{0}b'");
    check(check_leaf_name, "a\u{7f}", "it contains '\\u{7f}'");
    check(check_leaf_name, &long, "exceeds the maximum length of 255 characters");
}

#[test]
fn full_names() {
    let name = FullName::parse("Prod.risk.Fraud_Classifier").unwrap();
    assert_eq!(name.to_string(), "Prod.risk.Fraud_Classifier");
    assert_eq!(name.key(), "prod.risk.fraud_classifier");
    assert!(name.is_same(&"PROD.RISK.fraud_classifier".parse().unwrap()));
    assert_ne!(name, "prod.risk.fraud_classifier".parse().unwrap());
    for (bad, expected) in [
        ("fraud", "specify all three levels"),
        ("a.b", "specify all three levels"),
        ("a.b.c.d", "specify all three levels"),
        ("", "specify all three levels"),
        ("a..c", "Invalid schema name '': it is empty"),
        (".b.c", "Invalid catalog name ''"),
        ("a.b.", "Invalid name ''"),
        ("a.b.c/d", "it contains '/'"),
    ] {
        let error = FullName::parse(bad).unwrap_err();
        assert!(error.message().contains(expected), "{bad:?}: {error}");
    }
}

#[test]
fn model_names() {
    let long = "x".repeat(257);
    for good in ["fraud", "a.b", "my model v2", "prod.risk.fraud", "größe", ".hidden", "a@b", &long[..256]]
    {
        check(check_model_name, good, "");
    }
    check(check_model_name, "", "Missing value for required parameter 'name'");
    check(check_model_name, "  ", "Missing value for required parameter 'name'");
    check(check_model_name, "a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'.");
    check(check_model_name, "a:b", "Names cannot contain '/' or ':'.");
    check(check_model_name, "..", "read as a folder");
    check(check_model_name, ".", "read as a folder");
    check(check_model_name, "a\0b", "NUL");
    check(check_model_name, &long, "exceeds the maximum length of 256 characters");
}

#[test]
fn other_flat_names() {
    let long = "x".repeat(501);
    check(check_experiment_name, "/Shared/fraud-detection/feature-eng-v3", "");
    check(check_experiment_name, &long[..500], "");
    check(check_experiment_name, &"é".repeat(500), "");
    check(check_experiment_name, "", "Invalid experiment name: ''");
    check(check_experiment_name, &long, "'name' exceeds the maximum length of 500 characters");
    check(check_experiment_name, "a\0", "NUL");

    check(check_endpoint_name, "fraud-v1_2", "");
    for bad in ["", "-a", "_a", "a b", "a.b", "é", "a/b"] {
        check(check_endpoint_name, bad, "use letters, digits");
    }
    check(check_endpoint_name, &long, "exceeds the maximum length of 255 characters");

    check(check_logged_model_name, "my model", "");
    for bad in ["", "a/b", "a:b", "a.b", "a%b", "a\"b", "a'b"] {
        check(check_logged_model_name, bad, "cannot contain the following characters");
    }
}

#[test]
fn aliases() {
    let long = "x".repeat(256);
    for good in ["champion", "Champion", "a-b_1", "v", "v1a", "größe", "latest2", &long[..255]] {
        check(check_alias_not_reserved, good, "");
    }
    check(check_alias_not_reserved, "", "cannot be empty");
    check(check_alias_not_reserved, "a.b", "Invalid alias name: 'a.b'. Names may only contain alphanumerics");
    check(check_alias_not_reserved, "a b", "Names may only contain alphanumerics");
    check(check_alias_not_reserved, &long, "exceeds the maximum length of 255 characters");
    for reserved in ["latest", "LATEST", "Latest", "v1", "V0022"] {
        check(check_alias_not_reserved, reserved, "is reserved");
        check(check_alias, reserved, "");
    }
}

#[test]
fn keys() {
    let rule = |key: &str| check_key("metrics[0].key", key);
    let long = "x".repeat(251);
    for good in ["auc", "val/loss", "a b", "a.b-c:d_e", "größe", "a/..b", ".hidden", &long[..250]] {
        assert_eq!(rule(good), Ok(()), "{good:?}");
    }
    for (bad, expected) in [
        ("", "A key name must be provided"),
        ("a#b", "Invalid value \"a#b\" for parameter 'metrics[0].key' supplied: Names may only contain"),
        ("a\n", "Names may only contain"),
        ("a\0", "Names may only contain"),
        ("a\\b", "Names may only contain"),
        ("/a", "would resolve to '/a'"),
        ("//a", "would resolve to '//a'"),
        ("a//b", "would resolve to 'a/b'"),
        ("a/", "would resolve to 'a'"),
        ("./a", "would resolve to 'a'"),
        ("a/../b", "would resolve to 'b'"),
        ("..", "would resolve to '..'"),
        ("../a", "would resolve to '../a'"),
        ("..a", "would resolve to '..a'"),
        (".", "would resolve to '.'"),
        (long.as_str(), "'metrics[0].key' exceeds the maximum length of 250 characters"),
    ] {
        let error = rule(bad).unwrap_err();
        assert!(error.message().contains(expected), "{bad:?}: {error}");
    }
}

#[test]
fn paths_are_normalised_as_posix_does() {
    for (path, expected) in [
        ("", "."),
        (".", "."),
        ("a/./b", "a/b"),
        ("a/b/..", "a"),
        ("a/..", "."),
        ("a/../..", ".."),
        ("../../a", "../../a"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("//a", "//a"),
        ("///a", "/a"),
        ("//..", "//"),
    ] {
        assert_eq!(normalised_path(path), expected, "{path:?}");
    }
}

#[test]
fn escaped_names() {
    for (wire, leaf) in [
        ("fraud", "fraud"),
        ("a.b", "a~0b"),
        ("my model v2", "my~1model~1v2"),
        ("FraudV2", "~fraud~v2"),
        ("~", "~2"),
        ("größe", "größe"),
        ("Ärger", "~3c4~rger"),
        ("a\tb", "a~39~b"),
    ] {
        assert_eq!(escape_wire_name(wire), leaf);
        assert_eq!(unescape_wire_name(leaf).as_deref(), Some(wire));
    }
    for foreign in ["A", "a.b", "~", "~9", "~3", "~3zz~", "~361~", "~3+41~", "~3d800~", "a~", "~é"] {
        assert_eq!(unescape_wire_name(foreign), None, "{foreign}");
    }
}

/// Names that differ in few places, by case, dots and escapes.
fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[aAbB.~ 013é\u{c9}\t]{1,6}", "[^/:]{1,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn escaping_can_be_undone_and_gives_leaves(name in names()) {
        let leaf = escape_wire_name(&name);
        prop_assert_eq!(unescape_wire_name(&leaf), Some(name.clone()));
        prop_assert!(leaf.chars().count() <= 9 * name.chars().count());
        prop_assert_eq!(check_leaf_name(&leaf), Ok(()));
        prop_assert_eq!(fold_case(&leaf), leaf);
    }

    #[test]
    fn different_names_have_different_leaves_without_case(one in names(), other in names()) {
        let same = fold_case(&escape_wire_name(&one)) == fold_case(&escape_wire_name(&other));
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn whatever_unescapes_was_escaped(leaf in "[a-c~0123é]{0,10}") {
        if let Some(name) = unescape_wire_name(&leaf) {
            prop_assert_eq!(escape_wire_name(&name), leaf);
        }
    }

    #[test]
    fn full_names_are_kept_as_given(parts in prop::array::uniform3("[^./\\s\\p{Cc}]{1,12}")) {
        let written = parts.join(".");
        let name = FullName::parse(&written).unwrap();
        prop_assert_eq!(name.to_string(), written.clone());
        prop_assert!(name.is_same(&name));
        prop_assert_eq!(fold_case(&name.key()), name.key());
    }

    #[test]
    fn accepted_keys_are_their_own_paths(key in "[a./: -]{1,10}") {
        if check_key("key", &key).is_ok() {
            prop_assert_eq!(normalised_path(&key), key.clone());
            prop_assert!(!key.starts_with('/') && !key.split('/').any(|segment| segment == ".."));
        }
    }

    #[test]
    fn arbitrary_names_never_panic(name in any::<String>()) {
        for rule in [check_leaf_name, check_model_name, check_experiment_name, check_alias_not_reserved] {
            if let Err(error) = rule(&name) {
                prop_assert!(!error.message().contains('\0'));
            }
        }
        _ = (check_key("key", &name), FullName::parse(&name), unescape_wire_name(&name));
    }
}

#[test]
fn the_name_that_was_meant_is_found() {
    let known = ["prod.risk.fraud_classifier", "prod.risk.churn", "/Shared/fraud/v3", "auc", "größe"];
    let check = |wanted: &str, expected: Option<&str>| {
        assert_eq!(syntax::names::closest(wanted, known), expected, "{wanted}");
    };
    check("prod.risk.fraud_clasifier", Some("prod.risk.fraud_classifier"));
    check("PROD.RISK.CHURN", Some("prod.risk.churn"));
    check("prod.risk.chrun", Some("prod.risk.churn"));
    check("fraud_classifier", Some("prod.risk.fraud_classifier"));
    check("v3", Some("/Shared/fraud/v3"));
    check("ayc", Some("auc"));
    check("grösse", Some("größe"));
    for strange in ["", "x", "accuracy", "something else", "prod.risk.loan_default", &"x".repeat(1_000)] {
        check(strange, None);
    }
}
