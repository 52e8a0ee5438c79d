//! Declarations of feature tables: what is read, what is refused and where, and that nothing makes the reader panic.

use proptest::prelude::*;
use syntax::features::{Aggregate, Expression, Feature, FeatureTable, Length, Place, from_yaml};

const GOOD: &str = "\
version: 1
name: prod.risk.amounts
source: prod.risk.transactions
timestamp: event_time
row_key: [transaction_id]
pane: 60s
lateness: 5m
features:
  - name: amount_mean_1h
    aggregate: mean
    column: amount
    window: 1h
  - name: rows_1h
    aggregate: count
    window: 60m
";

fn good() -> FeatureTable {
    let length = |text: &str| text.parse::<Length>().unwrap();
    let feature = |name: &str, aggregate, column: Option<&str>| Feature {
        name: name.to_owned(),
        aggregate,
        column: column.map(str::to_owned),
        window: length("1h"),
    };
    FeatureTable {
        name: "prod.risk.amounts".to_owned(),
        source: "prod.risk.transactions".to_owned(),
        keys: vec![],
        timestamp: "event_time".to_owned(),
        row_key: vec!["transaction_id".to_owned()],
        pane: length("1m"),
        lateness: length("5m"),
        expressions: vec![],
        features: vec![
            feature("amount_mean_1h", Aggregate::Mean, Some("amount")),
            feature("rows_1h", Aggregate::Count, None),
        ],
    }
}

#[test]
fn a_declaration_is_read() {
    assert_eq!(from_yaml(GOOD), Ok(good()));
    let keyed =
        GOOD.replace("timestamp:", "keys:\n  - customer\n  - card\ntimestamp:").replace("lateness: 5m\n", "");
    let table = from_yaml(&keyed).unwrap();
    assert_eq!(table.keys, ["customer", "card"]);
    assert_eq!(table.lateness, Length::default());
}

/// What one row and one request merge is bounded, however many windows there are.
#[test]
fn windows_are_bounded_together() {
    let length = |text: &str| text.parse::<Length>().unwrap();
    let with = |columns: usize| {
        let features = (0..columns).map(|n| Feature {
            name: format!("f{n}"),
            aggregate: Aggregate::Mean,
            column: Some(format!("c{n}")),
            window: length("60d"),
        });
        FeatureTable { features: features.collect(), ..good() }
    };
    with(11).check().unwrap();
    let error = with(12).check().unwrap_err();
    assert_eq!(error.place, Place::Features);
    let said = "86400 panes together over 12 columns, 1036800 for each row and request, at most 1000000";
    assert!(error.message.contains(said), "{error}");
}

#[test]
fn expressions_are_read_in_their_order() {
    let with =
        GOOD.replace("features:\n", "expressions:\n  log_amount: ln(Amount + 1)\n  b: 'a: b'\nfeatures:\n");
    let table = from_yaml(&with).unwrap();
    let expression = |name: &str, sql: &str| Expression { name: name.to_owned(), sql: sql.to_owned() };
    assert_eq!(table.expressions, [expression("log_amount", "ln(Amount + 1)"), expression("b", "a: b")]);
    assert_ne!(table.digest(), good().digest());
    let json = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<FeatureTable>(&json).unwrap(), table);
    for (from, to, said) in [
        ("  b:", "  Log_Amount:", "line 10, column 3: two expressions are called 'Log_Amount'"),
        (
            "  b:",
            "  Event_Time:",
            "line 10, column 3: 'Event_Time' is the name of the column 'event_time' too",
        ),
        ("  b:", "  1b:", "line 10, column 3: '1b' is no name of an expression"),
        ("'a: b'", "' '", "line 10, column 3: the expression 'b' has 1 characters; it has 1 to 4096"),
        ("'a: b'", "[a]", "'b' takes a single value, not a list"),
    ] {
        let error = from_yaml(&with.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(said), "{to}: {error}");
    }
    let none = GOOD.replace("features:\n", "expressions: [a]\nfeatures:\n");
    let error = from_yaml(&none).unwrap_err().to_string();
    assert!(error.contains("names with an expression each, not a list"), "{error}");
}

