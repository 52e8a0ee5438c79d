//! The `Range` header: one range of bytes.

use std::ops::Range;

/// What a client wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// A part that is there; never empty.
    Part(Range<u64>),
    /// A part that lies behind its end.
    Nothing,
}

/// Reads the header for a file of `size` bytes. What is no single range of bytes asks for the whole, as RFC 9110 lets a
/// server answer it.
pub(super) fn parse(header: Option<&str>, size: u64) -> Wanted {
    let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part(size.saturating_sub(count)..size),
            None => Wanted::Whole,
        };
    }
    let end = match (last.is_empty(), number(last)) {
        (true, _) => size,
        (false, Some(last)) => last.saturating_add(1).min(size),
        (false, None) => return Wanted::Whole,
    };
    match number(first) {
        Some(start) if start >= size => Wanted::Nothing,
        // The last byte before the first: no range at all.
        Some(start) if start >= end => Wanted::Whole,
        Some(start) => Wanted::Part(start..end),
        None => Wanted::Whole,
    }
}

/// Digits only: a sign or a space is no number here. What does not fit is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let part = |range: Range<u64>| Wanted::Part(range);
        for (header, expected) in [
            ("bytes=2-5", part(2..6)),
            ("bytes=7-", part(7..10)),
            ("bytes=-3", part(7..10)),
            ("bytes=-30", part(0..10)),
            ("bytes=0-0", part(0..1)),
            ("bytes=5-100", part(5..10)),
            ("bytes=0-99999999999999999999999", part(0..10)),
            (" bytes=2-5 ", part(2..6)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), expected, "{header}");
        }
        assert_eq!(parse(None, 10), Wanted::Whole);
    }

    #[test]
    fn an_empty_file_has_no_part() {
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Nothing);
        assert_eq!(parse(Some("bytes=-5"), 0), Wanted::Nothing);
    }
}
