//! Tokens to tree: a cursor over the tokens and one function for each piece of a comparison.
//!
//! A comparison is checked in MLflow's order, subject, then value, then operator, so that the first complaint is the
//! one MLflow would make.

use super::ast::{Aggregate, Comparison, DatasetField, Expr, Function, Operand, Operator, Span, Subject};
use super::error::SyntaxError;
use super::grammar::{Entity, Grammar, ValueKind, quoted_list};
use super::lexer::{self, Kind, Token};
use super::{COMPARISONS_MAX, FILTER_BYTES_MAX, NESTED_MAX, TOKENS_MAX};

mod value;

/// Reads a filter. The empty text holds for everything; a blank one is refused, as MLflow refuses it.
pub fn parse_filter(grammar: Grammar, text: &str) -> Result<Expr, SyntaxError> {
    if text.is_empty() {
        return Ok(Expr::And(Vec::new()));
    }
    check_length(text)?;
    let mut parser = Parser::new(grammar, text);
    if parser.tokens.is_empty() {
        let span = Span { start: 0, end: text.len() };
        return Err(SyntaxError::new(text, span, format!("Invalid filter '{text}'. Could not be parsed."))
            .with_hint("leave the filter out to search everything"));
    }
    if let Some(first_beyond) = parser.tokens.get(TOKENS_MAX) {
        let message = format!("A filter can hold at most {TOKENS_MAX} words, texts and signs");
        return Err(parser.error(first_beyond.span, message));
    }
    parser.filter()
}

/// Refuses texts that are longer than [`FILTER_BYTES_MAX`], without keeping a copy of them.
pub(super) fn check_length(text: &str) -> Result<(), SyntaxError> {
    if text.len() <= FILTER_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("Search text of {} bytes exceeds the maximum of {FILTER_BYTES_MAX} bytes", text.len());
    Err(SyntaxError::new("", Span::default(), message))
}

/// A cursor over the tokens of one text.
pub(super) struct Parser<'s> {
    pub(super) grammar: Grammar,
    pub(super) source: &'s str,
    pub(super) tokens: Vec<Token<'s>>,
    at: usize,
    comparisons: usize,
    /// How many parentheses and `NOT` the cursor is in.
    depth: usize,
}

/// What a part of a filter is read in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Parentheses,
}

/// An operator as written; `known` if some grammar has it.
struct RawOperator {
    known: Option<Operator>,
    text: String,
    span: Span,
}

/// An identifier as written, before it is known to mean something: `entity.key`, or an attribute alone.
pub(super) struct Identifier<'s> {
    pub(super) entity: Option<&'s str>,
    pub(super) key: String,
    pub(super) entity_span: Span,
    pub(super) key_span: Span,
    /// Whether the key stands in quotes: then no part of it means anything else.
    is_quoted: bool,
    /// What stands behind a key in quotes and another dot, and where.
    function: Option<(&'s str, Span)>,
}

impl<'s> Parser<'s> {
    pub(super) fn new(grammar: Grammar, source: &'s str) -> Self {
        Self { grammar, source, tokens: lexer::tokens(source), at: 0, comparisons: 0, depth: 0 }
    }

    pub(super) fn peek(&self) -> Option<&Token<'s>> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<Token<'s>> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    /// The tokens still to come.
    fn rest(&self) -> &[Token<'s>] {
        &self.tokens[self.at..]
    }

