//! The job: judge, store the report, show it, move the alias.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use stats::latency::Block;

use super::{
    checks::{
        accuracy,
        compatibility::{self, Recorded},
        drift, fairness, latency, unjudged,
    },
    evaluate::{self, Evaluated, Scorers, drift_columns},
    record,
    report::{Check, Data, FORMAT, Judged, Outcome, Report, verdict},
    rows::Source,
    scoring::Scorer,
    subject::{self, Known, Order, Subject, told_by},
};
use crate::{
    context::Ctx,
    error::{Error, Result},
    jobs::{Handler, JobCtx},
    registry::{
        evidence::{self, Evidence, Verdict},
        versions::Version,
    },
};

/// The kind of these jobs.
pub const KIND: &str = "gate_run";

/// What does them.
pub fn handler() -> Handler {
    Handler::new(KIND, |job| async move { run(&job).await }).heavy()
}

async fn run(job: &JobCtx) -> Result<Json> {
    let order: Order = serde_json::from_value(job.payload().1.clone()).map_err(Error::internal)?;
    let ctx = job.ctx().await?;
    let id = job.id();
    // A job that was broken off after its report goes on from there.
    let stored = ctx.app.db.read(&ctx.origin, move |sql| evidence::get(sql, id)).await?;
    let found = match stored {
        Some(found) => found,
        None => judge(job, &ctx, &order).await?,
    };
    job.progress(4, 4, "writing the report");
    let report: Report = serde_json::from_str(&found.body).map_err(Error::internal)?;
    record::show(job, &found, &report).await?;
    let moved = match (order.moves, found.verdict) {
        (true, Verdict::Pass) => Some(record::move_alias(job, &found).await?),
        _ => None,
    };
    let mut answer = json!({
        "report_id": found.id.to_string(), "verdict": found.verdict.name(), "run_id": found.run_id,
        "moved": moved == Some(Ok(())),
    });
    if let Some(Err(why)) = moved {
        answer["not_moved"] = why.into();
    }
    job.log(&format!("verdict: {}", found.verdict.name()));
    Ok(answer)
}

/// Judges, and stores what was found.
async fn judge(job: &JobCtx, ctx: &Ctx, order: &Order) -> Result<Evidence> {
    job.progress(0, 4, "loading the models");
    let unseen = subject::unseen(ctx, order).await?;
    let asked = order.clone();
    let mut subject = ctx.read(move |sql| Subject::settle(sql, &asked)).await?;
    if let (Some(Ok(_)), Some(why)) = (&subject.recorded, unseen) {
        subject.recorded = Some(Err(why));
    }
    let found = Findings::gather(job, ctx, &subject).await?;
    job.progress(2, 4, "computing figures");
    let told = job.clone();
    let (subject, found, checks) = job
        .blocking(move || {
            let checks = found.checks(&told, &subject)?;
            Ok((subject, found, checks))
        })
        .await?;
    for check in &checks {
        job.log(&format!("{}: {}: {}", check.name, check.outcome.words(), check.sentence));
    }
    let verdict = verdict(&checks);
    let report = written(job, ctx, &subject, &found, checks, verdict);
    // What a job found that was told to end is no evidence.
    job.check()?;
    record::store(job, &subject, &report, verdict, found.sources()).await
}

/// Columns of a baseline, its rows and where they are.
type Sketched = (BTreeMap<String, stats::sketch::ColumnSketch>, u64, Source);

/// All that was found out, or why it could not be.
struct Findings {
    evaluated: Known<Evaluated>,
    evaluation: Option<Source>,
    baseline: Option<Known<Sketched>>,
    blocks: Option<Known<Vec<Block>>>,
    recorded: Option<Recorded>,
}

impl Findings {
    async fn gather(job: &JobCtx, ctx: &Ctx, subject: &Subject) -> Result<Self> {
        let scorers = told_by(job, load(ctx, &subject.candidate, subject.champion.as_ref()).await)?;
        let found = Self::gather_with(job, ctx, subject, &scorers).await;
        if let Ok(scorers) = scorers {
            scorers.end().await;
        }
        found
    }

    async fn gather_with(
        job: &JobCtx,
        ctx: &Ctx,
        subject: &Subject,
        scorers: &Known<Scorers>,
    ) -> Result<Self> {
        let evaluated = match (scorers, &subject.evaluation) {
            (Err(why), _) | (_, Err(why)) => Err(why.clone()),
            (Ok(scorers), Ok(source)) => {
                told_by(job, evaluate::evaluate(job, ctx, subject, source, scorers).await)?
            }
        };
        let names = drift_columns(subject);
        let baseline = match &subject.baseline {
            None => None,
            Some(Err(why)) => Some(Err(why.clone())),
            Some(Ok(source)) => {
                let read = told_by(job, evaluate::sketch_baseline(job, ctx, source, &names).await)?;
                Some(read.map(|(sketches, rows)| (sketches, rows, source.clone())))
            }
        };
        let recorded = match (&subject.recorded, scorers) {
            (None, _) => None,
            (Some(Err(why)), _) | (Some(_), Err(why)) => Some(Recorded {
                check: unjudged(compatibility::GATE, compatibility::RECORDED, why),
                rows: None,
            }),
            (Some(Ok(recorded)), Ok(scorers)) => {
                Some(compatibility::recorded(job, ctx, subject, recorded, scorers).await?)
            }
        };
        // Last, so that nothing else of the job disturbs it.
        let blocks = match (&subject.gates.latency, &evaluated, scorers) {
            (None, ..) => None,
            (Some(_), Err(why), _) | (Some(_), _, Err(why)) => Some(Err(why.clone())),
            (Some(gate), Ok(evaluated), Ok(scorers)) => {
                Some(latency::measure(job, gate, evaluated, scorers).await?)
            }
        };
        Ok(Self { evaluated, evaluation: subject.evaluation.clone().ok(), baseline, blocks, recorded })
    }

