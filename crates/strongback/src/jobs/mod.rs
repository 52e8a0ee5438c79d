//! Jobs: work that goes on beside the requests, and the commands that somebody declared for it.
//!
//! A *job* is a row: a kind, a payload, on whose behalf, and how far it is. Kinds that the server knows ([`Handler`]) are
//! worked off by its own worker ([`work`]); the kind `command` is worked off by `strongback runner`, a process of its own
//! that leases jobs by REST, because the server runs no user code. Other slices queue a job in the transaction that makes
//! it necessary ([`enqueue`]) and register what does it.
//!
//! ```text
//! queued ──lease──▶ running ──┬─▶ succeeded
//!    ▲                │       ├─▶ failed      (an error that a repetition does not mend, or attempts used up)
//!    └──── retry ─────┘       └─▶ cancelled
//! ```
//!
//! What must stay true:
//! - a kind and an idempotency key name one job: queueing it again answers the same one, until it is forgotten;
//! - a running job has one holder. Each lease has a greater *fencing token* than those before, and what is written with an
//!   older one (an outcome, a log, an effect by [`JobCtx::write`]) is refused: a holder that was thought dead and is not
//!   changes nothing;
//! - a job acts as its run-as principal with the rights that this has then: they are looked up at every step and copied
//!   nowhere. A job whose principal is gone or has lost the right that it was queued with is not begun;
//! - everything ends: a job has a budget over all its attempts, a number of attempts and a log of bounded size; a principal,
//!   and the server, have a number of jobs that may wait; what ended is forgotten after some days;
//! - a job that changes its state leaves one event. How far it is, its lease and its log are derived and leave none. What a
//!   handler writes as the job carries the job's id as its request id;
//! - what is run by a `command` job is a version of a command, which an administrator declared and which never changes.
//!   A request that runs it brings the values of declared parameters and nothing else.
//!
//! Running a command asks for [`Action::Execute`](crate::catalog::Action::Execute) on it, the owner's right like `Edit`, and
//! neither `Read` nor `Create`: whoever runs it spends the machine of a runner, and in the default schema everybody may
//! read and create. To let a team run one, give it to their group.
//!
//! | route | who | what |
//! |---|---|---|
//! | `GET /api/1.0/jobs` | sees its own | list, newest first |
//! | `GET /api/1.0/jobs/{job_id}` | who queued it, whom it runs as, who may read its asset | one, also after a wait for its end |
//! | `GET /api/1.0/jobs/{job_id}/log` | the same | what it wrote |
//! | `POST /api/1.0/jobs/{job_id}/cancel` | who queued it, whom it runs as, who may change its asset | ends it |
//! | `POST /api/1.0/commands` | administrators | declare a command, or its next version |
//! | `GET /api/1.0/commands`, `GET …/{full_name}` | who may read it | list, one |
//! | `DELETE /api/1.0/commands/{full_name}` | administrators | delete |
//! | `POST /api/1.0/commands/{full_name}/run` | who may execute it | queue a job |
//! | `POST /api/1.0/runner/lease` | runners | take a job |
//! | `POST /api/1.0/runner/jobs/{job_id}/heartbeat` | its holder | keep the lease, send figures and log |
//! | `POST /api/1.0/runner/jobs/{job_id}/end` | its holder | the outcome |

pub mod commands;
mod context;
mod http;
mod job;
mod keep;
mod lease;
mod log;
mod meter;
mod outcome;
mod queue;
mod registry;
pub mod runner;
mod store;
mod supervise;
mod wire;
mod worker;

pub use context::JobCtx;
pub use http::info;
pub use job::{Budget, Cost, Failure, Job, JobId, Progress, State};
pub use keep::{keep_clean, recover, sweep};
pub use log::BYTES_MAX as LOG_BYTES_MAX;
pub use queue::{NewJob, Queued, cancel, enqueue, find, get, join_or_enqueue, under_key, wait};
pub use registry::{Handler, Handlers};
pub(crate) use store::STATEMENTS;
pub use wire::JobInfo;
pub use worker::work;

use crate::router::Route;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [http::routes(), commands::routes(), runner::routes()].concat()
}
