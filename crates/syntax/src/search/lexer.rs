//! Characters to tokens. Never fails: what no grammar knows becomes a token that the parser refuses in its place.

use std::borrow::Cow;

use super::TOKENS_MAX;
use super::ast::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, digits, `_` and dots, not starting like a number: keywords, attributes, `metrics.auc`, `tags.`, `.key`.
    Word,
    /// Starts like a number; [`super::grammar::read_number`] says whether it is one.
    Number,
    /// Text between quotes, by which quote; `text` is what stands inside.
    Quoted(char),
    /// A run of `= ! < > ~`.
    Comparator,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// A quote that is never closed, with the rest of the source.
    Unterminated,
    /// Any other single character.
    Unknown,
}

/// A token and where it stood.
#[derive(Debug, Clone)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    /// The source of the token; for quoted text what stands inside, doubled quotes made single.
    pub(super) text: Cow<'s, str>,
    pub(super) span: Span,
}

impl Token<'_> {
    /// Whether this is the keyword, in any case.
    pub(super) fn is_word(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }
}

/// The tokens of the text, without white space: all of them, or one more than [`TOKENS_MAX`].
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if tokens.len() > TOKENS_MAX {
            break;
        }
        let token = token_at(source, at, first);
        at = token.span.end;
        tokens.push(token);
    }
    tokens
}

fn token_at(source: &str, start: usize, first: char) -> Token<'_> {
    let rest = &source[start..];
    let plain = |kind: Kind, length: usize| Token {
        kind,
        text: Cow::Borrowed(&rest[..length]),
        span: Span { start, end: start + length },
    };
    match first {
        '\'' | '"' | '`' => quoted_at(source, start, first),
        '(' => plain(Kind::Open, 1),
        ')' => plain(Kind::Close, 1),
        ',' => plain(Kind::Comma, 1),
        _ if is_comparator(first) => plain(Kind::Comparator, length_while(rest, is_comparator)),
        _ if starts_number(rest) => plain(Kind::Number, number_length(rest)),
        _ if is_word(first) => plain(Kind::Word, length_while(rest, is_word)),
        _ => plain(Kind::Unknown, first.len_utf8()),
    }
}

/// Reads quoted text; a doubled quote inside stands for one, nothing else is special.
fn quoted_at(source: &str, start: usize, quote: char) -> Token<'_> {
    let inside = start + 1;
    let mut at = inside;
    let mut doubled = false;
    while let Some(found) = source[at..].find(quote) {
        let close = at + found;
        if source[close + 1..].starts_with(quote) {
            doubled = true;
            at = close + 2;
            continue;
        }
        let raw = &source[inside..close];
        let text = if doubled {
            let pair: String = [quote, quote].iter().collect();
            Cow::Owned(raw.replace(&pair, quote.encode_utf8(&mut [0; 4])))
        } else {
            Cow::Borrowed(raw)
        };
        return Token { kind: Kind::Quoted(quote), text, span: Span { start, end: close + 1 } };
    }
    Token {
        kind: Kind::Unterminated,
        text: Cow::Borrowed(&source[start..]),
        span: Span { start, end: source.len() },
    }
}

fn is_comparator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | '~')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

fn starts_number(rest: &str) -> bool {
    let unsigned = rest.strip_prefix('-').unwrap_or(rest);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// Length of a token that starts like a number: word characters, and the sign of an exponent.
fn number_length(rest: &str) -> usize {
    let mut length = usize::from(rest.starts_with('-'));
    length += length_while(&rest[length..], is_word);
    let signed_exponent = rest[..length].ends_with(['e', 'E'])
        && rest[length..].starts_with(['+', '-'])
        && rest[length + 1..].starts_with(|c: char| c.is_ascii_digit());
    if signed_exponent {
        length += 1;
        length += length_while(&rest[length..], is_word);
    }
    length
}

fn length_while(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}
