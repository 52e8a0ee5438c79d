//! How much one request may ask.
//!
//! What must stay true: it is asked while rows are read, before room is taken for them: what a request leaves out takes as much as
//! what it brings. What passes has a place in the payload log, so that nothing is scored and then refused for its size, unless the
//! model answers with long labels.

use crate::error::{Error, Result};

/// Rows of one request at most.
const ROWS_MAX: usize = 1_000_000;
/// Values of one request at most: rows times columns.
const CELLS_MAX: usize = 5_000_000;
/// Bytes of a value in the log: a number and whether there is one. Texts take those of the body and four for their length.
const CELL_BYTES: usize = 9;
/// Bytes of a row in the log: a score, a moment, and a short label.
const ROW_BYTES: usize = 8 + 10 + 4;
const _: () = assert!(CELLS_MAX * CELL_BYTES + ROWS_MAX * ROW_BYTES <= journal::RECORD_BYTES_MAX);

/// Refuses more values than are scored at once: what a request leaves out takes room as well.
pub(super) fn check_size(rows: usize, columns: usize) -> Result<()> {
    if rows > ROWS_MAX {
        return Err(Error::invalid(format!(
            "The request has more than {ROWS_MAX} rows. Send fewer at once."
        )));
    }
    if rows.saturating_mul(columns) > CELLS_MAX {
        return Err(Error::invalid(format!(
            "The request has more than {CELLS_MAX} values, which are its rows times the {columns} columns of the model. Send \
             fewer rows at once."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_so_many_values_and_no_more() {
        assert!(check_size(ROWS_MAX, 5).is_ok());
        for (rows, columns, words) in [
            (ROWS_MAX + 1, 1, "1000000 rows"),
            (ROWS_MAX, 6, "5000000 values"),
            (251, 20_000, "20000 columns"),
        ] {
            let error = check_size(rows, columns).unwrap_err();
            assert!(error.status() == 400 && error.message().contains(words), "{error}");
        }
    }
}
