//! Which columns can be compared, and how.

use stats::sketch::{CategorySketch, ColumnSketch, NumericSketch};
use syntax::monitors::Monitor;

/// What a column is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// By its distribution.
    Numeric,
    /// By how often each value occurs: texts and truths.
    Categorical,
}

/// A column that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// As the table spells it.
    pub name: String,
    /// How.
    pub nature: Nature,
}

impl Column {
    /// A sketch of nothing yet.
    pub(super) fn empty(&self) -> ColumnSketch {
        match self.nature {
            Nature::Numeric => ColumnSketch::Numeric(NumericSketch::default()),
            Nature::Categorical => ColumnSketch::Categorical(CategorySketch::default()),
        }
    }
}

impl Nature {
    /// Bytes that a sketch of such a column may take in memory.
    pub(super) fn sketch_bytes_max(self) -> usize {
        match self {
            // Three times 512 numbers.
            Self::Numeric => 12 << 10,
            // 1,024 names of 128 bytes with their counts.
            Self::Categorical => 180 << 10,
        }
    }
}

/// How a column of this type is compared; times, bytes and nested values are not.
pub(super) fn nature(type_name: &str) -> Option<Nature> {
    match type_name {
        "BYTE" | "SHORT" | "INT" | "LONG" | "FLOAT" | "DOUBLE" | "DECIMAL" => Some(Nature::Numeric),
        "STRING" | "BOOLEAN" => Some(Nature::Categorical),
        _ => None,
    }
}

/// Those columns of a table that can be compared.
pub(super) fn comparable(columns: &[lake::schema::Column]) -> Vec<Column> {
    let one = |column: &lake::schema::Column| {
        Some(Column { name: column.name.clone(), nature: nature(&column.type_name)? })
    };
    columns.iter().filter_map(one).collect()
}

/// The columns of a watched table that a monitor compares: those that its baseline has too, less those that have another part.
pub(super) fn compared(
    definition: &Monitor,
    watched: &[lake::schema::Column],
    is_in_baseline: impl Fn(&str) -> bool,
) -> Vec<Column> {
    let lower = |name: &String| name.to_lowercase();
    let mut left_out: Vec<String> = definition.features.exclude.iter().map(lower).collect();
    left_out.push(lower(&definition.event_time));
    left_out.extend(definition.prediction.as_ref().map(|prediction| lower(&prediction.column)));
    left_out.extend(definition.labels.as_ref().and_then(|labels| labels.baseline.as_ref()).map(lower));
    let include: Vec<String> = definition.features.include.iter().map(lower).collect();
    let is_compared = |one: &Column| {
        let name = lower(&one.name);
        is_in_baseline(&name) && !left_out.contains(&name) && (include.is_empty() || include.contains(&name))
    };
    let mut columns = comparable(watched);
    columns.retain(is_compared);
    columns
}

/// The column of a name, which compares without case.
pub(super) fn named<'c>(columns: &'c [lake::schema::Column], name: &str) -> Option<&'c lake::schema::Column> {
    columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase())
}
