//! Windowed aggregates, folded in one fixed order: one kernel for the table, for the increment and for the single request.
//!
//! A *pane* is an entity (the values of the key columns; one for all where there are none) and a stretch of event time,
//! `[i·w, (i+1)·w)` for the pane width `w` in microseconds of UTC since 1970; `i` is its index. Inside a pane rows are folded
//! one by one in the order of (event time, row key). A *window* of `n` panes, asked for at time `t`, sees the panes
//! `⌊t/w⌋−n … ⌊t/w⌋−1`: the last `n` that had ended by `t`. They are merged in ascending order, from the oldest; nothing is ever
//! subtracted. Floating-point addition is not associative, so the order is the definition: whoever folds in it gets the
//! same bits.
//!
//! What must stay true:
//! - The value for `(entity, t)` is a function of the entity's rows before `⌊t/w⌋·w`. So it never depends on a row at or after
//!   `t`, and the training value of a row at `t` is the value that would have been served at `t` from the same rows.
//! - The table ([`Panes::of`]), the increment ([`Panes::arrive`], [`Panes::refold`]) and the request
//!   ([`Request::features`], from bytes of [`encode_panes`]) agree to the last bit, whatever the order of arrival.
//! - A pane without rows and a pane that is not there are the same.
//!
//! Late rows: a row that is at most the stated lateness behind the newest event re-folds its pane, and the windows that see
//! the pane are published again. What was served in between was served from an older version of the table. A row that is
//! later still is reported and left out: it must not enter the source, or the whole table is folded anew.
//!
//! Nothing here knows tables or the query engine; columns come in as Arrow arrays.

mod bounds;
mod codec;
mod error;
mod increment;
mod keys;
mod moments;
mod pane;
mod plan;
mod publish;
mod rows;
mod table;

#[cfg(test)]
mod tests;

pub use bounds::Bounds;
pub use codec::{PANES_BYTES_MAX, decode_pane, decode_panes, encode_pane, encode_panes};
pub use error::PaneError;
pub use increment::{Arrival, Touched};
pub use keys::{KeyKind, KeyValue, encode_key};
pub use moments::Moments;
pub use pane::Pane;
pub use plan::{PanePlan, Request};
pub use publish::Published;
pub use rows::{Entity, PassedOver, Rows, TIME_MICROS};
pub use table::Panes;
