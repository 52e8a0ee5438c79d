//! The payload log: what was served is durable before its answer leaves, and lands in a table of the endpoint's, a row a
//! scored row.
//!
//! | file | what it is |
//! |---|---|
//! | `record` | a request as it is logged, and its bytes |
//! | `values` | a column of inputs, as bytes and back |
//! | `names` | the columns of a payload table |
//! | `log` | the log of this node: opening it, appending, what is in it |
//! | `index` | where in the log the requests of a moment are, and how many of which endpoint |
//! | `drain` | from segments into tables, each batch once |
//! | `target` | the table that an endpoint's rows go to |
//! | `find` | a request by its id, in the log or in a table |
//! | `figures` | served = logged; logged = drained + waiting |
//! | `task` | when the log is drained |
//!
//! What must stay true:
//! - a request is answered only once its record is durable in the mode that was chosen, and such a record becomes its rows
//!   exactly once: a segment of the log is one batch, whose id `<node>-<first>-<last>` stands on the disk before anything of
//!   it lands, and the segment goes only after all of it landed;
//! - the log is this node's own, as its id is (`payload/node`): another node's waiting records are not found here;
//! - a log without records has no file, and starting the server waits for none;
//! - what a record means stands in the metadata store before the first record that needs it (`payload_schema`);
//! - rows go where the endpoint's table is, whatever it is called by now; records of an endpoint that was deleted land too,
//!   and are given up, counted, only where table and schema are gone.

mod drain;
mod figures;
mod find;
mod index;
mod log;
mod names;
mod record;
mod rows;
mod store;
mod target;
mod task;
mod values;

pub use figures::{Figures, figures};
pub use find::{Found, PayloadRow, find};
pub use log::PayloadLog;
pub use names::LoggedInput;
pub(crate) use names::{FEATURE_VERSIONS, SERVED_AT, columns_of, values_of};
pub use record::{FeatureVersion, LookedUp, Record};
pub use rows::FromTable;
pub(crate) use store::STATEMENTS;
pub use target::{
    EndpointRef, Recorded, Recorder, record_lineage, recorded, recorded_by, recorded_table, recorder,
};
pub use task::{background, flush, flush_of, join_files};
