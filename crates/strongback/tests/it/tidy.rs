//! The house stays as it was drawn: slices import downward, statements are known to the test that prepares them, files
//! and functions keep a size that one can live in.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Slices from the ground up. A slice imports only slices before it.
const SLICES: &[&str] = &[
    "events",
    "catalog",
    "files",
    "jobs",
    "tables",
    "tracking",
    "registry",
    "exchange",
    "webhooks",
    "features",
    "serving",
    "promotion",
    "monitoring",
    "answers",
];

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
        let imported = imports(&text);
        for upper in &SLICES[rank + 1..] {
            assert!(
                !imported.iter().any(|name| name == upper),
                "{}: {slice} is below {upper} and must not import it",
                path.display()
            );
        }
    }
}

/// The modules at the top of the crate that a file names: after every `crate::`, be it a path, one name, or a list in
/// braces on one line or on many.
fn imports(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, " "])
        .collect();
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let rest = rest.trim_start();
        match rest.strip_prefix('{') {
            Some(list) => found.extend(heads(list)),
            None => found.push(word(rest)),
        }
    }
    found
}

/// First words of the elements of a list, up to the brace that closes it.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(word(list[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(list[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn every_form_of_an_import_is_seen() {
    let check = |code: &str, names: &[&str]| assert_eq!(imports(code), names, "{code}");
    check("use crate::tracking;", &["tracking"]);
    check("use crate::{tracking, db::{Db, Sql}, registry::models};", &["tracking", "db", "registry"]);
    check(
        "use crate::{\n    bind,\n    db::{self, Sql},\n    registry,\n};\n",
        &["bind", "db", "registry", ""],
    );
    check("let x = crate::answers::overview(sql)?; // crate::ui", &["answers"]);
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut found = Vec::new();
    for place in ["crates", "bench"] {
        collect(&root, &root.join(place), &mut found);
    }
    assert!(found.iter().any(|(path, _)| path.starts_with("crates/syntax")), "the sources were not found");
    for (path, text) in found {
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines: split it", path.display());
        assert!(text.starts_with("//!"), "{} does not begin by saying what it is", path.display());
    }
}
