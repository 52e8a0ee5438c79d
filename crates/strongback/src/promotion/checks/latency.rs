//! The candidate answers in time: a load on the models as they are served, by several callers at once, champion and candidate
//! in turn.
//!
//! What is measured is what an endpoint does between a request that was read and an answer that is written: from columns to
//! scores, in the runtime that serves the model, waiting for a free session or process included. Reading and writing JSON, looking
//! features up, the log and the network are not in it.

use std::time::Instant;

use lake::arrow::{array::RecordBatch, compute::concat_batches};
use stats::{
    latency::{Block, Interleaved, compare},
    verdict::{Basis, Bound, Judgement},
};
use syntax::gates::Latency;

use super::{confidence, refused, unjudged};
use crate::{
    error::{Error, Result},
    jobs::JobCtx,
    promotion::{
        evaluate::{Evaluated, Scorers},
        report::{Check, Outcome, Part},
        scoring::Scorer,
        subject::Known,
    },
};

/// The section.
pub const GATE: &str = "latency";

/// Blocks of a measurement: what disturbs the machine for longer than one disturbs both models.
const BLOCKS: usize = 20;
/// Requests to each model before anything is measured.
const WARM_UP: usize = 50;

/// The times of both models, in milliseconds; or why there are none. Where there is no champion the candidate is measured
/// against itself, so that it is known how steady the machine is.
pub async fn measure(
    job: &JobCtx,
    gate: &Latency,
    found: &Evaluated,
    scorers: &Scorers,
) -> Result<Known<Vec<Block>>> {
    let requests = requests(&found.sample, gate.rows as usize)?;
    if requests.is_empty() {
        return Ok(Err(format!(
            "a request is to have {} rows, and the evaluation has {}",
            gate.rows, found.rows
        )));
    }
    let candidate = &scorers.candidate;
    let champion = scorers.champion.as_ref().unwrap_or(candidate);
    let each = (gate.requests as usize).div_ceil(BLOCKS);
    let callers = gate.callers.max(1) as usize;
    let mut blocks = Vec::with_capacity(BLOCKS);
    let mut next = requests.iter().cycle();
    for at in 0..=BLOCKS {
        let count = if at == 0 { WARM_UP } else { each };
        let mut block = Block::default();
        for (side, now) in turns(count, callers, &mut next) {
            if job.is_to_end() {
                job.check()?;
            }
            let others = |(own, others): &Request| others.as_ref().unwrap_or(own).clone();
            match side {
                Side::Champion => {
                    let rows = now.into_iter().map(others).collect();
                    block.champion.extend(times(champion, rows).await?);
                }
                Side::Candidate => {
                    let rows = now.into_iter().map(|(own, _)| own.clone()).collect();
                    block.candidate.extend(times(candidate, rows).await?);
                }
            }
        }
        job.check()?;
        job.progress(3, 4, &format!("measured block {at} of {BLOCKS}"));
        if at > 0 {
            blocks.push(block);
        }
        tokio::task::yield_now().await;
    }
    Ok(Ok(blocks))
}

/// A request's columns as the candidate takes them, and as the champion does where it takes others.
type Request = (RecordBatch, Option<RecordBatch>);

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Champion,
    Candidate,
}

/// Who is asked for what, one after the other: both for so many requests, the same ones, by so many callers at once. Nobody is asked
/// for longer than a moment, so that what disturbs the machine disturbs both; and who goes second finds caches warm, so that they
/// take turns in that too.
fn turns<'r, R>(
    count: usize,
    callers: usize,
    next: &mut impl Iterator<Item = &'r R>,
) -> Vec<(Side, Vec<&'r R>)> {
    let mut turns = Vec::new();
    for (turn, begun) in (0..count).step_by(callers).enumerate() {
        let now: Vec<&R> = next.take(callers.min(count - begun)).collect();
        let mut order = [Side::Champion, Side::Candidate];
        order.rotate_left(turn % 2);
        turns.extend(order.map(|side| (side, now.clone())));
    }
    turns
}

/// Requests of exactly so many rows, cut out of the sample; none where it has fewer.
fn requests(sample: &[Request], rows: usize) -> Result<Vec<Request>> {
    let Some((own, others)) = sample.first() else { return Ok(Vec::new()) };
    let own = joined(own, sample.iter().map(|(own, _)| own))?;
    let others = match others {
        Some(first) => Some(joined(first, sample.iter().filter_map(|(_, others)| others.as_ref()))?),
        None => None,
    };
    let size = rows.max(1);
    let request = |at: usize| (own.slice(at, size), others.as_ref().map(|rows| rows.slice(at, size)));
    Ok((0..own.num_rows() / size).map(|number| request(number * size)).collect())
}