#[test]
fn a_refusal_says_where() {
    for (from, to, position, said) in [
        ("version: 1", "version: 2", "line 1, column 10", "version '2' is not known"),
        ("version: 1\n", "", "line 1, column 1", "'version' is missing here"),
        ("row_key: [transaction_id]\n", "", "line 1, column 1", "'row_key' is empty"),
        ("timestamp: event_time", "timestmap: event_time", "line 4, column 1", "did you mean 'timestamp'?"),
        ("pane: 60s", "pane: 60", "line 6, column 7", "'60' is no length of time"),
        ("pane: 60s", "pane: [60s]", "line 6, column 7", "'pane' takes a single value, not a list"),
        ("pane: 60s", "pane: 0s", "line 6, column 7", "'pane' is 0"),
        (
            "pane: 60s",
            "pane: 7s",
            "line 9, column 5",
            "the window 1h of 'amount_mean_1h' is no whole number of panes of 7s",
        ),
        ("window: 60m", "window: 4000d", "line 13, column 5", "longer than ten years"),
        ("window: 60m", "window: 200d", "line 13, column 5", "has 288000 panes, at most 100000"),
        (
            "aggregate: mean",
            "aggregate: median",
            "line 10, column 16",
            "'median' is no aggregate; known are count, sum",
        ),
        ("    column: amount\n", "", "line 9, column 5", "'amount_mean_1h' names no column to aggregate"),
        (
            "name: rows_1h",
            "name: Amount_Mean_1h",
            "line 13, column 5",
            "two features are called 'Amount_Mean_1h'",
        ),
        (
            "name: rows_1h",
            "name: event_time",
            "line 13, column 5",
            "is the name of the column 'event_time' too",
        ),
        ("name: rows_1h", "name: 1h", "line 13, column 5", "'1h' is no name of a feature"),
        (
            "source: prod.risk.transactions",
            "source: transactions",
            "line 3, column 9",
            "specify all three levels",
        ),
        ("[transaction_id]", "[a, a]", "line 5, column 10", "'row_key' names 'a' twice"),
        ("[transaction_id]", "transaction_id", "line 5, column 10", "'row_key' takes a list"),
        ("[transaction_id]", "[*a]", "line 5, column 11", "this is not YAML"),
        ("[transaction_id]", "[&a b]", "line 5, column 11", "an anchor or a tag stands here"),
        ("pane: 60s", "pane: 60s\npane: 60s", "line 7, column 1", "'pane' stood at line 6, column 1 already"),
        ("version: 1\n", "---\na: 1\n---\n", "line 3, column 1", "a second document begins"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = from_yaml(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(error.message.contains(said), "{to}: {error}");
        assert_eq!(error.position.to_string(), position, "{to}: {error}");
    }
    assert_eq!(from_yaml("").unwrap_err().to_string(), "line 1, column 1: the file is empty");
    let list = from_yaml("[]").unwrap_err().to_string();
    assert!(list.starts_with("line 1, column 1: a mapping is expected here, not a list"), "{list}");
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert!(from_yaml(&deep).unwrap_err().message.contains("nested deeper than 16 levels"));
    let long = format!("{GOOD}#{}", "x".repeat(1 << 20));
    assert!(from_yaml(&long).unwrap_err().message.contains("at most 1048576 are read"));
    let many = format!("[{}]", "a,".repeat(60_000));
    assert!(from_yaml(&many).unwrap_err().message.contains("more than 50000 values"));
}

#[test]
fn what_no_file_says_is_refused_too() {
    let many = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let feature = good().features[0].clone();
    let features =
        many("f", 1_001).into_iter().map(|name| Feature { name, ..feature.clone() }).collect::<Vec<_>>();
    for (table, place, said) in [
        (FeatureTable { keys: many("k", 17), ..good() }, Place::Keys, "'keys' has 17 columns, at most 16"),
        (
            FeatureTable { keys: vec!["event_time".to_owned()], ..good() },
            Place::Keys,
            "is a key and the timestamp",
        ),
        (FeatureTable { keys: vec![String::new()], ..good() }, Place::Keys, "is no name of a column"),
        (
            FeatureTable { timestamp: "a\0".to_owned(), ..good() },
            Place::Timestamp,
            "'a\\u{0}' in 'timestamp'",
        ),
        (FeatureTable { features: vec![], ..good() }, Place::Features, "'features' is empty"),
        (FeatureTable { features, ..good() }, Place::Features, "'features' has 1001 entries"),
    ] {
        let error = table.check().unwrap_err();
        assert_eq!(error.place, place, "{error}");
        assert!(error.message.contains(said), "{error}");
    }
}

/// The digest is persisted beside what was computed. It never changes for a definition.
#[test]
fn digests_are_fixed() {
    let table = good();
    let digest = "6fe6c2bad35eed904d76fdcffec8b9a12cb822d6f3cbcadfbaec3e0683b56b0c";
    assert_eq!(table.digest(), digest);
    let renamed = FeatureTable { name: "prod.risk.renamed".to_owned(), ..table.clone() };
    assert_eq!(renamed.digest(), digest);
    let json = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<FeatureTable>(&json).unwrap(), table);
    let mut others = vec![
        FeatureTable { source: "prod.risk.other".to_owned(), ..table.clone() },
        FeatureTable { keys: vec!["card".to_owned()], ..table.clone() },
        FeatureTable { timestamp: "other".to_owned(), ..table.clone() },
        FeatureTable { row_key: vec!["other".to_owned()], ..table.clone() },
        FeatureTable { pane: "30s".parse().unwrap(), ..table.clone() },
        FeatureTable { lateness: Length::default(), ..table.clone() },
    ];
    others.push(FeatureTable { features: table.features[..1].to_vec(), ..table.clone() });
    let mut digests: Vec<String> = others.iter().map(FeatureTable::digest).collect();
    digests.push(digest.to_owned());
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 8);
}

