//! Filters over fresh runs and over columns. What a comparison means is said once, in [`syntax::search`]; here are the
//! loops that ask it of a column's values.

use std::borrow::Cow;

use syntax::search::{Attribute, DatasetField, Expr, Fields, Operator, Predicate, Subject, Test, TextTest};

use crate::tracking::columns::{Bitmap, Column, Presence, RUN_NAME_TAG, RunFacts, Texts, Zone, attribute};

use super::{Home, View, aggregate};

/// Texts that are tested between two looks at whether to go on.
pub(super) const TEXTS_AT_ONCE: usize = 64;

/// A filter made ready.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) view: View,
    predicate: Predicate,
}

impl Filter {
    pub(super) fn new(filter: Option<&Expr>, view: View) -> Self {
        Self { view, predicate: Predicate::new(filter.unwrap_or(&Expr::And(Vec::new()))) }
    }

    /// What a run has to satisfy, beside the view.
    pub(super) fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// Whether a fresh run passes.
    pub(super) fn holds<E>(
        &self,
        facts: &RunFacts<'_>,
        home: Home<'_>,
        keep_going: impl Fn() -> Result<(), E>,
    ) -> Result<bool, E> {
        let seen = match self.view {
            View::Active => !facts.deleted,
            View::Deleted => facts.deleted,
            View::All => true,
        };
        Ok(seen && self.predicate.matches_while(&Fresh { facts, home }, keep_going)?)
    }
}

/// A fresh run as filters see it.
struct Fresh<'f> {
    facts: &'f RunFacts<'f>,
    home: Home<'f>,
}

impl Fields for Fresh<'_> {
    fn number(&self, subject: &Subject) -> Option<f64> {
        match subject {
            Subject::Metric(key) => Some(self.facts.document.metric(key)?.latest.value.get()),
            Subject::Aggregate(aggregate) => aggregate::number(self.facts.document, aggregate),
            Subject::Attribute(Attribute::StartTime) => Some(self.facts.start_time_ms as f64),
            Subject::Attribute(Attribute::EndTime) => self.facts.end_time_ms.map(|end| end as f64),
            _ => None,
        }
    }

    fn text(&self, subject: &Subject) -> Option<Cow<'_, str>> {
        let (facts, document) = (self.facts, self.facts.document);
        match subject {
            Subject::Param(key) => document.param(key).map(Cow::Borrowed),
            Subject::Tag(key) => document.tag(key).map(Cow::Borrowed),
            Subject::Attribute(Attribute::RunName) => document.tag(RUN_NAME_TAG).map(Cow::Borrowed),
            Subject::Attribute(Attribute::RunId) => Some(run_uuid_text(&facts.uuid).into()),
            Subject::Attribute(Attribute::UserId) => Some(facts.user.into()),
            Subject::Attribute(Attribute::Status) => Some(facts.status.into()),
            Subject::Attribute(Attribute::ArtifactUri) => {
                Some(artifact_uri(self.home.artifact_root, &facts.uuid).into())
            }
            Subject::Attribute(Attribute::ExperimentId) => Some(self.home.mlflow_id.to_string().into()),
            Subject::Attribute(Attribute::LifecycleStage) => Some(stage(facts.deleted).into()),
            _ => None,
        }
    }

    fn texts(&self, subject: &Subject) -> Vec<Cow<'_, str>> {
        let Subject::Dataset(field) = subject else { return self.text(subject).into_iter().collect() };
        dataset_texts(self.facts, *field).map(Cow::Borrowed).collect()
    }

    fn may_be_prompt(&self) -> bool {
        false
    }
}

/// A field of the data sets of a run, where they have it.
pub(super) fn dataset_texts<'f>(facts: &RunFacts<'f>, field: DatasetField) -> impl Iterator<Item = &'f str> {
    facts.document.datasets().iter().filter_map(move |input| match field {
        DatasetField::Name => Some(input.name.as_str()),
        DatasetField::Digest => Some(input.digest.as_str()),
        DatasetField::Context => input.context.as_deref(),
    })
}

/// The life cycle stage as filters write it.
pub(super) fn stage(deleted: bool) -> &'static str {
    if deleted { attribute::DELETED } else { attribute::ACTIVE }
}

/// The rows of a column that pass a test; `None` stands for a column that the segment does not have. `keep_going` ends
/// it early.
pub(super) fn select<E>(
    test: &Test,
    column: Option<&Column>,
    rows: usize,
    keep_going: impl Fn() -> Result<(), E>,
) -> Result<Bitmap, E> {
    let Some(column) = column else {
        return Ok(if matches!(test, Test::Missing) { Bitmap::all(rows) } else { Bitmap::none(rows) });
    };
    Ok(match test {
        Test::Number(op, value) => select_numbers(column, rows, *op, *value),
        Test::Text(test) => match column.texts() {
            Some(texts) => select_texts(test, column, texts, rows, keep_going)?,
            None => Bitmap::none(rows),
        },
        Test::Present => column.present(rows),
        Test::Missing => {
            let mut missing = Bitmap::all(rows);
            missing.and_not(&column.present(rows));
            missing
        }
        Test::Never => Bitmap::none(rows),
    })
}

