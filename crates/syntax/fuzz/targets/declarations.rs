//! Declarations of feature tables, gates and monitors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::{features, gates, monitors};

fuzz_target!(|text: &str| {
    match features::file_from_yaml(text) {
        Ok((table, _)) => _ = table.digest(),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match gates::from_yaml(text) {
        Ok(gates) => _ = gates.digest(),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    _ = monitors::from_yaml(text).map_err(|error| error.to_string());
});