proptest! {
    #[test]
    fn lengths_are_read_as_they_are_written(micros in 0_i64..=i64::MAX) {
        let length = Length::from_micros(micros).unwrap();
        prop_assert_eq!(length.to_string().parse(), Ok(length));
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(from_yaml(&text));
        drop(text.parse::<Length>());
    }

    /// Declarations with bytes changed, cut and doubled reach deeper than any text does.
    #[test]
    fn damaged_declarations_are_read_or_refused(
        edits in prop::collection::vec((0..GOOD.len(), 0_usize..12, "[-\\[\\]{}:,&*!|>%@`'\"# \n\ta0~.]{0,4}"), 1..6)
    ) {
        let mut text = GOOD.to_owned();
        for (at, length, put) in edits {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        if let Err(error) = from_yaml(&text) {
            prop_assert!(error.position.line >= 1 && error.position.column >= 1, "{}", error);
            prop_assert!(error.message.len() < 2_000, "{}", error);
        }
    }
}

#[test]
fn when_it_is_refreshed_is_said_beside_the_definition() {
    use syntax::features::{Refresh, file_from_yaml};
    let (table, refresh) = file_from_yaml(GOOD).unwrap();
    assert_eq!(refresh, Refresh::Manual);
    let text = GOOD.replacen("features:", "refresh: on_commit\nfeatures:", 1);
    let (same, refresh) = file_from_yaml(&text).unwrap();
    assert_eq!((same.digest(), refresh), (table.digest(), Refresh::OnCommit));
    let error = file_from_yaml(&text.replace("on_commit", "daily")).unwrap_err().to_string();
    assert!(error.contains("'daily'") && error.contains("manual, on_commit"), "{error}");
}
