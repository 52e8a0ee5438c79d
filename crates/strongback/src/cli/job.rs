//! `strongback job`: work that goes on beside the requests.

use std::{process::ExitCode, time::Instant};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use super::{
    client::{Client, Remote, segment},
    exit, printer,
};
use crate::{error::Error, time};

const JOBS: &str = "/api/1.0/jobs";
/// How long one call waits for the end of a job.
const WAIT_SECONDS: u64 = 20;
/// Lines of a failed job's log that are shown.
const TAIL_LINES: usize = 20;
/// Between two looks at a log that grows.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  strongback job list --state running
  strongback job list --asset prod.risk.train_fraud -n 5
  strongback job show 01a212d4-7a9a-72a8-9d1e-70d21dbc389e
  strongback job wait 01a212d4-7a9a-72a8-9d1e-70d21dbc389e --timeout 600
  strongback job log 01a212d4-7a9a-72a8-9d1e-70d21dbc389e --follow
  strongback job cancel 01a212d4-7a9a-72a8-9d1e-70d21dbc389e

`wait` ends with 0 when the job succeeded, with 1 when it failed or was
cancelled, and with 4 when the time was over before that.";

/// List, watch and end jobs
#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// List jobs, newest first
    #[command(after_help = EXAMPLES)]
    List(ListArgs),
    /// Show a job: state, attempts, cost, result or error
    #[command(after_help = EXAMPLES)]
    Show(ShowArgs),
    /// Wait until a job has ended
    #[command(after_help = EXAMPLES)]
    Wait(WaitArgs),
    /// End a job
    #[command(after_help = EXAMPLES)]
    Cancel(ShowArgs),
    /// Show what a job wrote
    #[command(after_help = EXAMPLES)]
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// queued, running, succeeded, failed or cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only of this kind, e.g. command
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only about this asset, e.g. a command's name
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    limit: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id
    #[arg(value_name = "JOB_ID")]
    job_id: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// Its id
    #[arg(value_name = "JOB_ID")]
    job_id: String,
    /// How many seconds at most; without end when left out
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Its id
    #[arg(value_name = "JOB_ID")]
    job_id: String,
    /// Of which attempt [default: the newest]
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Go on until the job has ended
    #[arg(long, short)]
    follow: bool,
    /// As JSON: text, the attempt, and whether it is the end
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: JobCommand) -> anyhow::Result<ExitCode> {
    match command {
        JobCommand::List(args) => list(&args)?,
        JobCommand::Show(args) => {
            let job: Json = args.remote.client()?.get(&one(&args.job_id), &[])?;
            show(&job, args.json)?;
        }
        JobCommand::Wait(args) => {
            let job = wait(&args.remote.client()?, &args.job_id, args.timeout)?;
            show(&job, args.json)?;
            return Ok(exit::answer(job["state"] == "succeeded"));
        }
        JobCommand::Cancel(args) => {
            let path = format!("{}/cancel", one(&args.job_id));
            let job: Json = args.remote.client()?.send(Method::POST, &path, &json!({}))?;
            show(&job, args.json)?;
        }
        JobCommand::Log(args) => log(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn one(id: &str) -> String {
    format!("{JOBS}/{}", segment(id))
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let mut query: Vec<(&str, &str)> = Vec::new();
    for (name, value) in [("state", &args.state), ("kind", &args.kind), ("asset", &args.asset)] {
        query.extend(value.as_deref().map(|value| (name, value)));
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    while found.len() < args.limit {
        let most = (args.limit - found.len()).min(1_000).to_string();
        let mut query = query.clone();
        query.extend([("max_results", most.as_str()), ("page_token", token.as_str())]);
        let mut page: Json = client.get(JOBS, &query)?;
        if let Some(Json::Array(jobs)) = page.get_mut("jobs").map(Json::take) {
            found.extend(jobs);
        }
        match page["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => break,
        }
    }
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|job| {
            let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
            let about = if job["asset"].is_string() { text("asset") } else { text("kind") };
            let queued = time::utc(job["queued_at"].as_i64().unwrap_or_default());
            vec![text("job_id"), text("state"), about, text("run_as"), queued, note(job)]
        })
        .collect();
    printer::table(&["JOB", "STATE", "WHAT", "RUNS AS", "QUEUED (UTC)", "NOTE"], &rows);
    Ok(())
}

/// The newest thing to know of a job.
fn note(job: &Json) -> String {
    let message = job["error"]["message"].as_str();
    message.or(job["progress"]["message"].as_str()).unwrap_or_default().to_owned()
}

/// What became of a job, as a sentence, with why.
pub(super) fn said(job: &Json) -> String {
    let state = match job["state"].as_str().unwrap_or_default() {
        "succeeded" => "succeeded",
        "failed" => "failed",
        "cancelled" => "was cancelled",
        "running" => "is running",
        _ => "is queued",
    };
    let why = job["error"]["message"].as_str().unwrap_or_default();
    format!("The job {state}. {why}").trim_end().to_owned()
}

/// Says how the log of a job ended, where it wrote one.
pub(super) fn talk_tail(client: &Client, id: &str) -> anyhow::Result<()> {
    let (mut after, mut whole) = (0, String::new());
    loop {
        let part: Json = client.get(&format!("{}/log", one(id)), &[("after", &after.to_string())])?;
        let text = part["text"].as_str().unwrap_or_default();
        if text.is_empty() {
            break;
        }
        whole.push_str(text);
        after = part["next"].as_i64().unwrap_or(after);
    }
    let lines: Vec<&str> = whole.trim_end().lines().collect();
    if lines.is_empty() {
        return Ok(());
    }
    let from = lines.len().saturating_sub(TAIL_LINES);
    let which =
        if from > 0 { format!("the last {TAIL_LINES} lines of its log") } else { "its log".to_owned() };
    printer::talk(&format!("This is {which} (strongback job log {id}):"));
    for line in &lines[from..] {
        printer::talk(&format!("  {line}"));
    }
    Ok(())
}

fn show(job: &Json, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return printer::json(job);
    }
    let line = |label: &str, value: String| printer::data(&format!("{label:<10}{value}"));
    let text = |key: &str| job[key].as_str().unwrap_or_default().to_owned();
    line("job", text("job_id"));
    line("state", text("state"));
    line("kind", text("kind"));
    if job["asset"].is_string() {
        line("about", text("asset"));
    }
    line("payload", job["payload"].to_string());
    line("runs as", format!("{}, queued by {}", text("run_as"), text("queued_by")));
    if job["holder"].is_string() {
        line("holder", text("holder"));
    }
    line("attempts", format!("{} of {}", job["attempts"], job["max_attempts"]));
    let number = |key: &str| job["cost"][key].as_i64().unwrap_or_default();
    line(
        "cost",
        format!(
            "{} ms of processor time in {} ms, {} bytes read, {} written",
            number("processor_ms"),
            number("wall_ms"),
            number("bytes_read"),
            number("bytes_written")
        ),
    );
    for (label, key) in [("queued", "queued_at"), ("started", "started_at"), ("ended", "ended_at")] {
        if let Some(at) = job[key].as_i64() {
            line(label, format!("{} UTC", time::utc(at)));
        }
    }
    if job["error"].is_object() {
        let said = job["error"]["message"].as_str().unwrap_or_default();
        line("error", format!("{}: {said}", job["error"]["code"].as_str().unwrap_or_default()));
    }
    if !job["result"].is_null() {
        line("result", job["result"].to_string());
    }
    Ok(())
}

/// A job once it has ended.
pub(super) fn wait(client: &Client, id: &str, timeout_s: Option<u64>) -> anyhow::Result<Json> {
    let began = Instant::now();
    loop {
        let left = timeout_s.map_or(WAIT_SECONDS, |most| most.saturating_sub(began.elapsed().as_secs()));
        let seconds = left.min(WAIT_SECONDS).to_string();
        let job: Json = client.get(&one(id), &[("wait_seconds", &seconds)])?;
        if job["ended_at"].is_i64() {
            return Ok(job);
        }
        if left == 0 {
            let state = job["state"].as_str().unwrap_or_default();
            let waited = timeout_s.unwrap_or_default();
            return Err(Error::unavailable(format!("The job {id} is {state} still after {waited} s.")).into());
        }
    }
}

fn log(args: &LogArgs) -> anyhow::Result<()> {
    let client = args.remote.client()?;
    let path = format!("{}/log", one(&args.job_id));
    let mut attempt = args.attempt.map(|attempt| attempt.to_string());
    let (mut after, mut whole, mut lines) = (0, String::new(), Lines::default());
    loop {
        let from = after.to_string();
        let mut query = vec![("after", from.as_str())];
        query.extend(attempt.as_deref().map(|attempt| ("attempt", attempt)));
        let mut part: Json = client.get(&path, &query)?;
        let text = part["text"].as_str().unwrap_or_default().to_owned();
        // What is followed is one attempt, also where another begins.
        if part["attempt"].as_i64().is_some_and(|attempt| attempt > 0) {
            attempt.get_or_insert_with(|| part["attempt"].to_string());
        }
        after = part["next"].as_i64().unwrap_or(after);
        match args.json {
            true => whole.push_str(&text),
            false => lines.show(&text),
        }
        let is_over = part["is_end"] == true || (text.is_empty() && !args.follow);
        if is_over && args.json {
            part["text"] = whole.into();
            return printer::json(&part);
        }
        if is_over {
            lines.end();
            return Ok(());
        }
        if text.is_empty() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Lines of a text that comes in parts.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn show(&mut self, text: &str) {
        self.0.push_str(text);
        while let Some(end) = self.0.find('\n') {
            printer::data(&self.0[..end]);
            self.0.drain(..=end);
        }
    }

    fn end(&mut self) {
        if !self.0.is_empty() {
            printer::data(&std::mem::take(&mut self.0));
        }
    }
}
