//! Artifact paths as clients send them: relative, `/`-separated, and harmless however often they are decoded.
//!
//! Invariant: an [`ArtifactPath`] put behind a directory never leaves it, on any system that may keep the bytes, and
//! keeps not leaving it when some layer below takes percent signs for an encoding, or cuts names where addresses are cut.
//! It is kept as sent, never decoded: `100%25.txt` stays the name it was.

use std::fmt;

use crate::names::shown;

/// Longest segment, in bytes: what common file systems hold.
pub const SEGMENT_BYTES_MAX: usize = 255;

/// Longest path, in bytes: what object stores hold.
pub const PATH_BYTES_MAX: usize = 1024;

/// Where whoever reads an address takes a part off: a scheme before it, parameters or a query after it.
const CUTS: [char; 3] = [':', ';', '?'];

/// How many layers of percent encoding are looked through; deeper ones are refused unread.
const DECODINGS_MAX: usize = 8;

/// A relative path that is safe to put behind a directory. The root of a listing is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ArtifactPath(String);

/// A refused path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid path '{path}': {problem}")]
pub struct PathError {
    /// The path as an error shows it: shortened, control characters escaped.
    pub path: String,
    /// What was wrong.
    pub problem: PathProblem,
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// The root, where a file is meant.
    #[error("it is empty; name a file")]
    Empty,
    /// `/a`, `//host/a`.
    #[error("it is absolute; send a path relative to the artifact root")]
    Absolute,
    /// `C:`.
    #[error("it starts with a drive letter; send a path relative to the artifact root")]
    DriveLetter,
    /// `a//b`, `a/`.
    #[error("it has an empty segment; separate names by one '/'")]
    EmptySegment,
    /// `.`, `..`, also with spaces around, and between what addresses are cut at: `..;x`, `..?`, `http:..`.
    #[error("it has a segment '.' or '..'; send the path that it means")]
    DotSegment,
    /// `a;` and `a?`, of which clients list `a`.
    #[error("it has a segment that ends with ';' or '?', which clients leave out; rename the file")]
    Cut,
    /// `file:x`, which clients refuse to list.
    #[error("it has a segment that begins with 'file:', which clients take for an address; rename the file")]
    FileScheme,
    /// A backslash.
    #[error("it contains a backslash; separate names by '/'")]
    Backslash,
    /// `#`.
    #[error("it contains '#'; rename the file")]
    Fragment,
    /// NUL and its like.
    #[error("it contains a control character; rename the file")]
    ControlCharacter,
    /// A code point that Unicode keeps from ever standing for a character, among them the last one.
    #[error("it contains U+{:04X}, which stands for no character; rename the file", u32::from(*.0))]
    Noncharacter(char),
    /// Percent encoding of bytes that are no text, such as overlong forms of a dot.
    #[error("its percent encoding is not UTF-8; send the name itself")]
    NotUtf8,
    /// Percent encoding of percent encoding, and so on.
    #[error("it is percent-encoded too many times over; send the name itself")]
    NestedEncoding,
    /// A long segment.
    #[error("a segment exceeds the maximum length of {SEGMENT_BYTES_MAX} bytes; shorten it")]
    SegmentTooLong,
    /// A long path.
    #[error("it exceeds the maximum length of {PATH_BYTES_MAX} bytes; shorten it")]
    TooLong,
}