    fn next_if(&mut self, accept: impl Fn(&Token<'s>) -> bool) -> Option<Token<'s>> {
        if self.peek().is_some_and(accept) { self.next() } else { None }
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.source, span, message)
    }

    /// `Invalid clause(s) …` at the coming token, or at the end of the text.
    pub(super) fn unexpected(&self, hint: &str) -> SyntaxError {
        let end = self.source.len();
        let span = self.peek().map_or(Span { start: end, end }, |token| token.span);
        let clause = if span.start == end { "end of text" } else { &self.source[span.start..span.end] };
        let hint = match self.peek().map(|token| token.kind) {
            Some(Kind::Unterminated) => "this quote is never closed",
            _ => hint,
        };
        let message = format!("Invalid clause(s) in filter string: '{}'", shortened(clause));
        self.error(span, message).with_hint(hint)
    }

    fn filter(&mut self) -> Result<Expr, SyntaxError> {
        // MLflow passes over an AND too many.
        while self.next_if(|token| token.is_word("AND")).is_some() {}
        if self.peek().is_none() {
            return Ok(Expr::And(Vec::new()));
        }
        Ok(match self.any(Within::Nothing)? {
            Expr::And(parts) => Expr::And(parts),
            part => Expr::And(vec![part]),
        })
    }

    /// Parts that are joined by `OR`, which binds weaker than `AND`.
    fn any(&mut self, within: Within) -> Result<Expr, SyntaxError> {
        let mut parts = vec![self.all(within)?];
        while self.next_if(|token| token.is_word("OR")).is_some() {
            parts.push(self.all(within)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    /// Parts that are joined by `AND`, one at least.
    fn all(&mut self, within: Within) -> Result<Expr, SyntaxError> {
        let mut parts = Vec::new();
        loop {
            let is_joined = self.next_if(|token| token.is_word("AND")).is_some();
            while self.next_if(|token| token.is_word("AND")).is_some() {}
            let ends = match self.peek() {
                None => within == Within::Nothing,
                Some(token) if token.kind == Kind::Close => within == Within::Parentheses,
                Some(token) => token.is_word("OR") && !is_joined,
            };
            if ends && !parts.is_empty() {
                break;
            }
            if !parts.is_empty() && !is_joined {
                return Err(self.unexpected(match self.peek().map(|token| token.kind) {
                    Some(Kind::Close) => "no parenthesis is open here",
                    None => "a parenthesis is not closed",
                    _ => "comparisons are joined by AND and OR",
                }));
            }
            parts.push(self.part()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    /// A comparison, something in parentheses, or the opposite of one.
    fn part(&mut self) -> Result<Expr, SyntaxError> {
        let opening = |token: &Token<'s>| token.kind == Kind::Open || token.is_word("NOT");
        let Some(first) = self.next_if(opening) else {
            self.comparisons += 1;
            if self.comparisons > COMPARISONS_MAX
                && let Some(token) = self.peek()
            {
                let message = format!("A filter can hold at most {COMPARISONS_MAX} comparisons");
                return Err(self.error(token.span, message));
            }
            return Ok(Expr::Compare(self.comparison()?));
        };
        self.depth += 1;
        if self.depth > NESTED_MAX {
            let message = format!("A filter can be nested at most {NESTED_MAX} deep");
            return Err(self.error(first.span, message));
        }
        let part = if first.kind == Kind::Open {
            let part = self.any(Within::Parentheses)?;
            self.next_if(|token| token.kind == Kind::Close)
                .ok_or_else(|| self.unexpected("a parenthesis is not closed"))?;
            part
        } else {
            Expr::Not(Box::new(self.part()?))
        };
        self.depth -= 1;
        Ok(part)
    }

    fn comparison(&mut self) -> Result<Comparison, SyntaxError> {
        let identifier = self.identifier()?;
        let operator = self.operator()?;
        let first = identifier.entity_span;
        let subject = self.subject(&identifier)?;
        if matches!(operator.known, Some(Operator::IsNull | Operator::IsNotNull)) {
            let op = self.checked(&subject, &operator)?;
            return Ok(Comparison { subject, op, value: Operand::None, span: first.to(operator.span) });
        }
        let raw = self.raw_value()?;
        if self.checks_operator_first(&subject) {
            self.checked(&subject, &operator)?;
        }
        let value = self.operand(&subject, &raw)?;
        let op = self.checked(&subject, &operator)?;
        self.check_list_fits(op, &operator, &value, raw.span)?;
        self.check_pattern(op, &value, raw.span)?;
        Ok(Comparison { subject, op, value, span: first.to(raw.span) })
    }

    /// `word`, `` `word` ``, `entity.key`, ``entity.`any key` ``, `` `entity`.key ``: pieces without space between.
    pub(super) fn identifier(&mut self) -> Result<Identifier<'s>, SyntaxError> {
        let hint = "a comparison starts with an attribute or with metrics.key, params.key or tags.key";
        if self.peek().is_some_and(|t| t.is_word("OR") || t.is_word("AND")) {
            return Err(self.unexpected("a comparison is expected here; AND and OR stand between two"));
        }
        let Some(first) = self.next_if(|t| matches!(t.kind, Kind::Word | Kind::Quoted('`' | '"'))) else {
            return Err(self.unexpected(hint));
        };
        let source: &'s str = self.source;
        let whole = Span { start: first.span.start, end: first.span.end };
        let identifier = if first.kind == Kind::Word {
            match source[whole.start..whole.end].split_once('.') {
                None => alone(&first),
                Some((entity, "")) => {
                    self.with_quoted_key(entity, Span { start: whole.start, end: whole.end - 1 }, whole.end)?
                }
                Some((entity, key)) => split_word(entity, key, whole),
            }
        } else {
            self.after_quoted_entity(&first)?
        };
        self.check_ends(identifier.span().end)?;
        Ok(identifier)
    }

    /// What follows a first word in quotes: nothing (an attribute), or a dot and a key.
    fn after_quoted_entity(&mut self, first: &Token<'s>) -> Result<Identifier<'s>, SyntaxError> {
        let source: &'s str = self.source;
        let end = first.span.end;
        let dotted = |t: &Token<'s>| t.kind == Kind::Word && t.span.start == end && t.text.starts_with('.');
        if first.kind != Kind::Quoted('`') || !self.peek().is_some_and(dotted) {
            return Ok(alone(first));
        }
        let Some(dot) = self.next() else { return Ok(alone(first)) };
        let entity = &source[first.span.start + 1..end - 1];
        let key_span = Span { start: dot.span.start + 1, end: dot.span.end };
        if key_span.start < key_span.end {
            let key = source[key_span.start..key_span.end].to_owned();
            return Ok(Identifier {
                is_quoted: false,
                ..Identifier::quoted(entity, key, first.span, key_span)
            });
        }
        self.with_quoted_key(entity, first.span, dot.span.end)
    }

    /// A key in quotes, and of a metric what stands behind it: ``.`loss`.min``.
    fn with_quoted_key(
        &mut self,
        entity: &'s str,
        entity_span: Span,
        after: usize,
    ) -> Result<Identifier<'s>, SyntaxError> {
        let key = self.quoted_key(after)?;
        let end = key.span.end;
        let mut identifier = Identifier::quoted(entity, key.text.into_owned(), entity_span, key.span);
        let follows = |t: &Token<'s>| t.kind == Kind::Word && t.span.start == end && t.text.starts_with('.');
        if self.grammar.entity(entity) == Some(Entity::Metric)
            && let Some(function) = self.next_if(follows)
        {
            let source: &'s str = self.source;
            let span = Span { start: end + 1, end: function.span.end };
            identifier.function = Some((&source[span.start..span.end], span));
        }
        Ok(identifier)
    }

    /// A key in any quotes, directly after the dot.
    fn quoted_key(&mut self, after: usize) -> Result<Token<'s>, SyntaxError> {
        let key = self.next_if(|t| matches!(t.kind, Kind::Quoted(_)) && t.span.start == after);
        key.ok_or_else(|| {
            self.unexpected(
                "a key follows the dot, in backticks if it is more than letters, digits, _ and dots",
            )
        })
    }

    /// Refuses a key that goes on with characters that only fit in quotes: `metrics.a-b`, `metrics.val/loss`.
    fn check_ends(&self, end: usize) -> Result<(), SyntaxError> {
        let glued = |t: &&Token<'s>| {
            t.span.start == end
                && !matches!(t.kind, Kind::Comparator | Kind::Open | Kind::Close | Kind::Comma)
        };
        match self.peek().filter(glued) {
            Some(_) => {
                Err(self.unexpected("write keys with such characters in backticks, as in metrics.`val-loss`"))
            }
            None => Ok(()),
        }
    }

    /// What an identifier means in this grammar's filters.
    fn subject(&self, identifier: &Identifier<'_>) -> Result<Subject, SyntaxError> {
        self.subject_among(identifier, self.grammar.attributes())
    }

    /// What an identifier means, with these attributes.
    pub(super) fn subject_among(
        &self,
        identifier: &Identifier<'_>,
        attributes: &[(&str, super::Attribute)],
    ) -> Result<Subject, SyntaxError> {
        let key = &identifier.key;
        let word = identifier.entity;
        let entity = word.map_or(Some(Entity::Attribute), |word| self.grammar.entity(word));
        let Some(entity) = entity else {
            let message = format!(
                "Invalid entity type '{}'. Valid values are {}",
                shortened(word.unwrap_or_default()),
                self.grammar.entity_words()
            );
            return Err(self.error(identifier.entity_span, message));
        };
        if word.is_some() && key.is_empty() {
            return Err(
                self.error(identifier.key_span, "Invalid clause(s) in filter string: the key is empty")
            );
        }
        match entity {
            Entity::Metric => self.metric(identifier),
            Entity::Param => Ok(Subject::Param(key.clone())),
            Entity::Tag => Ok(Subject::Tag(key.clone())),
            Entity::Attribute => {
                let known = attributes.iter().find(|(name, _)| name == key);
                known.map(|(_, attribute)| Subject::Attribute(*attribute)).ok_or_else(|| {
                    let valid = quoted_list(attributes.iter().map(|(name, _)| *name));
                    let key = shortened(key);
                    let message = format!("Invalid attribute key '{key}' specified. Valid keys are {valid}");
                    self.error(identifier.key_span, message)
                })
            }
            Entity::Dataset => {
                let known = DatasetField::ALL.into_iter().find(|field| field.name() == key);
                known.map(Subject::Dataset).ok_or_else(|| {
                    let valid = quoted_list(DatasetField::ALL.iter().map(|field| field.name()));
                    let key = shortened(key);
                    let message = format!("Invalid dataset key '{key}' specified. Valid keys are {valid}");
                    self.error(identifier.key_span, message)
                })
            }
        }
    }

    /// A metric, or one of all its values.
    fn metric(&self, identifier: &Identifier<'_>) -> Result<Subject, SyntaxError> {
        let key = &identifier.key;
        let Some((name, span)) = identifier.function else {
            let aggregate = Aggregate::unquoted(key).filter(|_| !identifier.is_quoted);
            let aggregate = aggregate.filter(|_| self.grammar == Grammar::Runs);
            return Ok(aggregate.map_or_else(|| Subject::Metric(key.clone()), Subject::Aggregate));
        };
        if self.grammar != Grammar::Runs {
            let message = format!("Invalid clause(s) in filter string: '.{}'", shortened(name));
            let error = self.error(span, message);
            return Err(error.with_hint("a logged model keeps the newest value of each metric alone"));
        }
        match Function::ALL.into_iter().find(|function| function.name() == name) {
            Some(Function::Last) => Ok(Subject::Metric(key.clone())),
            Some(function) => Ok(Subject::Aggregate(Aggregate::of(key, function))),
            None => {
                let valid = quoted_list(Function::ALL.iter().map(|function| function.name()));
                let name = shortened(name);
                let message = format!("Invalid value '{name}' of a metric. Valid ones are {valid}");
                Err(self.error(span, message))
            }
        }
    }

    fn operator(&mut self) -> Result<RawOperator, SyntaxError> {
        let Some(first) = self.next_if(|t| matches!(t.kind, Kind::Word | Kind::Comparator)) else {
            return Err(self.unexpected("an operator is expected here, such as = or LIKE"));
        };
        let follows = |parser: &mut Self, word: &str| parser.next_if(|t| t.is_word(word)).map(|t| t.span);
        let mut last = first.span;
        let known = match first.text.to_ascii_uppercase().as_str() {
            "=" => Some(Operator::Eq),
            "!=" => Some(Operator::Ne),
            "<" => Some(Operator::Lt),
            "<=" => Some(Operator::Le),
            ">" => Some(Operator::Gt),
            ">=" => Some(Operator::Ge),
            "LIKE" => Some(Operator::Like),
            "ILIKE" => Some(Operator::ILike),
            "IN" => Some(Operator::In),
            "IS" => {
                let not = follows(self, "NOT").is_some();
                let Some(null) = follows(self, "NULL") else {
                    return Err(self.unexpected("IS is followed by NULL or NOT NULL"));
                };
                last = null;
                Some(if not { Operator::IsNotNull } else { Operator::IsNull })
            }
            "NOT" => {
                let followed = self.next_if(|t| t.kind == Kind::Word);
                last = followed.as_ref().map_or(last, |word| word.span);
                followed.filter(|word| word.is_word("IN")).map(|_| Operator::NotIn)
            }
            // Comparators and operators of other dialects are refused once subject and value are known to be sound.
            _ if first.kind == Kind::Comparator => None,
            "RLIKE" | "REGEXP" => None,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("an operator is expected here, such as = or LIKE"));
            }
        };
        let span = first.span.to(last);
        Ok(RawOperator { known, text: self.source[span.start..span.end].to_owned(), span })
    }

    /// The operator, if this subject takes it here.
    fn checked(&self, subject: &Subject, raw: &RawOperator) -> Result<Operator, SyntaxError> {
        let valid = self.grammar.operators(subject);
        match raw.known {
            Some(known) if valid.contains(&known) => Ok(known),
            _ => {
                let symbols = quoted_list(valid.iter().map(|op| op.symbol()));
                let message = format!("Invalid comparator '{}' not one of {symbols}", shortened(&raw.text));
                Err(self.error(raw.span, message))
            }
        }
    }

    /// Where MLflow looks at the operator before the value.
    fn checks_operator_first(&self, subject: &Subject) -> bool {
        self.grammar == Grammar::LoggedModels || self.grammar.value_kind(subject) == ValueKind::IntegerText
    }

    /// A list goes with `IN` and `NOT IN`, and nothing else does.
    fn check_list_fits(
        &self,
        op: Operator,
        operator: &RawOperator,
        value: &Operand,
        value_span: Span,
    ) -> Result<(), SyntaxError> {
        let takes_list = matches!(op, Operator::In | Operator::NotIn);
        match (takes_list, matches!(value, Operand::List(_))) {
            (true, false) => {
                let message =
                    format!("Invalid clause(s) in filter string: '{}' is followed by a list", operator.text);
                Err(self.error(value_span, message).with_hint("write IN ('a', 'b')"))
            }
            (false, true) => {
                let message = format!("Invalid comparator '{}' not one of 'IN', 'NOT IN'", operator.text);
                Err(self.error(operator.span, message).with_hint("a list is compared by IN and NOT IN"))
            }
            _ => Ok(()),
        }
    }
}

impl<'s> Identifier<'s> {
    /// `entity.key` with the key in quotes.
    pub(super) fn quoted(entity: &'s str, key: String, entity_span: Span, key_span: Span) -> Self {
        Self { entity: Some(entity), key, entity_span, key_span, is_quoted: true, function: None }
    }

    /// All of it.
    pub(super) fn span(&self) -> Span {
        self.entity_span.to(self.function.map_or(self.key_span, |(_, span)| span))
    }
}

/// An attribute without entity word.
fn alone<'s>(token: &Token<'s>) -> Identifier<'s> {
    let key = token.text.to_string();
    Identifier { entity: None, ..Identifier::quoted("", key, token.span, token.span) }
}

/// `entity.key` in one word.
fn split_word<'s>(entity: &'s str, key: &str, whole: Span) -> Identifier<'s> {
    let dot = whole.start + entity.len();
    let (entity_span, key_span) =
        (Span { start: whole.start, end: dot }, Span { start: dot + 1, end: whole.end });
    Identifier { is_quoted: false, ..Identifier::quoted(entity, key.to_owned(), entity_span, key_span) }
}

/// A value as an error shows it: at most 60 characters of it.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
