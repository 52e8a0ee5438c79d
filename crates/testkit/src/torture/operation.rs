//! What a writing client can ask for, and what the protocol promises of it.

use serde_json::{Value, json};

use super::content::{API, TOKEN_TAG, alias, name_in, pair, version_source};
use super::experiment::{ExperimentWrite, new_experiment};
use super::ledger::Ledger;
use super::logged::{self, LoggedWrite};
use super::registered;
use super::run::{RunWrite, new_run};
use crate::http::{Client, Error, Response, with_query};

/// What a round works on: an experiment, a model and a run that all clients share.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) experiment: String,
    pub(super) model: String,
}

/// One request that changes something, or several that do so together. What is there already is named by its index in
/// the client's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    CreateRun {
        token: String,
    },
    CreateVersion {
        token: String,
    },
    CreateExperiment {
        token: String,
    },
    CreateLogged {
        token: String,
        run: usize,
    },
    CreateRegistered {
        token: String,
    },
    MoveAlias {
        version: u64,
    },
    Run {
        run: usize,
        write: RunWrite,
    },
    Experiment {
        experiment: usize,
        write: ExperimentWrite,
    },
    Logged {
        model: usize,
        write: LoggedWrite,
    },
    Describe {
        model: usize,
        number: u32,
    },
    /// What was acknowledged last, once more.
    Again(Box<Self>),
}

/// What the protocol makes of a request that was applied already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repetition {
    /// Nothing changes, and no event is left.
    Nothing,
    /// The same is stored again, and read once; the events are as many again. Which older points a run has, only the history
    /// could tell.
    StoredAgain,
    /// It is refused with this error code, which says that it was applied.
    Refused(&'static str),
    /// It makes another one.
    Doubles,
}

impl Operation {
    pub(super) fn repetition(&self) -> Repetition {
        match self {
            Self::CreateRun { .. } | Self::CreateVersion { .. } | Self::CreateLogged { .. } => {
                Repetition::Doubles
            }
            Self::CreateExperiment { .. } | Self::CreateRegistered { .. } => {
                Repetition::Refused("RESOURCE_ALREADY_EXISTS")
            }
            Self::Run { write: RunWrite::File { .. } | RunWrite::Batch(_), .. }
            | Self::Logged { write: LoggedWrite::Measure(_), .. } => Repetition::StoredAgain,
            Self::Experiment { write, .. } => write.repetition(),
            Self::MoveAlias { .. } | Self::Run { .. } | Self::Logged { .. } | Self::Describe { .. } => {
                Repetition::Nothing
            }
            Self::Again(operation) => operation.repetition(),
        }
    }

    /// How many events it leaves: one as a rule.
    pub(super) fn events(&self) -> u64 {
        match self {
            Self::Run { write, .. } => write.events(),
            Self::Again(operation) if operation.repetition() == Repetition::Nothing => 0,
            Self::Again(operation) => operation.events(),
            _ => 1,
        }
    }

    /// Whether it takes several requests, of which the first ones may be applied and the last ones not.
    pub(super) fn is_sequence(&self) -> bool {
        self.is_file(true)
    }

    /// How many events the recovery after a kill may add to it: the reversal of an intent that has no outcome.
    pub(super) fn events_of_recovery(&self) -> u64 {
        u64::from(self.is_file(false))
    }

    fn is_file(&self, is_in_parts: bool) -> bool {
        match self {
            Self::Run { write: RunWrite::File { in_parts, .. }, .. } => *in_parts == is_in_parts,
            Self::Again(operation) => operation.is_file(is_in_parts),
            _ => false,
        }
    }

    /// Sends it on behalf of the ledger's client.
    pub(super) fn send(&self, http: &mut Client, ledger: &Ledger) -> Result<Response, Error> {
        let world = &ledger.world;
        let mut post = |path: &str, body: &Value| http.post(&format!("{API}/{path}"), body);
        match self {
            Self::CreateRun { token } => post("runs/create", &new_run(&world.experiment, token)),
            Self::CreateVersion { token } => post(
                "model-versions/create",
                &json!({"name": world.model, "source": version_source(token), "tags": [pair(TOKEN_TAG, token)]}),
            ),
            Self::CreateExperiment { token } => post("experiments/create", &new_experiment(ledger, token)),
            Self::CreateLogged { token, run } => {
                post("logged-models", &logged::new_model(ledger, token, *run))
            }
            Self::CreateRegistered { token } => {
                post("registered-models/create", &registered::new_model(ledger, token))
            }
            Self::MoveAlias { version } => post(
                "registered-models/alias",
                &json!({"name": world.model, "alias": alias(ledger.client), "version": version.to_string()}),
            ),
            Self::Run { run, write } => write.send(http, ledger, &ledger.runs[*run]),
            Self::Experiment { experiment, write } => {
                write.send(http, ledger, &ledger.experiments[*experiment])
            }
            Self::Logged { model, write } => write.send(http, ledger, *model),
            Self::Describe { model, number } => http.patch(
                &format!("{API}/registered-models/update"),
                &registered::described(ledger, &ledger.registered[*model].token, *number),
            ),
            Self::Again(operation) => operation.send(http, ledger),
        }
    }

    /// What its answer would have said, of one that was refused because it was applied already.
    pub(super) fn look_up(&self, http: &mut Client, ledger: &Ledger) -> Result<Value, Error> {
        let Self::CreateExperiment { token } = self else { return Ok(Value::Null) };
        let name = name_in(&ledger.world.model, token);
        let path = format!("{API}/experiments/get-by-name");
        Ok(http.get(&with_query(&path, &[("experiment_name", &name)]))?.json()["experiment"].take())
    }
}
