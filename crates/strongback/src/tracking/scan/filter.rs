//! Filters over columns and over fresh runs: one set of rules, compiled once.

use std::collections::HashSet;

use syntax::search::{
    Attribute, Comparison, DatasetField, Expr, LikeMatcher, Operand, Operator, Subject, ilike, like,
};

use crate::tracking::columns::{Bitmap, Column, Presence, RunFacts, Texts, Zone};

use super::View;

/// A filter made ready.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) view: View,
    pub(super) tests: Vec<(Subject, Test)>,
}

/// One comparison made ready.
#[derive(Debug)]
pub(super) enum Test {
    Number(Operator, f64),
    Text(TextTest),
    Missing,
    Present,
    /// An operand that does not fit its operator, which no parser produces.
    Never,
}

/// A comparison of texts.
#[derive(Debug)]
pub(super) enum TextTest {
    OneOf(HashSet<String>),
    NoneOf(HashSet<String>),
    Like(LikeMatcher),
}

impl Filter {
    pub(super) fn new(filter: Option<&Expr>, view: View) -> Self {
        let comparisons = filter.map(Expr::comparisons).unwrap_or_default();
        let tests = comparisons.into_iter().map(|c| (c.subject.clone(), Test::new(c))).collect();
        Self { view, tests }
    }

    /// Whether a fresh run passes.
    pub(super) fn holds(&self, facts: &RunFacts<'_>, root: impl Fn() -> String) -> bool {
        let seen = match self.view {
            View::Active => !facts.deleted,
            View::Deleted => facts.deleted,
            View::All => true,
        };
        seen && self.tests.iter().all(|(subject, test)| test.holds(subject, facts, &root))
    }
}

impl Test {
    fn new(comparison: &Comparison) -> Self {
        let one = |text: &String| HashSet::from([text.clone()]);
        let all = |list: &[String]| list.iter().cloned().collect();
        match (comparison.op, &comparison.value) {
            (op, Operand::Number(number)) => Self::Number(op, *number),
            (Operator::Eq, Operand::Text(text)) => Self::Text(TextTest::OneOf(one(text))),
            (Operator::Ne, Operand::Text(text)) => Self::Text(TextTest::NoneOf(one(text))),
            (Operator::Like, Operand::Text(pattern)) => Self::Text(TextTest::Like(like(pattern))),
            (Operator::ILike, Operand::Text(pattern)) => Self::Text(TextTest::Like(ilike(pattern))),
            (Operator::In, Operand::List(list)) => Self::Text(TextTest::OneOf(all(list))),
            (Operator::NotIn, Operand::List(list)) => Self::Text(TextTest::NoneOf(all(list))),
            (Operator::IsNull, Operand::None) => Self::Missing,
            (Operator::IsNotNull, Operand::None) => Self::Present,
            _ => Self::Never,
        }
    }

    fn holds(&self, subject: &Subject, facts: &RunFacts<'_>, root: &impl Fn() -> String) -> bool {
        let document = facts.document;
        let number = |number: f64| matches!(self, Self::Number(op, value) if compares(number, *op, *value));
        let text = |text: Option<&str>| match (self, text) {
            (Self::Text(test), Some(text)) => test.holds(text),
            (Self::Missing, found) => found.is_none(),
            (Self::Present, found) => found.is_some(),
            _ => false,
        };
        match subject {
            Subject::Metric(key) => document.metric(key).is_some_and(|m| number(m.latest.value.get())),
            Subject::Param(key) => text(document.param(key)),
            Subject::Tag(key) => text(document.tag(key)),
            Subject::Dataset(field) => document.datasets().iter().any(|input| match field {
                DatasetField::Name => text(Some(&input.name)),
                DatasetField::Digest => text(Some(&input.digest)),
                DatasetField::Context => input.context.is_some() && text(input.context.as_deref()),
            }),
            Subject::Attribute(attribute) => match attribute {
                Attribute::RunId => text(Some(&run_uuid_text(&facts.uuid))),
                Attribute::RunName => text(document.tag(crate::tracking::columns::RUN_NAME_TAG)),
                Attribute::UserId => text(Some(facts.user)),
                Attribute::Status => text(Some(facts.status)),
                Attribute::ArtifactUri => text(Some(&artifact_uri(&root(), &facts.uuid))),
                Attribute::StartTime => number(facts.start_time_ms as f64),
                Attribute::EndTime => facts.end_time_ms.is_some_and(|end| number(end as f64)),
                _ => false,
            },
        }
    }

    /// The rows of a column that pass; `None` stands for a column that the segment does not have.
    pub(super) fn select(&self, column: Option<&Column>, rows: usize) -> Bitmap {
        let Some(column) = column else {
            return if matches!(self, Self::Missing) { Bitmap::all(rows) } else { Bitmap::none(rows) };
        };
        match self {
            Self::Number(op, value) => select_numbers(column, rows, *op, *value),
            Self::Text(test) => {
                column.texts().map_or(Bitmap::none(rows), |texts| test.select(column, texts, rows))
            }
            Self::Present => column.present(rows),
            Self::Missing => {
                let mut missing = Bitmap::all(rows);
                missing.and_not(&column.present(rows));
                missing
            }
            Self::Never => Bitmap::none(rows),
        }
    }
}

impl TextTest {
    pub(super) fn holds(&self, text: &str) -> bool {
        match self {
            Self::OneOf(list) => list.contains(text),
            Self::NoneOf(list) => !list.contains(text),
            Self::Like(matcher) => matcher.matches(text),
        }
    }

    /// Entries of the dictionary are tested, rows only look their code up.
    fn select(&self, column: &Column, texts: Texts<'_>, rows: usize) -> Bitmap {
        let entries = texts.entries();
        let mut passes = vec![matches!(self, Self::NoneOf(_)); entries];
        match self {
            Self::OneOf(list) | Self::NoneOf(list) => {
                for code in list.iter().filter_map(|text| texts.find(text).ok()) {
                    passes[code] = matches!(self, Self::OneOf(_));
                }
            }
            Self::Like(matcher) => {
                for (code, pass) in passes.iter_mut().enumerate() {
                    *pass = matcher.matches(texts.entry(code));
                }
            }
        }
        if !passes.contains(&true) {
            return Bitmap::none(rows);
        }
        if !passes.contains(&false) {
            return column.present(rows);
        }
        let pass = |code: usize| passes.get(code).copied().unwrap_or(false);
        match texts.codes() {
            (1, codes) => select_slots(column, rows, codes.iter(), |code| pass(usize::from(*code))),
            (2, codes) => select_slots(column, rows, codes.as_chunks::<2>().0.iter(), |code| {
                pass(usize::from(u16::from_le_bytes(*code)))
            }),
            (_, codes) => select_slots(column, rows, codes.as_chunks::<4>().0.iter(), |code| {
                pass(u32::from_le_bytes(*code) as usize)
            }),
        }
    }
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

/// IEEE comparison: with a NaN on either side only `!=` holds.
fn compares(left: f64, op: Operator, right: f64) -> bool {
    match op {
        Operator::Eq => left == right,
        Operator::Ne => left != right,
        Operator::Lt => left < right,
        Operator::Le => left <= right,
        Operator::Gt => left > right,
        Operator::Ge => left >= right,
        _ => false,
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
