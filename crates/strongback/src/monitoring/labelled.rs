//! Rows of windows with their labels: the latest label of a row counts.

use std::{collections::BTreeMap, time::Duration};

use sha2::{Digest, Sha256};
use stats::{
    Confidence, Ends, Resampling,
    classify::{self, BinaryScores, Options},
    proportion::{Share, difference},
    regress::{self, Predictions},
    sketch::{ColumnSketch, NumericSketch},
};
use syntax::{
    monitors::{Labels, Metric, Monitor, Task, Window},
    names::FullName,
};

use super::{
    columns, derive,
    figure::{Figure, Status},
    frame,
    scan::{charged, within},
    span::Span,
};
use crate::{
    context::Ctx,
    error::{Error, Result},
    jobs::JobCtx,
    tables::{
        managed::{self, Managed},
        rows::{at_version, quoted, rows},
    },
};

/// How long the join may take.
const TIME: Duration = Duration::from_hours(1);
/// Labelled rows of one batch of windows that figures of performance are computed from; they are in memory.
const ROWS_MAX: u64 = 2_000_000;
/// Names of the columns by which rows and labels find each other.
pub(super) const KEYS: [&str; 2] = ["_request_id", "_row"];

/// Refuses a table whose rows no label can name.
pub(super) fn require_keys(table: &Managed, columns: &[lake::schema::Column]) -> Result<()> {
    let Some(missing) = KEYS.into_iter().find(|key| columns::named(columns, key).is_none()) else {
        return Ok(());
    };
    Err(Error::invalid(format!(
        "The table '{}' has no column '{missing}', by which rows and labels find each other; payload tables have it.",
        managed::show(&table.name)
    )))
}

/// Which rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The watched table and its version.
    pub table: (&'a FullName, u64),
    /// The table of labels and its version.
    pub labels: (&'a FullName, u64),
    /// Column of the event time.
    pub event_time: &'a str,
    /// How event time is cut.
    pub window: Window,
    /// The windows.
    pub spans: &'a [Span],
    /// Column of the predictions.
    pub prediction: Option<&'a str>,
}

/// Labelled rows of one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Labelled {
    /// How many.
    pub rows: u64,
    /// The sum of a hash of each row's label with the moment it was given and what it belongs to.
    pub hashes: u64,
    /// The labels.
    pub sketch: NumericSketch,
    /// How many of them are above one half.
    pub positives: u64,
    /// Labels and predictions, a row each; of the first rows only where there are too many.
    pub pairs: Vec<(Option<f64>, Option<f64>)>,
    /// Whether there were too many.
    pub is_cut: bool,
}

impl Labelled {
    /// What tells these labels from others of as many rows, in whatever order they are read; `None` where there are none.
    pub(super) fn digest(&self) -> Option<i64> {
        (self.rows > 0).then_some(self.hashes as i64)
    }
}

/// By start of the window.
pub(super) type ByWindow = BTreeMap<i64, Labelled>;

