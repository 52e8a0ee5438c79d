//! What is wrong with a search text, where, and what to write instead.

use std::fmt;

use super::ast::Span;

/// Longest excerpt of the source that is shown above the caret, in characters on each side of it.
const CONTEXT_CHARS: usize = 60;

/// A refused filter or order.
///
/// [`fmt::Display`] gives the message, the hint and the line with carets under the offending token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What was wrong with which value, in MLflow's words where MLflow has words for it.
    pub message: String,
    /// What to write instead, if the message does not already say so.
    pub hint: Option<String>,
    /// Where, in bytes of `source_text`; empty at the end of the text.
    pub span: Span,
    /// The whole text that was refused.
    pub source_text: String,
}

impl SyntaxError {
    pub(super) fn new(source_text: &str, span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, span, source_text: source_text.to_owned() }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The offending line and, below it, the carets; both cut to a window around the error.
    fn excerpt(&self) -> (String, String) {
        let source = &self.source_text;
        let start = floor_char_boundary(source, self.span.start);
        let end = floor_char_boundary(source, self.span.end.max(start));
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);

        let before: Vec<char> = source[line_start..start].chars().collect();
        let kept = &before[before.len().saturating_sub(CONTEXT_CHARS)..];
        let cut_left = if kept.len() < before.len() { "…" } else { "" };
        let after: String = source[start..line_end].chars().take(CONTEXT_CHARS).collect();
        let cut_right = if after.len() < line_end - start { "…" } else { "" };

        let width = source[start..end.min(line_end)].chars().count().clamp(1, CONTEXT_CHARS);
        let line = format!("{cut_left}{}{after}{cut_right}", kept.iter().collect::<String>());
        let caret = format!("{}{}", " ".repeat(kept.len() + cut_left.chars().count()), "^".repeat(width));
        (line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(), caret)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        if self.source_text.trim().is_empty() {
            return Ok(());
        }
        let (line, caret) = self.excerpt();
        write!(f, "\n  {line}\n  {caret}")
    }
}

impl std::error::Error for SyntaxError {}

/// The greatest character boundary of `text` that is not after `index`.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}
