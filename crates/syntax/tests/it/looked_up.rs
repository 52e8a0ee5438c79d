//! Artifact paths as clients look them up: a segment `.` means nothing, and all else is as strict as a path that is written.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use syntax::paths::{ArtifactPath, PATH_BYTES_MAX, SEGMENT_BYTES_MAX};

use crate::climbing::decoded;
use crate::edits::{edited, edits};

/// What climbs, hides or separates, in the writings that some layer below may undo.
const PIECES: [&str; 33] = [
    "/", "//", "./", "/.", ".", "..", "../", "/..", " ", ". ", "\\", "..\\", "#", "?", ":", "C:", "c:/", "%",
    "%2e", "%2E%2e", "%2f", "%5c", "%252e", "%25", "%00", "%u002e", "%u002f", "%c0%ae", "%ff", "\u{0}", "\n",
    "\u{ffff}", "é",
];

/// Paths that are harmless, and such as are nearly so.
fn nearly_paths() -> impl Strategy<Value = String> {
    let path =
        select(vec!["", "a", "model/MLmodel", "./a/./b/", "a%20b/100%.txt", "größe/日本", "ab:c/...", "."]);
    let pieces = prop::collection::vec(select(PIECES.to_vec()), 0..7).prop_map(|pieces| pieces.concat());
    prop_oneof![
        3 => (path, edits(&PIECES)).prop_map(|(path, edits)| edited(path, &edits)),
        2 => pieces,
        1 => any::<String>(),
    ]
}

/// What holds of a path that was accepted, however often it is decoded.
fn check_harmless(path: &str) -> Result<(), TestCaseError> {
    prop_assert!(
        path.len() <= PATH_BYTES_MAX && path.split('/').all(|segment| segment.len() <= SEGMENT_BYTES_MAX)
    );
    let mut text = path.to_owned();
    for _ in 0..12 {
        prop_assert!(!text.contains(['\\', '#']) && !text.contains(char::is_control), "{text:?}");
        let has_drive = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.get(1..2) == Some(":");
        prop_assert!(!has_drive && !text.starts_with('/'), "{text:?}");
        let mut segments = text.split('/').map(str::trim);
        prop_assert!(
            text.is_empty() || segments.all(|segment| !matches!(segment, "" | "." | "..")),
            "{text:?}"
        );
        text = decoded(&text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_looked_up_stays_below_and_reads_back_as_itself(raw in nearly_paths()) {
        match ArtifactPath::parse_looked_up(&raw) {
            Ok(path) => {
                check_harmless(path.as_str())?;
                prop_assert!(!raw.starts_with('/'), "{raw}");
                prop_assert_eq!(ArtifactPath::parse_looked_up(path.as_str()), Ok(path.clone()));
                prop_assert_eq!(ArtifactPath::parse_directory(path.as_str()), Ok(path.clone()));
                // Nothing is added, and nothing but dots and slashes is left out.
                let plain = |text: &str| text.split('/').filter(|segment| !matches!(*segment, "" | ".")).count();
                prop_assert_eq!(path.segments().count(), plain(&raw));
                prop_assert!(path.segments().all(|segment| raw.split('/').any(|given| given == segment)));
            }
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.starts_with("Invalid path '") && !message.contains(char::is_control), "{message:?}");
                // What may be written is never refused to whom looks for it.
                prop_assert!(ArtifactPath::parse(&raw).is_err() && ArtifactPath::parse_directory(&raw).is_err());
            }
        }
    }

    #[test]
    fn a_dot_more_anywhere_means_the_same(
        segments in prop::collection::vec(select(vec!["a", "b c", "..d", "é", "100%.txt", "a%20"]), 0..5),
        dots in prop::collection::vec(any::<Index>(), 0..4),
        slash: bool,
    ) {
        let meant = segments.join("/");
        let mut dotted = segments;
        for dot in dots {
            dotted.insert(dot.index(dotted.len() + 1), ".");
        }
        let end = if slash && !dotted.is_empty() { "/" } else { "" };
        let path = ArtifactPath::parse_looked_up(&format!("{}{end}", dotted.join("/")));
        prop_assert_eq!(path.as_ref().map(ArtifactPath::as_str), Ok(meant.as_str()));
    }

    #[test]
    fn no_number_of_dots_hides_a_segment_that_climbs(
        before in prop::collection::vec(select(vec!["a", "."]), 0..4),
        climb in select(vec!["..", " ..", "%2e%2e", ".%2E", "%252e.", "%2e", ". ", "%u002e.", "\\", "a%5c..", "..%2fa", "%00", "#", ""]),
        after in prop::collection::vec(select(vec!["a", "."]), 1..4),
    ) {
        let mut segments = before;
        segments.push(climb);
        // An empty segment at an end is a slash there, which is allowed, or an absolute path.
        segments.extend(after.iter().chain(["a"].iter()));
        let raw = segments.join("/");
        prop_assert!(ArtifactPath::parse_looked_up(&raw).is_err(), "{}", raw);
    }
}
