//! The workloads, one file each; their definitions stand in `README.md`.
//!
//! Invariant: a round whose answers are wrong has an error, and a workload with errors gives no figure.

pub mod artifacts;
pub mod complete_runs;
pub mod contended;
pub mod history;
pub mod log_batch;
pub mod memory;
pub mod requests;
pub mod search;
pub mod start;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::contender::{Contender, Side};
use crate::options::Options;
use crate::results::{Figure, Measured, Unit};
use bench::load::Tally;
use bench::machine::{SyncCost, wait_until_calm};
use bench::say;

/// One round's value and what else it tells.
#[derive(Debug, Default)]
pub struct Sample {
    pub value: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub requests: u64,
}

impl Sample {
    /// A rate: units a second times `weight`.
    pub fn rate(tally: &Tally, weight: f64) -> Result<Self> {
        Ok(Self { value: tally.per_second() * weight, ..Self::of(tally)? })
    }

    /// A latency: the median in milliseconds.
    pub fn median_ms(tally: &Tally) -> Result<Self> {
        Ok(Self { value: tally.percentile_ms(0.5), ..Self::of(tally)? })
    }

    fn of(tally: &Tally) -> Result<Self> {
        if tally.errors > 0 {
            let first = tally.first_error.as_deref().unwrap_or_default();
            bail!("{} of {} requests failed, the first: {first}", tally.errors, tally.errors + tally.done);
        }
        Ok(Self {
            value: 0.0,
            p50_ms: Some(tally.percentile_ms(0.5)),
            p99_ms: Some(tally.percentile_ms(0.99)),
            requests: tally.done,
        })
    }
}

/// What a figure is called and what it says.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: String,
    pub unit: Unit,
    pub text: String,
    pub warm_up: bool,
}

/// Runs the rounds of a workload, ours and peer in turn, each side warmed up before its first round.
pub fn interleave(
    options: &Options,
    contenders: &mut [Contender],
    definition: &Definition,
    mut round: impl FnMut(&mut Contender, Duration) -> Result<Sample>,
) -> Result<Figure> {
    let mut measured: Vec<Measured> = contenders.iter().map(Measured::of).collect();
    if definition.warm_up && options.warm_up_seconds > 0.0 {
        for contender in contenders.iter_mut() {
            round(contender, Duration::from_secs_f64(options.warm_up_seconds))?;
        }
    }
    for number in 1..=options.rounds {
        for (contender, measured) in contenders.iter_mut().zip(&mut measured) {
            if !options.insist.accept_noise && !wait_until_calm() {
                say::talk("the machine computes something although nobody is asked; going on all the same");
            }
            measured.sync_p50_ms.push(SyncCost::once_calm(contender.data_dir())?.p50_ms);
            let sample = round(contender, Duration::from_secs_f64(options.seconds))
                .map_err(|error| error.context(format!("{}, {:?}", definition.name, contender.side)))?;
            let (value, unit) = (sample.value, definition.unit.label());
            say::talk(&format!("{} round {number} {:?}: {value:.1} {unit}", definition.name, contender.side));
            measured.add(sample);
        }
    }
    let mut sides = measured.into_iter();
    let ours = sides.next().filter(|each| each.side == Side::Ours);
    let Some(ours) = ours else { bail!("the first contender is ours") };
    let warm_up_seconds = if definition.warm_up { options.warm_up_seconds } else { 0.0 };
    Ok(Figure::new(definition, warm_up_seconds, ours, sides.next()))
}
