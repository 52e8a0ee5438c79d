//! What a gate run leaves: its report, the evaluation run that shows it, and the move of the alias.
//!
//! Everything here may be done again and comes to the same: the report is stored once, the run has the job's id, and what it
//! shows is made from the report alone.

use futures::{FutureExt as _, stream};
use stats::Estimate;
use syntax::{names::KEY_CHARS_MAX, paths::ArtifactPath};

use super::{
    home, pins,
    report::{Report, junit, markdown},
    rows::Source,
    subject::Subject,
};
use crate::{
    catalog::{
        Action, asset, authorize,
        lineage::{self, EdgeKind, Fact, NodeRef},
    },
    db::Change,
    error::{Error, Result},
    events::EventKind,
    files::{self, Existing},
    jobs::JobCtx,
    registry::{
        aliases::{self, alias_set_as},
        evidence::{self, Evidence, Verdict},
        governance::Authority,
        models,
        names::Levels,
    },
    router::wire::{Double, Int64},
    tables,
    tracking::{
        artifacts::{Access, Home, guard},
        run,
        wire::{KeyValue, MetricIn},
    },
};

/// Points and parameters of one batch.
const BATCH: usize = 500;

/// Stores the report, with pins on the table versions that it stands on, and its lineage.
pub async fn store(
    job: &JobCtx,
    subject: &Subject,
    report: &Report,
    verdict: Verdict,
    sources: Vec<Source>,
) -> Result<Evidence> {
    let found = Evidence {
        id: job.id(),
        model_id: subject.model.id,
        version: report.candidate.version,
        digest: report.candidate.digest.clone(),
        alias: report.alias.clone(),
        champion: report.champion.as_ref().map(|champion| champion.version),
        champion_digest: report.champion.as_ref().and_then(|champion| champion.digest.clone()),
        config_digest: report.config_digest.clone(),
        verdict,
        run_id: report.run_id.clone(),
        made_at: report.made_at,
        expires_at: report.expires_at,
        by: job.job().run_as_id,
        body: serde_json::to_string(report).map_err(Error::internal)?,
    };
    let (kept, reason) =
        (found.clone(), format!("gates of {} version {}", report.model, report.candidate.version));
    job.write(move |tx| {
        authorize(tx, Action::Edit, kept.model_id)?;
        let change = evidence::record(tx, &kept)?;
        if matches!(change, Change::Made(..)) {
            for source in &sources {
                let holder = pins::holder(kept.id);
                tables::pin_in_tx(tx, source.asset_id, source.version, &holder, &reason)?;
                let from = lineage::version_of(tx, source.asset_id, source.version)?;
                let to = kept.version.to_string();
                let fact = Fact { source_version: &from, target_version: &to, ..Fact::default() };
                let (table, model) = (NodeRef::Asset(source.asset_id), NodeRef::Asset(kept.model_id));
                lineage::record(tx, table, model, EdgeKind::Judges, fact)?;
            }
        }
        Ok(change)
    })
    .await?;
    Ok(found)
}

/// Makes the evaluation run: tags, parameters, figures, and the report in three forms.
pub async fn show(job: &JobCtx, found: &Evidence, report: &Report) -> Result<()> {
    let home = home::of(job, found).await?;
    let (id, name) = (found.run_id.clone(), format!("gates-{}-v{}", report.alias, report.candidate.version));
    let (tags, start_time) = (tags(report), report.made_at);
    job.write(move |tx| {
        let new = run::NewRun { uuid: &id, name: &name, tags: &tags, start_time };
        Ok(match run::start(tx, &home, &new)? {
            Change::Made(_, event) => Change::Made((), event),
            Change::Nothing(_) => Change::Nothing(()),
        })
    })
    .await?;
    let ctx = job.ctx().await?;
    let whole = serde_json::to_string_pretty(report).map_err(Error::internal)?;
    for (path, text) in [("gates.json", whole), ("gates.md", markdown(report)), ("gates.xml", junit(report))]
    {
        job.charge_written(text.len() as u64);
        let guard = guard(&Home::Run(found.run_id.clone()), Access::Write);
        let body = stream::once(async move { Ok(text.into()) }.boxed());
        files::put(&ctx, &guard, &ArtifactPath::parse(path)?, Existing::Replaced, Box::pin(body)).await?;
    }
    for batch in batches(report)? {
        let id = found.run_id.clone();
        job.write(move |tx| batch.apply(tx, &id, EventKind::RunLog)).await?;
    }
    let (id, at) = (found.run_id.clone(), report.made_at);
    job.write(move |tx| run::end(tx, &id, run::Status::Finished, at)).await
}

fn tags(report: &Report) -> Vec<KeyValue> {
    let pairs = [
        ("strongback.gate_report", report.id.as_str()),
        ("strongback.gate_verdict", &report.verdict),
        ("strongback.model", &report.model),
        ("strongback.alias", &report.alias),
    ];
    pairs.map(|(key, value)| KeyValue::new(key, value)).to_vec()
}

/// Parameters and figures of a report, in batches that a run takes.
fn batches(report: &Report) -> Result<Vec<run::Batch>> {
    let champion =
        report.champion.as_ref().map_or("none".to_owned(), |champion| champion.version.to_string());
    let params = [
        ("candidate", report.candidate.version.to_string()),
        ("champion", champion),
        ("evaluation", report.evaluation.table.clone()),
        ("baseline", report.baseline.as_ref().map_or("none".to_owned(), |data| data.table.clone())),
        ("gates", report.config_digest.clone()),
    ];
    let params: Vec<KeyValue> = params.iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    let mut points = Vec::new();
    for check in &report.checks {
        let own = check.estimate.iter().map(|estimate| (key(&check.name, None), estimate));
        let parts = check.parts.iter().map(|part| (key(&check.name, Some(&part.name)), &part.estimate));
        for (name, estimate) in own.chain(parts) {
            points.extend(figures(&name, estimate, report.made_at));
        }
    }
    let mut all = vec![run::Batch::new(&[], &params, &[])?];
    for some in points.chunks(BATCH) {
        all.push(run::Batch::new(some, &[], &[])?);
    }
    Ok(all)
}

