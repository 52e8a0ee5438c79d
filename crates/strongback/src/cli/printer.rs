//! The one place that writes to the terminal.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the printer")]

use std::io::IsTerminal;

/// A line of data, to standard output.
pub(super) fn data(line: &str) {
    println!("{line}");
}

/// A line of talk, to standard error.
pub(super) fn talk(line: &str) {
    eprintln!("{line}");
}

/// An error with its causes.
pub(super) fn error(error: &anyhow::Error) {
    let label = if colours() { "\x1b[1;31merror\x1b[0m" } else { "error" };
    match error.downcast_ref::<crate::error::Error>() {
        Some(ours) => {
            eprintln!("{label}: {}", ours.message());
            if let Some(cause) = ours.cause_chain() {
                eprintln!("  cause: {cause}");
            }
        }
        None => eprintln!("{label}: {error:#}"),
    }
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
