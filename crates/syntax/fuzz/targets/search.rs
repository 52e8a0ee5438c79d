//! Filters and orders of every grammar: no panic, and what parses is printed and parsed to the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::search::{Expr, Grammar, Span, parse_filter, parse_order_by, parse_order_field};

/// The tree without its spans.
fn bare(mut filter: Expr) -> Expr {
    for comparison in filter.comparisons_mut() {
        comparison.span = Span::default();
    }
    filter
}

fuzz_target!(|text: &str| {
    for grammar in Grammar::ALL {
        match parse_filter(grammar, text) {
            Ok(filter) => {
                let printed = filter.to_filter(grammar);
                let again = parse_filter(grammar, &printed).map(bare);
                assert_eq!(again, Ok(bare(filter)), "{grammar:?}: {printed}");
            }
            Err(error) => {
                assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                assert!(!error.to_string().is_empty());
            }
        }
        let order = [text.to_owned()];
        _ = parse_order_by(grammar, &order).map_err(|error| error.to_string());
        _ = parse_order_field(grammar, text, true).map_err(|error| error.to_string());
    }
});