/// Joins rows with their labels.
pub(super) async fn join(job: &JobCtx, ctx: &Ctx, asked: &Asked<'_>) -> Result<ByWindow> {
    let event_time = format!("p.{}", quoted(asked.event_time));
    let prediction = asked
        .prediction
        .map_or_else(|| "CAST(NULL AS DOUBLE)".to_owned(), |column| format!("p.{}", quoted(column)));
    let [request, row] = KEYS;
    let statement = format!(
        "SELECT {event_time}, {prediction} AS prediction, l.label, l.labelled_at, l.request_id, l.place FROM {watched} AS p JOIN (\
             SELECT request_id, coalesce(`row`, 0) AS place, label, labelled_at, row_number() OVER (\
                 PARTITION BY request_id, coalesce(`row`, 0) ORDER BY labelled_at DESC NULLS LAST, label DESC) AS age \
             FROM {labels}) AS l \
         ON p.`{request}` = l.request_id AND coalesce(p.`{row}`, 0) = l.place \
         WHERE l.age = 1 AND ({times})",
        watched = at_version(asked.table.0, asked.table.1),
        labels = at_version(asked.labels.0, asked.labels.1),
        times = within(&event_time, asked.spans),
    );
    let mut found = rows(ctx, &statement, Vec::new(), TIME).await?;
    let mut windows = ByWindow::new();
    let mut kept = 0;
    while let Some(batch) = found.next().await {
        let batch = charged(job, batch?)?;
        let (times, predictions) = (frame::moments(&batch, 0)?, frame::floats(&batch, 1)?);
        let (labels, given) = (frame::floats(&batch, 2)?, frame::moments(&batch, 3)?);
        let (requests, places) = (frame::texts(&batch, 4)?, frame::ints(&batch, 5)?);
        for (at, time) in times.into_iter().enumerate() {
            let Some(start) = time.map(|time| asked.window.start_of(time)) else { continue };
            if !asked.spans.iter().any(|span| span.start == start) {
                continue;
            }
            let window = windows.entry(start).or_default();
            window.rows += 1;
            let hash = hash(requests.value(at), places[at], labels[at], given[at]);
            window.hashes = window.hashes.wrapping_add(hash);
            window.sketch.insert(labels[at]);
            window.positives += u64::from(labels[at].is_some_and(|label| label > 0.5));
            window.is_cut |= kept >= ROWS_MAX;
            if kept < ROWS_MAX {
                window.pairs.push((labels[at], predictions[at]));
                kept += 1;
            }
        }
    }
    Ok(windows)
}

