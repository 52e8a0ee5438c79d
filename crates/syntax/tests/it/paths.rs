//! Artifact paths: what passes, what is refused and why, and every way to write `../` that we know of.

use proptest::prelude::*;
use syntax::paths::{ArtifactPath, PathProblem};

use crate::climbing::{climbs, decoded, leads_up, tails};

fn refused(raw: &str, problem: PathProblem) {
    let error = ArtifactPath::parse(raw).expect_err(raw);
    assert_eq!(error.problem, problem, "{raw:?}");
    assert!(error.to_string().starts_with("Invalid path '"), "{error}");
}

#[test]
fn ordinary_paths_pass_as_they_are() {
    for raw in [
        "model",
        "model/MLmodel",
        "a b/c.txt",
        "größe/日本.txt",
        "100%.txt",
        "100%25.txt",
        "a%20b",
        "date=2020-01-01%2000%3A00/part.parquet",
        "key=a%2Fb/x",
        "...",
        "..a",
        "a..b/c..",
        ".hidden",
        "ab:c",
        "%zz",
        "%",
        "%2",
        "\u{fdcf}\u{fdf0}\u{fffd}\u{10fffd}",
        "a?b",
        "a+b@c~d&e=f",
        "a;b.txt",
        "..a;b/;c",
        "a/C:/x",
        "a/file",
        "a/x:file",
        "a%3Bb",
    ] {
        assert_eq!(ArtifactPath::parse(raw).map(|path| path.to_string()), Ok(raw.to_owned()));
    }
}

#[test]
fn dangerous_paths_are_refused() {
    use PathProblem as P;
    for (raw, problem) in [
        ("", P::Empty),
        ("..", P::DotSegment),
        (".", P::DotSegment),
        ("a/../b", P::DotSegment),
        ("a/.", P::DotSegment),
        ("a/.. /b", P::DotSegment),
        ("/etc/passwd", P::Absolute),
        ("//host/share", P::Absolute),
        ("a//b", P::EmptySegment),
        ("a/", P::EmptySegment),
        ("a/ /b", P::EmptySegment),
        ("C:/x", P::DriveLetter),
        ("c:x", P::DriveLetter),
        ("a\\b", P::Backslash),
        ("..\\..", P::Backslash),
        ("a#b", P::Fragment),
        ("a\0b", P::ControlCharacter),
        ("a\nb", P::ControlCharacter),
        ("a\u{7f}", P::ControlCharacter),
        ("a\u{85}", P::ControlCharacter),
        ("a\u{10ffff}", P::Noncharacter('\u{10ffff}')),
        ("\u{fffe}/a", P::Noncharacter('\u{fffe}')),
        ("a/\u{fdd0}", P::Noncharacter('\u{fdd0}')),
        ("\u{5ffff}", P::Noncharacter('\u{5ffff}')),
        ("%f4%8f%bf%bf", P::Noncharacter('\u{10ffff}')),
        ("%uffff", P::Noncharacter('\u{ffff}')),
        ("%2e%2e/a", P::DotSegment),
        ("%252e%252e/a", P::DotSegment),
        ("%25252e%25252e%25252fa", P::DotSegment),
        (".%2e/a", P::DotSegment),
        ("%2e%252e/a", P::DotSegment),
        ("%u002e%u002e/a", P::DotSegment),
        ("a%2f..%2fb", P::DotSegment),
        ("%2fetc", P::Absolute),
        ("a%2f/b", P::EmptySegment),
        ("a%5cb", P::Backslash),
        ("a%u005cb", P::Backslash),
        ("a%23b", P::Fragment),
        ("a%00b", P::ControlCharacter),
        ("a%2500", P::ControlCharacter),
        ("a%0d%0ab", P::ControlCharacter),
        ("c%3a/x", P::DriveLetter),
        ("%43%3a/x", P::DriveLetter),
        ("%c0%ae%c0%ae/a", P::NotUtf8),
        ("%e0%80%ae/a", P::NotUtf8),
        ("%f0%80%80%ae", P::NotUtf8),
        ("%c0%af", P::NotUtf8),
        ("%ff", P::NotUtf8),
        ("%ed%a0%80", P::NotUtf8),
    ] {
        refused(raw, problem);
    }
    let nested = format!("%{}41", "25".repeat(9));
    refused(&nested, P::NestedEncoding);
    assert!(ArtifactPath::parse(&format!("%{}41", "25".repeat(5))).is_ok());
}

/// Who reads a name as an address takes off what follows `;` or `?`, or what a colon ends.
#[test]
fn names_that_are_others_to_who_reads_addresses_are_refused() {
    use PathProblem as P;
    for (raw, problem) in [
        ("..;", P::DotSegment),
        ("..;/x", P::DotSegment),
        ("a/..;b=c;d/x", P::DotSegment),
        ("a/.;/x", P::DotSegment),
        ("a/.. ;b", P::DotSegment),
        ("..%3B/x", P::DotSegment),
        ("..%3b/x", P::DotSegment),
        ("%2e%2e%3B/x", P::DotSegment),
        ("%252e.%253B/x", P::DotSegment),
        ("..%u003b/x", P::DotSegment),
        ("a/..?", P::DotSegment),
        ("a/..%3fb", P::DotSegment),
        ("a/http:..", P::DotSegment),
        ("a/http%3a..%3bx", P::DotSegment),
        ("a;", P::Cut),
        ("a;/b", P::Cut),
        ("a/b%3B", P::Cut),
        ("a/?", P::Cut),
        ("file:x", P::FileScheme),
        ("a/FILE:x", P::FileScheme),
        ("a/file%253ax", P::FileScheme),
        ("a/C%3a%2fx", P::DriveLetter),
    ] {
        refused(raw, problem);
    }
}

