//! Features: tables that are computed from other tables, the newest values by key, and the rows that models are trained on.
//!
//! A *feature table* is a managed table whose rows a job computes from a *source*, by a definition in immutable versions. The
//! same job then publishes the panes behind the rows into an embedded store, where requests look values up ([`Online`]). A
//! *training set* is rows of labels, each with the features that were published by its time: made once, pinned, and made
//! again to the same digest.
//!
//! What must stay true:
//! - table, increment and look-up come from one kernel (`lake::panes`) and agree to the last bit; an increment leaves exactly the
//!   rows that computing everything anew would;
//! - a version of a source lands once in a feature table: the batch id is made of the definition and that version. The
//!   online state is published after the table's commit, says which version it is of, and is derived: lost or damaged, it
//!   is computed again;
//! - nobody but the job writes a feature table's rows;
//! - definitions and training sets name tables by id: renaming one changes neither;
//! - a training set pins the versions that it stands on for as long as it lives, and never changes.
//!
//! | route | who | what |
//! |---|---|---|
//! | `POST /api/1.0/feature-tables` | who may create in the schema, or change the table | declare from YAML, or its next version |
//! | `GET /api/1.0/feature-tables`, `GET …/{full_name}` | who may read it | list, one |
//! | `POST /api/1.0/feature-tables/{full_name}/materialize` | who may change it and read its source | compute |
//! | `POST /api/1.0/training-sets` | who may create in the schema and read all tables | make |
//! | `GET /api/1.0/training-sets`, `GET …/{full_name}`, `GET …/{full_name}/rows` | who may read it | list, one, its rows |
//! | `POST /api/1.0/training-sets/{full_name}/rebuild` | who may read it | make again and compare |
//! | `DELETE /api/1.0/training-sets/{full_name}` | who may delete it | delete and unpin |

mod apply;
mod definition;
mod difference;
mod fold;
mod materialize;
mod online;
mod refresh;
mod show;
mod state;
mod store;
pub mod training_set;

pub use definition::outputs_of;
pub use lake::panes::{KeyKind, KeyValue};
pub use materialize::KIND as MATERIALIZE;
pub use online::{FeatureRef, Lookup, Online, Publication, open};
pub use refresh::background;
pub use state::OnlineStore;
pub(crate) use store::STATEMENTS;

use crate::{jobs::Handler, router::Route};

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [apply::routes(), show::routes(), materialize::routes(), training_set::routes()].concat()
}

/// What does this slice's jobs.
pub fn handlers() -> Vec<Handler> {
    vec![materialize::handler(), training_set::handler()]
}