/// The first eight bytes of the SHA-256 of a label with what it belongs to: the same on every machine and in every release.
fn hash(request: &str, place: Option<i64>, label: Option<f64>, given: Option<i64>) -> u64 {
    let mut digest = Sha256::new();
    for number in [place, label.map(|label| label.to_bits() as i64), given] {
        digest.update([u8::from(number.is_some())]);
        digest.update(number.unwrap_or_default().to_le_bytes());
    }
    digest.update(request.as_bytes());
    digest.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The figures of a window's labels, and of how well they were predicted. Once the job is to end they are none that count.
pub(super) fn figures(
    definition: &Monitor,
    span: Span,
    labelled: &Labelled,
    (baseline, called): (Option<(&ColumnSketch, Option<Share>)>, &str),
    ends: &Ends,
) -> Vec<Figure> {
    let Some(labels) = &definition.labels else { return Vec::new() };
    let count = Figure { n: labelled.rows, ..Figure::none(span, "labelled_rows", "", Status::Ok, "") };
    let too_few = labelled.rows < definition.minimum_rows;
    if too_few {
        let status = if labelled.rows == 0 { Status::Empty } else { Status::Small };
        let note =
            format!("{} labelled rows, at least {} are wanted", labelled.rows, definition.minimum_rows);
        return vec![Figure { status, note, ..count }];
    }
    let mut figures = vec![Figure { value: Some(labelled.rows as f64), ..count }];
    if let Some((sketch, share)) = baseline {
        let own = ColumnSketch::Numeric(labelled.sketch.clone());
        figures.push(derive::stability(
            span,
            Metric::LabelDrift,
            "",
            (sketch, called),
            &own,
            definition.bins,
        ));
        if labels.task == Task::Classification
            && let Some(share) = share
        {
            let of_window = Share::new("share of positive labels", labelled.positives, labelled.rows);
            let shift = of_window.map(|own| difference(own, share, Confidence::P95));
            let figure = Figure::of_outcome(span, Metric::LabelRate.name(), "", shift);
            figures.push(Figure {
                reference: called.to_owned(),
                reference_n: Some(share.n),
                n: labelled.rows,
                ..figure
            });
        }
    }
    figures.extend(performance(labels, span, labelled, ends));
    figures
}

/// How many rows there are and why that says little, where either class has fewer than are wanted.
fn short(rows: &BinaryScores, wanted: u64) -> Option<(u64, String)> {
    let (n, positives) = (rows.labels().len() as u64, rows.positives() as u64);
    (positives.min(n - positives) < wanted).then(|| {
        (n, format!("{positives} of {n} rows are positive, at least {wanted} of either class are wanted"))
    })
}

fn performance(labels: &Labels, span: Span, labelled: &Labelled, ends: &Ends) -> Vec<Figure> {
    let note = if labelled.is_cut { "of the first rows only; there were too many to hold" } else { "" };
    let named = |figure: Figure| match figure.status {
        Status::Ok => Figure { note: note.to_owned(), ..figure },
        _ => figure,
    };
    match labels.task {
        Task::Classification => {
            let truth: Vec<Option<bool>> =
                labelled.pairs.iter().map(|(label, _)| label.map(|label| label > 0.5)).collect();
            let scores: Vec<Option<f64>> = labelled.pairs.iter().map(|(_, score)| *score).collect();
            let rows = BinaryScores::new(&truth, &scores);
            let resampling = Resampling { ends: ends.clone(), ..Resampling::default() };
            let options = Options { threshold: labels.cutoff, resampling, ..Options::default() };
            let short = rows.as_ref().ok().and_then(|rows| short(rows, labels.minimum_per_class));
            let one = |metric: &Metric| {
                if let Some((n, note)) = short.as_ref().filter(|_| metric.is_of_classes()) {
                    return Figure { n: *n, ..Figure::none(span, metric.name(), "", Status::Small, note) };
                }
                let outcome = metric
                    .name()
                    .parse::<classify::Metric>()
                    .and_then(|wanted| rows.as_ref().map_err(Clone::clone)?.evaluate(wanted, &options));
                named(Figure::of_outcome(span, metric.name(), "", outcome))
            };
            labels.metrics.iter().map(one).collect()
        }
        Task::Regression => {
            let truth: Vec<Option<f64>> = labelled.pairs.iter().map(|(label, _)| *label).collect();
            let told: Vec<Option<f64>> = labelled.pairs.iter().map(|(_, value)| *value).collect();
            let rows = Predictions::new(&truth, &told);
            let one = |metric: &Metric| {
                let outcome = metric.name().parse::<regress::Metric>().and_then(|wanted| {
                    rows.as_ref().map_err(Clone::clone)?.evaluate(wanted, Confidence::P95)
                });
                named(Figure::of_outcome(span, metric.name(), "", outcome))
            };
            labels.metrics.iter().map(one).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    };

    use syntax::monitors::from_yaml;

    use super::*;

    #[test]
    fn a_figure_that_takes_long_is_given_up_with_whoever_waits_for_it() {
        let definition = from_yaml(
            "version: 1\nwatch: a.b.c\nbaseline: a.b.train\nwindow: { length: 1d }\nprediction: score\n\
             labels: { metrics: [average_precision, accuracy] }\n",
        );
        let pairs =
            (0..200_u32).map(|row| (Some(f64::from(row % 2)), Some(f64::from(row * 37 % 200) / 200.0)));
        let labelled = Labelled { rows: 200, pairs: pairs.collect(), ..Labelled::default() };
        let span = Span { start: 0, end: 1, revision: 1 };
        let tell = |resamples: u32| {
            let asked = Arc::new(AtomicU32::new(0));
            let counting = Arc::clone(&asked);
            let ends = Ends::when(move || counting.fetch_add(1, Relaxed) >= resamples);
            let figures = figures(definition.as_ref().unwrap(), span, &labelled, (None, "train"), &ends);
            let told: Vec<bool> = figures.iter().map(|figure| figure.value.is_some()).collect();
            (told, asked.load(Relaxed))
        };
        assert_eq!(tell(u32::MAX), (vec![true, true, true], 1_000));
        assert_eq!(tell(3), (vec![true, false, true], 4));
    }
}
