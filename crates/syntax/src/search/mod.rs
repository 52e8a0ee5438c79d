//! MLflow's search grammar: filters and orders over runs, experiments, registered models, model versions and logged
//! models.
//!
//! The five grammars share a lexer, a parser and a tree; [`Grammar`] says which words, attributes and operators each
//! of them knows. A filter is comparisons joined by `AND` (any case; stray `AND`s pass, as they do in
//! MLflow), the identifier left and the value right. Beyond MLflow there are `OR`, which binds weaker, `NOT` and parentheses:
//!
//! ```text
//! metrics.auc > 0.9 AND params.`max depth` = '5' AND tags.team IS NOT NULL AND attributes.run_id IN ('a', 'b')
//! (tags.team = 'risk' OR tags.team = 'fraud') AND NOT params.solver LIKE 'sag%'
//! ```
//!
//! and of runs' metrics the smallest, largest and latest value ([`Aggregate`]):
//!
//! ```text
//! metrics.loss.min < 0.1 AND metrics.`val/auc`.max > 0.9
//! ```
//!
//! Lists fit every text, null tests fit everything, and orders take every attribute, tag, param and metric of what is searched.
//!
//! What must stay true:
//! - What MLflow 3.17.2 accepts and finds, we accept and find; each exception is a line of `tests/data/*.tsv`, marked
//!   and reasoned, but for the bounds of what one text may cost. What is refused says so in MLflow's words, with a caret under the
//!   offending token.
//! - The tree is canonical: aliases are folded, quotes removed, numbers read. Printing a tree
//!   ([`Expr::to_filter`]) and parsing it again gives the same tree, apart from spans.
//! - Inside quotes everything is literal, backslashes too; a doubled quote stands for one.
//!
//! ```
//! use syntax::search::{Grammar, parse_filter};
//!
//! let error = parse_filter(Grammar::Runs, "metrics.auc >> 0.9").unwrap_err();
//! assert!(error.to_string().ends_with("\n  metrics.auc >> 0.9\n              ^^"));
//! ```

mod ast;
mod error;
mod evaluate;
mod grammar;
mod lexer;
mod like;
mod order;
mod parser;

pub use ast::{
    Aggregate, Attribute, Comparison, DatasetField, Expr, Function, Operand, Operator, OrderBy, Span, Subject,
};
pub use error::SyntaxError;
pub use evaluate::{Fields, PROMPT_TAG, Predicate, Test, TextTest, compare_numbers, compare_texts};
pub use grammar::Grammar;
pub use like::{LikeMatcher, PATTERN_CHARS_MAX, WILDCARDS_MAX, ilike, like};
pub use order::{parse_order_by, parse_order_field};
pub use parser::parse_filter;

/// Longest filter or order text that is read, in bytes: room for an `IN` list of some 25,000 run ids.
pub const FILTER_BYTES_MAX: usize = 1 << 20;

/// Most tokens one text may hold: words, quoted texts, operators, commas.
pub const TOKENS_MAX: usize = 1 << 16;

/// Most comparisons one filter may hold.
pub const COMPARISONS_MAX: usize = 256;

/// Most parentheses and `NOT`s that stand within each other.
pub const NESTED_MAX: usize = 32;

/// Most fields one order may hold.
pub const ORDER_FIELDS_MAX: usize = 64;
