//! What the champion's callers send is taken by the candidate: by signature, and by the requests that an endpoint recorded.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use lake::arrow::{
    array::{Array as _, ArrayRef, AsArray as _, PrimitiveArray, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, Float32Type, Float64Type, Schema},
};

use crate::{
    context::Ctx,
    error::{Error, Result},
    jobs::JobCtx,
    promotion::{
        checks::unjudged,
        columns,
        evaluate::Scorers,
        report::{Check, Outcome},
        rows::{Rows, Source, Which},
        scoring::{self, Input},
        subject::{Asked, Subject, told_by},
    },
    serving::payload::{self, FromTable},
};

/// The section.
pub const GATE: &str = "compatibility";
/// The check of what an endpoint was asked.
pub const RECORDED: &str = "recorded_requests";

/// Signature against signature.
pub fn signature(subject: &Subject) -> Check {
    const NAME: &str = "signature";
    let Some(champion) = &subject.champion else {
        return Check::told(
            GATE,
            NAME,
            Outcome::NotApplicable,
            "There is no champion yet, and so nobody who calls it.",
        );
    };
    let (own, others) = match (&subject.inputs, scoring::inputs(champion)) {
        (Ok(own), Ok(others)) => (own, others),
        (Err(why), _) => return unjudged(GATE, NAME, why),
        (_, Err(why)) => return unjudged(GATE, NAME, &why),
    };
    let problems = problems(own, &others);
    if problems.is_empty() {
        let sentence =
            format!("All {} inputs that the champion takes are taken by the candidate.", others.len());
        return Check::told(GATE, NAME, Outcome::Pass, sentence);
    }
    Check::told(
        GATE,
        NAME,
        Outcome::Fail,
        format!("The champion's callers would be refused: {}.", problems.join("; ")),
    )
}

fn problems(own: &[Input], others: &[Input]) -> Vec<String> {
    let of = |inputs: &[Input], name: &str| inputs.iter().find(|input| input.name == name).cloned();
    let mut problems = Vec::new();
    for input in own {
        match of(others, &input.name) {
            None if input.required => {
                problems.push(format!("'{}' is required, and the champion does not take it", input.name));
            }
            None => {}
            Some(before) => {
                if input.required && !before.required {
                    problems.push(format!("'{}' is required, and was optional", input.name));
                }
                if !takes(&input.kind, &before.kind) {
                    problems.push(format!("'{}' is {}, and was {}", input.name, input.kind, before.kind));
                }
            }
        }
    }
    problems
}

/// Whether a column of a type takes all values of another: what MLflow's schema enforcement lets pass.
fn takes(now: &str, before: &str) -> bool {
    let rank = |kind: &str| ["integer", "long", "float", "double"].iter().position(|known| *known == kind);
    match (rank(now), rank(before)) {
        // A float does not hold every long.
        (Some(now), Some(before)) => now >= before && !(now == 2 && before == 1),
        _ => now == before,
    }
}

/// What came of recorded requests: the check, and the rows that it was made of, where there are any.
pub struct Recorded {
    /// The check.
    pub check: Check,
    /// The table that they are in, and how many of its newest rows.
    pub rows: Option<(Source, u64)>,
}

/// The newest requests of an endpoint, asked again.
pub async fn recorded(
    job: &JobCtx,
    ctx: &Ctx,
    subject: &Subject,
    recorded: &Asked,
    scorers: &Scorers,
) -> Result<Recorded> {
    let gate = subject.gates.compatibility.as_ref();
    let endpoint = gate.and_then(|gate| gate.endpoint.clone()).unwrap_or_default();
    let told = |outcome, sentence: String| Check::told(GATE, RECORDED, outcome, sentence);
    let not_applicable = |sentence| Recorded { check: told(Outcome::NotApplicable, sentence), rows: None };
    let nothing = || not_applicable(format!("The endpoint '{endpoint}' has recorded no requests."));
    let source = match recorded {
        Asked::Rows(source) => source,
        Asked::Nothing => return Ok(nothing()),
        Asked::NoEndpoint => {
            return Ok(not_applicable(format!(
                "There is no endpoint '{endpoint}' yet, and no champion that it could serve. Once there is a champion, it has to be there."
            )));
        }
    };
    let most = gate.map_or(1, |gate| u64::from(gate.requests));
    let known = known(subject, scorers);
    let replayed = told_by(job, replay(job, ctx, (source, most), &known, scorers).await)?;
    let (check, rows) = match replayed {
        Ok(Replayed { rows: 0, .. }) => return Ok(nothing()),
        Ok(Replayed { rows, unscored: 0, .. }) => {
            let sentence = format!(
                "The newest {rows} rows that '{endpoint}' was asked are all scored by the candidate."
            );
            (told(Outcome::Pass, sentence), rows)
        }
        Ok(Replayed { rows, unscored, refusal }) => {
            let why = refusal.map_or_else(String::new, |why| format!(": {why}"));
            let sentence = format!(
                "{unscored} of the newest {rows} rows that '{endpoint}' was asked get no score{why}."
            );
            (told(Outcome::Fail, sentence), rows)
        }
        Err(why) => {
            let sentence = format!("What '{endpoint}' was asked is not taken by the candidate: {why}.");
            (told(Outcome::Fail, sentence), 0)
        }
    };
    Ok(Recorded { check, rows: Some((source.clone(), rows)) })
}

