//! Files of gates: what is read, what is refused and where, and that nothing makes the reader panic.

use proptest::prelude::*;
use syntax::gates::{Basis, Bound, Figure, Gates, TableRef, from_yaml, metrics};

const GOOD: &str = "\
version: 1
expires: 3d
evaluation:
  table: prod.risk.transactions@12
  label: is_fraud
  positive: 'yes'
  timestamp: event_time
  where: event_time >= '2026-11-01' AND (amount > 0 OR country = 'it''s')
accuracy:
  - metric: average_precision
    margin: 0.02
    min_rows: 500
  - metric: f1
    margin: -0.01
    threshold: 0.3
    confidence: 0.9
    resamples: 300
data_drift:
  max_psi: 0.2
  columns: [amount, country]
  against: prod.risk.training
latency:
  p99_ms: 20
  requests: 1000
compatibility:
  endpoint: prod.risk.fraud
fairness:
  - metric: demographic_parity_ratio
    group: country
    at_least: 0.8
    blocking: false
first_champion:
  - metric: brier
    at_most: 0.1
    basis: value
";

fn good() -> Gates {
    from_yaml(GOOD).unwrap()
}

#[test]
fn a_file_is_read() {
    let gates = good();
    let table = TableRef { name: "prod.risk.transactions".into(), version: Some(12) };
    assert_eq!((gates.evaluation.table, gates.evaluation.label.as_str()), (table, "is_fraud"));
    assert_eq!(gates.expires.to_string(), "3d");
    let figure = Figure {
        metric: "f1".into(),
        threshold: 0.3,
        min_rows: 100,
        min_per_class: 10,
        confidence: 0.9,
        resamples: 300,
    };
    assert_eq!((&gates.accuracy[1].figure, gates.accuracy[1].margin), (&figure, -0.01));
    assert_eq!(gates.accuracy[0].figure.min_rows, 500);
    let drift = gates.data_drift.unwrap();
    assert_eq!((drift.columns.len(), drift.basis, drift.bins), (2, Basis::Value, 10));
    let latency = gates.latency.unwrap();
    assert_eq!((latency.p99_ratio, latency.callers), (None, 4));
    assert_eq!(gates.compatibility.unwrap().requests, 500);
    assert_eq!((gates.fairness[0].bound, gates.fairness[0].blocking), (Bound::AtLeast(0.8), false));
    assert_eq!(
        (gates.first_champion[0].bound, gates.first_champion[0].basis),
        (Bound::AtMost(0.1), Basis::Value)
    );
}