impl ArtifactPath {
    /// The root of an artifact tree: the empty path.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads the path of a file or directory below the root; the root itself is refused.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        match check(raw) {
            Ok(()) => Ok(Self(raw.to_owned())),
            Err(problem) => Err(PathError { path: shown(raw), problem }),
        }
    }

    /// Reads the path of a directory: the empty path is the root, and one `/` at the end is taken off.
    pub fn parse_directory(raw: &str) -> Result<Self, PathError> {
        match raw {
            "" => Ok(Self::root()),
            _ => Self::parse(raw.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(raw)),
        }
    }

    /// The same of what is looked up: a segment `.`, written as such, means nothing, as in a file system.
    pub fn parse_looked_up(raw: &str) -> Result<Self, PathError> {
        if raw.starts_with('/') || !raw.split('/').any(|segment| segment == ".") {
            return Self::parse_directory(raw);
        }
        let kept: Vec<&str> = raw.split('/').filter(|segment| *segment != ".").collect();
        Self::parse_directory(&kept.join("/"))
    }

    /// The path as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names between the slashes; none for the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// This path with another behind it. Checked anew: two halves can be too long together.
    pub fn join(&self, below: &ArtifactPath) -> Result<ArtifactPath, PathError> {
        match (self.is_root(), below.is_root()) {
            (true, _) => Ok(below.clone()),
            (_, true) => Ok(self.clone()),
            _ => Self::parse(&format!("{}/{}", self.0, below.0)),
        }
    }

    /// The directory that holds this; nothing for the root.
    pub fn parent(&self) -> Option<ArtifactPath> {
        if self.is_root() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(parent, _)| Self(parent.to_owned())))
    }

    /// The last segment; nothing for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Whether this is the prefix or lies below it, by whole segments. Everything is under the root.
    pub fn is_under(&self, prefix: &ArtifactPath) -> bool {
        prefix.is_root()
            || self.0.strip_prefix(&prefix.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The path below the prefix; nothing if it is not under it.
    pub fn relative_to(&self, prefix: &ArtifactPath) -> Option<ArtifactPath> {
        let rest = self.is_under(prefix).then(|| &self.0[prefix.0.len()..])?;
        Some(Self(rest.strip_prefix('/').unwrap_or(rest).to_owned()))
    }
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ArtifactPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Checks the path as sent, then each decoding of it.
fn check(raw: &str) -> Result<(), PathProblem> {
    if raw.len() > PATH_BYTES_MAX {
        return Err(PathProblem::TooLong);
    }
    if raw.split('/').any(|segment| segment.len() > SEGMENT_BYTES_MAX) {
        return Err(PathProblem::SegmentTooLong);
    }
    decodings(raw).try_for_each(|text| check_plain(&text?))?;
    // A listing has single names, and clients read each as a path of its own.
    if raw.split('/').any(|segment| decodings(segment).flatten().any(|text| is_drive_root(&text))) {
        return Err(PathProblem::DriveLetter);
    }
    Ok(())
}

/// The text and each decoding of it, up to the one that is its own.
fn decodings(raw: &str) -> impl Iterator<Item = Result<String, PathProblem>> {
    let mut next = Some(Ok(raw.to_owned()));
    let mut left = DECODINGS_MAX;
    std::iter::from_fn(move || {
        let now = next.take()?;
        next = now.as_ref().ok().and_then(|text| match String::from_utf8(decode_once(text.as_bytes())) {
            Ok(decoded) if decoded == *text => None,
            Ok(_) if left == 0 => Some(Err(PathProblem::NestedEncoding)),
            Ok(decoded) => Some(Ok(decoded)),
            Err(_) => Some(Err(PathProblem::NotUtf8)),
        });
        left = left.saturating_sub(1);
        Some(now)
    })
}

/// Checks a path that is taken at its word.
fn check_plain(path: &str) -> Result<(), PathProblem> {
    if path.is_empty() {
        return Err(PathProblem::Empty);
    }
    if path.chars().any(char::is_control) {
        return Err(PathProblem::ControlCharacter);
    }
    if let Some(none) = path.chars().find(|c| is_noncharacter(*c)) {
        return Err(PathProblem::Noncharacter(none));
    }
    if path.contains('\\') {
        return Err(PathProblem::Backslash);
    }
    if path.contains('#') {
        return Err(PathProblem::Fragment);
    }
    if path.starts_with('/') {
        return Err(PathProblem::Absolute);
    }
    if matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err(PathProblem::DriveLetter);
    }
    path.split('/').try_for_each(check_segment)
}

/// Checks a name between slashes. It must be the same name to whoever reads it as an address, or a part of one: MLflow's clients do, and
/// refuse a whole listing for one name that climbs to them.
fn check_segment(segment: &str) -> Result<(), PathProblem> {
    let name = segment.trim();
    if name.is_empty() {
        return Err(PathProblem::EmptySegment);
    }
    if name.split(CUTS).any(|part| matches!(part.trim(), "." | "..")) {
        return Err(PathProblem::DotSegment);
    }
    if name.ends_with([';', '?']) {
        return Err(PathProblem::Cut);
    }
    if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
        return Err(PathProblem::FileScheme);
    }
    Ok(())
}

/// `C:/`, absolute where there are drives.
fn is_drive_root(text: &str) -> bool {
    matches!(text.trim_start().as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic())
}

/// The last two code points of every plane, and 32 in the middle of the first.
fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c)
}

/// Decodes one layer: `%2e`, and `%u002e` as some servers read it. Anything else stays.
fn decode_once(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if let Some((character, length)) = wide_escape(&text[at..]) {
            decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            at += length;
        } else if let Some((byte, length)) = byte_escape(&text[at..]) {
            decoded.push(byte);
            at += length;
        } else {
            decoded.push(text[at]);
            at += 1;
        }
    }
    decoded
}

/// `%2e`
fn byte_escape(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'%', high, low, ..] => Some((u8::try_from(hex(&[*high, *low])?).ok()?, 3)),
        _ => None,
    }
}

/// `%u002e`
fn wide_escape(text: &[u8]) -> Option<(char, usize)> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] => Some((char::from_u32(hex(digits.get(..4)?)?)?, 6)),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}
