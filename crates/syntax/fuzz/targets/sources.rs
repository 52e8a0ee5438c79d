//! Sources of model versions and locations of artifacts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::source::{self, SourceUri};

fuzz_target!(|text: &str| {
    _ = SourceUri::parse(text).map_err(|error| error.to_string());
    _ = source::check_artifact_location(text).map_err(|error| error.to_string());
});
