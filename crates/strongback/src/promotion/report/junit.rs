//! A report as JUnit's XML, which build servers show: a check is a test case.
//!
//! What could not be judged is an error, what is not applicable is skipped, and so is a failure that does not block.

use std::fmt::Write as _;

use super::{Check, Outcome, Report};

/// The report as XML.
pub fn junit(report: &Report) -> String {
    let count = |outcome: Outcome| {
        report.checks.iter().filter(|check| check.blocking && check.outcome == outcome).count()
    };
    let skipped = report.checks.iter().filter(|check| is_skipped(check)).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"gates {} {} for {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\">",
        escaped(&report.model),
        report.candidate.version,
        escaped(&report.alias),
        report.checks.len(),
        count(Outcome::Fail),
        count(Outcome::CouldNotJudge),
    );
    let _ = writeln!(text, "  <properties>");
    for (name, value) in [
        ("report", &report.id),
        ("verdict", &report.verdict),
        ("run", &report.run_id),
        ("gates", &report.config_digest),
    ] {
        let _ = writeln!(text, "    <property name=\"{name}\" value=\"{}\"/>", escaped(value));
    }
    let _ = writeln!(text, "  </properties>");
    for check in &report.checks {
        let _ = writeln!(text, "{}", case(check));
    }
    text.push_str("</testsuite>\n");
    text
}

fn is_skipped(check: &Check) -> bool {
    check.outcome == Outcome::NotApplicable || (!check.blocking && check.outcome != Outcome::Pass)
}

fn case(check: &Check) -> String {
    let head =
        format!("  <testcase classname=\"{}\" name=\"{}\"", escaped(&check.gate), escaped(&check.name));
    let sentence = escaped(&check.sentence);
    let inner = match check.outcome {
        Outcome::Pass => return format!("{head}><system-out>{sentence}</system-out></testcase>"),
        _ if is_skipped(check) => format!("<skipped message=\"{}: {sentence}\"/>", check.outcome.words()),
        Outcome::Fail => format!("<failure message=\"{sentence}\"/>"),
        _ => format!("<error message=\"{sentence}\"/>"),
    };
    format!("{head}>{inner}</testcase>")
}

/// A text within an attribute or an element. What XML cannot say is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}
