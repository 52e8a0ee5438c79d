//! What can be wrong with rows and with stored panes.

use datafusion::arrow::error::ArrowError;

/// What a column of times is, and how one is made of another: a table's column keeps its type.
pub(super) const TIMESTAMP: &str = "the timestamp is a timestamp or a date. Make one of it: strongback sql --format csv \
    'SELECT *, to_timestamp(COLUMN) AS at FROM SOURCE' > FILE, and import that as another table";
/// What a column of keys is, and how one is made of another.
pub(super) const KEY: &str = "a key has an exact equality: an integer, a text, a date. Make one of it: strongback sql --format csv \
    'SELECT *, cast(COLUMN AS string) AS key FROM SOURCE' > FILE, and import that as another table";

/// Why panes cannot be folded or read.
#[derive(Debug, thiserror::Error)]
pub enum PaneError {
    /// The declaration itself.
    #[error(transparent)]
    Declaration(#[from] syntax::features::FeatureError),
    /// A column that is declared and not there.
    #[error("the source has no column '{column}'; it has {known}")]
    NoColumn {
        /// Its name.
        column: String,
        /// The names there are.
        known: String,
    },
    /// A column of a type that cannot be used as declared.
    #[error("column '{column}' is of type {found}, and {need}")]
    Type {
        /// Its name.
        column: String,
        /// Its type.
        found: String,
        /// What is needed there.
        need: &'static str,
    },
    /// Two rows that the row key does not tell apart.
    #[error(
        "two different rows have the same entity, the same event time ({micros} µs) and the same row key; declare a 'row_key' that tells them apart"
    )]
    SameRowKey {
        /// Their event time, in microseconds since 1970.
        micros: i64,
    },
    /// Bytes that are no stored panes.
    #[error("stored panes cannot be read: {0}")]
    Stored(&'static str),
    /// A version of the stored form that is newer than this program.
    #[error("stored panes have version {0}, this program reads version {known}", known = super::codec::VERSION)]
    Version(u8),
    /// Somebody wants the computation to end.
    #[error("the computation was told to end")]
    ToEnd,
    /// More of panes or rows than may be held in memory.
    #[error(
        "what has to be held of them takes more than {bytes_max} bytes of memory, which is the limit; declare fewer features or a wider pane, or give queries more memory"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// From the columns.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
