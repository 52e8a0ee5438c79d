//! `strongback runs compare`: runs side by side.

use std::process::ExitCode;

use clap::Args;

use super::{client::Remote, printer, runs::number};
use crate::{
    answers::{Comparison, DataPart, DataRow, MetricRow, Row, RunSide, Section, Verdict},
    time,
};

const EXAMPLES: &str = "\
Examples:
  strongback runs compare 0f3c9a2e4b6d48f1a7c5e9d2b8f60134 7d1e5b9c3a8f4260b4d7e1f9c2a58036
  strongback runs compare models:/prod.risk.fraud_classifier@champion \\
      7d1e5b9c3a8f4260b4d7e1f9c2a58036 --all
  strongback runs compare models:/fraud/1 models:/fraud/2 --lower drift \\
      --higher score --json

The first run is what the others are compared with. Whether a change is better
or worse is said of metrics whose names say which way they get better, such as
val_auc or test_rmse, and of those that --higher and --lower name.";

/// Letters of a value that the table shows.
const CELL: usize = 48;
/// Letters before the first difference that are shown of values that are too long.
const BEFORE: usize = 8;
/// Figures of a difference that are shown.
const DIGITS: usize = 6;
/// Figures of a value that are shown; JSON has all of them.
const DIGITS_OF_VALUE: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompareArgs {
    /// Two to ten runs: ids, runs:/ID, or the runs that made models:/NAME/VERSION or models:/NAME@ALIAS
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    run_id: Vec<String>,
    /// A metric of which more is better; may be repeated
    #[arg(long, value_name = "METRIC")]
    higher: Vec<String>,
    /// A metric of which less is better; may be repeated
    #[arg(long, value_name = "METRIC")]
    lower: Vec<String>,
    /// Also what is equal in all of them
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let lists = [("run_id", &args.run_id), ("higher", &args.higher), ("lower", &args.lower)];
    let mut query: Vec<(&str, &str)> =
        lists.iter().flat_map(|(name, values)| values.iter().map(|value| (*name, value.as_str()))).collect();
    query.push(("all", if args.all { "true" } else { "false" }));
    let found: Comparison = args.remote.client()?.get("/api/1.0/runs/compare", &query)?;
    if args.json {
        printer::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = names(&found.runs);
    let mut heading = vec!["WHAT", "KEY"];
    heading.extend(names.iter().map(String::as_str));
    heading.push("CHANGE");
    let table = Table::of(&found, &names, args.all);
    printer::table(&heading, &table.0);
    talk(&found, &names, args.all);
    Ok(ExitCode::SUCCESS)
}

/// What the runs are called in the heading: by name, and by id where the name says nothing.
fn names(runs: &[RunSide]) -> Vec<String> {
    let is_alone = |run: &RunSide| runs.iter().filter(|other| other.name == run.name).count() == 1;
    let short = |run: &RunSide| run.run_id.chars().take(8).collect::<String>();
    let name = |run: &RunSide| match (run.name.is_empty(), is_alone(run)) {
        (true, _) => short(run),
        (_, true) => cut(&run.name, 0),
        (_, false) => format!("{} ({})", cut(&run.name, 0), short(run)),
    };
    runs.iter().map(name).collect()
}

/// What lies outside of the table.
fn talk(found: &Comparison, names: &[String], all: bool) {
    let counts = [
        (found.params.equal, "param"),
        (found.metrics.equal, "metric"),
        (found.data.equal, "data input"),
        (found.code.equal, "line about code"),
        (found.environment.python.equal, "version of Python"),
        (found.environment.packages.equal, "package"),
        (found.tags.equal, "tag"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let equal: Vec<String> = counts.map(|(count, what)| counted(*count, what)).collect();
    if !all && !equal.is_empty() {
        printer::talk(&format!("Equal: {} (--all shows them).", equal.join(", ")));
    }
    for (name, from) in names.iter().zip(&found.environment.from) {
        if from.is_empty() {
            printer::talk(&format!("The environment of {name} is not known: no model with one was logged."));
        }
    }
    let unclear =
        |row: &&MetricRow| row.changes.iter().flatten().any(|change| change.verdict == Verdict::Unknown);
    let unclear: Vec<&str> = found.metrics.rows.iter().filter(unclear).map(|row| row.key.as_str()).collect();
    if !unclear.is_empty() {
        printer::talk(&format!(
            "Whether it is better or worse is not known of: {} (--higher and --lower say so).",
            unclear.join(", ")
        ));
    }
    if !found.environment.unreadable.is_empty() {
        printer::talk(&format!("These files cannot be read: {}.", found.environment.unreadable.join(", ")));
    }
    if !found.hidden.is_empty() {
        printer::talk(&format!("You may not read: {}.", found.hidden.join(", ")));
    }
}

fn counted(count: usize, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some((first, rest))) if first != "data" => format!("{count} {first}s {rest}"),
        _ => format!("{count} {what}s"),
    }
}

/// Rows for people: what it is, its key, a value of each run, what the change means.
struct Table(Vec<Vec<String>>);

impl Table {
    fn of(found: &Comparison, names: &[String], all: bool) -> Self {
        let mut table = Self(Vec::new());
        table.runs(&found.runs, all);
        table.texts("param", &found.params);
        for row in &found.metrics.rows {
            table.metric(row, names);
        }
        for row in &found.data.rows {
            table.data(row);
        }
        table.texts("code", &found.code);
        table.environment("python", &found.environment.python, &found.environment.from);
        table.environment("package", &found.environment.packages, &found.environment.from);
        table.texts("tag", &found.tags);
        table
    }

    fn push(&mut self, what: &str, key: &str, values: Vec<String>, change: String) {
        let mut row = vec![what.to_owned(), cut(key, 0)];
        row.extend(values);
        row.push(change);
        self.0.push(row);
    }

    fn runs(&mut self, runs: &[RunSide], all: bool) {
        let started = |run: &RunSide| match run.start_time {
            0 => "-".to_owned(),
            at => time::utc(at),
        };
        let duration = |run: &RunSide| run.duration_ms.map_or_else(|| "-".to_owned(), took);
        let of = |value: &dyn Fn(&RunSide) -> String| runs.iter().map(value).collect::<Vec<String>>();
        let rows = [
            ("id", of(&|run| run.run_id.clone())),
            ("experiment", of(&|run| run.experiment.clone())),
            ("user", of(&|run| run.user.clone())),
            ("status", of(&|run| run.status.clone())),
            ("started (UTC)", of(&started)),
            ("duration", of(&duration)),
        ];
        for (key, values) in rows {
            if all || values.iter().any(|value| *value != values[0]) {
                let values = aligned(&values.iter().map(|value| Some(value.as_str())).collect::<Vec<_>>());
                self.push("run", key, values, String::new());
            }
        }
    }

    fn texts(&mut self, what: &str, section: &Section<Row>) {
        for row in &section.rows {
            let values: Vec<Option<&str>> = row.values.iter().map(Option::as_deref).collect();
            self.push(what, &row.key, aligned(&values), String::new());
        }
    }

    fn metric(&mut self, row: &MetricRow, names: &[String]) {
        let value = |at: usize| {
            row.values[at]
                .as_ref()
                .map_or_else(|| "-".to_owned(), |value| number(rounded(value.0, DIGITS_OF_VALUE)))
        };
        let is_pair = row.values.len() == 2;
        let cell =
            |at: usize| match row.changes.get(at).and_then(Option::as_ref).and_then(|change| change.delta) {
                Some(delta) if !is_pair && delta != 0.0 => format!("{} ({})", value(at), signed(delta)),
                _ => value(at),
            };
        let change = match (is_pair, row.changes.get(1).and_then(Option::as_ref), row.best) {
            (true, Some(change), _) if change.verdict != Verdict::Equal => {
                let share = change.relative.map(|share| format!("({:+.1} %)", share * 100.0));
                let verdict = match change.verdict {
                    Verdict::Better => Some("better".to_owned()),
                    Verdict::Worse => Some("worse".to_owned()),
                    Verdict::Equal | Verdict::Unknown => None,
                };
                let parts = [change.delta.map(signed), share, verdict];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            (false, _, Some(best)) => format!("best: {}", names[best]),
            _ => String::new(),
        };
        self.push("metric", &row.key, (0..row.values.len()).map(cell).collect(), change);
    }

    fn data(&mut self, row: &DataRow) {
        let key = match (row.kind.as_str(), &row.context) {
            ("training_data", _) => "training data".to_owned(),
            ("model", _) => "model read".to_owned(),
            (_, Some(context)) => format!("{} ({context})", row.name),
            (_, None) => row.name.clone(),
        };
        let is_named = row.kind != "data_set";
        let shown: Vec<Option<String>> = row
            .values
            .iter()
            .map(|parts| {
                let parts: Vec<String> = parts.iter().map(|part| shown(part, is_named)).collect();
                (!parts.is_empty()).then(|| parts.join(", "))
            })
            .collect();
        let values: Vec<Option<&str>> = shown.iter().map(Option::as_deref).collect();
        self.push("data", &key, aligned(&values), String::new());
    }

    /// A run whose environment is not known has a question mark, since it may have had the package.
    fn environment(&mut self, what: &str, section: &Section<Row>, from: &[Vec<String>]) {
        for row in &section.rows {
            let text = |value: &Option<String>| match value.as_deref() {
                Some("") => Some("any".to_owned()),
                value => value.map(str::to_owned),
            };
            let shown: Vec<Option<String>> = row
                .values
                .iter()
                .zip(from)
                .map(|(value, from)| if from.is_empty() { Some("?".to_owned()) } else { text(value) })
                .collect();
            let change = match row.values.as_slice() {
                [None, Some(_)] => "added",
                [Some(_), None] => "removed",
                [Some(one), Some(two)] if one != two => "changed",
                _ => "",
            };
            let values: Vec<Option<&str>> = shown.iter().map(Option::as_deref).collect();
            self.push(what, &row.key, aligned(&values), change.to_owned());
        }
    }
}

fn shown(part: &DataPart, is_named: bool) -> String {
    let version = part.version.map(|version| format!("@{version}")).unwrap_or_default();
    let digest = part.digest.as_deref().unwrap_or_default();
    let deleted = if part.is_deleted { " (deleted)" } else { "" };
    match (is_named, digest.is_empty()) {
        (false, _) => digest.to_owned(),
        (true, true) => format!("{}{version}{deleted}", part.name),
        (true, false) => {
            format!("{}{version} {}{deleted}", part.name, digest.chars().take(12).collect::<String>())
        }
    }
}

/// Values of one row, short enough for a table, and so that what differs in them is seen.
fn aligned(values: &[Option<&str>]) -> Vec<String> {
    let there: Vec<Vec<char>> = values.iter().flatten().map(|value| value.chars().collect()).collect();
    let is_long = there.iter().any(|value| value.len() > CELL);
    let common = match there.split_first() {
        Some((first, others)) if is_long && !others.is_empty() => (0..first.len())
            .take_while(|at| others.iter().all(|other| other.get(*at) == first.get(*at)))
            .count(),
        _ => 0,
    };
    let is_same = there.windows(2).all(|pair| pair[0] == pair[1]);
    let from = if is_same || common < CELL - BEFORE { 0 } else { common - BEFORE };
    values.iter().map(|value| value.map_or_else(|| "-".to_owned(), |value| cut(value, from))).collect()
}

/// A text from a letter on, with marks where something was left out.
fn cut(text: &str, from: usize) -> String {
    let start: String = if from > 0 { "…".to_owned() } else { String::new() };
    let rest: Vec<char> = text.chars().skip(from).collect();
    match rest.len() > CELL {
        true => format!("{start}{}…", rest[..CELL - 1].iter().collect::<String>()),
        false => format!("{start}{}", rest.iter().collect::<String>()),
    }
}

/// A difference with its sign, to a few figures: the last ones of a difference come from rounding.
fn signed(delta: f64) -> String {
    let delta = rounded(delta, DIGITS);
    format!("{}{}", if delta > 0.0 { "+" } else { "" }, number(delta))
}

fn rounded(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// How long something took, for people.
fn took(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{:.1} s", ms as f64 / 1e3),
        120_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{} h {} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_show_where_they_differ() {
        let long = "x".repeat(60);
        let (one, two) = (format!("{long}1{long}"), format!("{long}2{long}"));
        let shown = aligned(&[Some(&one), Some(&two), None]);
        assert_eq!(shown[0], format!("…xxxxxxxx1{}…", "x".repeat(CELL - 10)));
        assert_eq!(shown[1], format!("…xxxxxxxx2{}…", "x".repeat(CELL - 10)));
        assert_eq!(shown[2], "-");
        assert_eq!(aligned(&[Some(&long), Some(&long)])[0], format!("{}…", "x".repeat(CELL - 1)));
        assert_eq!(aligned(&[Some("short"), Some(&long)])[0], "short");
        assert_eq!(aligned(&[None, Some("")]), ["-", ""]);
    }

    #[test]
    fn differences_are_short_and_signed() {
        assert_eq!(signed(0.92 - 0.81), "+0.11");
        assert_eq!(signed(0.1 - 0.3), "-0.2");
        assert_eq!(signed(1e-9), "+1e-9");
        assert_eq!(signed(123_456_789.0), "+123457000");
        assert_eq!(number(rounded(1.0 - 0.81, DIGITS_OF_VALUE)), "0.19");
        assert_eq!(number(rounded(1e300, DIGITS_OF_VALUE)), "1e300");
        assert!(rounded(f64::NAN, 6).is_nan() && rounded(f64::INFINITY, 6).is_infinite());
    }

    #[test]
    fn durations_and_counts_are_words() {
        assert_eq!(
            [took(12), took(61_500), took(125_000), took(7_260_000)],
            ["12 ms", "61.5 s", "2 min 5 s", "2 h 1 min"]
        );
        assert_eq!(counted(2, "line about code"), "2 lines about code");
        assert_eq!(counted(1, "line about code"), "1 line about code");
        assert_eq!(counted(3, "data input"), "3 data inputs");
    }
}
