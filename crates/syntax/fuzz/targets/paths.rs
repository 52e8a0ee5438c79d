//! Artifact paths: no panic; what is accepted climbs nowhere and reads back as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syntax::paths::ArtifactPath;

fuzz_target!(|text: &str| {
    for path in [ArtifactPath::parse(text), ArtifactPath::parse_directory(text)].into_iter().flatten() {
        assert!(!path.as_str().starts_with('/') && !path.as_str().contains('\0'));
        assert!(path.segments().all(|segment| !matches!(segment, "" | "." | "..")), "{:?}", path.as_str());
        assert_eq!(ArtifactPath::parse_directory(path.as_str()).ok().as_ref(), Some(&path));
        if let Some(parent) = path.parent() {
            assert!(path.is_under(&parent));
            let below = path.relative_to(&parent).expect("a path is below its parent");
            assert_eq!(parent.join(&below).ok(), Some(path));
        }
    }
});
