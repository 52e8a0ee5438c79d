//! What gates name is looked up while whoever asks for them waits: tables, columns, the condition, the endpoint, and whether
//! there are as many rows as they ask for.
//!
//! What must stay true: nothing is refused here that the job could judge; a refusal says where in the file, which value, and what to write
//! instead.

use lake::{schema::Column, table::State};
use syntax::gates::{Figure, Gates, TableRef};

use super::{
    baseline,
    http::Asked,
    rows::{self, Source},
    scoring, subject,
};
use crate::{
    catalog::{Action, asset::Kind},
    context::Ctx,
    db::Sql,
    error::{Code, Result},
    registry::{models::Model, versions::Version},
    serving::endpoints,
    tables::{managed, written::Written},
};

/// What a table's name may mean here.
const TABLES: [Kind; 2] = [Kind::Table, Kind::TrainingSet];

/// A table that gates name, as it is now.
struct Table {
    shown: String,
    state: State,
}

impl Table {
    async fn look(ctx: &Ctx, source: &Source) -> Result<Self> {
        let state = ctx.app.lake.state(source.table, Some(source.version)).await?;
        Ok(Self { shown: source.shown(), state })
    }
}

/// Refuses gates that could judge nobody, whatever the models answer.
pub(super) async fn check(ctx: &Ctx, gates: &Gates, config: &str, asked: &Asked) -> Result<()> {
    let written = Written::new(config, "The gates cannot be judged", "config")?;
    let has_champion = asked.champion.is_some();
    if !has_champion && gates.first_champion.is_empty() {
        return Err(written.refused(
            "",
            "there is no champion yet, since the alias points nowhere, and the gates say with no 'first_champion' what the first \
             one has to reach; add it",
        ));
    }
    let (of, file) = (gates.clone(), written.clone());
    let (model, candidate) = (asked.model.clone(), asked.candidate.clone());
    let (evaluation, baseline) =
        ctx.read(move |sql| sources(sql, &of, &file, (&model, &candidate), has_champion)).await?;
    let rows = Table::look(ctx, &evaluation).await?;
    check_evaluation(gates, &written, &rows)?;
    check_rows(gates, &written, &rows, has_champion)?;
    if let Some(condition) = &gates.evaluation.condition {
        written.placed("evaluation.where", rows::check(ctx, &evaluation, condition).await)?;
    }
    if let Some(baseline) = baseline {
        let learned = Table::look(ctx, &baseline).await?;
        check_drift(gates, &written, &asked.candidate, [&learned, &rows])?;
    }
    Ok(())
}

/// The evaluation table, and the rows that drift is told against where it is asked for, for a caller who may read both.
fn sources(
    sql: &mut Sql<'_>,
    gates: &Gates,
    written: &Written,
    (model, candidate): (&Model, &Version),
    has_champion: bool,
) -> Result<(Source, Option<Source>)> {
    let evaluation = table(sql, written, "evaluation.table", &gates.evaluation.table, rows::resolve)?;
    let baseline = match &gates.data_drift {
        None => None,
        Some(drift) => Some(match &drift.against {
            Some(named) => table(sql, written, "data_drift.against", named, baseline::resolve)?,
            None => written.placed("data_drift", subject::learned_from(sql, drift, candidate))?,
        }),
    };
    if baseline.as_ref().is_some_and(|found| found.is_same_as(&evaluation)) {
        return Err(written.refused("data_drift", baseline::same(&evaluation)));
    }
    if let Some(name) = gates.compatibility.as_ref().and_then(|gate| gate.endpoint.as_deref()) {
        const PATH: &str = "compatibility.endpoint";
        match endpoints::find(sql, name, Action::Read) {
            // Gates come before the first champion, and an endpoint after it.
            Err(error) if !has_champion && error.code() == Code::ResourceDoesNotExist => {}
            found => {
                written.named(sql, (PATH, name, &[Kind::Endpoint]), found)?;
                written.placed(PATH, subject::recorded(sql, model, name, !has_champion))?;
            }
        }
    }
    Ok((evaluation, baseline))
}

