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
        let must_be_refused = is_applied && matches!(repetition, Repetition::Refused(_));
        if !is_refused && (response.status != 200 || must_be_refused) {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::torture::experiment::ExperimentWrite;
    use crate::torture::logged::LoggedWrite;
    use crate::torture::run::RunWrite;

    /// A client with two things of each kind; run 0 is the shared one.
    fn ledger() -> Ledger {
        let world = World { experiment: "1".to_string(), model: "round".to_string() };
        let mut ledger = Ledger::new(0, world, RunLedger::new("shared".to_string(), None, String::new()));
        for each in ["x", "y"] {
            let token = each.to_string();
            let created = [
                (
                    Operation::CreateRun { token: token.clone() },
                    json!({"run": {"info": {"run_id": each, "artifact_uri": ""}}}),
                ),
                (Operation::CreateExperiment { token: token.clone() }, json!({"experiment_id": each})),
                (
                    Operation::CreateLogged { token: token.clone(), run: 1 },
                    json!({"model": {"info": {"model_id": each}}}),
                ),
                (Operation::CreateRegistered { token }, json!({})),
            ];
            for (operation, answer) in &created {
                ledger.acknowledge(operation, answer);
            }
        }
        ledger
    }

    /// Everything that the looks of a ledger's things say.
    fn looks(ledger: &Ledger) -> Vec<Value> {
        let runs = ledger.runs.iter().map(|run| run.look(ledger));
        let experiments = ledger.experiments.iter().map(|each| each.look(ledger));
        let logged = ledger.logged.iter().enumerate().map(|(number, each)| each.look(ledger, number));
        let registered = ledger.registered.iter().map(RegisteredLedger::look);
        runs.chain(experiments).chain(logged).chain(registered).collect()
    }

    /// A write that changed no look could be lost and nobody would see it. Batches, points and files are compared one by one.
    #[test]
    fn every_write_shows_in_a_look_and_its_repetition_does_not() {
        let run = |write| Operation::Run { run: 1, write };
        let experiment = |write| Operation::Experiment { experiment: 0, write };
        let logged = |write| Operation::Logged { model: 1, write };
        let mut ledger = ledger();
        for operation in [
            run(RunWrite::Tag(1)),
            run(RunWrite::Param(0)),
            run(RunWrite::Finish),
            run(RunWrite::Inputs(0)),
            run(RunWrite::Outputs(0)),
            run(RunWrite::Outputs(1)),
            run(RunWrite::Delete),
            run(RunWrite::Restore),
            experiment(ExperimentWrite::Tag(1)),
            experiment(ExperimentWrite::Rename(1)),
            experiment(ExperimentWrite::Delete),
            experiment(ExperimentWrite::Restore),
            logged(LoggedWrite::Finalize),
            logged(LoggedWrite::Tag(1)),
            logged(LoggedWrite::Measure(0)),
            logged(LoggedWrite::Measure(1)),
            Operation::Describe { model: 1, number: 1 },
        ] {
            let before = looks(&ledger);
            ledger.acknowledge(&operation, &Value::Null);
            let after = looks(&ledger);
            let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            assert_eq!(changed, 1, "{operation:?}");
            ledger.acknowledge(&operation, &Value::Null);
            ledger.acknowledge(&Operation::Again(Box::new(operation)), &Value::Null);
            assert_eq!(looks(&ledger), after);
        }
    }
}
