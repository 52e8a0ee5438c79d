//! What a client does next: mostly batches, some of everything else.
//!
//! Invariant: what is chosen changes what is stored, so that each leaves its events; or it is what was acknowledged last, sent
//! again, of which the protocol says how many events that leaves.

use super::experiment::{ExperimentLedger, ExperimentWrite};
use super::ledger::Ledger;
use super::logged::LoggedWrite;
use super::operation::{Operation, Repetition};
use super::run::RunWrite;
use crate::random::Random;

const RUNS_MAX: usize = 40;
const BATCHES_PER_RUN_MAX: u32 = 20;
const EXPERIMENTS_MAX: usize = 10;
const LOGGED_MAX: usize = 20;
const REGISTERED_MAX: usize = 10;

impl Ledger {
    pub(super) fn choose(&self, random: &mut Random) -> Operation {
        let chosen = match random.below(100) {
            0..10 if self.runs.len() < RUNS_MAX => {
                Some(Operation::CreateRun { token: self.token("run", random) })
            }
            0..58 => Some(self.choose_run_write(random)),
            58..63 => Some(Operation::CreateVersion { token: self.token("version", random) }),
            63..69 => self.choose_alias(random),
            69..79 => self.choose_experiment_write(random),
            79..90 => self.choose_logged_write(random),
            90..96 => Some(self.choose_registered_write(random)),
            _ => self
                .last
                .as_ref()
                .filter(|last| matches!(last.repetition(), Repetition::Nothing | Repetition::StoredAgain))
                .map(|last| Operation::Again(Box::new(last.clone()))),
        };
        // The shared run is never deleted.
        let tag = || Operation::Run { run: 0, write: RunWrite::Tag(self.runs[0].progress + 1) };
        chosen.unwrap_or_else(tag)
    }

    fn token(&self, kind: &str, random: &mut Random) -> String {
        format!("{kind}-{}-{:016x}", self.client, random.bits())
    }

    fn choose_run_write(&self, random: &mut Random) -> Operation {
        let run = if random.chance(1, 4) { 0 } else { random.below(self.runs.len() as u64) as usize };
        let known = &self.runs[run];
        // Inputs and outputs number n name the client's logged model n.
        let is_logged = |number: u32| (number as usize) < self.logged.len();
        let write = match random.below(48) {
            _ if known.deleted => RunWrite::Restore,
            0..21 if known.batches < BATCHES_PER_RUN_MAX => RunWrite::Batch(known.batches),
            21..25 => RunWrite::Metric(known.steps),
            25..29 => RunWrite::Param(known.params),
            29..32 if run > 0 && !known.finished => RunWrite::Finish,
            32..36 => RunWrite::File { number: known.files, in_parts: false },
            36..38 => RunWrite::File { number: known.files, in_parts: true },
            38..42 if is_logged(known.inputs) => RunWrite::Inputs(known.inputs),
            42..45 if is_logged(known.outputs) => RunWrite::Outputs(known.outputs),
            45..47 if run > 0 => RunWrite::Delete,
            _ => RunWrite::Tag(known.progress + 1),
        };
        Operation::Run { run, write }
    }

    fn choose_alias(&self, random: &mut Random) -> Option<Operation> {
        let version = self.versions.get(random.below(self.versions.len() as u64) as usize)?.number;
        (self.alias != Some(version)).then_some(Operation::MoveAlias { version })
    }

    fn choose_experiment_write(&self, random: &mut Random) -> Option<Operation> {
        let experiment = random.below(self.experiments.len() as u64) as usize;
        let write = match (random.below(10), self.experiments.get(experiment)) {
            (_, None) | (0..3, _) if self.experiments.len() < EXPERIMENTS_MAX => {
                return Some(Operation::CreateExperiment { token: self.token("experiment", random) });
            }
            (_, Some(ExperimentLedger { deleted: true, .. })) => ExperimentWrite::Restore,
            (0..5, Some(known)) => ExperimentWrite::Tag(known.progress + 1),
            (5..7, Some(known)) => ExperimentWrite::Rename(known.names + 1),
            (_, known) => known.map(|_| ExperimentWrite::Delete)?,
        };
        Some(Operation::Experiment { experiment, write })
    }

    fn choose_logged_write(&self, random: &mut Random) -> Option<Operation> {
        let model = random.below(self.logged.len() as u64) as usize;
        let write = match (random.below(11), self.logged.get(model)) {
            (_, None) | (0..5, _) if self.logged.len() < LOGGED_MAX => {
                let run = random.below(self.runs.len() as u64) as usize;
                return Some(Operation::CreateLogged { token: self.token("logged", random), run });
            }
            (5..7, Some(known)) if !known.ready => LoggedWrite::Finalize,
            (7..9, Some(known)) => LoggedWrite::Tag(known.progress + 1),
            (_, Some(known)) if self.runs[known.run].deleted => {
                return Some(Operation::Run { run: known.run, write: RunWrite::Restore });
            }
            (_, known) => LoggedWrite::Measure(known?.measured),
        };
        Some(Operation::Logged { model, write })
    }

    fn choose_registered_write(&self, random: &mut Random) -> Operation {
        let model = random.below(self.registered.len() as u64) as usize;
        match self.registered.get(model) {
            Some(known) if self.registered.len() >= REGISTERED_MAX || random.chance(1, 2) => {
                Operation::Describe { model, number: known.description + 1 }
            }
            _ => Operation::CreateRegistered { token: self.token("registered", random) },
        }
    }
}
