//! Declarations of monitors: what is read, and where a mistake is.

use proptest::prelude::*;
use syntax::monitors::{Metric, Monitor, Severity, Side, Task, from_yaml};

const GOOD: &str = r#"version: 1
watch: prod.risk.fraud
baseline: prod.risk.train@3
window: { length: 1h, offset: 15m, delay: 5m }
lateness: 1d
features: { exclude: [Time] }
prediction: { column: _prediction, baseline: score }
labels: { lateness: 7d, baseline: Class, metrics: [roc_auc, recall] }
metrics: [psi, missing]
thresholds:
  - { metric: psi, above: 0.2 }
  - { metric: missing, column: Amount, above: 0.1 }
  - { metric: roc_auc, below: 0.9, severity: high }
minimum_rows: 50
alerts: { owner: fraud-team, severity: low, resolve_after: 2 }
trigger:
  command: prod.risk.train_fraud
  parameters: { until: "{window_end}", depth: 7 }
  budget: { wall: 1h, processor: 2h }
  cool_down: 1d
"#;

#[test]
fn a_declaration_is_read_whole() {
    let monitor = from_yaml(GOOD).unwrap();
    assert_eq!(
        (monitor.watch.as_str(), monitor.baseline.to_string().as_str()),
        ("prod.risk.fraud", "prod.risk.train@3")
    );
    assert_eq!(monitor.window.offset.micros(), 900_000_000);
    assert_eq!(monitor.event_time, "_event_time");
    assert_eq!(monitor.metrics, [Metric::Psi, Metric::Missing]);
    let last = &monitor.thresholds[2];
    assert_eq!((last.side, last.limit, last.severity), (Side::Below, 0.9, Some(Severity::High)));
    assert!(last.is_crossed_by(0.89) && !last.is_crossed_by(0.9));
    let labels = monitor.labels.as_ref().unwrap();
    assert_eq!((labels.task, labels.cutoff, labels.table.as_deref()), (Task::Classification, 0.5, None));
    assert_eq!(labels.minimum_per_class, 10);
    let trigger = monitor.trigger.as_ref().unwrap();
    assert_eq!(trigger.parameters["depth"], "7");
    assert_eq!(trigger.cool_down.micros(), 86_400_000_000);
    let stored = serde_json::to_string(&monitor).unwrap();
    assert_eq!(serde_json::from_str::<Monitor>(&stored).unwrap(), monitor);
}

#[test]
fn little_is_needed() {
    let small = "version: 1\nwatch: a.b.c\nbaseline: a.b.train\nwindow: { length: 1d }\n";
    let monitor = from_yaml(small).unwrap();
    assert_eq!((monitor.metrics, monitor.bins, monitor.minimum_rows), (vec![Metric::Psi], 10, 100));
    assert_eq!((monitor.baseline.version, monitor.alerts.resolve_after), (None, 3));
    let short = format!("{small}prediction: score\n");
    assert_eq!(from_yaml(&short).unwrap().prediction.unwrap().column, "score");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let check = |from: &str, to: &str, said: &str| {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let error = from_yaml(&text).expect_err(to).to_string();
        assert!(error.starts_with(said.split(" … ").next().unwrap()), "{error}\n{said}");
        assert!(error.contains(said.split(" … ").last().unwrap()), "{error}\n{said}");
    };
    check("version: 1", "version: 2", "line 1, column 10: … '2' is not known");
    check("watch:", "wach:", "line 2, column 1: … did you mean 'watch'?");
    check("watch: prod.risk.fraud", "watch: fraud", "line 2, column 8: … 'watch'");
    check("train@3", "train@three", "line 3, column 11: … 'three' is no version");
    check("length: 1h,", "length: 1s, ", "line 4, column 9: … shorter than a minute");
    check("offset: 15m", "offset: 1h", "line 4, column 9: … is not less than the length");
    check("exclude: [Time]", "exclude: [Time, time]", "line 6, column 11: … twice");
    check("[roc_auc, recall]", "[rmse]", "line 8, column 9: … no figure of this task");
    check("Class,", "Class, minimum_per_class: 0,", "line 8, column 9: … say at least 1");
    check("[psi, missing]", "[psi, mising]", "line 9, column 16: … did you mean 'missing'?");
    check("[psi, missing]", "[psi]", "line 12, column 5: … not computed; add it to 'metrics'");
    check("above: 0.2", "above: 0.2, below: 1", "line 11, column 5: … not both");
    check("above: 0.2", "above: nan", "line 11, column 5: … no finite number");
    check("above: 0.2", "above: -0.2", "line 11, column 5: … 'psi' is at least 0");
    check("below: 0.9", "below: 90", "line 13, column 5: … the limit is 90, and 'roc_auc' is from 0 to 1");
    check("metrics: [roc_auc", "cutoff: 50, metrics: [roc_auc", "line 8, column 9: … from 0 to 1");
    check("severity: high", "severity: grave", "line 13, column 46: … low, medium, high");
    check("minimum_rows: 50", "minimum_rows: -1", "line 14, column 15: … is no number");
    check("resolve_after: 2", "resolve_after: 0", "line 15, column 9: … from 1 to 1000");
    check("cool_down: 1d", "cool_down: 1s", "line 17, column 3: … shorter than a minute");
    check("  cool_down: 1d\n", "", "line 17, column 3: … 'cool_down' is missing");
    // A command line has no place to stand in.
    check("cool_down: 1d", "cool_down: 1d\n  argv: [rm]", "line 21, column 3: … 'argv' is not known");
}

proptest! {
    #[test]
    fn no_text_makes_it_fail_otherwise(at in 0..GOOD.len(), with in "\\PC{0,12}") {
        let mut text = GOOD.to_owned();
        text.insert_str(text.floor_char_boundary(at), &with);
        drop(from_yaml(&text));
    }
}
