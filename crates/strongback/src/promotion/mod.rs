//! Gates: a candidate is judged against the champion on the server, and the alias moves on what was found.
//!
//! A gate run is a job ([`job`]). It settles what it is about in one snapshot ([`subject`]), scores the evaluation rows with
//! both models ([`evaluate`], [`scoring`]), asks the statistics ([`checks`]) and writes one report ([`report`]), which is
//! evidence for [`crate::registry::evidence`].
//!
//! What must stay true:
//! - a job that was told to end leaves no report of what it had found by then;
//! - a job makes at most one report, whose id is the job's; taken up again after a crash it goes on from that report, and so
//!   moves the alias at most once;
//! - the report is stored before anything that shows it (run, metrics, artifacts), and these are made from it alone;
//! - what is missing fails closed: a check that could not be made, and a report in which none was, passes nothing;
//! - the table versions that a report stands on are pinned with it, until it has expired and no move of a living model rests
//!   on it;
//! - only the registry's one function moves the alias, with the rights of whoever asked for the gates.
//!
//! | route | who | what |
//! |---|---|---|
//! | `POST /api/1.0/gate-runs` | who may change the model | queue a gate run |
//! | `GET /api/1.0/gate-reports` | who may read the model | list its reports, newest first |
//! | `GET /api/1.0/gate-reports/{report_id}` | who may read the model | one, whole |
//! | `POST /api/1.0/model/promote` | who may change the model; administrators, to override | move an alias |
//! | `POST /api/1.0/model/rollback` | who may change the model | move it back |

pub mod baseline;
mod checks;
mod columns;
mod evaluate;
mod groups;
mod home;
mod http;
mod job;
mod moves;
mod overview;
mod pins;
mod record;
pub mod report;
mod rows;
pub mod scoring;
mod subject;

pub(crate) use home::STATEMENTS as HOME_STATEMENTS;
pub use http::{GateRunResponse, ReportLine, ReportView};
pub use moves::{PromoteResponse, RollbackResponse};
pub use overview::{CheckLine, GateLine, overview};
pub(crate) use pins::STATEMENTS;
pub use pins::keep_clean;

use crate::{
    db::Sql,
    error::Result,
    jobs::Handlers,
    registry::{
        evidence::{self, Evidence},
        models::Model,
    },
    router::Route,
};

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [http::routes(), moves::routes()].concat()
}

/// Registers what does the jobs of this slice.
pub fn register(handlers: &Handlers) {
    handlers.register(job::handler());
}

/// The newest report of a version of a model, which the caller has authorised.
pub fn latest_report(sql: &mut Sql<'_>, model: &Model, version: i64) -> Result<Option<Evidence>> {
    evidence::latest(sql, model.id, version)
}
