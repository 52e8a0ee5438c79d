//! The command line as a whole: what is shown must work.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::{Cli, exit};
use crate::error::{Code, Error};

/// The words of a shell line: quotes joined, a comment left out.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_open) = (Vec::new(), String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => (quote, is_open) = (Some(letter), true),
            (None, '#') if word.is_empty() && !is_open => break,
            (None, ' ') => {
                if is_open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_open = false;
            }
            _ => word.push(letter),
        }
    }
    if is_open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Every call of the program in a text: lines that begin with it, behind a prompt or not, up to the shell's own signs,
/// and what stands in `$(…)`.
fn calls(text: &str) -> Vec<Vec<String>> {
    text.replace("\\\n", " ")
        .lines()
        .flat_map(|line| {
            let inner = line.split("$(").skip(1).filter_map(|rest| rest.split(')').next());
            std::iter::once(line).chain(inner)
        })
        .map(|line| line.trim().trim_start_matches("$ "))
        .filter(|line| line.starts_with("strongback "))
        .map(|line| {
            words(line)
                .into_iter()
                .take_while(|word| !matches!(word.as_str(), ">" | "<" | "|" | "&" | "&&"))
                .collect()
        })
        .collect()
}

fn check(text: &str, place: &str) -> usize {
    // `…` stands for what the reader knows.
    let calls: Vec<_> = calls(text).into_iter().filter(|call| !call.iter().any(|word| word == "…")).collect();
    for call in &calls {
        if let Err(error) = Cli::try_parse_from(call)
            && !matches!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
            )
        {
            panic!("{place} shows `{}`, which is refused: {error}", call.join(" "));
        }
    }
    calls.len()
}

#[test]
fn every_command_shows_examples_that_work() {
    fn walk(command: &clap::Command, path: &str) {
        let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown_count = check(&shown, path);
        assert!(command.has_subcommands() || shown_count > 0, "{path} shows no example");
        for below in command.get_subcommands() {
            walk(below, &format!("{path} {}", below.get_name()));
        }
    }
    walk(&Cli::command(), "strongback");
    Cli::command().debug_assert();
}

#[test]
fn commands_that_documents_show_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents: Vec<PathBuf> = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    documents.extend(std::fs::read_dir(root.join("docs/guides")).unwrap().map(|entry| entry.unwrap().path()));
    let mut shown = 0;
    for path in documents {
        shown += check(&std::fs::read_to_string(&path).unwrap(), &path.display().to_string());
    }
    assert!(shown > 10, "only {shown} commands were found; has their form changed?");
}

#[test]
fn exit_codes_tell_refusals_from_wrong_calls_and_absent_servers() {
    let code = |error: Error| format!("{:?}", exit::of(&error.into()));
    let expect = |number: u8| format!("{:?}", std::process::ExitCode::from(number));
    assert_eq!(code(Error::invalid("")), expect(2));
    assert_eq!(code(Error::missing("")), expect(3));
    assert_eq!(code(Error::denied("")), expect(3));
    assert_eq!(code(Error::new(Code::InternalError, "")), expect(3));
    assert_eq!(code(Error::unavailable("")), expect(4));
    assert_eq!(format!("{:?}", exit::of(&anyhow::anyhow!("other"))), expect(3));
}
