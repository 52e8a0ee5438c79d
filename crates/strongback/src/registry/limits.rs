//! How much one model or version can have. The errors of these limits name them.

/// Tags of one model or version.
pub(super) const TAGS_MAX: usize = 1_000;
/// Longest value of a tag, in characters.
pub(super) const TAG_VALUE_CHARS: usize = 100_000;
/// Characters of all tags of one model or version together: they are one document, which every search reads.
pub(super) const TAGS_CHARS: usize = 1_000_000;
/// Aliases of one model that are set at a time.
pub(super) const ALIASES_MAX: i64 = 200;
/// Longest description, in characters.
pub(super) const DESCRIPTION_CHARS: usize = 100_000;
/// Longest link to a run, in characters.
pub(super) const LINK_CHARS: usize = 2_048;
