//! The one place that writes to the terminal.
//!
//! Whoever reads the data may stop early, as `head` does: that ends the command quietly. Data that cannot be written for
//! any other reason is an error.
#![expect(clippy::print_stderr, reason = "this is the printer")]

use std::io::{ErrorKind, IsTerminal, Write};

/// A line of data, to standard output.
pub(super) fn data(line: &str) {
    let code = match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => return,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => {
            talk(&format!("error: standard output cannot be written: {error}"));
            1
        }
    };
    std::process::exit(code);
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

/// Rows as aligned columns under a heading, to standard output. The last column is not padded.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = heading.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (at, (cell, width)) in cells.zip(&widths).enumerate() {
            out.push_str(cell);
            if at + 1 < widths.len() {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
            }
        }
        data(out.trim_end());
    };
    line(&mut heading.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// A value as JSON, to standard output.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    data(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Milliseconds since the epoch as UTC, to the second.
pub(crate) fn time(ms: i64) -> String {
    let (days, seconds) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    // Civil date from days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(time(1_795_494_000_095), "2026-11-24 04:20:00");
        assert_eq!(time(-1), "1969-12-31 23:59:59");
    }
}
