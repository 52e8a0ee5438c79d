//! Registered models that a client makes beside the one of its round, and describes; versions of the latter.

use serde_json::{Value, json};

use super::content::{TOKEN_TAG, name_in, pair};
use super::ledger::Ledger;

/// A model version: number as acknowledged, token as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VersionLedger {
    pub(super) number: u64,
    pub(super) token: String,
}

/// One registered model as its maker knows it.
#[derive(Debug, Clone)]
pub(super) struct RegisteredLedger {
    pub(super) token: String,
    /// The number of its description, which counts from 0.
    pub(super) description: u32,
}

impl RegisteredLedger {
    pub(super) fn new(token: String) -> Self {
        Self { token, description: 0 }
    }

    /// How the server must show it.
    pub(super) fn look(&self) -> Value {
        json!({"description": description(self.description), "tags": [pair(TOKEN_TAG, &self.token)]})
    }
}

/// What a registered model is made with.
pub(super) fn new_model(ledger: &Ledger, token: &str) -> Value {
    let mut body = described(ledger, token, 0);
    body["tags"] = json!([pair(TOKEN_TAG, token)]);
    body
}

/// A registered model with its description of this number.
pub(super) fn described(ledger: &Ledger, token: &str, number: u32) -> Value {
    json!({"name": name_in(&ledger.world.model, token), "description": description(number)})
}

fn description(number: u32) -> String {
    format!("description {number}")
}

/// A version number, which MLflow's face writes as text; 0 for anything else, which no version has.
pub(super) fn version_number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
}
