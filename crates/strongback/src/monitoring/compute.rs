//! A plan is carried out: rows become sketches, sketches figures, figures a version of the table of drift and points of a run.
//!
//! What must stay true: each step finds what it did before. Sketches and figures land as batches that the plan names, and what
//! has landed is read back; points of a series that are there are not added again; the windows are recorded last.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use stats::{proportion::Share, sketch::ColumnSketch};
use syntax::monitors::{Metric, Monitor};

use super::{
    columns::{self, Column},
    derive::{self, Against},
    figure::{self, Figure, Status},
    labelled::{self, ByWindow, Labelled},
    look::{self, Look},
    plan::{Part, Plan},
    scan, series,
    sketches::{self, Role, Row, merged},
    span::Span,
    store,
};
use crate::{
    bind,
    catalog::{Action, authorize},
    context::Ctx,
    db::Change,
    error::{Code, Error, Result},
    events::{Event, EventKind},
    jobs::JobCtx,
};

/// The columns of a watched table that are sketched: those that are compared, and the predictions.
pub(super) struct Wanted {
    pub features: Vec<Column>,
    pub prediction: Option<Column>,
}

impl Wanted {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.features.iter().chain(&self.prediction)
    }

    /// Bytes that the sketches of one window may take in memory.
    pub(super) fn sketch_bytes_max(&self) -> usize {
        self.columns().map(|column| column.nature.sketch_bytes_max()).sum()
    }
}

/// Sketches of one window, put together from those of its model versions.
#[derive(Default)]
struct OfWindow {
    features: BTreeMap<String, ColumnSketch>,
    prediction: Option<ColumnSketch>,
    rows: u64,
}

/// Which columns are sketched; refused where the definition names one that is not there.
pub(super) fn wanted(look: &Look, baseline: &BTreeMap<String, ColumnSketch>) -> Result<Wanted> {
    let definition = &look.monitor.definition;
    let missing = |column: &str, what: &str| {
        Error::invalid(format!(
            "The column '{column}', which the monitor names in '{what}', is not in '{}', or is none of numbers or texts.",
            crate::tables::managed::show(&look.watched.name)
        ))
    };
    if columns::named(&look.columns, &definition.event_time)
        .is_none_or(|column| !column.type_name.starts_with("TIMESTAMP"))
    {
        return Err(Error::invalid(format!(
            "The column '{}', which the monitor takes for the event time, is not there or is no timestamp.",
            definition.event_time
        )));
    }
    let comparable = columns::comparable(&look.columns);
    let lower = |name: &str| name.to_lowercase();
    let prediction = match &definition.prediction {
        None => None,
        Some(prediction) => {
            let found = comparable.iter().find(|one| lower(&one.name) == lower(&prediction.column));
            Some(found.cloned().ok_or_else(|| missing(&prediction.column, "prediction"))?)
        }
    };
    for column in &definition.features.include {
        if !comparable.iter().any(|one| lower(&one.name) == lower(column)) {
            return Err(missing(column, "features"));
        }
    }
    let features = columns::compared(definition, &look.columns, |name| baseline.contains_key(name));
    Ok(Wanted { features, prediction })
}

