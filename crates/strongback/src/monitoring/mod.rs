//! Monitoring: windows of what an endpoint served, or of any table, against a baseline; alerts, and what they begin.
//!
//! A *monitor* is an asset beside what it watches and has that name. It is declared in YAML ([`syntax::monitors`]); each
//! declaration is an immutable version. A job ([`jobs`]) reads the rows of complete windows into sketches, derives figures
//! from them, and judges these. Tables lie beside the watched one: `<name>_sketch`, `<name>_drift`, `<name>_labels`.
//!
//! ```text
//! rows ──▶ sketches ──▶ figures ──▶ alerts ──▶ the declared command
//!          (Delta)      (Delta, and the metric series of one run)
//! ```
//!
//! What must stay true:
//! - a figure is computed once and lands twice, in the table and in the series, whatever breaks off in between
//!   ([`compute`]);
//! - sketches are stored and figures derived from them: windows and model versions merge;
//! - a window that is empty or too small says so; nothing is a 0 that means "unknown";
//! - windows are `[start, end)` of event time in UTC; late rows and labels make a further revision, within the lateness
//!   that was stated;
//! - a monitor acts with the rights that who declared it has at that moment, and can name a declared command but never
//!   carry one.
//!
//! | route | who | what |
//! |---|---|---|
//! | `POST /api/1.0/monitors` | who may make something in the schema, or change the monitor | declare, or the next version |
//! | `GET /api/1.0/monitors` | sees its own | list those of a schema |
//! | `GET`, `DELETE …/{full_name}` | who may read it; its owner | one; delete |
//! | `GET …/{full_name}/windows` | who may read it | its windows, newest first |
//! | `POST …/{full_name}/run` | its owner | queue a job |
//! | `GET /api/1.0/alerts`, `GET …/{alert_id}` | who may read the monitor, whose it is | list, one |
//! | `POST …/{alert_id}/acknowledge`, `…/resolve` | who may change the monitor, whose it is | take it up; end it |
//! | `PUT /api/1.0/labels/{full_name}/batches/{batch_id}` | who may change the table of labels | labels land |

pub mod alert;
mod alerts;
mod apply;
pub mod baseline;
mod columns;
mod compared;
mod compute;
mod derive;
mod discard;
mod figure;
mod frame;
mod http;
mod import;
mod jobs;
mod judge;
mod labelled;
mod labels;
mod look;
mod matched;
pub mod monitor;
mod overview;
mod plan;
mod provenance;
mod scan;
mod schedule;
mod series;
mod sketches;
mod span;
mod store;
mod stored;
mod tables;
mod trigger;

use serde::{Deserialize, Serialize};

pub use import::LabelsResponse;
pub use jobs::{KIND, handlers};
pub use overview::{AlertLine, DriftLine, MonitorLine, Overview, overview};
pub use schedule::{keep_watch, look};
pub(crate) use store::STATEMENTS;

use crate::router::Route;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [http::routes(), alerts::routes(), import::routes()].concat()
}

/// What a job of a monitor is to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The monitor: `asset.id`.
    monitor_id: i64,
    /// Only windows within `[from, to)`, microseconds since the epoch, computed again where something has changed since;
    /// whatever is due where it is absent.
    range: Option<(i64, i64)>,
}