/// A figure, its interval as far as it has one, and its rows.
fn figures(name: &str, estimate: &Estimate, at: i64) -> Vec<MetricIn> {
    let named = [
        (name.to_owned(), estimate.value),
        (format!("{name}.low"), estimate.low),
        (format!("{name}.high"), estimate.high),
        (format!("{name}.n"), estimate.n as f64),
    ];
    let point = |(key, value)| MetricIn {
        key: Some(key),
        value: Some(Double(value)),
        timestamp: Some(Int64(at)),
        ..MetricIn::default()
    };
    named.into_iter().filter(|(_, value): &(String, f64)| value.is_finite()).map(point).collect()
}

/// The name of a check, or of what it was made of, as keys of metrics take it: a column or a group may be called anything,
/// and a key has room for `.high` behind it.
fn key(check: &str, part: Option<&str>) -> String {
    const CHARS_MAX: usize = KEY_CHARS_MAX - ".high".len();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    let plain = |text: &str, most: usize| -> String {
        text.chars().take(most).map(|c| if fits(c) { c } else { '_' }).collect()
    };
    let Some(part) = part else { return plain(check, CHARS_MAX) };
    let half = CHARS_MAX / 2;
    let part = match plain(part, half - 1) {
        // As a path it would lead elsewhere.
        dots if dots.chars().all(|c| c == '.') => format!("_{}", dots.replace('.', "_")),
        part => part,
    };
    format!("{}/{part}", plain(check, half - 1))
}

/// Moves the alias on this report, unless it did so before. Answers why it did not, where it may not.
pub async fn move_alias(job: &JobCtx, found: &Evidence) -> Result<std::result::Result<(), String>> {
    let found = found.clone();
    let moved = job
        .write(move |tx| {
            let version = found.version;
            let missing = || Error::missing("The model was deleted.");
            let model = models::get(tx, found.model_id)?.ok_or_else(missing)?;
            // Moves of one model happen one after another, so that this one is seen if it is there.
            asset::lock(tx, model.id)?;
            authorize(tx, Action::Edit, model.id)?;
            let id = found.id.to_string();
            let is_of_this = |step: &aliases::Move| {
                step.evidence
                    .as_deref()
                    .is_some_and(|text| text.contains(&id) && !text.contains("rollback_of"))
            };
            if aliases::moves(tx, model.id, &found.alias)?.iter().any(is_of_this) {
                return Ok(Change::Nothing(Ok(())));
            }
            let reason = format!("gates passed: report {id}");
            let (name, to) = (model.name(), Some(found.version));
            let authority = Authority::Evidence(found.id);
            let reason = (reason.as_str(), false);
            Ok(match alias_set_as(tx, &name, Levels::Any, &found.alias, to, reason, &authority)? {
                Change::Made(_, event) => Change::Made(Ok(()), event),
                Change::Nothing(_) => {
                    let why = format!(
                        "the alias '{}' points to version {version} already, and not because of this report",
                        found.alias
                    );
                    Change::Nothing(Err(why))
                }
            })
        })
        .await;
    match moved {
        Ok(moved) => Ok(moved),
        Err(error) if error.is_ours() => Err(error),
        Err(error) => Ok(Err(error.message().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promotion::report::{Check, Data, FORMAT, Judged, Outcome, Part};

    fn report(checks: Vec<Check>) -> Report {
        Report {
            format: FORMAT,
            id: String::new(),
            model: String::new(),
            alias: String::new(),
            candidate: Judged { version: 1, digest: None, run_id: String::new() },
            champion: None,
            verdict: "pass".into(),
            evaluation: Data::whole("a.b.c@1".into(), 1),
            baseline: None,
            recorded: None,
            checks,
            config_digest: String::new(),
            config: String::new(),
            run_id: String::new(),
            by: String::new(),
            made_at: 1,
            expires_at: 2,
        }
    }

    fn estimate() -> Estimate {
        stats::proportion::Share::new("share", 3, 7).unwrap().estimate(stats::Confidence::P95)
    }

    #[test]
    fn keys_are_those_that_people_know() {
        assert_eq!(key("accuracy.roc_auc", None), "accuracy.roc_auc");
        assert_eq!(key("data_drift", Some("x1")), "data_drift/x1");
        assert_eq!(key("latency.p99", Some("champion, ms")), "latency.p99/champion_ ms");
        assert_eq!(key("fairness.x.a/b", Some("../c")), "fairness.x.a_b/.._c");
        assert_eq!(key("data_drift", Some("..")), "data_drift/___");
        assert_eq!(key("data_drift", Some("")), "data_drift/_");
    }

    proptest! {
        #[test]
        fn a_run_takes_the_figures_of_columns_that_are_called_anything(
            names in proptest::collection::vec((".{0,300}", "[./ a]{0,300}", "\\PC{0,40}"), 1..8)
        ) {
            let mut checks = Vec::new();
            for (first, second, third) in &names {
                for name in [first, second, third] {
                    let part = |name: &String| Part { name: name.clone(), estimate: estimate(), outcome: None };
                    let check = Check::told("fairness", &format!("parity.{name}"), Outcome::Pass, "words");
                    let parts = [first, second, third].map(part).to_vec();
                    checks.push(Check { estimate: Some(estimate()), parts, ..check });
                }
            }
            prop_assert!(batches(&report(checks)).is_ok());
        }
    }
}
