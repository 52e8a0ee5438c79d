//! What one client knows: the writes it was told are done, and the one it was not told about.
//!
//! Invariant: a write enters the ledger when, and only when, its answer with status 200 has arrived.

use serde_json::Value;

use super::operation::{Operation, World};
use crate::http::{Client, Error};
use crate::random::Random;

const RUNS_PER_CLIENT_MAX: u64 = 40;
const BATCHES_PER_RUN_MAX: u32 = 20;

/// One run as its writer knows it. Batches, steps and files are numbered from 0; the counts are of acknowledged ones.
#[derive(Debug, Clone)]
pub(super) struct RunLedger {
    pub(super) id: String,
    /// `None` for the run that all clients share.
    pub(super) token: Option<String>,
    pub(super) artifact_uri: String,
    pub(super) batches: u32,
    pub(super) steps: u32,
    /// The last value of the progress tag, which counts from 1; 0 while there is none.
    pub(super) progress: u32,
    pub(super) finished: bool,
    pub(super) files: u32,
}

impl RunLedger {
    pub(super) fn new(id: String, token: Option<String>, artifact_uri: String) -> Self {
        Self { id, token, artifact_uri, batches: 0, steps: 0, progress: 0, finished: false, files: 0 }
    }
}

/// A model version: number as acknowledged, token as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VersionLedger {
    pub(super) number: u64,
    pub(super) token: String,
}

/// Everything one client wrote in one round.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) client: usize,
    pub(super) world: World,
    pub(super) runs: Vec<RunLedger>,
    pub(super) versions: Vec<VersionLedger>,
    pub(super) alias: Option<u64>,
    /// Sent, not answered when the server died: may have been applied or not.
    pub(super) in_flight: Option<Operation>,
    pub(super) acknowledged: u64,
    /// Events that the acknowledged writes have left.
    pub(super) events: u64,
    /// Refusals, which a healthy server has no reason for.
    pub(super) problems: Vec<String>,
}

impl Ledger {
    pub(super) fn new(client: usize, world: World, shared_run: RunLedger) -> Self {
        Self {
            client,
            world,
            runs: vec![shared_run],
            versions: Vec::new(),
            alias: None,
            in_flight: None,
            acknowledged: 0,
            events: 0,
            problems: Vec::new(),
        }
    }

    /// Writes until the server dies or refuses something.
    pub(super) fn write_until_the_end(&mut self, http: &mut Client, random: &mut Random) {
        loop {
            let operation = self.choose(random);
            match self.perform(http, &operation) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.in_flight = error.is_outcome_unknown().then_some(operation);
                    return;
                }
            }
        }
    }

    /// Sends one operation; `false` when the server answered with a refusal, which is noted.
    pub(super) fn perform(&mut self, http: &mut Client, operation: &Operation) -> Result<bool, Error> {
        let response = operation.send(http, &self.world, self.client, &self.runs)?;
        if response.status != 200 {
            let text: String = response.text().chars().take(300).collect();
            self.problems.push(format!("client {}: {operation:?}: {} {text}", self.client, response.status));
            return Ok(false);
        }
        self.acknowledged += 1;
        self.events += operation.events();
        self.acknowledge(operation, &response.json());
        Ok(true)
    }

    /// Takes over what an answer promised. Acknowledging a repeated operation changes nothing.
    pub(super) fn acknowledge(&mut self, operation: &Operation, answer: &Value) {
        match operation {
            Operation::CreateRun { token } => {
                let text =
                    |field: &str| answer["run"]["info"][field].as_str().unwrap_or_default().to_string();
                self.runs.push(RunLedger::new(text("run_id"), Some(token.clone()), text("artifact_uri")));
            }
            Operation::LogBatch { run, batch } => self.runs[*run].batches = batch + 1,
            Operation::LogMetric { run, step } => self.runs[*run].steps = step + 1,
            Operation::SetTag { run, value } => self.runs[*run].progress = *value,
            Operation::Finish { run } => self.runs[*run].finished = true,
            Operation::Upload { run, file } => self.runs[*run].files = file + 1,
            Operation::CreateVersion { token } => {
                let number = version_number(&answer["model_version"]["version"]);
                self.versions.push(VersionLedger { number, token: token.clone() });
            }
            Operation::MoveAlias { version } => self.alias = Some(*version),
        }
    }

    /// The next thing to do: mostly batches, a little of everything else, and always something that changes what is
    /// stored, so that each leaves an event.
    fn choose(&self, random: &mut Random) -> Operation {
        let token =
            |kind: &str, random: &mut Random| format!("{kind}-{}-{:016x}", self.client, random.bits());
        let run = if random.chance(1, 4) { 0 } else { random.below(self.runs.len() as u64) as usize };
        let known = &self.runs[run];
        match random.below(100) {
            0..15 if (self.runs.len() as u64) < RUNS_PER_CLIENT_MAX => {
                Operation::CreateRun { token: token("run", random) }
            }
            0..50 if known.batches < BATCHES_PER_RUN_MAX => Operation::LogBatch { run, batch: known.batches },
            50..60 => Operation::LogMetric { run, step: known.steps },
            70..75 if run > 0 && !known.finished => Operation::Finish { run },
            75..85 => Operation::Upload { run, file: known.files },
            85..92 => Operation::CreateVersion { token: token("version", random) },
            92..100 => match self.versions.get(random.below(self.versions.len() as u64) as usize) {
                Some(version) if self.alias != Some(version.number) => {
                    Operation::MoveAlias { version: version.number }
                }
                _ => Operation::CreateVersion { token: token("version", random) },
            },
            _ => Operation::SetTag { run, value: known.progress + 1 },
        }
    }
}

/// A version number, which MLflow's face writes as text; 0 for anything else, which no version has.
pub(super) fn version_number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
}
