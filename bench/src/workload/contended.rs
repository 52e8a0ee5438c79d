//! The search of a page of 100 while four clients write complete runs into the very experiment that is searched: the 99th
//! percentile a query, beside its median.
//!
//! The writers are a closed loop, so each side is written to as fast as it takes it; how fast that was stands beside the
//! figure. What they write is numbered on from the preload, so that the data's definition goes on holding.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use testkit::random::Random;

use super::search::PAGE_OF_100;
use super::{Definition, Sample, interleave};
use crate::contender::{Contender, Side};
use crate::data::Run;
use crate::options::Options;
use crate::results::{Figure, Unit};
use crate::wire;
use bench::load::{Tally, closed_loop, closed_loop_until};

const WRITERS: usize = 4;

pub fn measure(options: &Options, contenders: &mut [Contender]) -> Result<Vec<Figure>> {
    let definition = Definition {
        name: "search-100-writing".into(),
        unit: Unit::Milliseconds,
        text: format!(
            "99th percentile of the search of a page of 100 while {WRITERS} clients write complete runs into the same \
             experiment"
        ),
        warm_up: true,
    };
    let numbers = contenders.iter().map(|each| each.preloaded_runs).max().unwrap_or_default();
    let next = AtomicU64::new(u64::from(numbers));
    let mut written: Vec<(Side, f64)> = Vec::new();
    let mut figure = interleave(options, contenders, &definition, |contender, duration| {
        let (searches, writes) = both(contender, &next, duration)?;
        written.push((contender.side, writes.per_second()));
        let sample = Sample::median_ms(&searches)?;
        Ok(Sample { value: searches.percentile_ms(0.99), ..sample })
    })?;
    for measured in std::iter::once(&mut figure.ours).chain(figure.peer.as_mut()) {
        let of_side = || written.iter().filter(|(side, _)| *side == measured.side).map(|(_, rate)| *rate);
        let (least, most) = (of_side().fold(f64::INFINITY, f64::min), of_side().fold(0.0, f64::max));
        measured.notes.push(format!("{least:.1} to {most:.1} complete runs/s were written meanwhile"));
    }
    Ok(vec![figure])
}

/// Searches for the duration; the writers write from before its start until after its end.
fn both(contender: &Contender, next: &AtomicU64, duration: Duration) -> Result<(Tally, Tally)> {
    let experiment = contender.preload_experiment.as_deref().context("runs were preloaded")?;
    let over = AtomicBool::new(false);
    let write = || {
        let prepare = |_| Ok(contender.client());
        closed_loop_until(
            WRITERS,
            |_| over.load(Ordering::Relaxed),
            prepare,
            |client| {
                let run = Run::new(next.fetch_add(1, Ordering::Relaxed));
                wire::complete_run(client, experiment, &run).map(drop)
            },
        )
    };
    std::thread::scope(|scope| {
        let writing = scope.spawn(write);
        let searched = closed_loop(
            1,
            duration,
            |_| Ok((contender.client(), Random::new(1))),
            |(client, random)| PAGE_OF_100.ask_anything(client, experiment, random),
        );
        over.store(true, Ordering::Relaxed);
        let Ok(written) = writing.join() else { bail!("the writers panicked") };
        let (written, _) = written?;
        if let Some(error) = &written.first_error {
            bail!("{} writes failed, the first: {error}", written.errors);
        }
        Ok((searched?.0, written))
    })
}
