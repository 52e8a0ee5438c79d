//! Gates on the page at `/`: the newest reports, their verdicts and their figures.

use maud::{Markup, html};

use super::{
    format::{ago, figure},
    home::Frame,
    sections::VIEW,
};
use crate::promotion::{CheckLine, GateLine, report::Outcome};

/// The newest reports.
pub(super) fn gates(lines: &[GateLine], frame: &Frame) -> Markup {
    html! {
        section #gates {
            h2 { "Gates" }
            ul.list { @for line in lines { (gate(line, frame)) } }
        }
    }
}

fn gate(line: &GateLine, frame: &Frame) -> Markup {
    let (class, words) = match line.verdict {
        "pass" => ("finished", "passed"),
        "fail" => ("failed", "failed"),
        _ => ("undecided", "could not judge"),
    };
    let what = html! {
        (line.model) " v" (line.candidate)
        @match line.champion { Some(champion) => { " against v" (champion) }, None => { " for @" (line.alias) } }
    };
    html! {
        li title=(line.report_id) {
            p {
                span {
                    span class={ "status " (class) } { (words) } " "
                    @match (&line.experiment_id, frame.mlflow) {
                        (Some(experiment), true) => { a href={ "mlflow/#/experiments/" (experiment) "/runs/" (line.run_id) (VIEW) } { (what) } }
                        _ => { strong { (what) } }
                    }
                }
                (ago(line.made_at, frame.now))
            }
            ul.checks {
                @for one in &line.checks { (check(one)) }
                @if line.more_checks > 0 { li { "and " (line.more_checks) " more" } }
            }
        }
    }
}

/// A check is its name and figure; the sentence is there for who points at it, and where it did not pass for everybody.
fn check(check: &CheckLine) -> Markup {
    let class = match check.outcome {
        Outcome::Pass | Outcome::NotApplicable => "",
        Outcome::Fail => "high",
        Outcome::CouldNotJudge => "medium",
    };
    html! {
        li class=(class) title=(check.sentence) {
            (check.name) " "
            b { @match check.value { Some(value) => { (figure(value)) }, None => { (check.outcome.words()) } } }
            @if !class.is_empty() { span.sentence { (check.sentence) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup_and_what_failed_says_why() {
        let hostile = "<script>alert(1)</script>\"'";
        let check = |outcome| CheckLine {
            name: hostile.into(),
            outcome,
            value: Some(-0.694_4),
            sentence: format!("because {hostile}"),
        };
        let line = GateLine {
            report_id: hostile.into(),
            model: hostile.into(),
            candidate: 2,
            champion: Some(1),
            alias: hostile.into(),
            verdict: "fail",
            made_at: 0,
            by: hostile.into(),
            run_id: hostile.into(),
            experiment_id: Some(hostile.into()),
            checks: vec![check(Outcome::Pass), check(Outcome::Fail)],
            more_checks: 7,
        };
        for mlflow in [true, false] {
            let frame = Frame {
                url: String::new(),
                mlflow,
                caller: String::new(),
                tokens: false,
                data_dir: None,
                now: 0,
            };
            let drawn = gates(std::slice::from_ref(&line), &frame).into_string();
            assert!(!drawn.contains("<script"), "{drawn}");
            assert_eq!(drawn.matches("class=\"sentence\"").count(), 1, "{drawn}");
            assert!(drawn.contains("-0.6944") && drawn.contains("failed"), "{drawn}");
            assert!(drawn.contains("and 7 more"), "{drawn}");
        }
    }
}
