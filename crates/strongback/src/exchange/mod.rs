//! What comes from MLflow's stores and goes back to them: experiments, runs, logged models, registered models, their versions, aliases
//! and files, in whole.
//!
//! ```text
//! a store ──read──▶ items ──plan──▶ which ids are free, known, taken ──take──▶ here ──check──▶ digests of what is here
//!                                                                              here ──give──▶ items ──write──▶ a store
//! ```
//!
//! The reading and writing of foreign stores is the command line's (`cli::exchange`), which speaks to a server by these routes like
//! everybody. An item of a kind belongs to the slice whose entity it is (`carried` in `tracking` and `registry`); here is what holds
//! for all of them: what is known of a *source*, by its label.
//!
//! What must stay true:
//! - an item keeps its id, or the id that it was mapped to the first time, for good: the mapping is kept (`import_item`);
//! - an item is known by the digest of its content, so that what came already is passed over, and what is broken off goes on;
//! - what is here from elsewhere is never changed: the item is refused by name;
//! - one request is one transaction and leaves one event; an item that cannot be kept is named and holds up no other;
//! - it is for administrators: whoever takes writes a past, and whoever gives reads everything.
//!
//! | route | what |
//! |---|---|
//! | `POST /api/1.0/exchange/plan` | which items of a source are known, and which ids others have |
//! | `POST /api/1.0/exchange/known` | what came from a source so far |
//! | `POST /api/1.0/exchange/take` | items, to be kept |
//! | `POST /api/1.0/exchange/check` | digests of what is kept |
//! | `POST /api/1.0/exchange/give` | items, a page at a time |
//! | `POST /api/1.0/exchange/files` | paths, sizes and SHA-256 of files |
//! | `PUT /api/1.0/exchange/files/{kind}/{id}/{*path}` | a file, also of what was deleted |

mod check;
mod files;
mod give;
mod kind;
mod known;
mod plan;
mod store;
mod take;

pub use check::{CheckRequest, CheckResponse, Checked};
pub use files::{FilesOf, FilesRequest, FilesResponse, StoredFile};
pub use give::{GiveRequest, GiveResponse, GivenVersion};
pub use kind::{ItemKind, digest};
pub use known::{KnownItem, KnownRequest, KnownResponse};
pub use plan::{Here, PlanItem, PlanRequest, PlanResponse, State};
pub(crate) use store::STATEMENTS;
pub use take::{AliasesEntry, Counts, Entry, Refused, RunEntry, TakeRequest, TakeResponse, VersionEntry};

use crate::{
    error::{Error, Result},
    router::Route,
    tracking::limits,
};

/// Longest label of a source, in characters.
const SOURCE_CHARS: usize = 500;

/// Longest id of an item, in characters: of a version its model's name and its number.
const ID_CHARS: usize = 600;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [plan::routes(), known::routes(), take::routes(), check::routes(), give::routes(), files::routes()]
        .concat()
}

/// Checks the label of a source.
fn checked_source(source: &str) -> Result<&str> {
    if source.trim().is_empty() {
        return Err(Error::required("source"));
    }
    limits::text("source", source, SOURCE_CHARS)
}