fn joined<'b>(first: &RecordBatch, all: impl Iterator<Item = &'b RecordBatch>) -> Result<RecordBatch> {
    concat_batches(&first.schema(), all).map_err(Error::internal)
}

/// Milliseconds of requests that are made at once, each by a caller of its own as requests of clients are; none of one that
/// failed.
async fn times(model: &Scorer, requests: Vec<RecordBatch>) -> Result<Vec<Option<f64>>> {
    let asked: Vec<_> = requests
        .into_iter()
        .map(|rows| {
            let model = model.clone();
            lake::meter::spawn(async move {
                let begun = Instant::now();
                let answer = model.score(&rows).await;
                let took = begun.elapsed().as_secs_f64() * 1e3;
                answer.is_ok().then_some(took)
            })
        })
        .collect();
    let mut times = Vec::with_capacity(asked.len());
    for one in asked {
        times.push(one.await.map_err(Error::internal)?);
    }
    Ok(times)
}

/// What the times say.
pub fn check(gate: &Latency, blocks: &[Block], has_champion: bool) -> Vec<Check> {
    let names = [("p99", gate.p99_ms), ("p99_ratio", gate.p99_ratio)];
    let asked = || names.iter().filter_map(|(name, limit)| limit.map(|limit| (*name, limit)));
    let failed = blocks.iter().flat_map(|block| &block.candidate).filter(|time| time.is_none()).count();
    if failed > 0 {
        let sentence = format!("The candidate did not answer {failed} of the requests.");
        return asked().map(|(name, _)| Check::told(GATE, name, Outcome::Fail, &*sentence)).collect();
    }
    let compared = match compare(blocks, 0.99, confidence(gate.confidence)) {
        Ok(compared) => compared,
        Err(error) => return asked().map(|(name, _)| refused(GATE, name, &error)).collect(),
    };
    let judge = |(name, limit)| match name {
        "p99_ratio" if !has_champion => {
            Check::told(GATE, name, Outcome::NotApplicable, "There is no champion yet to compare with.")
        }
        _ => judge(gate, name, limit, &compared),
    };
    asked().map(judge).collect()
}

fn judge(gate: &Latency, name: &str, limit: f64, compared: &Interleaved) -> Check {
    let estimate = if name == "p99" { compared.candidate } else { compared.ratio };
    if compared.is_noisy(gate.max_noise) {
        let why = format!(
            "this machine is too busy to judge: a model's typical time changes by {:.0} % of itself from block to block, and \
             {:.0} % are allowed",
            compared.noise * 100.0,
            gate.max_noise * 100.0
        );
        return Check { estimate: Some(estimate), ..unjudged(GATE, name, &why) };
    }
    let what = match name {
        "p99" => "the time that 99 % of the candidate's requests do not exceed, in ms,",
        _ => "the candidate's 99th percentile as a multiple of the champion's",
    };
    let what = format!("From columns to scores, {} callers at once: {what}", gate.callers);
    match Judgement::new(estimate, Bound::AtMost(limit), Basis::Interval) {
        Ok(judgement) => {
            let part = |name: &str, estimate| Part { name: name.to_owned(), estimate, outcome: None };
            Check::judged(GATE, name, &judgement, &what).with_parts(vec![
                part("candidate, ms", compared.candidate),
                part("champion, ms", compared.champion),
            ])
        }
        Err(error) => refused(GATE, name, &error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lake::arrow::{
        array::Float64Array,
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    fn rows(count: usize) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("x", DataType::Float64, true)]);
        let column = Float64Array::from_iter_values((0..count).map(|row| row as f64));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    #[test]
    fn both_are_asked_the_same_in_turn() {
        use Side::{Candidate, Champion};
        let requests = [0, 1, 2];
        let found = turns(7, 2, &mut requests.iter().cycle());
        let expected = [
            (Champion, vec![&0, &1]),
            (Candidate, vec![&0, &1]),
            (Candidate, vec![&2, &0]),
            (Champion, vec![&2, &0]),
            (Champion, vec![&1, &2]),
            (Candidate, vec![&1, &2]),
            (Candidate, vec![&0]),
            (Champion, vec![&0]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn requests_have_as_many_rows_as_are_asked_for() {
        let sample = [(rows(5), Some(rows(5))), (rows(4), Some(rows(4)))];
        let sizes = |asked: usize| -> Vec<(usize, Option<usize>)> {
            let size = |(own, others): &Request| (own.num_rows(), others.as_ref().map(RecordBatch::num_rows));
            requests(&sample, asked).unwrap().iter().map(size).collect()
        };
        assert_eq!(sizes(1).len(), 9);
        assert_eq!(sizes(4), [(4, Some(4)); 2]);
        assert_eq!(sizes(7), [(7, Some(7))], "across batches");
        assert_eq!(sizes(10), []);
        assert!(requests(&[], 1).unwrap().is_empty());
    }
}
