//! What one client knows: the writes it was told are done, and the one it was not told about.
//!
//! Invariant: a write enters the ledger when, and only when, its answer with status 200 has arrived, or when a repetition
//! of it is refused because it was applied.

use serde_json::Value;

use super::experiment::ExperimentLedger;
use super::logged::LoggedLedger;
use super::operation::{Operation, Repetition, World};
use super::registered::{RegisteredLedger, VersionLedger, version_number};
use super::run::RunLedger;
use crate::http::{Client, Error, Response};
use crate::random::Random;

/// Everything one client wrote in one round.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) client: usize,
    pub(super) world: World,
    pub(super) runs: Vec<RunLedger>,
    pub(super) versions: Vec<VersionLedger>,
    pub(super) alias: Option<u64>,
    pub(super) experiments: Vec<ExperimentLedger>,
    pub(super) logged: Vec<LoggedLedger>,
    pub(super) registered: Vec<RegisteredLedger>,
    /// The newest acknowledged write.
    pub(super) last: Option<Operation>,
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
            experiments: Vec::new(),
            logged: Vec::new(),
            registered: Vec::new(),
            last: None,
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
                    let is_begun = error.is_outcome_unknown() || operation.is_sequence();
                    self.in_flight = is_begun.then_some(operation);
                    return;
                }
            }
        }
    }

    /// Sends one operation; `false` when the server answered with a refusal, which is noted.
    fn perform(&mut self, http: &mut Client, operation: &Operation) -> Result<bool, Error> {
        let response = operation.send(http, self)?;
        if response.status != 200 {
            self.note_refusal(operation, &response);
            return Ok(false);
        }
        self.acknowledged += 1;
        self.events += operation.events();
        self.acknowledge(operation, &response.json());
        Ok(true)
    }

    /// Sends again what may have been applied, or, the second time, was. The answer is how many events that may have left;
    /// none for an answer that the protocol does not have, which is noted.
    pub(super) fn repeat(
        &mut self,
        http: &mut Client,
        operation: &Operation,
        is_applied: bool,
    ) -> Result<Option<u64>, Error> {
        let response = operation.send(http, self)?;
        let repetition = operation.repetition();
        let answer = response.json();
        let is_refused = matches!(repetition, Repetition::Refused(code) if answer["error_code"] == code);
        let may_be_done = !is_applied || !matches!(repetition, Repetition::Refused(_));
        if !is_refused && !(response.status == 200 && may_be_done) {
            self.note_refusal(operation, &response);
            return Ok(None);
        }
        let answer = if is_refused { operation.look_up(http, self)? } else { answer };
        self.acknowledge(operation, &answer);
        let is_silent = is_refused || is_applied && repetition == Repetition::Nothing;
        Ok(Some(if is_silent { 0 } else { operation.events() }))
    }

    fn note_refusal(&mut self, operation: &Operation, response: &Response) {
        let text: String = response.text().chars().take(300).collect();
        self.problems.push(format!("client {}: {operation:?}: {} {text}", self.client, response.status));
    }

    /// Takes over what an answer promised. Acknowledging a repeated operation changes nothing.
    fn acknowledge(&mut self, operation: &Operation, answer: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        match operation {
            Operation::CreateRun { token } => {
                let info = &answer["run"]["info"];
                let (id, place) = (text(&info["run_id"]), text(&info["artifact_uri"]));
                self.runs.push(RunLedger::new(id, Some(token.clone()), place));
            }
            Operation::CreateVersion { token } => {
                let number = version_number(&answer["model_version"]["version"]);
                self.versions.push(VersionLedger { number, token: token.clone() });
            }
            Operation::CreateExperiment { token } => {
                if self.experiments.iter().all(|each| each.token != *token) {
                    let id = text(&answer["experiment_id"]);
                    self.experiments.push(ExperimentLedger::new(id, token.clone()));
                }
            }
            Operation::CreateLogged { token, run } => {
                let id = text(&answer["model"]["info"]["model_id"]);
                self.logged.push(LoggedLedger::new(id, token.clone(), *run));
            }
            Operation::CreateRegistered { token } => {
                if self.registered.iter().all(|each| each.token != *token) {
                    self.registered.push(RegisteredLedger::new(token.clone()));
                }
            }
            Operation::MoveAlias { version } => self.alias = Some(*version),
            Operation::Run { run, write } => self.runs[*run].take(write),
            Operation::Experiment { experiment, write } => self.experiments[*experiment].take(write),
            Operation::Logged { model, write } => self.logged[*model].take(write),
            Operation::Describe { model, number } => self.registered[*model].description = *number,
            Operation::Again(_) => return,
        }
        self.last = Some(operation.clone());
    }
}