/// What came of asking again.
#[derive(Default)]
struct Replayed {
    rows: u64,
    /// How many of them got no score.
    unscored: u64,
    /// What the candidate said of the first rows that it refused.
    refusal: Option<String>,
}

/// What was asked: the champion's inputs in its types, and those that the candidate alone takes.
fn known(subject: &Subject, scorers: &Scorers) -> Vec<Input> {
    let mut known =
        subject.champion.as_ref().and_then(|champion| scoring::inputs(champion).ok()).unwrap_or_default();
    for input in scorers.candidate.inputs() {
        if !known.iter().any(|other| other.name == input.name) {
            known.push(input.clone());
        }
    }
    known
}

async fn replay(
    job: &JobCtx,
    ctx: &Ctx,
    (source, most): (&Source, u64),
    known: &[Input],
    scorers: &Scorers,
) -> Result<Replayed> {
    let which = Which { newest: Some((payload::SERVED_AT, most)), ..Which::default() };
    let mut rows = Rows::open(ctx, source, which).await?;
    let mut replayed = Replayed::default();
    while let Some(batch) = rows.next().await? {
        job.charge_read(batch.get_array_memory_size() as u64)?;
        let asked = as_asked(&batch, known)?;
        let asked = columns::inputs(&asked, scorers.candidate.inputs(), "The recorded requests")?;
        let asked = as_served(&asked, &batch)?;
        replayed.rows += asked.num_rows() as u64;
        ask(job, &asked, scorers, &mut replayed).await?;
    }
    Ok(replayed)
}