/// Entries of the dictionary are tested, rows only look their code up.
fn select_texts<E>(
    test: &TextTest,
    column: &Column,
    texts: Texts<'_>,
    rows: usize,
    keep_going: impl Fn() -> Result<(), E>,
) -> Result<Bitmap, E> {
    let entries = texts.entries();
    let mut passes = vec![matches!(test, TextTest::NoneOf(_)); entries];
    match test {
        TextTest::OneOf(list) | TextTest::NoneOf(list) => {
            for code in list.iter().filter_map(|text| texts.find(text).ok()) {
                passes[code] = matches!(test, TextTest::OneOf(_));
            }
        }
        TextTest::Like(matcher) => {
            for (code, pass) in passes.iter_mut().enumerate() {
                if code % TEXTS_AT_ONCE == 0 {
                    keep_going()?;
                }
                *pass = matcher.matches(texts.entry(code));
            }
        }
    }
    if !passes.contains(&true) {
        return Ok(Bitmap::none(rows));
    }
    if !passes.contains(&false) {
        return Ok(column.present(rows));
    }
    let pass = |code: usize| passes.get(code).copied().unwrap_or(false);
    Ok(match texts.codes() {
        (1, codes) => select_slots(column, rows, codes.iter(), |code| pass(usize::from(*code))),
        (2, codes) => select_slots(column, rows, codes.as_chunks::<2>().0.iter(), |code| {
            pass(usize::from(u16::from_le_bytes(*code)))
        }),
        (_, codes) => select_slots(column, rows, codes.as_chunks::<4>().0.iter(), |code| {
            pass(u32::from_le_bytes(*code) as usize)
        }),
    })
}

/// Bounds first; where they leave it open, one loop for each operator and width.
fn select_numbers(column: &Column, rows: usize, op: Operator, value: f64) -> Bitmap {
    if !may_hold(column.bounds(), op, value) {
        return Bitmap::none(rows);
    }
    match op {
        Operator::Eq => select_where(column, rows, |number| number == value),
        Operator::Ne => select_where(column, rows, |number| number != value),
        Operator::Lt => select_where(column, rows, |number| number < value),
        Operator::Le => select_where(column, rows, |number| number <= value),
        Operator::Gt => select_where(column, rows, |number| number > value),
        Operator::Ge => select_where(column, rows, |number| number >= value),
        _ => Bitmap::none(rows),
    }
}

fn select_where(column: &Column, rows: usize, test: impl Fn(f64) -> bool) -> Bitmap {
    if let Some((width, slots)) = column.floats() {
        return if width == 4 {
            let slots = slots.as_chunks::<4>().0.iter();
            select_slots(column, rows, slots, |bytes| test(f32::from_le_bytes(*bytes).into()))
        } else {
            let slots = slots.as_chunks::<8>().0.iter();
            select_slots(column, rows, slots, |bytes| test(f64::from_le_bytes(*bytes)))
        };
    }
    let mut selected = Bitmap::none(rows);
    for (row, slot) in column.cells() {
        if column.int_at(slot).is_some_and(|int| test(int as f64)) {
            selected.insert(row);
        }
    }
    selected
}

/// The rows whose slot passes; of a row with several slots, one is enough.
fn select_slots<T>(
    column: &Column,
    rows: usize,
    slots: impl Iterator<Item = T>,
    test: impl Fn(T) -> bool,
) -> Bitmap {
    match column.presence() {
        Presence::Every => Bitmap::where_holds(rows, slots, test),
        Presence::Bitmap(_) => {
            let mut selected = Bitmap::where_holds(rows, slots, test);
            selected.and(&column.present(rows));
            selected
        }
        Presence::List(_) => {
            let mut selected = Bitmap::none(rows);
            for ((row, _), slot) in column.cells().zip(slots) {
                if test(slot) {
                    selected.insert(row);
                }
            }
            selected
        }
    }
}

fn may_hold(zone: Zone, op: Operator, value: f64) -> bool {
    let (min, max) = match zone {
        Zone::Ints { min, max } => (min as f64, max as f64),
        Zone::Floats { min, max, .. } => (min, max),
        Zone::Unknown => return false,
    };
    match op {
        Operator::Eq => min <= value && value <= max,
        Operator::Lt => min < value,
        Operator::Le => min <= value,
        Operator::Gt => max > value,
        Operator::Ge => max >= value,
        _ => true,
    }
}

/// A run's outside id as its 32 hex digits.
pub(super) fn run_uuid_text(uuid: &[u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    uuid.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The bytes of a run's outside id; `None` of a text that is no run's.
pub(super) fn run_uuid(text: &str) -> Option<[u8; 16]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

/// An artifact root without the slash at its end.
pub(super) fn artifact_root_of(root: &str) -> String {
    root.trim_end_matches('/').to_owned()
}

/// Where a run's artifacts are.
pub(super) fn artifact_uri(root: &str, uuid: &[u8; 16]) -> String {
    format!("{}/{}/artifacts", artifact_root_of(root), run_uuid_text(uuid))
}