fn table(
    sql: &mut Sql<'_>,
    written: &Written,
    path: &str,
    wanted: &TableRef,
    resolve: fn(&mut Sql<'_>, &TableRef) -> Result<Source>,
) -> Result<Source> {
    let found = managed::parse(&wanted.name).and_then(|name| managed::get(sql, &name, Action::Read));
    written.named(sql, (path, &wanted.name, &TABLES), found)?;
    written.placed(path, resolve(sql, wanted))
}

/// Whether values of a column are of one piece, so that they can be texts.
fn is_single(column: &Column) -> bool {
    !matches!(column.type_name.as_str(), "ARRAY" | "MAP" | "STRUCT")
}

fn is_text(column: &Column) -> bool {
    column.type_name == "STRING"
}

/// Whether values of a column can be told apart by how they are distributed.
fn is_sketched(column: &Column) -> bool {
    is_single(column) && column.type_name != "BINARY"
}

fn check_evaluation(gates: &Gates, written: &Written, rows: &Table) -> Result<()> {
    let Table { shown, state } = rows;
    let of_type = |path: &str, column: &Column, why: &str| {
        written.refused(
            path,
            format!("the column '{}' of '{shown}' is of the type {}; {why}", column.name, column.type_text),
        )
    };
    let evaluation = &gates.evaluation;
    let label = written.column("evaluation.label", &state.columns, shown, &evaluation.label)?;
    if !is_sketched(label) {
        return Err(of_type("evaluation.label", label, "an outcome is a truth, a number or a text"));
    }
    let has_classes = figures(gates).any(|(_, figure)| !figure.is_of_numbers()) || !gates.fairness.is_empty();
    if has_classes && is_text(label) && evaluation.positive.is_none() {
        return Err(of_type("evaluation.label", label, "say with 'positive' which text is looked for"));
    }
    if let Some(name) = &evaluation.timestamp {
        let column = written.column("evaluation.timestamp", &state.columns, shown, name)?;
        if !is_sketched(column) || column.type_name == "BOOLEAN" {
            return Err(of_type("evaluation.timestamp", column, "an event time is a timestamp"));
        }
    }
    for (at, gate) in gates.fairness.iter().enumerate() {
        let path = format!("fairness.{at}.group");
        let column = written.column(&path, &state.columns, shown, &gate.group)?;
        if !is_single(column) {
            return Err(of_type(&path, column, "a group is a single value"));
        }
    }
    Ok(())
}

/// The figures of both sections, and where they stand.
fn figures(gates: &Gates) -> impl Iterator<Item = (String, &Figure)> {
    let accuracy = gates.accuracy.iter().map(|gate| &gate.figure).enumerate();
    let floors = gates.first_champion.iter().map(|floor| &floor.figure).enumerate();
    accuracy
        .map(|(at, figure)| (format!("accuracy.{at}"), figure))
        .chain(floors.map(|(at, figure)| (format!("first_champion.{at}"), figure)))
}

/// Refuses to ask for more rows than the table has; a condition only makes them fewer.
fn check_rows(gates: &Gates, written: &Written, rows: &Table, has_champion: bool) -> Result<()> {
    let Table { shown, state } = rows;
    let Some(count) = state.rows else { return Ok(()) };
    let has = || format!("'{shown}' has {count} rows");
    if count == 0 {
        return Err(written.refused("evaluation.table", format!("{}, and so judges nothing", has())));
    }
    let decides = if has_champion { "accuracy." } else { "first_champion." };
    for (path, figure) in figures(gates).filter(|(path, _)| path.starts_with(decides)) {
        let each = if figure.is_of_numbers() { 0 } else { figure.min_per_class };
        for (field, asked) in [("min_rows", figure.min_rows), ("min_per_class", each.saturating_mul(2))] {
            if asked > count {
                let what = if field == "min_rows" { "" } else { " of two classes" };
                return Err(written.refused(
                    &format!("{path}.{field}"),
                    format!(
                        "'{}' asks for at least {asked} rows{what} ('{field}'), and {}",
                        figure.metric,
                        has()
                    ),
                ));
            }
        }
    }
    if let Some(gate) = gates.latency.as_ref().filter(|gate| u64::from(gate.rows) > count) {
        let why = format!("a request is to have {} rows, and {}", gate.rows, has());
        return Err(written.refused("latency.rows", why));
    }
    Ok(())
}

/// Refuses columns that one of the two tables does not have, or that are of texts in one and of numbers in the other.
fn check_drift(gates: &Gates, written: &Written, candidate: &Version, tables: [&Table; 2]) -> Result<()> {
    let Some(gate) = &gates.data_drift else { return Ok(()) };
    for table in tables {
        if let Some(count) = table.state.rows.filter(|count| *count < gate.min_rows) {
            let why = format!(
                "the drift of a column asks for at least {} rows ('min_rows'), and '{}' has {count}",
                gate.min_rows, table.shown
            );
            return Err(written.refused("data_drift.min_rows", why));
        }
    }
    let named = gate.columns.iter().enumerate();
    let mut asked: Vec<(String, String)> =
        named.map(|(at, name)| (format!("data_drift.columns.{at}"), name.clone())).collect();
    if asked.is_empty() {
        // A candidate whose inputs cannot be told is a matter of the candidate.
        let inputs = scoring::inputs(candidate).unwrap_or_default();
        asked.extend(inputs.into_iter().map(|input| ("data_drift.columns".to_owned(), input.name)));
    }
    for (path, name) in &asked {
        let mut found = Vec::with_capacity(tables.len());
        for table in tables {
            let column = written.column(path, &table.state.columns, &table.shown, name)?;
            if !is_sketched(column) {
                let why = format!(
                    "the column '{}' of '{}' is of the type {}, whose drift is not told; name others in 'columns'",
                    column.name, table.shown, column.type_text
                );
                return Err(written.refused(path, why));
            }
            found.push(column);
        }
        if let [own, other] = found[..]
            && is_text(own) != is_text(other)
        {
            let why = format!(
                "the column '{name}' is of the type {} in '{}' and of the type {} in '{}', which cannot be compared",
                own.type_text, tables[0].shown, other.type_text, tables[1].shown
            );
            return Err(written.refused(path, why));
        }
    }
    Ok(())
}
