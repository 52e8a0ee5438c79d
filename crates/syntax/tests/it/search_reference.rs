//! MLflow's own answers, line by line, and every line on which we mean to differ.

use std::collections::HashMap;

use syntax::search::{Expr, Grammar, OrderBy, SyntaxError, parse_filter, parse_order_by, parse_order_field};

use crate::fixture::{sort, things};

const REFERENCE: &str = include_str!("../data/reference.tsv");
const DIFFERENCES: &str = include_str!("../data/differences.tsv");

/// What a search should come to: names in order, or the start of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Found(String),
    FoundInAnyOrder,
    Refused(String),
}

impl Answer {
    fn read(verdict: &str, detail: &str) -> Self {
        match (verdict, detail) {
            ("ok", "*") => Answer::FoundInAnyOrder,
            ("ok", names) => Answer::Found(names.to_owned()),
            ("refused", "-") => Answer::Refused(String::new()),
            ("refused", gist) => Answer::Refused(gist.to_owned()),
            (other, _) => panic!("verdict {other}"),
        }
    }

    fn is_met_by(&self, ours: &Answer) -> bool {
        match (self, ours) {
            (Answer::Refused(gist), Answer::Refused(message)) => message.starts_with(gist),
            (Answer::FoundInAnyOrder, Answer::Found(_)) => true,
            _ => self == ours,
        }
    }
}

fn grammar(word: &str) -> Grammar {
    match word {
        "runs" => Grammar::Runs,
        "experiments" => Grammar::Experiments,
        "models" => Grammar::RegisteredModels,
        "versions" => Grammar::ModelVersions,
        "logged" => Grammar::LoggedModels,
        other => panic!("grammar {other}"),
    }
}

fn filtered(grammar: Grammar, text: &str) -> Answer {
    match parse_filter(grammar, text) {
        Ok(filter) => Answer::Found(names_matching(grammar, &filter)),
        Err(error) => Answer::Refused(error.message),
    }
}

fn names_matching(grammar: Grammar, filter: &Expr) -> String {
    let mut names: Vec<String> =
        things(grammar).into_iter().filter(|thing| filter.matches(thing)).map(|thing| thing.name).collect();
    names.sort();
    names.join(" ")
}

fn ordered(grammar: Grammar, clauses: &str) -> Answer {
    let items: Vec<String> = clauses.split('|').map(str::to_owned).collect();
    let orders: Result<Vec<OrderBy>, SyntaxError> = match grammar {
        Grammar::LoggedModels => items.iter().map(|item| parse_order_field(grammar, item, true)).collect(),
        _ => parse_order_by(grammar, &items),
    };
    match orders {
        Err(error) => Answer::Refused(error.message),
        Ok(orders) => {
            let mut things = things(grammar);
            sort(grammar, &mut things, &orders);
            let names: Vec<String> = things.into_iter().map(|thing| thing.name).collect();
            Answer::Found(names.join(" "))
        }
    }
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

#[test]
fn answers_as_mlflow_does_but_where_a_difference_is_meant() {
    let mut differences: HashMap<(&str, &str), (Answer, &str)> = HashMap::new();
    for row in rows(DIFFERENCES) {
        let [grammar, text, verdict, detail, reason] = row[..] else { panic!("{row:?}") };
        differences.insert((grammar, text), (Answer::read(verdict, detail), reason));
    }
    let mut failures = Vec::new();
    let mut compared = 0;
    for row in rows(REFERENCE) {
        let [face, text, verdict, detail] = row[..] else { panic!("{row:?}") };
        let written = text.replace("\\t", "\t");
        let ours = match face.strip_prefix("order:") {
            Some(face) => ordered(grammar(face), &written),
            None => filtered(grammar(face), &written),
        };
        let reference = Answer::read(verdict, detail);
        let (expected, reason) = differences.remove(&(face, text)).unwrap_or_else(|| (reference.clone(), ""));
        if !reason.is_empty() && reference.is_met_by(&ours) {
            failures.push(format!("{face}\t{text}: differs no more, yet it is listed: {reason}"));
        }
        if !expected.is_met_by(&ours) {
            failures.push(format!("{face}\t{text}\n     want {expected:?}\n     have {ours:?}"));
        }
        compared += 1;
    }
    failures.extend(differences.keys().map(|key| format!("{key:?} is no line of the reference")));
    assert!(failures.is_empty(), "{} of {compared}:\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 400, "only {compared} lines");
}