#[test]
fn lengths_are_limited_in_bytes() {
    let segment = "é".repeat(127);
    assert!(ArtifactPath::parse(&format!("{segment}a")).is_ok());
    refused(&format!("{segment}ab"), PathProblem::SegmentTooLong);
    let path = ["x".repeat(255), "x".repeat(255), "x".repeat(255), "x".repeat(255)].join("/");
    assert_eq!(path.len(), 1023);
    assert!(ArtifactPath::parse(&path).is_ok());
    refused(&format!("{path}/x"), PathProblem::TooLong);
    let half = ArtifactPath::parse(&path[..511]).unwrap();
    assert!(half.join(&half).is_ok());
    assert_eq!(half.join(&ArtifactPath::parse(&path).unwrap()).unwrap_err().problem, PathProblem::TooLong);
}

#[test]
fn directories_may_be_the_root() {
    assert_eq!(ArtifactPath::parse_directory(""), Ok(ArtifactPath::root()));
    assert_eq!(ArtifactPath::parse_directory("a/b/").map(|path| path.to_string()), Ok("a/b".to_owned()));
    for bad in ["/", "//", "a//", "../", "%2e%2e/", ".", "a/%2f"] {
        assert!(ArtifactPath::parse_directory(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_dot_means_nothing_where_one_looks() {
    for (raw, meant) in [
        (".", ""),
        ("./", ""),
        ("./.", ""),
        ("./a", "a"),
        ("a/.", "a"),
        ("a/./b", "a/b"),
        ("a/b/", "a/b"),
        ("", ""),
    ] {
        assert_eq!(ArtifactPath::parse_looked_up(raw).unwrap().as_str(), meant, "{raw:?}");
    }
    for bad in ["..", "./..", "a/./../b", "%2e", "a/%2e/b", ". ", "a/ ./b", "/.", "a//./b", "./c:/x"] {
        assert!(ArtifactPath::parse_looked_up(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn paths_are_walked_by_whole_segments() {
    let path = |raw: &str| ArtifactPath::parse_directory(raw).unwrap();
    let (root, model, file) = (ArtifactPath::root(), path("model"), path("model/data/x.bin"));
    assert_eq!(file.file_name(), Some("x.bin"));
    assert_eq!(file.parent(), Some(path("model/data")));
    assert_eq!(model.parent(), Some(root.clone()));
    assert_eq!(root.parent(), None);
    assert_eq!(root.file_name(), None);
    assert_eq!(file.segments().collect::<Vec<_>>(), ["model", "data", "x.bin"]);
    assert_eq!(root.segments().count(), 0);
    assert!(file.is_under(&model) && file.is_under(&root) && model.is_under(&model));
    assert!(!model.is_under(&file) && !path("models/x").is_under(&model) && !root.is_under(&model));
    assert_eq!(file.relative_to(&model), Some(path("data/x.bin")));
    assert_eq!(model.relative_to(&model), Some(root.clone()));
    assert_eq!(path("models").relative_to(&model), None);
    assert_eq!(root.join(&model), Ok(model.clone()));
    assert_eq!(model.join(&root), Ok(model.clone()));
    assert_eq!(model.join(&path("data/x.bin")), Ok(file));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_writing_of_climbing_is_refused(before in "([a-z]{1,3}/){0,3}", climb in climbs(), after in "[a-z]{1,5}") {
        let raw = format!("{before}{climb}{after}");
        prop_assert!(ArtifactPath::parse(&raw).is_err(), "{raw}");
        let directory = format!("{before}{climb}");
        prop_assert!(ArtifactPath::parse_directory(&directory).is_err(), "{directory}");
    }

    #[test]
    fn what_passes_stays_below(raw in prop_oneof![tails(), "([a-z.%/:;?#\\\\ 25ef0cCu3bB]|%2e|%2f|%25|%3[Bf]|%00|\\.\\./|\\.\\.;){1,14}"]) {
        if let Ok(path) = ArtifactPath::parse(&raw) {
            prop_assert_eq!(path.as_str(), &raw);
            prop_assert!(!leads_up(&raw), "{raw}");
            // Decoded as often as anybody may, it still goes nowhere but down.
            let mut text = raw.clone();
            for _ in 0..12 {
                prop_assert!(!text.starts_with('/') && !text.contains(['\\', '\0', '#']), "{text}");
                prop_assert!(text.split('/').all(|segment| !segment.is_empty()), "{text}");
                text = decoded(&text);
            }
        }
    }

    #[test]
    fn joining_and_parting_are_inverse(one in "[a-z]{1,4}(/[a-z]{1,4}){0,3}", two in "[a-z]{1,4}(/[a-z]{1,4}){0,3}") {
        let (one, two) = (ArtifactPath::parse(&one).unwrap(), ArtifactPath::parse(&two).unwrap());
        let joined = one.join(&two).unwrap();
        prop_assert!(joined.is_under(&one));
        prop_assert_eq!(joined.relative_to(&one), Some(two.clone()));
        prop_assert_eq!(joined.file_name(), two.file_name());
        let name = ArtifactPath::parse(joined.file_name().unwrap()).unwrap();
        prop_assert_eq!(joined.parent().unwrap().join(&name), Ok(joined.clone()));
    }

    #[test]
    fn arbitrary_text_never_panics(raw in any::<String>()) {
        if let Err(error) = ArtifactPath::parse(&raw) {
            prop_assert!(!error.to_string().contains('\0'));
        }
    }
}
