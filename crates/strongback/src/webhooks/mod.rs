//! Webhooks: who is told of what happens to registered models and prompts, as MLflow defines it.
//!
//! ```text
//! event (any slice, in its own transaction) ──cursor──▶ delivery, waiting ──▶ sent ──▶ delivered
//!                                                          ▲                   │
//!                                                          └──── pause ────────┴──▶ failed
//! ```
//!
//! A webhook is a row: an address, the events it wants, and perhaps a secret. A task of the server ([`background`]) consumes the
//! stream of events: what an event tells ([`told`]) becomes a *delivery* for each webhook that wants it ([`consume`]), and those are
//! sent until they arrive or are given up ([`deliver`]). Registry and stream know nothing of it.
//!
//! What must stay true:
//! - a delivery is entered in the transaction in which the cursor moves, so that an event is told once entered exactly once;
//!   it is sent at least once, always with the same id and body;
//! - a webhook is told of what happens while it is there and active, and of nothing before;
//! - requests go only where [`crate::outbound`] lets them go, which is asked when a webhook is made and at every attempt;
//! - a secret is sealed ([`crate::secrets`]), and stands in no answer, no event and no log; an event and a log name an address by its
//!   origin alone;
//! - everything ends: attempts, the time of one, what waits for one webhook, the log;
//! - deliveries and their log are derived from events and leave none; making, changing and deleting a webhook leaves one.
//!
//! | route | who | what |
//! |---|---|---|
//! | `POST`, `GET /api/2.0/mlflow/webhooks` | administrators | make, list |
//! | `GET`, `PATCH`, `DELETE …/{webhook_id}` | administrators | one |
//! | `POST …/{webhook_id}/test` | administrators | send an example |
//! | `GET /api/1.0/webhooks/{webhook_id}/deliveries` | administrators | the log |

mod consume;
mod deliver;
mod log;
mod mlflow;
mod send;
mod store;
mod told;
mod topic;
mod webhook;

pub use consume::consume;
pub use deliver::background;
pub use log::sweep;
pub(crate) use store::STATEMENTS;
pub use topic::Topic;

use crate::router::Route;

/// By what name the stream knows how far this slice has read.
const CONSUMER: &str = "webhooks";

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [mlflow::routes(), log::routes()].concat()
}
