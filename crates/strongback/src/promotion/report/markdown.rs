//! A report as Markdown, for a merge request or a person.

use std::fmt::Write as _;

use stats::Estimate;

use super::{Check, Data, Outcome, Part, Report, bound_text};
use crate::time;

/// Parts of a check that are listed.
const PARTS_MAX: usize = 100;

/// The report as Markdown.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let champion = report
        .champion
        .as_ref()
        .map_or("no champion yet".to_owned(), |champion| format!("version {}", champion.version));
    let verdict = report.verdict.replace('_', " ");
    let use_of_it = match report.verdict.as_str() {
        "pass" => format!("it moves the alias until {} UTC", time::utc(report.expires_at)),
        _ => "it moves nothing".to_owned(),
    };
    let _ = writeln!(text, "# Gates of {}: {verdict}\n", cell(&report.model));
    let _ = writeln!(
        text,
        "Version {} for `{}`, against {champion}. Report {}, made {} UTC by {}; {use_of_it}.\n",
        report.candidate.version,
        coded(&report.alias),
        report.id,
        time::utc(report.made_at),
        cell(&report.by),
    );
    let _ = writeln!(
        text,
        "| check | outcome | figure | interval | rows | has to be |\n|---|---|---|---|---|---|"
    );
    for check in &report.checks {
        let _ = writeln!(text, "{}", line(check));
    }
    text.push('\n');
    for check in &report.checks {
        let _ = writeln!(text, "- **{}**: {}", cell(&check.name), cell(&check.sentence));
    }
    for check in report.checks.iter().filter(|check| !check.parts.is_empty()) {
        let _ = writeln!(
            text,
            "\n## {}\n\n| of | outcome | figure | interval | rows |\n|---|---|---|---|---|",
            cell(&check.name)
        );
        for part in check.parts.iter().take(PARTS_MAX) {
            let _ = writeln!(text, "{}", part_line(part));
        }
        if check.parts.len() > PARTS_MAX {
            let _ = writeln!(text, "\n{} more are in the report as JSON.", check.parts.len() - PARTS_MAX);
        }
    }
    let _ = writeln!(text, "\n## Judged on\n");
    let _ = writeln!(text, "- evaluation: {}", data(&report.evaluation));
    if let Some(baseline) = &report.baseline {
        let _ = writeln!(text, "- training set: {}", data(baseline));
    }
    if let Some(recorded) = &report.recorded {
        let _ = writeln!(text, "- recorded requests: {}", data(recorded));
    }
    for (what, judged) in [("candidate", Some(&report.candidate)), ("champion", report.champion.as_ref())] {
        if let Some(judged) = judged {
            let digest = judged.digest.as_deref().unwrap_or("no digest");
            let _ = writeln!(text, "- {what}: version {}, {digest}", judged.version);
        }
    }
    let _ = writeln!(text, "- gates: sha256 {}", report.config_digest);
    let _ = writeln!(text, "- run: {}", report.run_id);
    text
}

fn line(check: &Check) -> String {
    let not_blocking = if check.blocking { "" } else { " (not blocking)" };
    let bound = check.bound.map(bound_text).unwrap_or_default();
    let [figure, interval, rows] = figures(check.estimate.as_ref());
    format!(
        "| {} | {}{not_blocking} | {figure} | {interval} | {rows} | {bound} |",
        cell(&check.name),
        check.outcome.words()
    )
}

fn part_line(part: &Part) -> String {
    let outcome = part.outcome.map(Outcome::words).unwrap_or_default();
    let [figure, interval, rows] = figures(Some(&part.estimate));
    format!("| {} | {outcome} | {figure} | {interval} | {rows} |", cell(&part.name))
}

fn figures(estimate: Option<&Estimate>) -> [String; 3] {
    let Some(estimate) = estimate else { return Default::default() };
    let Estimate { value, low, high, n, confidence, .. } = estimate;
    let percent = confidence.level() * 100.0;
    [format!("{value:.4}"), format!("{low:.4} to {high:.4} ({percent} %)"), n.to_string()]
}

fn data(data: &Data) -> String {
    let mut text = format!("{}, {} rows", cell(&data.table), data.rows);
    if let Some(condition) = &data.condition {
        let _ = write!(text, " where {}", cell(condition));
    }
    if let (Some(first), Some(last)) = (data.first_at_us, data.last_at_us) {
        let _ = write!(text, ", from {} to {} UTC", time::utc(first / 1_000), time::utc(last / 1_000));
    }
    text
}

/// A text between backticks, where nothing is escaped.
pub(super) fn coded(text: &str) -> String {
    text.replace('`', "'")
}

/// A text that stays in its cell, and says nothing in Markdown or HTML.
pub(super) fn cell(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '`' | '[' | ']' | '~' | '&' | '\\' => shown.extend(['\\', c]),
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_called_something_stays_in_its_cell() {
        let check = Check::told("fairness", "x.a|b<i>", Outcome::Pass, "words");
        assert_eq!(line(&check), r"| fairness.x.a\|b\<i\> | pass |  |  |  |  |");
        assert_eq!(cell("`a`\n[b](c) &lt; ~~d~~"), r"\`a\` \[b\](c) \&lt; \~\~d\~\~");
        assert_eq!(cell("is_fraud"), "is_fraud");
    }
}
