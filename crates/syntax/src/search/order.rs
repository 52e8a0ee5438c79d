//! Orders: `metrics.auc DESC`, `attributes.start_time`, and the field objects of logged models.

use std::collections::HashSet;

use super::ORDER_FIELDS_MAX;
use super::ast::{OrderBy, Span, Subject};
use super::error::SyntaxError;
use super::grammar::{Entity, Grammar, quoted_list};
use super::lexer::Kind;
use super::parser::{Identifier, Parser, check_length, shortened};

/// Reads the order clauses of a search; a field named twice is refused for runs and for the registry, elsewhere the
/// first mention counts (both as in MLflow, where the refusal is a 500).
pub fn parse_order_by(grammar: Grammar, items: &[String]) -> Result<Vec<OrderBy>, SyntaxError> {
    let mut orders = Vec::with_capacity(items.len().min(ORDER_FIELDS_MAX));
    let mut seen = HashSet::new();
    for item in items {
        let order = match grammar {
            Grammar::LoggedModels => parse_order_field(grammar, item, true)?,
            _ => clause(grammar, item)?,
        };
        let whole = Span { start: 0, end: item.len() };
        if seen.insert(order.subject.clone()) {
            orders.push(order);
        } else if !matches!(grammar, Grammar::Experiments | Grammar::LoggedModels) {
            let message = format!("`order_by` contains duplicate fields: {}", shortened(&items.join(", ")));
            return Err(SyntaxError::new(item, whole, message).with_hint("name each field once"));
        }
        if orders.len() > ORDER_FIELDS_MAX {
            let message = format!("An order can hold at most {ORDER_FIELDS_MAX} fields");
            return Err(SyntaxError::new(item, whole, message));
        }
    }
    Ok(orders)
}

/// Reads one `{field_name, ascending}` of a logged-model search: an attribute, `metrics.key`, `params.key` or `tags.key`. In the
/// other grammars the field is read as a clause without direction.
pub fn parse_order_field(
    grammar: Grammar,
    field_name: &str,
    ascending: bool,
) -> Result<OrderBy, SyntaxError> {
    check_length(field_name)?;
    let whole = Span { start: 0, end: field_name.len() };
    let refuse = |detail: &str| {
        let message = format!("Invalid order by field name: {}{detail}", shortened(field_name));
        SyntaxError::new(field_name, whole, message)
    };
    if grammar != Grammar::LoggedModels {
        let order = clause(grammar, field_name)?;
        return Ok(OrderBy { subject: order.subject, ascending });
    }
    let attribute = |name: &str| {
        let attributes = grammar.order_attributes();
        let known = attributes.iter().find(|(known, _)| *known == name);
        known.map(|(_, attribute)| Subject::Attribute(*attribute)).ok_or_else(|| {
            let valid = quoted_list(attributes.iter().map(|(name, _)| *name));
            refuse(&format!(". Valid names are {valid}, metrics.<key>, params.<key> and tags.<key>"))
        })
    };
    let subject = match field_name.split_once('.') {
        None => attribute(field_name)?,
        Some((word, key)) => {
            let key = key.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).unwrap_or(key);
            match grammar.entity(word) {
                Some(_) if key.is_empty() => return Err(refuse(". Its key is empty.")),
                Some(Entity::Attribute) => attribute(key)?,
                Some(Entity::Metric) => Subject::Metric(key.to_owned()),
                Some(Entity::Param) => Subject::Param(key.to_owned()),
                Some(Entity::Tag) => Subject::Tag(key.to_owned()),
                Some(Entity::Dataset) | None => {
                    return Err(refuse(". Only attributes, metrics, params and tags are supported."));
                }
            }
        }
    };
    Ok(OrderBy { subject, ascending })
}

/// `identifier [ASC | DESC]`
fn clause(grammar: Grammar, text: &str) -> Result<OrderBy, SyntaxError> {
    check_length(text)?;
    let mut parser = Parser::new(grammar, text);
    let unparsed = |span: Span, hint: &str| {
        let message = format!("Invalid order_by clause '{}'. Could not be parsed.", shortened(text));
        SyntaxError::new(text, span, message).with_hint(hint)
    };
    let identifier = parser.identifier().map_err(|error| {
        let hint = error.hint.unwrap_or_default();
        unparsed(error.span, &hint)
    })?;
    let identifier = quoted_whole(text, identifier);
    let subject = order_subject(&parser, &identifier)?;
    let ascending = match parser.next() {
        None => true,
        Some(word) if word.is_word("ASC") => true,
        Some(word) if word.is_word("DESC") => false,
        Some(word) if word.kind == Kind::Word => {
            let message = format!("Invalid ordering key in order_by clause '{}'.", shortened(text));
            return Err(SyntaxError::new(text, word.span, message).with_hint("write ASC or DESC"));
        }
        Some(other) => return Err(unparsed(other.span, "one field an entry, followed by ASC or DESC")),
    };
    match parser.next() {
        None => Ok(OrderBy { subject, ascending }),
        Some(more) => Err(unparsed(more.span, "one field an entry, followed by ASC or DESC")),
    }
}

/// `"metrics.auc" DESC`: MLflow's web UI has sent the whole identifier in quotes.
fn quoted_whole<'s>(text: &'s str, identifier: Identifier<'s>) -> Identifier<'s> {
    let inside =
        Span { start: identifier.key_span.start + 1, end: identifier.key_span.end.saturating_sub(1) };
    let parts = text.get(inside.start..inside.end).and_then(|whole| whole.split_once('.'));
    match (identifier.entity, parts) {
        (None, Some((entity, key))) if text[..inside.start].ends_with(['"', '`']) => {
            Identifier::quoted(entity, key.to_owned(), inside, inside)
        }
        _ => identifier,
    }
}

fn order_subject(parser: &Parser<'_>, identifier: &Identifier<'_>) -> Result<Subject, SyntaxError> {
    let attributes = parser.grammar.order_attributes();
    let is_known = attributes.iter().any(|(name, _)| *name == identifier.key);
    if parser.grammar == Grammar::RegisteredModels && identifier.entity.is_none() && !is_known {
        let valid = quoted_list(attributes.iter().map(|(name, _)| *name));
        let key = shortened(&identifier.key);
        let message = format!("Invalid order by key '{key}' specified. Valid keys are {valid}, 'tags.<key>'");
        return Err(parser.error(identifier.span(), message));
    }
    parser.subject_among(identifier, attributes)
}
