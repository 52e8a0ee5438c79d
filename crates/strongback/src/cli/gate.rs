//! `strongback gate`: a candidate is judged on the server, and what was found is shown.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Client, Remote, segment},
    exit, printer,
    words::Words,
};
use crate::{
    error::Error,
    promotion::{
        GateRunResponse, ReportLine, ReportView,
        report::{Check, Report, Unjudged, bound_text, junit, markdown},
    },
    time,
};

const RUNS: &str = "/api/1.0/gate-runs";
const REPORTS: &str = "/api/1.0/gate-reports";
/// How long one call waits for the end of the job: also how often its progress is looked at.
const WAIT_SECONDS: u64 = 2;

const EXAMPLES: &str = "\
A file gates.yaml (docs/guides/gates.md has all of it):
  version: 1
  evaluation:
    table: prod.risk.transactions@12
    label: is_fraud
  accuracy:
    - metric: average_precision
      margin: 0.02
  latency:
    p99_ms: 20
  first_champion:
    - metric: average_precision
      at_least: 0.6

Examples:
  strongback gate run --model prod.risk.fraud_classifier \\
      --candidate challenger --config gates.yaml
  strongback gate run --model prod.risk.fraud_classifier \\
      --candidate 7 --config gates.yaml --move champion \\
      --junit gates.xml --markdown gates.md
  strongback gate list --model prod.risk.fraud_classifier
  strongback gate show 01a212d4-7a9a-72a8-9d1e-70d21dbc389e

`run` ends with 0 when the gates passed (and the alias moved, where that was
asked for), with 1 when one failed, with 2 when they could not judge (also when
there is no such model, or it may not be judged), with 3 when they passed and
the alias did not move, and with 4 when the server does not answer. `show` ends
with 0, 1 or 2 by the verdict of the report.";

