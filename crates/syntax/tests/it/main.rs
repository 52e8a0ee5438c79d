//! Everything that this crate promises, from outside.

mod fixture;
mod like;
mod names;
mod paths;
mod search_errors;
mod search_properties;
mod search_reference;
mod source;
