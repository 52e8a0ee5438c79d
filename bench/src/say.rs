//! The one place that prints: results on stdout, talk on stderr.

/// Part of the result.
#[expect(clippy::print_stdout, reason = "the result of a command is what it prints")]
pub fn result(line: &str) {
    println!("{line}");
}

/// What a person wants to know while waiting.
#[expect(clippy::print_stderr, reason = "talk goes beside the result")]
pub fn talk(line: &str) {
    eprintln!("{line}");
}