/// Judge candidates by gates, on the server; list and show the reports
#[derive(Debug, Subcommand)]
pub(super) enum GateCommand {
    /// Judge a candidate against the champion
    #[command(after_help = EXAMPLES)]
    Run(RunArgs),
    /// List the reports of a model, newest first
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a report
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The registered model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The candidate: an alias that points to it, or its number
    #[arg(long, value_name = "ALIAS|VERSION")]
    candidate: String,
    /// The gates
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The alias whose version is the champion [default: champion, or that of --move]
    #[arg(long, value_name = "ALIAS")]
    alias: Option<String>,
    /// Move this alias to the candidate when the gates pass
    #[arg(long = "move", value_name = "ALIAS", conflicts_with = "alias")]
    moves: Option<String>,
    /// Wait for the verdict, which is what happens anyway; at most so many seconds, where a number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the flag may stand alone or with a number")]
    wait: Option<Option<u64>>,
    /// Queue the job and print its id, without a verdict
    #[arg(long, conflicts_with_all = ["wait", "junit", "markdown"])]
    detach: bool,
    #[command(flatten)]
    forms: Forms,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct Forms {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Write the report as JUnit's XML too; an error while there is none
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as Markdown too; why there is none where that is so
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Forms {
    /// Writes the files that are asked for.
    fn files(&self, junit: &str, markdown: &str) -> anyhow::Result<()> {
        for (path, text) in [(&self.junit, junit), (&self.markdown, markdown)] {
            if let Some(path) = path {
                write(path, text)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The registered model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Only those of this version
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id
    #[arg(value_name = "REPORT_ID")]
    report_id: String,
    #[command(flatten)]
    forms: Forms,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: GateCommand) -> anyhow::Result<ExitCode> {
    match command {
        GateCommand::Run(args) => judge(&args),
        GateCommand::List(args) => list(&args),
        GateCommand::Show(args) => {
            let view = fetch(&args.remote.client()?, &args.report_id)?;
            show(&view, &args.forms, json!({}))?;
            Ok(of_verdict(&view.line.verdict))
        }
    }
}

fn of_verdict(verdict: &str) -> ExitCode {
    match verdict {
        "pass" => ExitCode::SUCCESS,
        "fail" => exit::answer(false),
        _ => exit::unjudged(),
    }
}

/// Judges. Whatever keeps the gates from it is told by the exit code of those who could not judge, but for a server that does
/// not answer; and by the files that were asked for, so that none of an earlier run stands for this one.
fn judge(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let unjudged = |why: &str| {
        let alias = args.moves.as_ref().or(args.alias.as_ref()).map_or("champion", String::as_str);
        let found = Unjudged { model: &args.model, candidate: &args.candidate, alias, why };
        args.forms.files(&found.junit(), &found.markdown())
    };
    unjudged("the gates have not judged yet, or the command was broken off")?;
    let error = match judged(args) {
        Ok(Ended::Judged(code)) => return Ok(code),
        Ok(Ended::Not(why)) => {
            printer::talk(&format!("The gates could not judge: {why}"));
            unjudged(&why)?;
            return Ok(exit::unjudged());
        }
        Err(error) => Words::of_args::<RunArgs>().put(error),
    };
    unjudged(error.downcast_ref::<Error>().map_or(&*format!("{error:#}"), Error::message))?;
    if exit::is_away(&error) {
        return Err(error);
    }
    printer::error(&error);
    Ok(exit::unjudged())
}

/// How it ended.
enum Ended {
    /// With a report, or as it was asked for without one.
    Judged(ExitCode),
    /// Without one, and why.
    Not(String),
}

fn judged(args: &RunArgs) -> anyhow::Result<Ended> {
    let config = std::fs::read_to_string(&args.config).map_err(|error| {
        Error::invalid(format!("The file {} cannot be read: {error}.", args.config.display()))
    })?;
    let client = args.remote.client()?;
    let body = json!({
        "model": args.model, "candidate": args.candidate, "alias": args.moves.as_ref().or(args.alias.as_ref()),
        "config": config, "move": args.moves.is_some(),
    });
    let queued: GateRunResponse = client.send(Method::POST, RUNS, &body)?;
    if args.detach {
        match args.forms.json {
            true => printer::json(&queued)?,
            false => printer::data(&queued.job_id),
        }
        return Ok(Ended::Judged(ExitCode::SUCCESS));
    }
    let champion = queued.champion.map_or("nobody yet".to_owned(), |champion| format!("version {champion}"));
    printer::talk(&format!(
        "Version {} of {} is judged against {champion} (job {}).",
        queued.candidate, queued.model, queued.job_id
    ));
    let job = ended(&client, &queued.job_id, args.wait.flatten())?;
    if job["state"] != "succeeded" {
        return Ok(Ended::Not(without_report(&job, &queued.job_id, args)));
    }
    let result = &job["result"];
    let view = fetch(&client, result["report_id"].as_str().unwrap_or_default())?;
    let moved = json!({ "moved": result["moved"], "not_moved": result["not_moved"] });
    show(&view, &args.forms, moved)?;
    if let Some(alias) = args.moves.as_ref().filter(|_| view.line.verdict == "pass") {
        if result["moved"] != true {
            let why = result["not_moved"].as_str().unwrap_or_default();
            printer::talk(&format!("The gates passed, and '{alias}' did not move: {why}"));
            return Ok(Ended::Judged(exit::refused()));
        }
        printer::talk(&format!("'{alias}' points to version {} now.", view.line.candidate));
    }
    Ok(Ended::Judged(of_verdict(&view.line.verdict)))
}

/// Why a job left no report, as far as it is known by now.
fn without_report(job: &Json, id: &str, args: &RunArgs) -> String {
    let state = job["state"].as_str().unwrap_or_default();
    if job["ended_at"].is_i64() {
        let why = job["error"]["message"].as_str().unwrap_or("nobody said why");
        return format!("the job {id} is {state}: {why}");
    }
    let moves = args
        .moves
        .as_ref()
        .map_or_else(String::new, |alias| format!(" and moves '{alias}' by itself when the gates pass"));
    format!(
        "the job {id} is {state} still, after the time that --wait gives it. It goes on{moves}. To watch it: strongback job wait \
         {id}, and then strongback gate show {id}. To end it: strongback job cancel {id}"
    )
}

/// The job once it has ended, or when the time is over; tells how far it is meanwhile.
fn ended(client: &Client, id: &str, timeout_s: Option<u64>) -> anyhow::Result<Json> {
    let (begun, mut told) = (Instant::now(), String::new());
    loop {
        let path = format!("/api/1.0/jobs/{}", segment(id));
        let job: Json = client.get(&path, &[("wait_seconds", &WAIT_SECONDS.to_string())])?;
        let is_over = timeout_s.is_some_and(|most| begun.elapsed() >= Duration::from_secs(most));
        if job["ended_at"].is_i64() || is_over {
            return Ok(job);
        }
        let message = job["progress"]["message"].as_str().unwrap_or_default();
        if !message.is_empty() && message != told {
            message.clone_into(&mut told);
            printer::talk(&format!("{message} …"));
        }
    }
}

fn fetch(client: &Client, id: &str) -> anyhow::Result<ReportView> {
    Ok(client.get(&format!("{REPORTS}/{}", segment(id)), &[])?)
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let version = args.version.map(|version| version.to_string());
    let mut query = vec![("model", args.model.as_str())];
    query.extend(version.as_deref().map(|version| ("version", version)));
    let found = args.remote.client()?.list(REPORTS, &query, "reports")?;
    if args.json {
        printer::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |line: ReportLine| {
        let champion = line.champion.map_or("-".to_owned(), |champion| champion.to_string());
        vec![
            line.report_id,
            line.candidate.to_string(),
            champion,
            line.alias,
            line.verdict.replace('_', " "),
            time::utc(line.made_at),
            line.by,
        ]
    };
    let lines = found.into_iter().map(serde_json::from_value::<ReportLine>).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Vec<String>> = lines.into_iter().map(row).collect();
    printer::table(&["REPORT", "CANDIDATE", "CHAMPION", "ALIAS", "VERDICT", "MADE (UTC)", "BY"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Shows a report in the forms that are asked for; `more` goes beside it in JSON.
fn show(view: &ReportView, forms: &Forms, more: Json) -> anyhow::Result<()> {
    let report: Report = serde_json::from_value(view.report.clone())?;
    forms.files(&junit(&report), &markdown(&report))?;
    if forms.json {
        let mut shown = serde_json::to_value(view)?;
        if let (Json::Object(shown), Json::Object(more)) = (&mut shown, more) {
            shown.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
        }
        return printer::json(&shown);
    }
    let champion =
        report.champion.as_ref().map_or("no champion".to_owned(), |champion| champion.version.to_string());
    printer::data(&format!(
        "{} {} against {champion} for {}: {}",
        report.model,
        report.candidate.version,
        report.alias,
        report.verdict.replace('_', " ")
    ));
    let rows: Vec<Vec<String>> = report.checks.iter().map(row).collect();
    printer::table(&["CHECK", "OUTCOME", "FIGURE", "INTERVAL", "ROWS", "HAS TO BE"], &rows);
    for check in &report.checks {
        printer::data(&format!("{}: {}", check.name, check.sentence));
    }
    let data = [
        ("evaluation ", Some(&report.evaluation)),
        ("training   ", report.baseline.as_ref()),
        ("requests   ", report.recorded.as_ref()),
    ];
    for (what, data) in data {
        if let Some(data) = data {
            printer::data(&format!("{what} {}, {} rows", data.table, data.rows));
        }
    }
    printer::data(&format!("report      {}", report.id));
    printer::data(&format!("run         {}", report.run_id));
    printer::data(&format!("expires     {} UTC", time::utc(report.expires_at)));
    Ok(())
}

fn row(check: &Check) -> Vec<String> {
    let outcome = check.outcome.words();
    let outcome = if check.blocking { outcome.to_owned() } else { format!("{outcome} (not blocking)") };
    let (figure, interval, n) = match &check.estimate {
        Some(one) => {
            (format!("{:.4}", one.value), format!("{:.4} to {:.4}", one.low, one.high), one.n.to_string())
        }
        None => Default::default(),
    };
    vec![check.name.clone(), outcome, figure, interval, n, check.bound.map(bound_text).unwrap_or_default()]
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).map_err(|error| {
        Error::invalid(format!("The file {} cannot be written: {error}.", path.display())).into()
    })
}
