//! The house stays as it was drawn: slices import downward, statements are known to the test that prepares them, files
//! and functions keep a size that one can live in.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Slices from the ground up. A slice imports only slices before it.
const SLICES: &[&str] = &["events", "catalog", "files", "tracking", "registry", "answers"];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path.strip_prefix(root).unwrap().to_owned(), text));
        }
    }
}

#[test]
fn slices_import_downward_only() {
    for (path, text) in sources() {
        let Some(slice) = path.iter().next().and_then(|part| part.to_str()) else { continue };
        let Some(rank) = SLICES.iter().position(|name| *name == slice) else { continue };
        for upper in &SLICES[rank + 1..] {
            for (at, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let imports = code.contains(&format!("crate::{upper}::"))
                    || code.contains(&format!("crate::{upper};"))
                    || (code.starts_with("    ")
                        && code.trim_start().starts_with(&format!("{upper}::"))
                        && in_crate_use(&text, at));
                assert!(
                    !imports,
                    "{}:{}: {slice} is below {upper} and must not import it",
                    path.display(),
                    at + 1
                );
            }
        }
    }
}

/// Whether a line stands inside `use crate::{ … };`.
fn in_crate_use(text: &str, line: usize) -> bool {
    let before: Vec<&str> = text.lines().take(line).collect();
    let opened = before.iter().rposition(|line| line.starts_with("use crate::{"));
    let closed = before.iter().rposition(|line| line.starts_with("};"));
    opened.is_some_and(|opened| closed.is_none_or(|closed| closed < opened))
}

#[test]
fn every_statement_is_known_to_the_test_that_prepares_it() {
    let defined: usize = sources()
        .iter()
        .map(|(_, text)| {
            let Some(start) = text.lines().position(|line| line.contains("statements! {")) else { return 0 };
            text.lines()
                .skip(start + 1)
                .take_while(|line| *line != "}")
                .filter(|line| is_definition(line))
                .count()
        })
        .sum();
    let known = strongback::db::all_statements().len();
    assert_eq!(defined, known, "statements defined in the sources against those that all_statements() lists");
}

fn is_definition(line: &str) -> bool {
    let line = line.trim_start();
    line.split_once(" = ").is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    })
}

#[test]
fn files_keep_a_size_that_one_can_live_in() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines: split it", path.display());
        assert!(text.starts_with("//!"), "{} does not begin by saying what it is", path.display());
    }
}