/// Carries a plan out, from wherever it stands. Answers its figures.
pub(super) async fn carry_out(
    job: &JobCtx,
    look: &Look,
    plan: &Plan,
    baseline: &Arc<BTreeMap<String, ColumnSketch>>,
    wanted: &Wanted,
) -> Result<Vec<Figure>> {
    let ctx = job.ctx().await?;
    let names = &look.names;
    let landed = names.own(&names.drift, figure::load(&ctx, &names.drift, &plan.id).await);
    if plan.is_computed {
        let landed = match landed {
            // Something else has the name of their table.
            Err(error) if error.code() == Code::InvalidParameterValue => None,
            landed => landed?,
        };
        return Ok(landed.unwrap_or_else(|| {
            job.log(
                "the figures of windows that were computed are gone with their table: nobody judges them",
            );
            Vec::new()
        }));
    }
    let landed = landed?;
    let spans = plan.spans();
    let prediction = look.monitor.definition.prediction.as_ref().map(|one| one.column.as_str());
    job.progress(0, spans.len() as i64, "reads the windows");
    let labelled = match look::labelled_of(job, &ctx, look, &spans, prediction).await {
        // What has landed is brought to its end also where nobody can read any more what it was made of.
        Err(error) if landed.is_some() && error.code() == Code::ResourceDoesNotExist => {
            job.log(&format!("the labels of these windows are not counted: {}", error.message()));
            ByWindow::new()
        }
        found => found?,
    };
    let kept = match names.own(&names.sketch, sketches::load(&ctx, &names.sketch, &plan.id).await)? {
        Some(kept) => kept,
        None if landed.is_some() => Vec::new(),
        None => {
            let made = sketch(job, &ctx, look, plan, wanted, &labelled).await?;
            names.own(&names.sketch, sketches::land(job, &names.sketch, &plan.id, &made).await)?;
            made
        }
    };
    let mut windows = by_window(&kept)?;
    if plan.part == Part::All && landed.is_none() && wanted.columns().next().is_none() {
        // Nothing of them is sketched: there are rows all the same.
        for (start, rows) in look::rows_of(job, &ctx, look, &spans).await? {
            windows.entry(start).or_default().rows = rows;
        }
    }
    let reference = reference(&ctx, look, plan, &windows).await?;
    let known = Known {
        definition: look.monitor.definition.clone(),
        spans,
        part: plan.part,
        has_labels: look.labels.is_some(),
        baseline: Arc::clone(baseline),
        windows,
        labelled,
        reference,
    };
    let (known, figures) = match landed {
        Some(figures) => (known, figures),
        None => {
            let told = job.clone();
            let (known, made) =
                job.blocking(move || figures(&told, &known).map(|made| (known, made))).await?;
            let landing = figure::land(job, &names.drift, &plan.id, look.monitor.n, &made);
            names.own(&names.drift, landing.await)?;
            (known, made)
        }
    };
    series::log(job, look, &figures).await?;
    record(job, look, plan, &figures, &known.labelled, known.reference.chosen).await?;
    Ok(figures)
}

/// Sketches of a plan's windows, made from rows. A window without rows has none.
async fn sketch(
    job: &JobCtx,
    ctx: &Ctx,
    look: &Look,
    plan: &Plan,
    wanted: &Wanted,
    labelled: &ByWindow,
) -> Result<Vec<Row>> {
    let spans = plan.spans();
    let span_of = |start: i64| spans.iter().find(|span| span.start == start).copied();
    let mut rows = Vec::new();
    if plan.part == Part::All {
        let asked: Vec<Column> = wanted.columns().cloned().collect();
        let parts = scan::windows(job, ctx, &look::asked(look, &spans, &asked)).await?;
        for ((start, model_version), part) in parts {
            for (at, (column, sketch)) in asked.iter().zip(part.sketches).enumerate() {
                let role = if at < wanted.features.len() { Role::Feature } else { Role::Prediction };
                let span = span_of(start);
                rows.push(Row { role, span, model_version, column: column.name.clone(), sketch });
            }
        }
    }
    for (start, one) in labelled {
        rows.push(Row {
            role: Role::Label,
            span: span_of(*start),
            model_version: None,
            column: "label".to_owned(),
            sketch: ColumnSketch::Numeric(one.sketch.clone()),
        });
    }
    Ok(rows)
}

fn by_window(rows: &[Row]) -> Result<BTreeMap<i64, OfWindow>> {
    let mut windows: BTreeMap<i64, OfWindow> = BTreeMap::new();
    for row in rows {
        let (Some(span), Role::Feature | Role::Prediction) = (row.span, row.role) else { continue };
        let window = windows.entry(span.start).or_default();
        let place = match row.role {
            Role::Prediction => window.prediction.take(),
            _ => window.features.remove(&row.column),
        };
        let whole = merged(place.iter().chain([&row.sketch]))?;
        match (row.role, whole) {
            (Role::Prediction, whole) => window.prediction = whole,
            (_, Some(whole)) => {
                window.features.insert(row.column.clone(), whole);
            }
            (_, None) => {}
        }
        let rows = |sketch: Option<&ColumnSketch>| sketch.map_or(0, ColumnSketch::rows);
        let of_features = rows(window.features.values().next());
        window.rows = of_features.max(rows(window.prediction.as_ref()));
    }
    Ok(windows)
}

