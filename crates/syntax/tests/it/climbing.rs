//! Every way to write `..` that we know of, and an opinion of its own on whether a path climbs, written apart from the crate.

use proptest::prelude::*;
use proptest::sample::select;

/// How often somebody below may decode a path.
const DECODINGS: usize = 12;

/// Writings of one character: plain, percent-encoded in either case and again up to four times, the wide form, and
/// overlong UTF-8.
pub fn writings(c: char, overlong: &[&str]) -> Vec<String> {
    let code = u32::from(c);
    let mut all = vec![c.to_string(), format!("%u{code:04x}"), format!("%U{code:04X}")];
    for layers in 0..4 {
        let percent = format!("%{}", "25".repeat(layers));
        all.extend([format!("{percent}{code:02x}"), format!("{percent}{code:02X}")]);
        all.extend(overlong.iter().map(|bytes| bytes.replace('%', &percent)));
    }
    all
}

/// `..`, each dot written in any way.
pub fn dots() -> impl Strategy<Value = String> {
    let dot = writings('.', &["%c0%ae", "%e0%80%ae", "%f0%80%80%ae", "%C0%2E"]);
    (select(dot.clone()), select(dot)).prop_map(|(one, two)| one + &two)
}

/// `/` or a backslash, written in any way.
pub fn slash() -> impl Strategy<Value = String> {
    let mut slash = writings('/', &["%c0%af", "%e0%80%af", "%f0%80%80%af"]);
    slash.extend(writings('\\', &["%c1%9c"]));
    select(slash)
}

/// What somebody takes off the end of a name, `;` or `?` or `#` and a few letters; in half of the cases nothing.
pub fn cut() -> impl Strategy<Value = String> {
    let marks = [';', '?', '#'].into_iter().flat_map(|mark| writings(mark, &[])).collect::<Vec<_>>();
    prop_oneof![Just(String::new()), (select(marks), "[a-z=;]{0,3}").prop_map(|(mark, rest)| mark + &rest)]
}

/// `../`, `..;x/` and their like.
pub fn climbs() -> impl Strategy<Value = String> {
    (dots(), cut(), slash()).prop_map(|(dots, cut, slash)| dots + &cut + &slash)
}

/// Text in which all that makes a path climb is frequent.
pub fn tails() -> impl Strategy<Value = String> {
    "([a-c/@1]|\\.\\.|\\.\\.;|/|;|\\?|#|\\\\| |%2e|%2E|%252e|%2f|%3b|%3B|%253b|%3f|%23|%5c|%25|%u002e|%c0%ae|\\.){0,12}"
}

/// Whether somebody finds a way up in a path: whoever decodes it up to twelve times, takes a backslash for a slash, and takes off what
/// follows `;`, `?` or `#` in a name.
pub fn leads_up(path: &str) -> bool {
    let mut text = path.to_owned();
    (0..DECODINGS).any(|_| {
        let slashed = text.replace('\\', "/");
        let climbs = slashed.split('/').any(|name| {
            let end = name.find([';', '?', '#']).unwrap_or(name.len());
            matches!(name[..end].trim(), "." | "..")
        });
        text = decoded(&text);
        climbs
    })
}

/// One layer of percent decoding; bytes that are no text are replaced.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits =
            |range| rest.get(range).filter(|some: &&str| some.chars().all(|d| d.is_ascii_hexdigit()));
        let is_wide = rest.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("%u"));
        let wide = digits(2..6).filter(|_| is_wide).and_then(|code| u32::from_str_radix(code, 16).ok());
        if let Some(c) = wide.and_then(char::from_u32) {
            bytes.extend(c.to_string().bytes());
            rest = &rest[6..];
        } else if let Some(code) = digits(1..3).filter(|_| c == '%') {
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &rest[3..];
        } else {
            bytes.extend(c.to_string().bytes());
            rest = &rest[c.len_utf8()..];
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the opinion is worth: it knows the ways up, and holds nothing else for one.
#[test]
fn the_ways_up_are_known() {
    for up in [
        "..",
        "a/../b",
        "..;/x",
        "a/..%3Bx/b",
        "..%253b/x",
        "a\\..\\b",
        "%2e%252e/x",
        "%u002e./x",
        "a/.. ;b",
        "..?",
        "a/..%23b",
    ] {
        assert!(leads_up(up), "{up}");
    }
    for no in ["a;b.txt", "a/..b", "a..;b", ";..", "...", "a/b?c/d", "%zz", "a.%2fb"] {
        assert!(!leads_up(no), "{no}");
    }
}
