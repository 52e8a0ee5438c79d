//! The machine a figure was taken on, and whether it was quiet enough for one.
//!
//! Invariant: what is recorded identifies the kind of machine, never the machine: no host name, no paths.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;
use testkit::random::Random;

/// Between two looks at a machine that is not quiet: a look is load itself.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);
const CALIBRATION_PASSES: usize = 40;
const CALIBRATION_STEPS: u32 = 4_000_000;
const SYNCS: usize = 500;
/// Share of the processors that may compute when a round begins.
const CALM: f64 = 0.1;
const CALM_WINDOW: Duration = Duration::from_secs(1);
/// How long a round waits for that: a server that has just been started may still import things.
const CALM_PATIENCE: Duration = Duration::from_mins(3);

/// Processor, cores and memory.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
}

/// How busy the machine was: load average of one minute and the calibration loop's passes.
#[derive(Debug, Clone, Serialize)]
pub struct Noise {
    pub load_average: f64,
    pub calibration_ms_min: f64,
    /// (90th percentile − minimum) / minimum of the passes.
    pub calibration_spread: f64,
}

/// What one fdatasync of 4 KiB appended costs here, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct SyncCost {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Machine {
    pub fn describe() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_once(':').map(|(_, value)| value.trim().to_string())
        };
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
            .unwrap_or(0.0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: cores(),
            memory_gib: (memory_kib / 1_048_576.0 * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease")
                .split('-')
                .next()
                .unwrap_or_default()
                .trim()
                .to_string(),
        }
    }
}

impl Noise {
    /// Reads the load average, then times a fixed piece of arithmetic again and again.
    pub fn measure() -> Result<Self> {
        let load_average = load_average()?;
        let mut passes: Vec<f64> =
            (0..CALIBRATION_PASSES).map(|pass| calibration_pass_ms(pass as u64)).collect();
        passes.sort_by(f64::total_cmp);
        let least = passes[0];
        let ninetieth = passes[CALIBRATION_PASSES * 9 / 10];
        Ok(Self { load_average, calibration_ms_min: least, calibration_spread: (ninetieth - least) / least })
    }

    /// Why the machine is too noisy, if it is. `own_load` is set once the benchmark itself has filled the average.
    pub fn objection(&self, load_max: f64, spread_max: f64, own_load: bool) -> Option<String> {
        let load = self.load_average / cores() as f64;
        if !own_load && load > load_max {
            return Some(format!("load average a processor is {load:.2}, more than {load_max}"));
        }
        (self.calibration_spread > spread_max).then(|| {
            format!("the calibration loop spreads by {:.2}, more than {spread_max}", self.calibration_spread)
        })
    }
}

impl SyncCost {
    /// Measures once everything that was written before is on the disk: a round that begins now pays for its own syncs
    /// and not for what the other side left in the page cache.
    pub fn once_calm(folder: &Path) -> Result<Self> {
        rustix::fs::sync();
        Self::measure(folder)
    }

    /// Measures on the file system of `folder`.
    pub fn measure(folder: &Path) -> Result<Self> {
        let path = folder.join("sync-cost");
        let mut file = File::create(&path)?;
        let block = [7_u8; 4_096];
        let mut costs = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            file.write_all(&block)?;
            let began = Instant::now();
            file.sync_data()?;
            costs.push(began.elapsed().as_secs_f64() * 1e3);
        }
        std::fs::remove_file(&path)?;
        costs.sort_by(f64::total_cmp);
        Ok(Self { p50_ms: costs[SYNCS / 2], p99_ms: costs[SYNCS * 99 / 100] })
    }
}

/// Looks at the machine again and again until nothing speaks against it, for so long at most: its noise in the end, and what
/// still speaks against it.
pub fn once_quiet(
    patience: Duration,
    objection: impl Fn(&Noise) -> Option<String>,
) -> Result<(Noise, Option<String>)> {
    let deadline = Instant::now() + patience;
    loop {
        let noise = Noise::measure()?;
        let objection = objection(&noise);
        if objection.is_none() || Instant::now() >= deadline {
            return Ok((noise, objection));
        }
        std::thread::sleep(BETWEEN_LOOKS.min(deadline.saturating_duration_since(Instant::now())));
    }
}

/// Of the last minute.
fn load_average() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// Waits until nobody computes. Answers whether that came.
pub fn wait_until_calm() -> bool {
    let deadline = Instant::now() + CALM_PATIENCE;
    while Instant::now() < deadline {
        let before = ticks();
        std::thread::sleep(CALM_WINDOW);
        let after = ticks();
        let share = |(busy, all): (u64, u64), (busy_before, all_before): (u64, u64)| {
            (busy - busy_before) as f64 / (all - all_before).max(1) as f64
        };
        if share(after, before) < CALM {
            return true;
        }
    }
    false
}

/// Ticks of all processors since the machine was started: those that computed, and all.
fn ticks() -> (u64, u64) {
    const IDLE_AND_WAITING: [usize; 2] = [3, 4];
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // The last two, time of guests, are in the first two already.
    let fields: Vec<u64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = IDLE_AND_WAITING.iter().filter_map(|at| fields.get(*at)).sum();
    let all: u64 = fields.iter().sum();
    (all - idle, all)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn calibration_pass_ms(seed: u64) -> f64 {
    let mut random = Random::new(seed);
    let began = Instant::now();
    let folded = (0..CALIBRATION_STEPS).fold(0, |sum: u64, _| sum ^ random.bits());
    std::hint::black_box(folded);
    began.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::Noise;

    #[test]
    fn a_busy_or_uneven_machine_is_refused() {
        let noise = |load_average, calibration_spread| Noise {
            load_average,
            calibration_ms_min: 1.0,
            calibration_spread,
        };
        assert!(noise(0.0, 0.1).objection(0.5, 0.25, false).is_none());
        assert!(noise(0.0, 0.3).objection(0.5, 0.25, false).unwrap().contains("calibration"));
        assert!(noise(1_000.0, 0.1).objection(0.5, 0.25, false).unwrap().contains("load average"));
        assert!(noise(1_000.0, 0.1).objection(0.5, 0.25, true).is_none());
    }
}
