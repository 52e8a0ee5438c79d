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
//! - a version of a source lands once in a feature table, and once more each time that somebody asks for all of it: the batch id is
//!   made of the definition, that version and who asked. The online state is published after the table's commit, says which
//!   version it is of, and is derived: lost or damaged, just what is published is computed again;
//! - a computation is bounded in time and memory, ends when it is told to, and holds up no other table for longer than it runs;
//! - what is served goes on with the definition that it was trained on, whatever is declared since: that stays online and is
//!   brought as far as its source, or why it is not is said ([`uphold`]);
//! - nobody but the job writes a feature table's rows;
//! - definitions and training sets name tables by id: renaming one changes neither;
//! - a training set pins the versions that it stands on for as long as it lives, and never changes. It and a table never share a
//!   name.
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
mod uphold;
mod work;

pub(crate) use definition::KEEPER;
pub use lake::panes::{KeyKind, KeyValue};
pub use materialize::KIND as MATERIALIZE;
pub use online::{FeatureRef, Online, Publication, choose, open};
pub use refresh::background;
pub use state::OnlineStore;
pub(crate) use store::STATEMENTS;
pub use uphold::{Standing, hold, standing, when_online};

use crate::{bind, db::Sql, error::Result, jobs::Handler, router::Route};

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [apply::routes(), show::routes(), materialize::routes(), training_set::routes()].concat()
}

/// What does this slice's jobs.
pub fn handlers() -> Vec<Handler> {
    vec![materialize::handler(), training_set::handler()]
}

/// The first version of a table that has the rows of this one and can be read still: itself, or one that came of it by joining
/// files; `None` where a vacuum took them all. It authorises nothing.
fn readable_as(sql: &mut Sql<'_>, table: i64, version: u64) -> Result<Option<u64>> {
    let found: Option<i64> =
        sql.one(&store::VERSION_READABLE_AS, bind![table, version as i64], |row| row.get(0))?;
    Ok(found.map(|version| version as u64))
}
