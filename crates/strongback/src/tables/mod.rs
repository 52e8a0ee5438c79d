//! Tables: data that lands here governed, version by version, and what is declared of data that lives elsewhere.
//!
//! A *managed* table is a Delta table that this server keeps, in a directory named by an id; every commit to it is a
//! version that stands in the metadata store too. A *declared* table lives elsewhere, and is here so that lineage and
//! owners can name it; nothing is read from it.
//!
//! What must stay true:
//! - a version is readable by its number once it stands in the metadata store, and not before: commit and row are one
//!   operation, which is finished or reverted after a crash (`land`);
//! - a batch lands exactly once: its id is unique in its table, and whoever sends it again gets the first answer
//!   ([`batches`]);
//! - rows that another slice makes ([`inside`]) are written by nobody else;
//! - no version that somebody pinned loses a file ([`upkeep`]);
//! - whoever reads a table by SQL may read that table: names are resolved and authorised before the engine sees the
//!   statement, and the engine sees nothing else ([`sql`]);
//! - renaming, moving and giving away a table changes one row and no file.
//!
//! | route | |
//! |---|---|
//! | `/api/2.1/unity-catalog/tables…` | Unity Catalog's tables: declare, make, list, get, change, delete |
//! | `GET /api/1.0/tables/{full_name}` | all that is known of a table |
//! | `PUT /api/1.0/tables/{full_name}/batches/{batch_id}` | rows land: a file of CSV, JSON lines, Parquet or Arrow |
//! | `GET /api/1.0/tables/{full_name}/versions` | the versions, who made them, who pinned them |
//! | `POST …/pins`, `POST …/unpin` | keep a version, or no longer |
//! | `POST …/vacuum`, `POST …/compact` | remove what only old versions need; join small files |
//! | `POST /api/1.0/sql` | a query |

pub mod append;
pub mod batches;
mod column;
mod hold;
pub mod inside;
mod land;
pub mod managed;
mod operations;
mod pins;
mod recover;
pub mod rows;
mod spool;
pub mod sql;
mod store;
mod unity;
pub mod upkeep;
pub mod versions;
pub mod widen;
pub mod written;

pub use column::Column;
pub use hold::Holds;
pub use land::{NewEmpty, create_kept};
pub use pins::{Pin, pin_in_tx, unpin_all_in_tx, unpin_in_tx};
pub use recover::{keep_settled, recover, settle_imports};
pub use spool::Spool;
pub(crate) use store::STATEMENTS;

use crate::{error::Error, router::Route};

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [unity::routes(), batches::routes(), versions::routes(), pins::routes(), upkeep::routes(), sql::routes()]
        .concat()
}

impl From<lake::Error> for Error {
    fn from(error: lake::Error) -> Self {
        use crate::error::Code;
        use lake::Kind;
        let code = match error.kind() {
            Kind::Missing => Code::ResourceDoesNotExist,
            Kind::Conflict => Code::ResourceConflict,
            // Of a limit, another try would need as much.
            Kind::Invalid | Kind::Limit => Code::InvalidParameterValue,
            Kind::Time => Code::DeadlineExceeded,
            Kind::Unavailable | Kind::Cancelled => Code::TemporarilyUnavailable,
            Kind::Internal => return Self::internal(error),
        };
        Self::new(code, error.message().to_owned()).because(error)
    }
}
