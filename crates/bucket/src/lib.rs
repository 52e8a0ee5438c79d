//! Object stores – S3 and what speaks it, Google Cloud Storage, Azure – behind plain functions.
//!
//! This crate alone names `object_store` for artifacts, and says for artifacts and tables which addresses there are. It knows
//! nothing of files, rights or digests. What must stay true:
//! - credentials come from the environment and never from an address;
//! - nothing is held of an object but one part on its way up and two ranges on their way down;
//! - an object appears whole or not at all, which is what stores promise of a put and of a completed upload;
//! - every request ends: connecting, answering and trying again have limits.

mod address;
mod error;
mod open;
mod root;
mod store;

pub use address::{Address, SCHEMES, directory_url};
pub use error::{Error, Kind, Result};
pub use root::Root;
pub use store::{Bucket, ByteStream, Found, Listed, PART_BYTES, Part};