#[test]
fn a_refusal_says_where() {
    for (from, to, position, said) in [
        ("version: 1", "version: 2", "line 1, column 10", "version '2' is not known"),
        ("expires: 3d", "expires: 9000d", "line 2, column 10", "at most 366d"),
        ("expires: 3d", "expires:", "line 2, column 1", "'expires' has no value"),
        ("data_drift:", "data_drfit:", "line 18, column 1", "did you mean 'data_drift'?"),
        ("@12", "@twelve", "line 4, column 10", "'twelve' is no version of a table"),
        ("prod.risk.transactions@12", "transactions", "line 4, column 10", "specify all three levels"),
        ("  label: is_fraud\n", "", "line 4, column 3", "'label' is missing here"),
        ("amount > 0 OR", "amount > 0) OR (", "line 8, column 10", ""),
        ("    margin: 0.02\n", "", "line 10, column 5", "'margin' is missing here"),
        ("metric: f1", "metric: f3", "line 13, column 13", "'f3' is not known as 'metric'"),
        (
            "metric: f1",
            "metric: average_precision",
            "line 13, column 5",
            "'accuracy' has 'average_precision' twice",
        ),
        ("threshold: 0.3", "threshold: much", "line 15, column 16", "takes a number, not 'much'"),
        ("threshold: 0.3", "threshold: inf", "line 15, column 16", "takes a number, not 'inf'"),
        (
            "confidence: 0.9",
            "confidence: 1",
            "line 16, column 17",
            "'confidence' is 1; it is from 0.5 to below 1",
        ),
        ("resamples: 300", "resamples: 3", "line 17, column 16", "it is from 200 to 100000"),
        ("resamples: 300", "resamples: 300.5", "line 17, column 16", "takes a whole number"),
        ("[amount, country]", "[amount, amount]", "line 20, column 21", "a column that it named before"),
        ("[amount, country]", "[]", "line 20, column 12", "'columns' has 0 entries"),
        ("  p99_ms: 20\n", "", "line 23, column 3", "'p99_ms' or 'p99_ratio' is missing"),
        ("requests: 1000", "requests: 100", "line 24, column 13", "it is from 400 to"),
        ("requests: 1000", "callers: 0", "line 24, column 12", "'callers' is 0; it is from 1 to 64"),
        (
            "latency:\n  p99_ms: 20\n  requests: 1000\n",
            "latency:\n",
            "line 22, column 1",
            "'latency' has no value",
        ),
        ("endpoint: prod.risk.fraud", "endpoint: fraud", "line 26, column 13", "specify all three levels"),
        ("at_least: 0.8", "at_most: 0.8", "line 30, column 14", "is judged by 'at_least', not by 'at_most'"),
        ("blocking: false", "blocking: no", "line 31, column 15", "takes true or false, not 'no'"),
        ("    group: country\n", "", "line 28, column 5", "'group' is missing here"),
        ("basis: value", "basis: both", "line 35, column 12", "'both' is not known as 'basis'"),
        ("at_most: 0.1", "at_least: 0.1", "line 34, column 15", "is judged by 'at_most'"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        match (from_yaml(&GOOD.replacen(from, to, 1)), said) {
            // Two parentheses more that belong together are none of the reader's business.
            (Ok(_), "") => {}
            (Err(error), said) => {
                assert!(error.message.contains(said), "{to}: {error}");
                assert_eq!(error.position.to_string(), position, "{to}: {error}");
            }
            (Ok(_), _) => panic!("{to} was read"),
        }
    }
}

#[test]
fn nothing_but_a_gate_that_blocks_is_a_gate() {
    let head = GOOD.split("accuracy:").next().unwrap();
    let only = |more: &str| from_yaml(&format!("{head}{more}"));
    assert!(only("").unwrap_err().message.contains("no gate that could keep a candidate out"));
    let soft = "fairness:\n  - metric: demographic_parity_ratio\n    group: g\n    at_least: 0.8\n    blocking: false\n";
    assert!(only(soft).unwrap_err().message.contains("no gate that could"));
    assert!(only(&soft.replace("    blocking: false\n", "")).is_ok());
    let floors = "first_champion:\n  - metric: roc_auc\n    at_least: 0.8\n";
    assert!(only(floors).unwrap_err().message.contains("no gate that could"));
    assert!(only("compatibility: {}\n").is_ok());
    assert!(only("accuracy: []\n").unwrap_err().message.contains("'accuracy' has 0 entries"));
    assert!(only("accuracy: {}\n").unwrap_err().message.contains("takes a list"));
    assert!(only("latency: []\n").unwrap_err().message.contains("takes a mapping, not a list"));
}

#[test]
fn a_condition_stays_in_its_parentheses() {
    let read = |condition: &str| {
        let quoted = condition.replace('\'', "''");
        let from = GOOD.lines().find(|line| line.contains("where:")).unwrap();
        from_yaml(&GOOD.replace(from, &format!("  where: '{quoted}'")))
    };
    for good in ["a = 1", "(a) OR (b)", "name = ');--'", "\"odd )name\" > 1", "a - -1 < 2", "x IN ('a', 'b')"]
    {
        assert!(read(good).is_ok(), "{good}: {:?}", read(good));
    }
    for bad in [
        "true) UNION ALL SELECT 1 WHERE (true",
        "a = 1 -- b",
        "a /* b",
        "a; DROP TABLE t",
        "name = 'open",
        "(a",
        "a)",
        "name = 'it\\'s)'",
        "$$a$$",
        "# b",
        " ",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

/// The digest is persisted beside reports and policies. It never changes for what is asked.
#[test]
fn digests_are_fixed() {
    let digest = good().digest();
    assert_eq!(digest, "61059f5f188b94825ba37eba76c0114de9b4ddcfda787f7801dbeb1e9e1f59ef");
    let respelled = GOOD.replace("expires: 3d", "expires: 72h   # three days").replace("0.02", "2e-2");
    assert_eq!(from_yaml(&respelled).unwrap().digest(), digest);
    for (from, to) in [
        ("@12", "@13"),
        ("margin: 0.02", "margin: 0.03"),
        ("0.8", "0.7"),
        ("blocking: false", "blocking: true"),
        ("expires: 3d", "expires: 4d"),
        ("max_psi: 0.2", "max_psi: 0.3"),
        ("requests: 1000", "requests: 1000\n  callers: 8"),
        ("amount > 0", "amount > 1"),
    ] {
        assert_ne!(from_yaml(&GOOD.replace(from, to)).unwrap().digest(), digest, "{to}");
    }
    assert_eq!(metrics().count(), 19);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        drop(from_yaml(&text));
    }

    /// Files with bytes changed, cut and doubled reach deeper than any text does.
    #[test]
    fn damaged_files_are_read_or_refused(
        edits in prop::collection::vec((0..GOOD.len(), 0_usize..12, "[-\\[\\]{}:,&*!|>%@`'\"# \n\ta0~.()]{0,4}"), 1..6)
    ) {
        let mut text = GOOD.to_owned();
        for (at, length, put) in edits {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        match from_yaml(&text) {
            Ok(gates) => prop_assert_eq!(gates.digest().len(), 64),
            Err(error) => {
                prop_assert!(error.position.line >= 1 && error.position.column >= 1, "{}", error);
                prop_assert!(error.message.len() < 2_000, "{}", error);
            }
        }
    }

    /// Whatever a condition is made of, in parentheses it is one expression: it closes none that it did not open.
    #[test]
    fn no_condition_leaves_its_parentheses(condition in "[()'\"`ab;=*/ -]{1,24}") {
        let quoted = condition.replace('\'', "''");
        let from = GOOD.lines().find(|line| line.contains("where:")).unwrap();
        let Ok(gates) = from_yaml(&GOOD.replace(from, &format!("  where: '{quoted}'"))) else { return Ok(()) };
        let (mut open, mut quote) = (0_i64, None);
        for c in gates.evaluation.condition.unwrap_or_default().chars() {
            match (quote, c) {
                (Some(sign), c) if sign == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"' | '`') => quote = Some(c),
                (None, '(') => open += 1,
                (None, ')') => open -= 1,
                (None, c) => prop_assert_ne!(c, ';'),
            }
            prop_assert!(open >= 0);
        }
        prop_assert_eq!((open, quote), (0, None));
    }
}
