//! Which columns can be compared, and how.

use stats::sketch::{CategorySketch, ColumnSketch, NumericSketch};
use syntax::monitors::{Features, Monitor};

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
    let mut columns = comparable(watched);
    columns.retain(|one| is_in_baseline(&one.name.to_lowercase()) && is_feature(definition, &one.name));
    columns
}

/// The column of a name, which compares without case.
pub(super) fn named<'c>(columns: &'c [lake::schema::Column], name: &str) -> Option<&'c lake::schema::Column> {
    columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase())
}

/// Whether a definition takes a column of this name among those that are compared, where both tables have it: it is not left
/// out, and has no other part.
pub(super) fn is_feature(definition: &Monitor, name: &str) -> bool {
    let is_it = |other: &String| other.to_lowercase() == name.to_lowercase();
    let Features { include, exclude } = &definition.features;
    let prediction = definition.prediction.as_ref().map(|prediction| &prediction.column);
    let label = definition.labels.as_ref().and_then(|labels| labels.baseline.as_ref());
    let has_other_part = [Some(&definition.event_time), prediction, label].into_iter().flatten().any(is_it);
    !has_other_part && !exclude.iter().any(is_it) && (include.is_empty() || include.iter().any(is_it))
}
