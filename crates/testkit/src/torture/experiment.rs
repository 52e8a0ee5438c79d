//! Experiments that a client makes beside the one of its round, and changes.

use serde_json::{Value, json};

use super::content::{API, TOKEN_TAG, counted_tags, name_in, pair, progress_tag};
use super::ledger::Ledger;
use super::operation::Repetition;
use crate::http::{Client, Error, Response};

/// A write to an experiment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExperimentWrite {
    Tag(u32),
    /// Names it after its token and this number.
    Rename(u32),
    Delete,
    Restore,
}

/// One experiment as its maker knows it.
#[derive(Debug, Clone)]
pub(super) struct ExperimentLedger {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) progress: u32,
    /// How often it got another name.
    pub(super) names: u32,
    pub(super) deleted: bool,
}

impl ExperimentLedger {
    pub(super) fn new(id: String, token: String) -> Self {
        Self { id, token, progress: 0, names: 0, deleted: false }
    }

    /// Takes over a write. Taking over a repeated one changes nothing.
    pub(super) fn take(&mut self, write: &ExperimentWrite) {
        match write {
            ExperimentWrite::Tag(value) => self.progress = *value,
            ExperimentWrite::Rename(number) => self.names = *number,
            ExperimentWrite::Delete => self.deleted = true,
            ExperimentWrite::Restore => self.deleted = false,
        }
    }

    /// How the server must show it.
    pub(super) fn look(&self, ledger: &Ledger) -> Value {
        let name = name_in(&ledger.world.model, &renamed(&self.token, self.names));
        let stage = if self.deleted { "deleted" } else { "active" };
        let tags = counted_tags(&self.token, [progress_tag(ledger.client)], self.progress);
        json!({"name": name, "stage": stage, "tags": tags})
    }
}

impl ExperimentWrite {
    /// Sends it on behalf of the ledger's client.
    pub(super) fn send(
        &self,
        http: &mut Client,
        ledger: &Ledger,
        experiment: &ExperimentLedger,
    ) -> Result<Response, Error> {
        let (call, mut body) = match self {
            Self::Tag(value) => {
                ("set-experiment-tag", pair(&progress_tag(ledger.client), &value.to_string()))
            }
            Self::Rename(number) => {
                let name = name_in(&ledger.world.model, &renamed(&experiment.token, *number));
                ("update", json!({"new_name": name}))
            }
            Self::Delete => ("delete", json!({})),
            Self::Restore => ("restore", json!({})),
        };
        body["experiment_id"] = json!(experiment.id);
        http.post(&format!("{API}/experiments/{call}"), &body)
    }

    /// What the protocol makes of sending it again: MLflow finds nothing to delete or restore the second time.
    pub(super) fn repetition(&self) -> Repetition {
        match self {
            Self::Tag(_) | Self::Rename(_) => Repetition::Nothing,
            Self::Delete | Self::Restore => Repetition::Refused("RESOURCE_DOES_NOT_EXIST"),
        }
    }
}

/// What an experiment is made with.
pub(super) fn new_experiment(ledger: &Ledger, token: &str) -> Value {
    json!({"name": name_in(&ledger.world.model, token), "tags": [pair(TOKEN_TAG, token)]})
}

fn renamed(token: &str, number: u32) -> String {
    if number == 0 { token.to_string() } else { format!("{token}-{number}") }
}
