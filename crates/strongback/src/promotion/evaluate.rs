//! The pass over the evaluation rows: both models score them, and what the checks need is kept of them.

use std::collections::{BTreeMap, BTreeSet};

use lake::arrow::array::RecordBatch;
use stats::sketch::ColumnSketch;

use super::{
    columns,
    groups::Groups,
    rows::{Rows, Source, Which},
    scoring::Scorer,
    subject::{Known, Subject},
};
use crate::{
    context::Ctx,
    error::{Error, Result},
    jobs::JobCtx,
};

/// Rows that are kept for the load on the models; more where one request has more.
const SAMPLE_ROWS: usize = 1_000;
/// Rows of an evaluation at most: scores and outcomes of all of them are held in memory, and once more by each gate that compares
/// two models row by row: about half a gigabyte.
const ROWS_MAX: u64 = 5_000_000;

/// What is known of the evaluation rows.
#[derive(Default)]
pub struct Evaluated {
    /// Rows that were read.
    pub rows: u64,
    /// Outcomes as yes and no, for figures of two classes.
    pub outcomes: Vec<Option<bool>>,
    /// Outcomes as numbers, for figures of numbers.
    pub actual: Vec<Option<f64>>,
    /// The candidate's scores; `NaN` where it gave none.
    pub candidate: Vec<f64>,
    /// The champion's.
    pub champion: Option<Vec<f64>>,
    /// Groups by column; or why that column has none.
    pub groups: BTreeMap<String, Known<Groups>>,
    /// Columns whose drift is asked for.
    pub sketches: BTreeMap<String, ColumnSketch>,
    /// Some rows as the candidate and the champion take them.
    pub sample: Vec<(RecordBatch, Option<RecordBatch>)>,
    /// Earliest and latest event, microseconds since the epoch.
    pub span: Option<(i64, i64)>,
}

/// The models of a gate run.
pub struct Scorers {
    /// Who wants the place.
    pub candidate: Scorer,
    /// Who has it.
    pub champion: Option<Scorer>,
}

impl Scorers {
    /// Ends both.
    pub async fn end(self) {
        self.candidate.end().await;
        if let Some(champion) = self.champion {
            champion.end().await;
        }
    }
}

/// The columns whose drift is asked for: those that are named, else what the candidate takes.
pub fn drift_columns(subject: &Subject) -> Vec<String> {
    match (&subject.gates.data_drift, &subject.inputs) {
        (Some(drift), _) if !drift.columns.is_empty() => drift.columns.clone(),
        (Some(_), Ok(inputs)) => inputs.iter().map(|input| input.name.clone()).collect(),
        _ => Vec::new(),
    }
}

/// Reads and scores the evaluation rows.
pub async fn evaluate(
    job: &JobCtx,
    ctx: &Ctx,
    subject: &Subject,
    source: &Source,
    scorers: &Scorers,
) -> Result<Evaluated> {
    let condition = subject.gates.evaluation.condition.as_deref();
    let mut rows = Rows::open(ctx, source, Which { condition, newest: None }).await?;
    let drift = drift_columns(subject);
    let latency = subject.gates.latency.as_ref();
    let sample_rows = latency.map_or(0, |gate| SAMPLE_ROWS.max(gate.rows as usize));
    let mut found =
        Evaluated { champion: scorers.champion.as_ref().map(|_| Vec::new()), ..Evaluated::default() };
    while let Some(batch) = rows.next().await? {
        job.check()?;
        job.charge_read(batch.get_array_memory_size() as u64)?;
        found.rows += batch.num_rows() as u64;
        if found.rows > ROWS_MAX {
            return Err(Error::invalid(format!(
                "The evaluation has more than {ROWS_MAX} rows. Choose some with 'where'."
            )));
        }
        found.take(subject, &batch, &drift)?;
        found.score(&batch, scorers, sample_rows).await?;
        job.progress(1, 4, &format!("scored {} rows", found.rows));
    }
    Ok(found)
}

