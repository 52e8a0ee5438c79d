//! The right side of a comparison: read as written first, then against what its subject takes.

use super::super::ast::{Attribute, Operand, Span, Subject};
use super::super::error::SyntaxError;
use super::super::grammar::{ValueKind, read_integer, read_number};
use super::super::lexer::{Kind, Token};
use super::super::like::{PATTERN_CHARS_MAX, WILDCARDS_MAX};
use super::{Operator, Parser, shortened};

const QUOTES_MISSING: &str = "Use either single or double quotes.";
const IN_LIST: &str = "While parsing a list in the query,";

/// A value as written.
pub(super) struct RawValue<'s> {
    form: Form<'s>,
    pub(super) span: Span,
}

enum Form<'s> {
    Number,
    Word,
    Quoted { quote: char, text: String },
    List(Vec<Token<'s>>),
}

impl<'s> Parser<'s> {
    /// A number, a word, quoted text or a list in parentheses.
    pub(super) fn raw_value(&mut self) -> Result<RawValue<'s>, SyntaxError> {
        let hint = "a value is expected here: a number, or text in quotes";
        let Some(kind) = self.peek().map(|token| token.kind) else {
            return Err(self.unexpected(hint));
        };
        if kind == Kind::Open {
            return self.raw_list();
        }
        if !matches!(kind, Kind::Number | Kind::Word | Kind::Quoted(_) | Kind::Unknown) {
            return Err(self.unexpected(hint));
        }
        let loose = self.bare_length();
        match (self.next(), kind) {
            (Some(token), Kind::Quoted(quote)) => {
                Ok(RawValue { span: token.span, form: Form::Quoted { quote, text: token.text.into_owned() } })
            }
            (Some(token), Kind::Number | Kind::Word) => {
                let mut span = token.span;
                for _ in 1..loose {
                    span = self.next().map_or(span, |glued| span.to(glued.span));
                }
                let number = loose == 1 && kind == Kind::Number;
                Ok(RawValue { form: if number { Form::Number } else { Form::Word }, span })
            }
            (Some(token), Kind::Unknown) if token.text == "-" && self.peek_is_infinity(&token) => {
                let span = self.next().map_or(token.span, |word| token.span.to(word.span));
                Ok(RawValue { form: Form::Word, span })
            }
            (Some(token), _) => {
                let clause = &self.source[token.span.start..token.span.end];
                let message = format!("Invalid clause(s) in filter string: '{clause}'");
                Err(self.error(token.span, message).with_hint(hint))
            }
            (None, _) => Err(self.unexpected(hint)),
        }
    }

    /// How many of the coming tokens make one bare value: logged models write `name = lm-a` without quotes.
    fn bare_length(&self) -> usize {
        let glued = self.rest().windows(2).take_while(|pair| {
            let sign = pair[1].kind == Kind::Unknown && pair[1].text == "-";
            let bare = sign || matches!(pair[1].kind, Kind::Word | Kind::Number);
            bare && pair[0].span.end == pair[1].span.start
        });
        1 + glued.count()
    }

    fn peek_is_infinity(&self, sign: &Token<'s>) -> bool {
        self.peek()
            .is_some_and(|t| t.span.start == sign.span.end && (t.is_word("inf") || t.is_word("infinity")))
    }

    /// `( … )`, its contents unread.
    fn raw_list(&mut self) -> Result<RawValue<'s>, SyntaxError> {
        let Some(open) = self.next() else { return Err(self.unexpected("a list is expected here")) };
        let mut items = Vec::new();
        loop {
            if self.peek().is_none_or(|t| matches!(t.kind, Kind::Unterminated | Kind::Open)) {
                return Err(self.unexpected("a list is closed by )"));
            }
            let Some(token) = self.next() else { return Err(self.unexpected("a list is closed by )")) };
            if token.kind == Kind::Close {
                return Ok(RawValue { form: Form::List(items), span: open.span.to(token.span) });
            }
            items.push(token);
        }
    }

    /// The value, if this subject takes its kind here.
    pub(super) fn operand(&self, subject: &Subject, raw: &RawValue<'s>) -> Result<Operand, SyntaxError> {
        let kind = self.grammar.value_kind(subject);
        match kind {
            ValueKind::Number | ValueKind::Integer | ValueKind::QuotableInteger => {
                self.number(subject, kind, raw).map(Operand::Number)
            }
            ValueKind::Text | ValueKind::IntegerText | ValueKind::LooseText => match &raw.form {
                Form::List(items) => self.list(subject, kind, items, raw.span).map(Operand::List),
                _ => self.text(subject, kind, raw).map(Operand::Text),
            },
        }
    }

    fn number(&self, subject: &Subject, kind: ValueKind, raw: &RawValue<'s>) -> Result<f64, SyntaxError> {
        let written = self.written(raw);
        if kind == ValueKind::QuotableInteger && matches!(raw.form, Form::List(_)) {
            let message = format!(
                "Only [{}] attributes support comparison with a list of quoted string values.",
                self.grammar.list_attributes()
            );
            return Err(self.error(raw.span, message));
        }
        let read = match (kind, &raw.form) {
            (ValueKind::Number, Form::Number) => read_number(written),
            (ValueKind::Number, Form::Word) if self.grammar == super::Grammar::LoggedModels => {
                read_not_finite(written)
            }
            (ValueKind::Integer | ValueKind::QuotableInteger, Form::Number) => read_integer(written),
            (ValueKind::QuotableInteger, Form::Quoted { text, .. }) => read_integer(text),
            _ => None,
        };
        read.ok_or_else(|| {
            let found = shortened(written);
            let number = matches!(raw.form, Form::Number) || kind == ValueKind::QuotableInteger;
            let message = match subject {
                Subject::Attribute(attribute) if kind == ValueKind::Number || !number => {
                    let name = self.grammar.attribute_name(*attribute);
                    format!("Expected numeric value type for numeric attribute: {name}. Found {found}")
                }
                Subject::Attribute(attribute) => {
                    let name = self.grammar.attribute_name(*attribute);
                    format!("Invalid value for numeric attribute '{name}': {found}")
                }
                _ => format!("Expected numeric value type for metric. Found {found}"),
            };
            self.error(raw.span, message)
        })
    }

    fn text(&self, subject: &Subject, kind: ValueKind, raw: &RawValue<'s>) -> Result<String, SyntaxError> {
        let written = self.written(raw);
        match &raw.form {
            Form::Number | Form::Word if kind == ValueKind::LooseText => Ok(written.to_owned()),
            Form::Quoted { quote: '\'' | '"', text } => self.checked_text(kind, text.clone(), raw.span),
            Form::Number => Err(self.error(raw.span, wants_text(subject, written))),
            Form::Word if written.eq_ignore_ascii_case("NULL") => {
                Err(self.error(raw.span, wants_text(subject, written)).with_hint("write IS NULL"))
            }
            _ => {
                let found = shortened(written);
                let message = format!(
                    "Parameter value is either not quoted or unidentified quote types used for string value \
                     {found}. {QUOTES_MISSING}"
                );
                Err(self.error(raw.span, message))
            }
        }
    }

    /// Experiment ids are decimal text.
    fn checked_text(&self, kind: ValueKind, text: String, span: Span) -> Result<String, SyntaxError> {
        if kind == ValueKind::IntegerText && read_integer(&text).is_none() {
            let id = shortened(&text);
            let message = format!("Invalid experiment ID '{id}'. Experiment ID must be a valid integer.");
            return Err(self.error(span, message));
        }
        Ok(text)
    }

    fn list(
        &self,
        subject: &Subject,
        kind: ValueKind,
        items: &[Token<'s>],
        span: Span,
    ) -> Result<Vec<String>, SyntaxError> {
        if items.is_empty() {
            let message = format!("{IN_LIST} expected a non-empty list of string values, but got empty list");
            return Err(self.error(span, message));
        }
        // Values stand at even places, commas between them; a comma at the end passes, as Python's tuples have it.
        let mut values = Vec::with_capacity(items.len() / 2 + 1);
        for (place, token) in items.iter().enumerate() {
            let ill_formed = (place % 2 == 1) != (token.kind == Kind::Comma);
            if ill_formed {
                let message =
                    format!("{IN_LIST} expected a non-empty list of string values, but got ill-formed list.");
                return Err(self.error(token.span, message));
            }
            match token.kind {
                Kind::Comma => {}
                Kind::Quoted('\'' | '"') => {
                    values.push(self.checked_text(kind, token.text.to_string(), token.span)?);
                }
                // The status of a logged model is a number: `status IN (2, 3)`.
                Kind::Number
                    if *subject == Subject::Attribute(Attribute::Status) && kind == ValueKind::LooseText =>
                {
                    values.push(token.text.to_string());
                }
                _ => {
                    let found = shortened(&self.source[token.span.start..token.span.end]);
                    let message = format!(
                        "{IN_LIST} expected string value, punctuation, or whitespace, but got different type in \
                         list: {found}"
                    );
                    return Err(self.error(token.span, message));
                }
            }
        }
        Ok(values)
    }

    /// Patterns are bounded, because each is tried on every text that is searched.
    pub(super) fn check_pattern(&self, op: Operator, value: &Operand, span: Span) -> Result<(), SyntaxError> {
        let (Operator::Like | Operator::ILike, Operand::Text(pattern)) = (op, value) else { return Ok(()) };
        let chars = pattern.chars().count();
        if chars > PATTERN_CHARS_MAX {
            let message = format!(
                "A pattern of {} can have at most {PATTERN_CHARS_MAX} characters; this one has {chars}.",
                op.symbol()
            );
            return Err(self.error(span, message));
        }
        let wildcards = pattern.matches(['%', '_']).count();
        if wildcards > WILDCARDS_MAX {
            let message = format!(
                "A pattern of {} can have at most {WILDCARDS_MAX} of the signs '%' and '_'; this one has {wildcards}.",
                op.symbol()
            );
            return Err(self.error(span, message));
        }
        Ok(())
    }

    fn written(&self, raw: &RawValue<'s>) -> &'s str {
        let source: &'s str = self.source;
        &source[raw.span.start..raw.span.end]
    }
}

fn wants_text(subject: &Subject, found: &str) -> String {
    let found = shortened(found);
    match subject {
        Subject::Param(_) => {
            format!("Expected a quoted string value for parameter (e.g. 'my-value'). Got value {found}")
        }
        Subject::Tag(_) => {
            format!("Expected a quoted string value for tag (e.g. 'my-value'). Got value {found}")
        }
        Subject::Dataset(_) => {
            format!("Expected a quoted string value for dataset attributes. Got value {found}")
        }
        _ => format!("Expected a quoted string value for attributes. Got value {found}"),
    }
}

/// Logged models also take `nan`, `inf` and `infinity`, in any case.
fn read_not_finite(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let named = ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if named { text.parse().ok() } else { None }
}
