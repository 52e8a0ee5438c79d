//! Artifact paths, written and looked up: no panic; what is accepted climbs nowhere and reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::paths::ArtifactPath;

fuzz_target!(|text: &str| {
    let read = [ArtifactPath::parse, ArtifactPath::parse_directory, ArtifactPath::parse_looked_up];
    for path in read.into_iter().flat_map(|read| read(text)) {
        assert!(!path.as_str().starts_with('/') && !path.as_str().contains('\0'));
        assert!(path.segments().all(|segment| !matches!(segment, "" | "." | "..")), "{:?}", path.as_str());
        let has_drive = path.as_str().starts_with(|c: char| c.is_ascii_alphabetic())
            && path.as_str()[1..].starts_with(':');
        assert!(!has_drive && !path.as_str().contains('\\'), "{:?}", path.as_str());
        assert_eq!(ArtifactPath::parse_directory(path.as_str()).ok().as_ref(), Some(&path));
        assert_eq!(ArtifactPath::parse_looked_up(path.as_str()).ok().as_ref(), Some(&path));
        if let Some(parent) = path.parent() {
            assert!(path.is_under(&parent));
            let below = path.relative_to(&parent).expect("a path is below its parent");
            assert_eq!(parent.join(&below).ok(), Some(path));
        }
    }
});
