//! The kill harness: four clients write, the server is killed with `kill -9` at a random moment, started again, and
//! asked for everything.
//!
//! A round: a fresh experiment, model and shared run; every client writes runs (batches, points, params, tags, files in one
//! piece and in parts, inputs, outputs, deletion and return), experiments, logged and registered models, versions and
//! aliases, one request at a time, and now and then the same once more; the kill; sometimes a second kill while the
//! server recovers; the audit log verified while nothing runs; a restart; what was acknowledged must be there whole and
//! once, what was in flight whole or not at all. Then every request that was in flight and does not make a second thing
//! is sent twice more, which must leave it there once, or be refused because it is there. An earlier round, drawn at
//! random, is looked at again. The end is an orderly one.
//!
//! What this shows is durability against the death of the process. It cannot show durability against a power cut:
//! the kernel survives.
//!
//! Invariant: the seed decides all choices. The moment of a kill is a time, so a repeated seed repeats the work and
//! the intended moments, not the interleaving.

mod audit;
mod choice;
mod content;
mod experiment;
mod ledger;
mod logged;
mod operation;
mod registered;
mod run;
mod verify;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::http::Client;
use crate::postgres::has_sessions;
use crate::process::Launch;
use crate::random::Random;
use crate::server::Server;
use audit::AuditLog;
use content::{API, TOKEN_TAG};
use ledger::Ledger;
use operation::{Operation, Repetition, World};
use run::RunLedger;

/// Experiment, model and shared run of a round.
const SET_UP_WRITES: u64 = 3;
const ROUNDS_LOOKED_AT_AT_THE_END: usize = 10;

/// What to kill, how often, and how.
#[derive(Debug, Clone)]
pub struct Config {
    pub launch: Launch,
    /// Where its metadata is, if not in its data directory.
    pub database_url: Option<String>,
    pub rounds: u32,
    pub seed: u64,
    /// Clients that write at once.
    pub clients: usize,
    /// How long they write before the kill: drawn from this range.
    pub writing: Range<Duration>,
    /// One round in so many is killed a second time while it recovers; 0 for never.
    pub second_kill_one_in: u64,
    /// Whether the program has `audit-log verify`, to be run after every kill.
    pub audit_log: bool,
    /// Called with one line after each round.
    pub progress: fn(&str),
}

impl Config {
    /// Rounds of `strongback up` as CI and `tools/torture.sh` run them.
    pub fn strongback(
        binary: impl Into<PathBuf>,
        database_url: Option<&str>,
        rounds: u32,
        seed: u64,
    ) -> Self {
        Self {
            launch: Launch::strongback(binary, database_url),
            database_url: database_url.map(str::to_owned),
            rounds,
            seed,
            clients: 4,
            writing: Duration::from_millis(50)..Duration::from_millis(1_200),
            second_kill_one_in: 5,
            audit_log: true,
            progress: |_| {},
        }
    }
}

/// What happened. A harness that wrote nothing proves nothing: look at the counts too.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub seed: u64,
    pub rounds: u32,
    pub kills: u32,
    /// Kills after which PostgreSQL was still at work on what it had been sent.
    pub at_work: u32,
    /// Writes that were answered with 200.
    pub acknowledged: u64,
    /// Writes without an answer when the server died.
    pub in_flight: u64,
    /// Writes sent again after the restart, and answered.
    pub repeated: u64,
    /// Entries of the audit log at the last look; 0 where it is not looked at.
    pub audit_entries: u64,
    /// From start to the first `/health` after a kill.
    pub recovery_max: Duration,
    /// What was lost, halved, doubled or refused, each with its round.
    pub problems: Vec<String>,
}

impl Report {
    /// An error that carries seed and problems, unless all is well and something was written.
    pub fn into_result(self) -> Result<Self> {
        if self.problems.is_empty() && self.acknowledged > 0 {
            return Ok(self);
        }
        bail!("{self}\n{}", self.problems.join("\n"))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} rounds, {} kills ({} left the database at work), {} writes acknowledged, {} in flight at a kill, {} repeated, \
             {} audit entries verified, longest recovery {} ms, {} problems (seed {})",
            self.rounds,
            self.kills,
            self.at_work,
            self.acknowledged,
            self.in_flight,
            self.repeated,
            self.audit_entries,
            self.recovery_max.as_millis(),
            self.problems.len(),
            self.seed,
        )
    }
}