impl Evaluated {
    fn take(&mut self, subject: &Subject, batch: &RecordBatch, drift: &[String]) -> Result<()> {
        const TABLE: &str = "The evaluation table";
        let evaluation = &subject.gates.evaluation;
        let label = columns::require(batch, &evaluation.label, TABLE)?;
        let figures = || {
            subject
                .gates
                .accuracy
                .iter()
                .map(|gate| &gate.figure)
                .chain(subject.gates.first_champion.iter().map(|floor| &floor.figure))
        };
        if figures().any(|figure| !figure.is_of_numbers()) || !subject.gates.fairness.is_empty() {
            let positive = evaluation.positive.as_deref();
            self.outcomes.extend(columns::outcomes(label, &evaluation.label, positive)?);
        }
        if figures().any(syntax::gates::Figure::is_of_numbers) {
            self.actual.extend(columns::numbers(label, &evaluation.label)?);
        }
        let groups: BTreeSet<&String> = subject.gates.fairness.iter().map(|gate| &gate.group).collect();
        for name in groups {
            // A group that is not there is a matter of its own gate.
            let Some(column) = columns::find(batch, name) else { continue };
            let texts = columns::texts(column, name)?;
            let known = self.groups.entry(name.clone()).or_insert_with(|| Ok(Groups::default()));
            if let Ok(groups) = known
                && let Err(why) = groups.extend(name, texts)
            {
                *known = Err(why);
            }
        }
        sketch_all(&mut self.sketches, batch, drift)?;
        if let Some(name) = &evaluation.timestamp {
            let span = columns::span(columns::require(batch, name, TABLE)?, name)?;
            self.span = match (self.span, span) {
                (Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
                (before, now) => before.or(now),
            };
        }
        Ok(())
    }

    async fn score(&mut self, batch: &RecordBatch, scorers: &Scorers, sample_rows: usize) -> Result<()> {
        const TABLE: &str = "The evaluation table";
        let own = columns::inputs(batch, scorers.candidate.inputs(), TABLE)?;
        self.candidate.extend(scored(&scorers.candidate, &own).await?);
        let mut others = None;
        if let (Some(champion), Some(scores)) = (&scorers.champion, &mut self.champion) {
            let rows = columns::inputs(batch, champion.inputs(), TABLE)?;
            scores.extend(scored(champion, &rows).await?);
            others = Some(rows);
        }
        let sampled: usize = self.sample.iter().map(|(rows, _)| rows.num_rows()).sum();
        let more = own.num_rows().min(sample_rows.saturating_sub(sampled));
        if more > 0 {
            self.sample.push((own.slice(0, more), others.map(|rows| rows.slice(0, more))));
        }
        Ok(())
    }
}

/// A score a row.
async fn scored(model: &Scorer, rows: &RecordBatch) -> Result<Vec<f64>> {
    let scores = model.score(rows).await?;
    if scores.len() != rows.num_rows() {
        return Err(Error::invalid(format!(
            "A model gave {} scores for {} rows.",
            scores.len(),
            rows.num_rows()
        )));
    }
    Ok(scores)
}

fn sketch_all(
    into: &mut BTreeMap<String, ColumnSketch>,
    batch: &RecordBatch,
    names: &[String],
) -> Result<()> {
    for name in names {
        // A column that is not there is told by the check of drift.
        let Some(column) = columns::find(batch, name) else { continue };
        let mut sketch = into.remove(name);
        columns::sketch(&mut sketch, column, name)?;
        if let Some(sketch) = sketch {
            into.insert(name.clone(), sketch);
        }
    }
    Ok(())
}

/// Sketches of the columns of a training set, and how many rows it has.
pub async fn sketch_baseline(
    job: &JobCtx,
    ctx: &Ctx,
    source: &Source,
    names: &[String],
) -> Result<(BTreeMap<String, ColumnSketch>, u64)> {
    let mut rows = Rows::open(ctx, source, Which::default()).await?;
    let (mut sketches, mut count) = (BTreeMap::new(), 0);
    while let Some(batch) = rows.next().await? {
        job.check()?;
        job.charge_read(batch.get_array_memory_size() as u64)?;
        count += batch.num_rows() as u64;
        sketch_all(&mut sketches, &batch, names)?;
    }
    Ok((sketches, count))
}
