//! The one place that writes to the terminal: data to standard output, talk to standard error.
//!
//! What must stay true: what is shown may come from anybody (names, descriptions, messages that quote them), so nothing of it
//! steers the terminal or looks like a line of its own. A reader that has seen enough (`| head`) ends a command in peace, and
//! a closed standard error is no reason to fail.

use std::io::{ErrorKind, IsTerminal, Write};

use serde_json::Value as Json;

/// A value of JSON as a cell: a text is itself, nothing is empty.
pub(super) fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

/// A line of data, to standard output.
pub(super) fn data(line: &str) {
    write_data(&one_line(line));
}

fn write_data(text: &str) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        unwritable(&error);
    }
}

/// Ends the program because nothing more can be written to standard output: in peace if nobody reads any more.
pub(super) fn unwritable(error: &std::io::Error) -> ! {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    talk(&format!("error: standard output cannot be written: {error}"));
    std::process::exit(3);
}

/// A line of talk, to standard error. More lines than one (a place in a text that was wrong) stand indented below the first.
pub(super) fn talk(text: &str) {
    write_talk("", text);
}

fn write_talk(label: &str, text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{label}{}", indented(text));
}

/// The lines of a text, those below the first indented.
fn indented(text: &str) -> String {
    let lines = text.split('\n').map(one_line).enumerate();
    let lines: Vec<String> = lines
        .map(|(at, line)| if at == 0 || line.starts_with("  ") { line } else { format!("  {line}") })
        .collect();
    lines.join("\n")
}

/// An error with its causes.
pub(super) fn error(error: &anyhow::Error) {
    let label = if colours() { "\x1b[1;31merror\x1b[0m: " } else { "error: " };
    match error.downcast_ref::<crate::error::Error>() {
        Some(ours) => {
            write_talk(label, ours.message());
            if let Some(cause) = ours.cause_chain() {
                talk(&format!("  cause: {cause}"));
            }
        }
        None => write_talk(label, &format!("{error:#}")),
    }
}

/// A text with a space in place of everything that steers: control characters, which could move the cursor, colour the screen
/// or begin a new line, and the marks that turn the direction of writing.
fn one_line(text: &str) -> String {
    text.replace(steers, " ")
}

fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows as aligned columns under a heading, to standard output. The last column is not padded.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) {
    let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
    let mut widths: Vec<usize> = heading.iter().map(|title| title.chars().count()).collect();
    for row in &rows {
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
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// A value as JSON, to standard output.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    write_data(&escaped(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// JSON in which what steers is written as escapes. The format asks for that only below U+0020; all else that steers stands
/// in texts, since the layout has only line feeds.
fn escaped(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            letter if steers(letter) && letter != '\n' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "a\x1b[31mb\u{9b}2Jc\x07d\ne\u{202e}f";
        assert_eq!(one_line(hostile), "a [31mb 2Jc d e f");
        assert_eq!(
            indented("bad: 'x\nerror: forged'\n  place\n    ^"),
            "bad: 'x\n  error: forged'\n  place\n    ^"
        );
        let value = serde_json::json!({ "name": hostile });
        let shown = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!shown.contains(|letter| steers(letter) && letter != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