/// A model refuses rows together, for the sake of one: rows that are refused are asked again in halves, down to those that
/// are refused alone.
async fn ask(job: &JobCtx, rows: &RecordBatch, scorers: &Scorers, replayed: &mut Replayed) -> Result<()> {
    let mut open = vec![rows.clone()];
    while let Some(part) = open.pop() {
        job.check()?;
        match told_by(job, scorers.candidate.score(&part).await)? {
            Ok(scores) => {
                replayed.unscored += scores.iter().filter(|score| !score.is_finite()).count() as u64;
            }
            Err(why) => {
                replayed.refusal.get_or_insert(why);
                match part.num_rows() {
                    0 | 1 => replayed.unscored += part.num_rows() as u64,
                    count => {
                        let half = count / 2;
                        open.push(part.slice(half, count - half));
                        open.push(part.slice(0, half));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The rows under the names of the request, as far as they are inputs that somebody takes: a payload table has its own name
/// for an input that is called otherwise than tables allow, or that came with another type before.
fn as_asked(rows: &RecordBatch, known: &[Input]) -> Result<RecordBatch> {
    let fields = known.iter().map(|input| Field::new(&input.name, input.data_type.clone(), true));
    let found = payload::columns_of(&Schema::new(fields.collect::<Vec<_>>()), &rows.schema())?;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (input, at) in known.iter().zip(found) {
        let Some(at) = at else { continue };
        fields.push(rows.schema().field(at).clone().with_name(&input.name));
        columns.push(Arc::clone(rows.column(at)));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(Error::internal)
}

/// A feature that was looked up and that nobody has is no number to a model, where its type knows that; the log has it as null. What a
/// request should have brought stays null, and is refused.
fn as_served(asked: &RecordBatch, logged: &RecordBatch) -> Result<RecordBatch> {
    let Some(said) = columns::find(logged, payload::FEATURE_VERSIONS) else { return Ok(asked.clone()) };
    let said = columns::texts(said, payload::FEATURE_VERSIONS)?;
    let mut looked_up: Vec<HashSet<String>> = Vec::with_capacity(said.len());
    for text in said {
        let tables: HashMap<String, FromTable> =
            text.map_or(Ok(HashMap::new()), |text| serde_json::from_str(&text)).map_err(Error::internal)?;
        looked_up.push(tables.into_values().flat_map(|table| table.inputs).collect());
    }
    let schema = asked.schema();
    let columns = schema.fields().iter().zip(asked.columns()).map(|(field, column)| {
        let is_unknown = |row: usize| looked_up.get(row).is_some_and(|inputs| inputs.contains(field.name()));
        macro_rules! filled {
            ($kind:ty, $nan:expr) => {{
                let values = column.as_primitive::<$kind>().iter().enumerate();
                let values = values.map(|(row, value)| value.or_else(|| is_unknown(row).then_some($nan)));
                Arc::new(values.collect::<PrimitiveArray<$kind>>()) as ArrayRef
            }};
        }
        match column.data_type() {
            _ if column.null_count() == 0 => Arc::clone(column),
            DataType::Float64 => filled!(Float64Type, f64::NAN),
            DataType::Float32 => filled!(Float32Type, f32::NAN),
            _ => Arc::clone(column),
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(asked.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(&schema), columns.collect(), &options)
        .map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use lake::arrow::array::{Float64Array, StringArray};

    use super::*;

    #[test]
    fn a_feature_that_nobody_has_is_no_number_and_what_should_have_been_sent_stays_missing() {
        let none: ArrayRef = Arc::new(Float64Array::from(vec![None, None, Some(1.0)]));
        let field = |name: &str, kind: DataType| Field::new(name, kind, true);
        let mean = Arc::new(Schema::new(vec![field("mean", DataType::Float64)]));
        let asked = RecordBatch::try_new(mean, vec![none]).unwrap();
        let said = r#"{"c.s.t":{"definition":1,"version":2,"inputs":["mean"]}}"#;
        let said: ArrayRef = Arc::new(StringArray::from(vec![Some(said), Some("{}"), None]));
        let versions = Arc::new(Schema::new(vec![field(payload::FEATURE_VERSIONS, DataType::Utf8)]));
        let logged = RecordBatch::try_new(versions, vec![said]).unwrap();
        let served = as_served(&asked, &logged).unwrap();
        let values: Vec<Option<f64>> = served.column(0).as_primitive::<Float64Type>().iter().collect();
        assert!(values[0].is_some_and(f64::is_nan));
        assert_eq!(values[1..], [None, Some(1.0)]);
    }

    fn input(name: &str, kind: &str, required: bool) -> Input {
        Input { name: name.into(), kind: kind.into(), data_type: DataType::Float64, required }
    }

    #[test]
    fn recorded_rows_have_the_names_of_their_inputs_again() {
        let table = ["_request_id", "__x", "a_b", "plain"];
        let fields = table.map(|name| Field::new(name, DataType::Float64, true));
        let values = |at: usize| -> ArrayRef { Arc::new(Float64Array::from(vec![at as f64])) };
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), (0..4).map(values).collect())
            .unwrap();
        let known = ["a b", "_x", "plain", "new"].map(|name| input(name, "double", true));
        let asked = as_asked(&rows, &known).unwrap();
        let schema = asked.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a b", "_x", "plain"]);
        assert_eq!(asked.column(0), rows.column(2));
        assert_eq!(asked.column(1), rows.column(1));
    }

    #[test]
    fn callers_of_the_champion_are_understood() {
        let champion = [input("a", "long", true), input("b", "double", false)];
        let said = |own: &[Input]| problems(own, &champion).join("; ");
        assert_eq!(said(&[input("a", "double", true)]), "");
        assert_eq!(said(&[input("a", "long", true), input("c", "long", false)]), "");
        assert_eq!(said(&[input("a", "float", true)]), "'a' is float, and was long");
        assert_eq!(said(&[input("a", "integer", true)]), "'a' is integer, and was long");
        assert_eq!(said(&[input("b", "double", true)]), "'b' is required, and was optional");
        assert_eq!(said(&[input("c", "long", true)]), "'c' is required, and the champion does not take it");
        assert_eq!(said(&[input("a", "string", false)]), "'a' is string, and was long");
    }
}
