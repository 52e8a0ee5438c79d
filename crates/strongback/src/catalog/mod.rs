//! The catalog: every named thing is an asset with one owner, and there is one way to ask whether somebody may touch it.
//!
//! Owns assets and their names, principals and their tokens, and lineage. Faces: Unity Catalog REST 2.1 for catalogs
//! and schemas, the command line.
//!
//! What must stay true:
//! - a name is an attribute of an asset, never a key: rename and move change one row;
//! - names are unique among the living, per parent and kind; three-level names compare without case, and are shown as
//!   they were given; what a client created through a flat face comes back byte for byte (`wire_name`);
//! - [`authorize`] stands next to the read or the write that it guards, in the same transaction;
//! - a principal is never an absence: the unauthenticated loopback caller is `local`.
//!
//! Whether something is there is no secret, what is in it is. The rule of every slice, as Unity Catalog has it:
//! - whoever names an asset, or a run or version of one, and may not do what they ask, is told 403 and whose it is, so
//!   that they know whom to ask; 404 is for what is not there. Both are for callers with a credential: the others are
//!   told 401, whatever they name;
//! - lists, searches and suggestions hold what the caller may read. The list of what lies in a catalog or schema is
//!   that also where the caller may not read the catalog itself: they may own something in it;
//! - lineage shows that something stands where the caller may not read it, and neither its name nor its facts.

pub mod asset;
pub mod audit;
pub mod audit_erase;
pub mod authorize;
pub mod bootstrap;
pub mod catalogs;
pub mod lineage;
pub mod metastore;
pub mod names;
pub mod owner;
pub mod principal;
pub mod principals;
pub mod schemas;
pub mod securable;
pub mod store;
pub mod tokens;
pub mod unsupported;

pub use asset::{Asset, Kind};
pub use authorize::{Action, authorize, authorize_admin};

use crate::router::Route;

/// Routes of this slice.
pub fn routes() -> Vec<Route> {
    [
        metastore::routes(),
        catalogs::routes(),
        schemas::routes(),
        owner::routes(),
        principals::routes(),
        tokens::routes(),
        audit::routes(),
        audit_erase::routes(),
    ]
    .concat()
}
