//! Processes that are this test binary once more, and do one thing.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// Says which body a process is to run.
const BODY: &str = "JOURNAL_TEST_BODY";
/// Its directory.
const FOLDER: &str = "JOURNAL_TEST_FOLDER";

/// The body of such a process; nothing when the tests are run.
#[test]
fn the_process() {
    let Ok(body) = std::env::var(BODY) else { return };
    let folder = std::env::var(FOLDER).unwrap();
    match body.as_str() {
        "kill" => super::kill::body(Path::new(&folder)),
        "full" => super::full::body(Path::new(&folder)),
        other => panic!("no such body: {other}"),
    }
}

/// Starts one. `before` is what its shell does first.
pub(super) fn start(body: &str, folder: &Path, before: &str) -> Child {
    let me = std::env::current_exe().unwrap();
    Command::new("/bin/sh")
        .args(["-c", &format!("{before} exec \"$0\" --exact child::the_process --nocapture")])
        .arg(me)
        .env(BODY, body)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
