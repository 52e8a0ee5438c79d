//! Figures with ratio and spread, the table a person reads, and the document that is kept.

use std::path::Path;

use anyhow::{Context as _, Result};
use bench::facts::Facts;
use bench::machine::Noise;
use bench::say;
use serde::Serialize;

use crate::contender::{Contender, Side};
use crate::workload::{Definition, Sample};

/// What a value counts, and with it which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    #[serde(rename = "runs/s")]
    RunsPerSecond,
    #[serde(rename = "points/s")]
    PointsPerSecond,
    #[serde(rename = "requests/s")]
    RequestsPerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "MiB")]
    Mebibytes,
    #[serde(rename = "MiB/s")]
    MebibytesPerSecond,
}

impl Unit {
    pub fn label(self) -> &'static str {
        match self {
            Self::RunsPerSecond => "runs/s",
            Self::PointsPerSecond => "points/s",
            Self::RequestsPerSecond => "requests/s",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::MebibytesPerSecond => "MiB/s",
        }
    }

    fn more_is_better(self) -> bool {
        !matches!(self, Self::Milliseconds | Self::Mebibytes)
    }
}

/// One side of a figure: the value of each round and what was stored beside it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    pub side: Side,
    pub preloaded_runs: u32,
    pub rounds: Vec<f64>,
    pub min: f64,
    pub median: f64,
    pub max: f64,
    /// Median over the rounds of each round's percentile, milliseconds a unit of work.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// What one fdatasync cost right before each round, median in milliseconds.
    pub sync_p50_ms: Vec<f64>,
    pub requests: u64,
    pub notes: Vec<String>,
    #[serde(skip)]
    percentiles: [Vec<f64>; 2],
}

impl Measured {
    pub fn of(contender: &Contender) -> Self {
        Self {
            side: contender.side,
            preloaded_runs: contender.preloaded_runs,
            rounds: Vec::new(),
            min: 0.0,
            median: 0.0,
            max: 0.0,
            p50_ms: None,
            p99_ms: None,
            sync_p50_ms: Vec::new(),
            requests: 0,
            notes: Vec::new(),
            percentiles: [Vec::new(), Vec::new()],
        }
    }

    pub fn add(&mut self, sample: Sample) {
        self.rounds.push(sample.value);
        self.requests += sample.requests;
        for (kept, new) in self.percentiles.iter_mut().zip([sample.p50_ms, sample.p99_ms]) {
            kept.extend(new);
        }
        let sorted = sorted(&self.rounds);
        (self.min, self.max) = (sorted[0], sorted[sorted.len() - 1]);
        self.median = median(&self.rounds).unwrap_or(0.0);
        self.p50_ms = median(&self.percentiles[0]);
        self.p99_ms = median(&self.percentiles[1]);
    }
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: Unit,
    pub definition: String,
    pub warm_up_seconds: f64,
    pub ours: Measured,
    pub peer: Option<Measured>,
    /// How many times better ours is, by the medians; below 1 it is worse.
    pub ratio: Option<f64>,
}

impl Figure {
    pub fn new(
        definition: &Definition,
        warm_up_seconds: f64,
        ours: Measured,
        peer: Option<Measured>,
    ) -> Self {
        let more_is_better = definition.unit.more_is_better();
        let ratio = peer
            .as_ref()
            .map(|peer| if more_is_better { ours.median / peer.median } else { peer.median / ours.median });
        Self {
            name: definition.name.clone(),
            unit: definition.unit,
            definition: definition.text.clone(),
            warm_up_seconds,
            ours,
            peer,
            ratio,
        }
    }

    pub fn side_mut(&mut self, side: Side) -> Option<&mut Measured> {
        match side {
            Side::Ours => Some(&mut self.ours),
            Side::Peer => self.peer.as_mut(),
        }
    }
}

/// Everything one session found out.
#[derive(Debug, Serialize)]
pub struct Document {
    #[serde(flatten)]
    pub facts: Facts,
    pub noise_after: Noise,
    pub durability: &'static str,
    pub ours_version: String,
    /// Which database holds what ours is told: `SQLite`, which comes with the server, or `PostgreSQL`.
    pub ours_store: &'static str,
    pub peer_version: Option<String>,
    pub peer_workers: String,
    pub figures: Vec<Figure>,
}

impl Document {
    /// Adds a file to the folder; its name says when and of which commit.
    pub fn keep(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let commit: String = self.facts.commit.chars().take_while(char::is_ascii_hexdigit).collect();
        let path = folder.join(format!("{}-{commit}.json", self.facts.taken_at.replace(':', "")));
        std::fs::write(&path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        say::talk(&format!("kept as {}", path.display()));
        Ok(())
    }

    pub fn print_table(&self) {
        let facts = &self.facts;
        let machine = &facts.machine;
        say::result(&format!(
            "{} on {} at {}, {} cores of {}, {} GiB; load {:.2} before; fdatasync p50 {:.2} p99 {:.2} ms; durability: {}",
            facts.commit,
            self.ours_store,
            facts.taken_at,
            machine.cores,
            machine.processor,
            machine.memory_gib,
            facts.noise_before.load_average,
            facts.sync_cost.p50_ms,
            facts.sync_cost.p99_ms,
            self.durability,
        ));
        if let Some(objection) = &facts.objection {
            say::result(&format!("NO FIGURES: {objection}, and that was accepted"));
        }
        say::result(&format!(
            "peer: MLflow {}, {} workers",
            self.peer_version.as_deref().unwrap_or("not measured"),
            self.peer_workers
        ));
        for figure in &self.figures {
            figure.print();
        }
    }
}

impl Figure {
    fn print(&self) {
        let ratio = self.ratio.map(|ratio| format!(", ratio {ratio:.1}")).unwrap_or_default();
        say::result(&format!("\n{} ({}){ratio}", self.name, self.unit.label()));
        say::result(&format!("  {}; warm-up {} s", self.definition, self.warm_up_seconds));
        for measured in std::iter::once(&self.ours).chain(&self.peer) {
            let percentile = |name: &str, value: Option<f64>| {
                value.map(|value| format!(" {name} {value:.2} ms")).unwrap_or_default()
            };
            say::result(&format!(
                "  {:<5} {:>12.1}  (min {:.1}, max {:.1}, {} rounds){}{}{}; {} runs stored before",
                format!("{:?}", measured.side).to_lowercase(),
                measured.median,
                measured.min,
                measured.max,
                measured.rounds.len(),
                percentile("p50", measured.p50_ms),
                percentile("p99", measured.p99_ms),
                percentile(", fdatasync", median(&measured.sync_p50_ms)),
                measured.preloaded_runs,
            ));
            measured.notes.iter().for_each(|note| say::result(&format!("        {note}")));
        }
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The middle value, the mean of the two middle ones of an even number.
fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