/// What predictions are compared with where the baseline has none.
struct Reference {
    /// The window.
    start: Option<i64>,
    sketch: Option<ColumnSketch>,
    /// That window, if it is one of this plan.
    chosen: Option<i64>,
}

async fn reference(
    ctx: &Ctx,
    look: &Look,
    plan: &Plan,
    windows: &BTreeMap<i64, OfWindow>,
) -> Result<Reference> {
    let definition = &look.monitor.definition;
    let nothing = Reference { start: None, sketch: None, chosen: None };
    let declared = definition.prediction.as_ref().filter(|one| one.baseline.is_none());
    let Some(declared) = declared.filter(|_| plan.part == Part::All) else { return Ok(nothing) };
    if let Some(start) = look.monitor.state.reference_start {
        let sketch = first_predictions(ctx, look, start, &declared.column).await?;
        return Ok(Reference { start: Some(start), sketch, chosen: None });
    }
    let first = windows.iter().find(|(_, window)| window.rows >= definition.minimum_rows);
    Ok(first.map_or(nothing, |(start, window)| Reference {
        start: Some(*start),
        sketch: window.prediction.clone(),
        chosen: Some(*start),
    }))
}

/// The predictions of the window that others are compared with, as they were when it first had enough rows: what came late
/// since, and what another monitor of this name left, is not what the figures before were told against.
async fn first_predictions(ctx: &Ctx, look: &Look, start: i64, column: &str) -> Result<Option<ColumnSketch>> {
    let id = look.monitor.asset.id;
    let plans = ctx.read(move |sql| {
        authorize(sql, Action::Read, id)?;
        sql.all(&store::WINDOW_PLANS, bind![id, start], |row| row.get::<String>(0))
    });
    for plan in plans.await? {
        let mut rows = sketches::of_predictions(ctx, &look.names.sketch, &plan, start).await?;
        rows.retain(|row| row.column.to_lowercase() == column.to_lowercase());
        if let Some(whole) = merged(rows.iter().map(|row| &row.sketch))? {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

/// What figures are made of.
struct Known {
    definition: Monitor,
    spans: Vec<Span>,
    part: Part,
    has_labels: bool,
    baseline: Arc<BTreeMap<String, ColumnSketch>>,
    windows: BTreeMap<i64, OfWindow>,
    labelled: ByWindow,
    reference: Reference,
}

/// Makes them, window by window; an error where the job is to end, also in the midst of one that takes long.
fn figures(job: &JobCtx, known: &Known) -> Result<Vec<Figure>> {
    let Known { definition, baseline, reference, .. } = known;
    let called = definition.baseline.to_string();
    let against = Against { baseline, reference: &called };
    let (nothing, none, ends) = (OfWindow::default(), Labelled::default(), job.ends());
    let mut all = Vec::new();
    for span in known.spans.iter().copied() {
        let window = known.windows.get(&span.start).unwrap_or(&nothing);
        if known.part == Part::All {
            let (rows, is_enough) = derive::volume(definition, span, window.rows);
            all.push(rows);
            if is_enough {
                let columns: Vec<(String, ColumnSketch)> =
                    window.features.iter().map(|(name, sketch)| (name.clone(), sketch.clone())).collect();
                all.extend(derive::columns(definition, span, &against, &columns));
                all.extend(prediction(definition, span, baseline, window, reference));
            }
        }
        if known.has_labels {
            let labels = known.labelled.get(&span.start).unwrap_or(&none);
            let before = label_baseline(definition, baseline);
            all.extend(labelled::figures(definition, span, labels, (before, &called), &ends));
        }
        // What was given up in the midst is no figure.
        job.check()?;
    }
    Ok(all)
}

fn prediction(
    definition: &Monitor,
    span: Span,
    baseline: &BTreeMap<String, ColumnSketch>,
    window: &OfWindow,
    reference: &Reference,
) -> Option<Figure> {
    let declared = definition.prediction.as_ref()?;
    let own = window.prediction.as_ref()?;
    let metric = Metric::PredictionShift;
    let undefined = |note: &str| Figure::none(span, metric.name(), "", Status::Undefined, note);
    if let Some(column) = &declared.baseline {
        let called = format!("{}, column {column}", definition.baseline);
        return Some(match baseline.get(&column.to_lowercase()) {
            Some(sketch) => derive::stability(span, metric, "", (sketch, &called), own, definition.bins),
            None => undefined("the baseline has no such column of predictions"),
        });
    }
    Some(match (&reference.sketch, reference.start) {
        (_, Some(start)) if start == span.start => {
            undefined("this is the window that later ones are compared with")
        }
        (Some(sketch), Some(start)) => {
            let called = format!("window {}", super::span::moment(start));
            derive::stability(span, metric, "", (sketch, &called), own, definition.bins)
        }
        (None, Some(start)) => {
            let window = super::span::moment(start);
            undefined(&format!(
                "the predictions of window {window}, which others are compared with, are gone"
            ))
        }
        (_, None) => undefined("no window had enough rows to compare later ones with"),
    })
}

/// The baseline's labels, and how many of them are positive.
fn label_baseline<'b>(
    definition: &Monitor,
    baseline: &'b BTreeMap<String, ColumnSketch>,
) -> Option<(&'b ColumnSketch, Option<Share>)> {
    let column = definition.labels.as_ref()?.baseline.as_ref()?;
    let sketch = baseline.get(&column.to_lowercase())?;
    let share = match sketch {
        ColumnSketch::Numeric(numbers) => {
            let n = numbers.quantiles().count();
            // Of zeros and ones the mean is the share of ones, to the last row.
            let hits = numbers.moments().mean().map_or(0.0, |mean| (mean * n as f64).round());
            let are_two = numbers.quantiles().min() >= Some(0.0) && numbers.quantiles().max() <= Some(1.0);
            Share::new("share of positive labels", hits.max(0.0) as u64, n).ok().filter(|_| are_two)
        }
        ColumnSketch::Categorical(_) => None,
    };
    Some((sketch, share))
}

/// The windows are computed: from here on they are shown, and judged.
async fn record(
    job: &JobCtx,
    look: &Look,
    plan: &Plan,
    figures: &[Figure],
    labelled: &ByWindow,
    chosen: Option<i64>,
) -> Result<()> {
    let (id, plan_id, part) = (look.monitor.asset.id, plan.id.clone(), plan.part);
    let of_window = |window: &super::plan::Stored| {
        let rows = figures.iter().find(|one| one.span == window.span && one.metric == "rows");
        let labels = labelled.get(&window.span.start);
        let (outcome, count) = match (part, rows) {
            (Part::All, Some(rows)) => (rows.status.name().to_owned(), rows.n),
            _ => (window.outcome.clone(), window.rows),
        };
        let digest = labels.and_then(Labelled::digest);
        (window.span, outcome, count as i64, labels.map_or(0, |labels| labels.rows) as i64, digest)
    };
    let windows: Vec<_> = plan.windows.iter().map(of_window).collect();
    job.write(move |tx| {
        authorize(tx, Action::Edit, id)?;
        let now = tx.now();
        for (span, outcome, rows, labels, digest) in &windows {
            tx.execute(
                &store::WINDOW_DONE,
                bind![id, span.start, span.revision, outcome, *rows, *labels, *digest, now],
            )?;
        }
        if let Some(start) = chosen {
            tx.execute(&store::MONITOR_SET_REFERENCE, bind![id, start])?;
        }
        let told: Vec<_> = windows
            .iter()
            .map(|(span, outcome, rows, ..)| {
                json!({ "start": super::span::moment(span.start), "revision": span.revision, "outcome": outcome, "rows": rows })
            })
            .collect();
        let event = Event::new(EventKind::MonitorCompute)
            .asset(id, 0)
            .detail(json!({ "plan": plan_id, "windows": told }));
        Ok(Change::Made((), event))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_window_become_one() {
        let row = |model, values: &[f64]| Row {
            role: Role::Feature,
            span: Some(Span { start: 0, end: 10, revision: 1 }),
            model_version: model,
            column: "x".into(),
            sketch: ColumnSketch::Numeric(values.iter().copied().collect()),
        };
        let windows = by_window(&[row(Some(1), &[1.0, 2.0]), row(Some(2), &[3.0])]).unwrap();
        assert_eq!(windows[&0].rows, 3);
        let Some(ColumnSketch::Numeric(whole)) = windows[&0].features.get("x") else { panic!("no numbers") };
        assert_eq!(whole.moments().mean(), Some(2.0));
    }
}
