//! Memory of the server: once everything before has run; of ours again after its first SQL query, again with an endpoint loaded
//! as well, and with the endpoint alone on a server that was started anew.
//!
//! Each is read once the machine is calm. The peer's is that of all its processes, as it has no single one; ours is that of the
//! server process, whose children (a Python that converts a model) are told beside it.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use bench::load::expect_ok;
use serde_json::json;

use super::{Definition, Sample, interleave};
use crate::contender::{Contender, Side};
use crate::options::Options;
use crate::results::{Figure, Unit};

const MODELS: &str = include_str!("../../models.py");
const ENDPOINT: &str = "memory";
/// The boosted model of 200 trees.
const MODEL: &str = "gb200";
const TABLE: &str = "bench.memory.rows";
const TABLE_ROWS: u32 = 100_000;
const QUERY: &str =
    "SELECT k, count(*) AS n, avg(v) AS mean FROM bench.memory.rows GROUP BY k ORDER BY k LIMIT 10";

/// Imports the table that is asked later, and ends the server that did it: it is not the one that is measured.
pub fn prepare(options: &Options, contenders: &mut [Contender]) -> Result<()> {
    for ours in contenders.iter_mut().filter(|each| each.side == Side::Ours) {
        ours.start()?;
        ours.command(options, &["catalog", "create", "bench"])?;
        ours.command(options, &["schema", "create", "bench.memory"])?;
        let mut text = "id,k,v\n".to_string();
        for id in 0..TABLE_ROWS {
            writeln!(text, "{id},{},{}.5", id % 997, id.wrapping_mul(2_654_435_761) % 10_000)?;
        }
        let file = ours.data_dir().with_extension("csv");
        std::fs::write(&file, text)?;
        let file = file.to_str().context("the folder's path is UTF-8")?;
        ours.command(options, &["table", "import", file, "--name", TABLE])?;
        ours.stop()?;
    }
    Ok(())
}

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let stored = options.search_preload;
    let mut figures =
        read(options, contenders, "memory", &format!("after the workloads before it, {stored} runs stored"))?;
    let [ours, ..] = contenders else { return Ok(figures) };
    let ours = std::slice::from_mut(ours);
    ask_sql(&ours[0])?;
    let text =
        format!("the same process, after its first SQL query (groups of a table of {TABLE_ROWS} rows)");
    figures.extend(read(options, ours, "memory-sql", &text)?);
    let Some(body) = serve(options, &ours[0])? else { return Ok(figures) };
    score(&ours[0], &body)?;
    let text = "the same process, then with an endpoint loaded and asked once (200 trees)";
    figures.extend(read(options, ours, "memory-sql-endpoint", text)?);
    ours[0].stop()?;
    ours[0].start()?;
    score(&ours[0], &body)?;
    let text =
        format!("started anew, {stored} runs stored, one endpoint loaded and asked once (200 trees), no SQL");
    figures.extend(read(options, ours, "memory-endpoint", &text)?);
    // What is measured afterwards is to find the store as tracking left it.
    ours[0].command(options, &["endpoint", "delete", ENDPOINT])?;
    Ok(figures)
}

/// Resident and anonymous memory, each a figure.
fn read(options: &Options, contenders: &mut [Contender], name: &str, text: &str) -> Result<Vec<Figure>> {
    let once = Options { rounds: 1, ..options.clone() };
    let definition = |kind: &str, what: &str| Definition {
        name: format!("{name}-{kind}"),
        unit: Unit::Mebibytes,
        text: format!("{what} of the server process (the peer: of all its processes), {text}"),
        warm_up: false,
    };
    let resident = definition("resident", "resident memory");
    let mut figures = vec![interleave(&once, contenders, &resident, |contender, _| {
        Ok(Sample { value: contender.memory()?.measured(contender.side).resident, ..Sample::default() })
    })?];
    let anonymous = definition("anonymous", "anonymous memory");
    figures.push(interleave(&once, contenders, &anonymous, |contender, _| {
        Ok(Sample { value: contender.memory()?.measured(contender.side).anonymous, ..Sample::default() })
    })?);
    for contender in contenders.iter() {
        let memory = contender.memory()?;
        let all = memory.all;
        let note = format!(
            "{} processes, together resident {:.1}, proportional share {:.1}, anonymous {:.1} MiB",
            memory.processes, all.resident, all.proportional, all.anonymous
        );
        if let Some(measured) = figures[0].side_mut(contender.side) {
            measured.notes.push(note);
        }
    }
    Ok(figures)
}

fn ask_sql(ours: &Contender) -> Result<()> {
    let asked = json!({"statement": QUERY, "format": "json"});
    let answer = expect_ok(ours.client().post("/api/1.0/sql", &asked)?)?.text();
    ensure!(answer.lines().count() == 10, "the query has ten groups, and not this: {answer}");
    Ok(())
}

/// Trains and registers the model, and makes the endpoint; the body that it is asked with. None without a Python that could.
fn serve(options: &Options, ours: &Contender) -> Result<Option<Vec<u8>>> {
    let Some(python) = options.venv.as_ref().map(|venv| venv.join("bin/python")) else {
        bench::say::talk(
            "memory with an endpoint is left out: STRONGBACK_VENV names no Python that trains a model",
        );
        return Ok(None);
    };
    let body = ours.data_dir().with_extension("body");
    let status = Command::new(python)
        .args(["-c", MODELS, "--server", &ours.url(), "--model", MODEL, "--name", ENDPOINT, "--body"])
        .arg(&body)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "the model could not be registered: {status}");
    ours.command(options, &["endpoint", "create", ENDPOINT, "--model", &format!("{ENDPOINT}/1")])?;
    Ok(Some(std::fs::read(body)?))
}

fn score(ours: &Contender, body: &[u8]) -> Result<()> {
    let path = format!("/endpoints/{ENDPOINT}/invocations");
    let answer = expect_ok(ours.client().request("POST", &path, Some("application/json"), body)?)?.json();
    ensure!(answer["predictions"].is_array(), "an answer without predictions: {answer}");
    Ok(())
}