    fn checks(&self, job: &JobCtx, subject: &Subject) -> Result<Vec<Check>> {
        let gates = &subject.gates;
        let mut found = match &self.evaluated {
            Ok(evaluated) => accuracy::check(job, gates, evaluated)?,
            Err(why) => unevaluated(subject, why),
        };
        if let Some(gate) = &gates.data_drift {
            found.push(match (&self.baseline, &self.evaluated) {
                (Some(Ok((baseline, ..))), Ok(evaluated)) => {
                    drift::check(gate, &drift_columns(subject), baseline, &evaluated.sketches)
                }
                (Some(Err(why)), _) | (_, Err(why)) => unjudged(drift::GATE, "", why),
                (None, _) => unjudged(drift::GATE, "", "no training set was looked at"),
            });
        }
        if let Some(gate) = &gates.latency {
            match &self.blocks {
                Some(Ok(blocks)) => found.extend(latency::check(gate, blocks, subject.champion.is_some())),
                Some(Err(why)) => found.push(unjudged(latency::GATE, "", why)),
                None => found.push(unjudged(latency::GATE, "", "nothing was measured")),
            }
        }
        if gates.compatibility.is_some() {
            found.push(compatibility::signature(subject));
            found.extend(self.recorded.iter().map(|recorded| recorded.check.clone()));
        }
        for gate in &gates.fairness {
            job.check()?;
            found.push(match &self.evaluated {
                Ok(evaluated) => fairness::check(gate, evaluated),
                Err(why) => Check {
                    blocking: gate.blocking,
                    ..unjudged(fairness::GATE, &format!("{}.{}", gate.metric, gate.group), why)
                },
            });
        }
        Ok(found)
    }

    /// The table versions that the report stands on.
    fn sources(&self) -> Vec<Source> {
        let baseline = self.baseline.iter().flatten().map(|(_, _, source)| source.clone());
        let recorded = self.recorded.iter().filter_map(|recorded| Some(recorded.rows.as_ref()?.0.clone()));
        self.evaluation.iter().cloned().chain(baseline).chain(recorded).collect()
    }
}

/// The checks of accuracy where nothing was scored: all that would have decided.
fn unevaluated(subject: &Subject, why: &str) -> Vec<Check> {
    let (gates, is_first) = (&subject.gates, subject.champion.is_none());
    let mut found = Vec::new();
    for gate in &gates.accuracy {
        let metric = &gate.figure.metric;
        found.push(match is_first {
            true => Check::told(accuracy::GATE, metric, Outcome::NotApplicable, "There is no champion yet."),
            false => unjudged(accuracy::GATE, metric, why),
        });
    }
    if is_first {
        found.push(unjudged(accuracy::FIRST, "", why));
    } else if gates.accuracy.is_empty() {
        found.push(unjudged(accuracy::GATE, "", accuracy::UNCOMPARED));
    }
    found
}

async fn load(ctx: &Ctx, candidate: &Version, champion: Option<&Version>) -> Result<Scorers> {
    let champion = match champion {
        Some(version) => Some(Scorer::load(ctx, version).await?),
        None => None,
    };
    Ok(Scorers { candidate: Scorer::load(ctx, candidate).await?, champion })
}

fn judged(version: &Version) -> Judged {
    Judged {
        version: version.version,
        digest: version.pin.as_ref().map(|pin| pin.manifest.digest.clone()),
        run_id: version.run_id.clone(),
    }
}

fn written(
    job: &JobCtx,
    ctx: &Ctx,
    subject: &Subject,
    found: &Findings,
    checks: Vec<Check>,
    verdict: Verdict,
) -> Report {
    let evaluated = found.evaluated.as_ref().ok();
    let span = evaluated.and_then(|evaluated| evaluated.span);
    let made_at = crate::time::now_ms();
    let table = &subject.gates.evaluation.table;
    Report {
        format: FORMAT,
        id: job.id().to_string(),
        model: subject.model.name(),
        alias: subject.alias.clone(),
        candidate: judged(&subject.candidate),
        champion: subject.champion.as_ref().map(judged),
        verdict: verdict.name().to_owned(),
        evaluation: Data {
            table: found.evaluation.as_ref().map_or_else(|| table.name.clone(), Source::shown),
            rows: evaluated.map_or(0, |evaluated| evaluated.rows),
            condition: subject.gates.evaluation.condition.clone(),
            first_at_us: span.map(|(first, _)| first),
            last_at_us: span.map(|(_, last)| last),
        },
        baseline: found
            .baseline
            .iter()
            .flatten()
            .next()
            .map(|(_, rows, source)| Data::whole(source.shown(), *rows)),
        recorded: found
            .recorded
            .iter()
            .find_map(|recorded| recorded.rows.as_ref())
            .map(|(source, rows)| Data::whole(source.shown(), *rows)),
        checks,
        config_digest: subject.gates.digest(),
        config: subject.config.clone(),
        run_id: job.id().simple().to_string(),
        by: ctx.caller().name.clone(),
        made_at,
        expires_at: made_at.saturating_add(subject.gates.expires.micros() / 1_000),
    }
}