/// Runs the rounds and reports. The first round with a problem is the last: what follows it would only repeat it.
/// An error is one of the harness or a server that does not start; both carry the seed.
pub fn kill_rounds(config: &Config) -> Result<Report> {
    let mut harness = Harness {
        server: Server::start(config.launch.clone())?,
        random: Random::new(config.seed),
        report: Report { seed: config.seed, ..Report::default() },
        past: Vec::new(),
        audit: AuditLog::default(),
        config,
    };
    harness.run().with_context(|| format!("kill rounds with seed {}", config.seed))?;
    Ok(harness.report)
}

struct Harness<'a> {
    config: &'a Config,
    server: Server,
    random: Random,
    report: Report,
    /// The ledgers of all earlier rounds.
    past: Vec<Vec<Ledger>>,
    audit: AuditLog,
}

impl Harness<'_> {
    fn run(&mut self) -> Result<()> {
        self.verify_audit_log(0)?;
        for round in 0..self.config.rounds {
            let began = Instant::now();
            let ledgers = self.round(round).with_context(|| format!("round {round}"))?;
            self.report.rounds += 1;
            self.past.push(ledgers);
            (self.config.progress)(&format!(
                "round {round}: {:.1} s; {}",
                began.elapsed().as_secs_f64(),
                self.report
            ));
            if !self.report.problems.is_empty() {
                return Ok(());
            }
        }
        self.orderly_end()
    }

    fn round(&mut self, round: u32) -> Result<Vec<Ledger>> {
        let mut ledgers = self.prepare(round)?;
        self.write_and_kill(&mut ledgers)?;
        // What PostgreSQL was sent it commits, also when nobody is left to hear of it; and it takes its time.
        let is_at_work = self.config.database_url.as_deref().map_or(Ok(false), has_sessions)?;
        self.report.at_work += u32::from(is_at_work);
        for ledger in &mut ledgers {
            self.report.acknowledged += ledger.acknowledged;
            self.report.in_flight += u64::from(ledger.in_flight.is_some());
            self.audit.expect(ledger.events, ledger.events);
            if let Some(operation) = &ledger.in_flight {
                self.audit.expect(0, operation.events());
                let late = if is_at_work { operation.events() } else { 0 };
                self.audit.expect_later(late + operation.events_of_recovery());
            }
            let problems = ledger.problems.drain(..);
            self.report.problems.extend(problems.map(|problem| format!("round {round}: {problem}")));
        }
        self.recover(round)?;
        self.look_at(round, "after the restart", &ledgers)?;
        if self.report.problems.is_empty() {
            self.repeat(round, &mut ledgers)?;
            self.look_at(round, "after repeating what was in flight", &ledgers)?;
            self.look_back(round, 1)?;
        }
        Ok(ledgers)
    }

    fn prepare(&mut self, round: u32) -> Result<Vec<Ledger>> {
        let mut http = self.server.client();
        let name = format!("torture-{}-{round}", self.config.seed);
        let experiment = created(&mut http, "experiments/create", &json!({"name": name}))?;
        let experiment = experiment["experiment_id"].as_str().context("an experiment has an id")?.to_string();
        created(&mut http, "registered-models/create", &json!({"name": name}))?;
        let tags = json!([{"key": TOKEN_TAG, "value": "shared"}]);
        let body = json!({"experiment_id": experiment, "start_time": 1, "tags": tags});
        let info = &created(&mut http, "runs/create", &body)?["run"]["info"];
        let text =
            |field: &str| info[field].as_str().map(str::to_string).context("a run has an id and a place");
        let shared = RunLedger::new(text("run_id")?, None, text("artifact_uri")?);
        self.audit.expect(SET_UP_WRITES, SET_UP_WRITES);
        let world = World { experiment, model: name };
        Ok((0..self.config.clients)
            .map(|client| Ledger::new(client, world.clone(), shared.clone()))
            .collect())
    }

    fn write_and_kill(&mut self, ledgers: &mut [Ledger]) -> Result<()> {
        let address = self.server.address();
        let writing = moment(&mut self.random, &self.config.writing);
        let seeds: Vec<u64> = ledgers.iter().map(|_| self.random.bits()).collect();
        let server = &mut self.server;
        std::thread::scope(|scope| {
            for (ledger, seed) in ledgers.iter_mut().zip(seeds) {
                scope.spawn(move || {
                    ledger.write_until_the_end(&mut Client::new(address), &mut Random::new(seed));
                });
            }
            std::thread::sleep(writing);
            server.kill9()
        })?;
        self.report.kills += 1;
        Ok(())
    }

    fn recover(&mut self, round: u32) -> Result<()> {
        let one_in = self.config.second_kill_one_in;
        if one_in > 0 && self.random.chance(1, one_in) {
            let pause = moment(&mut self.random, &(Duration::ZERO..Duration::from_millis(100)));
            self.server.begin_restart()?;
            std::thread::sleep(pause);
            self.server.kill9()?;
            self.report.kills += 1;
        }
        self.verify_audit_log(round)?;
        self.report.recovery_max = self.report.recovery_max.max(self.server.restart()?);
        Ok(())
    }

    /// Verifies the audit log and compares its growth with what was written since the last look.
    fn verify_audit_log(&mut self, round: u32) -> Result<()> {
        if self.config.audit_log {
            let problems = self.audit.look(&self.server)?;
            self.report.audit_entries = self.audit.entries();
            self.report
                .problems
                .extend(problems.into_iter().map(|problem| format!("round {round}: {problem}")));
        }
        Ok(())
    }

    /// Sends twice what was in flight, where the protocol allows it, and takes it for acknowledged.
    fn repeat(&mut self, round: u32, ledgers: &mut [Ledger]) -> Result<()> {
        let mut http = self.server.client();
        for ledger in ledgers {
            let is_repeatable = |each: &mut Operation| each.repetition() != Repetition::Doubles;
            let Some(operation) = ledger.in_flight.take_if(is_repeatable) else { continue };
            for is_applied in [false, true] {
                let Some(events) = ledger.repeat(&mut http, &operation, is_applied)? else { break };
                self.report.repeated += 1;
                self.audit.expect(0, events);
            }
            let problems = ledger.problems.drain(..);
            self.report
                .problems
                .extend(problems.map(|problem| format!("round {round}: repeated: {problem}")));
        }
        Ok(())
    }

    fn look_at(&mut self, round: u32, when: &str, ledgers: &[Ledger]) -> Result<()> {
        let problems = verify::round(&mut self.server.client(), ledgers)?;
        self.report
            .problems
            .extend(problems.into_iter().map(|problem| format!("round {round}, {when}: {problem}")));
        Ok(())
    }

    /// Looks again at `count` earlier rounds.
    fn look_back(&mut self, round: u32, count: usize) -> Result<()> {
        for _ in 0..count.min(self.past.len()) {
            let earlier = self.random.below(self.past.len() as u64) as usize;
            let problems = verify::round(&mut self.server.client(), &self.past[earlier])?;
            let late = problems
                .into_iter()
                .map(|problem| format!("round {earlier}, seen in round {round}: {problem}"));
            self.report.problems.extend(late);
        }
        Ok(())
    }

    /// SIGTERM, exit status 0, a last look at the audit log and at earlier rounds.
    fn orderly_end(&mut self) -> Result<()> {
        let rounds = self.report.rounds;
        let status = self.server.terminate()?;
        if self.config.audit_log && !status.success() {
            self.report.problems.push(format!("SIGTERM ended with {status}"));
        }
        self.verify_audit_log(rounds)?;
        self.server.restart()?;
        self.look_back(rounds, ROUNDS_LOOKED_AT_AT_THE_END)
    }
}

fn moment(random: &mut Random, range: &Range<Duration>) -> Duration {
    let span = range.end.saturating_sub(range.start).as_micros() as u64;
    range.start + Duration::from_micros(random.below(span))
}

fn created(http: &mut Client, call: &str, body: &Value) -> Result<Value> {
    let response = http.post(&format!("{API}/{call}"), body)?;
    if response.status != 200 {
        bail!("{call}: {} {}", response.status, response.text());
    }
    Ok(response.json())
}
