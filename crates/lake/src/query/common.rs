//! How large a statement becomes once what it names in `WITH` stands wherever it is used.
//!
//! The planner puts a common table in the place of each of its names, so that tables which name the one before twice double
//! with each of them. Their sizes are added up first.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{Query, TableFactor, VisitMut as _, VisitorMut};

use crate::error::{Error, Result};

/// Tables of a statement, each counted wherever it would stand.
const TABLES_MAX: u64 = 2_000;

/// Refuses a statement that would become too large.
pub(super) fn check(query: &mut Query) -> Result<()> {
    let mut sizes = Sizes { known: HashMap::new(), open: Vec::new() };
    let _ = query.visit(&mut sizes);
    match sizes.known.get("") {
        Some(size) if *size > TABLES_MAX => Err(Error::invalid(format!(
            "The statement reads {size} tables once what it names in WITH stands wherever it is used; it may read {TABLES_MAX}. \
             Name each of them fewer times."
        ))),
        _ => Ok(()),
    }
}

/// Sizes of common tables by name, and of what is being walked over.
struct Sizes {
    /// Of names that mean several, the largest. The whole statement has the empty name.
    known: HashMap<String, u64>,
    /// One a query around where the walk is: the names of its common tables that are still to come, last one first, and its
    /// size so far.
    open: Vec<(Vec<String>, u64)>,
}

impl VisitorMut for Sizes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let named = query.with.iter().flat_map(|with| &with.cte_tables);
        let mut names: Vec<String> = named.map(|table| table.alias.name.value.to_lowercase()).collect();
        names.reverse();
        self.open.push((names, 0));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor {
            let known = self.known.get(&name.to_string().replace('`', "").to_lowercase());
            let size = known.copied().unwrap_or(1);
            if let Some((_, sum)) = self.open.last_mut() {
                *sum = sum.saturating_add(size);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        let Some((_, size)) = self.open.pop() else { return ControlFlow::Continue(()) };
        // Common tables come first in a query, in their order: while some are to come, what ended is the next of them.
        let name = match self.open.last_mut() {
            None => Some(String::new()),
            Some((names, _)) => names.pop(),
        };
        match name {
            Some(name) => {
                let known = self.known.entry(name).or_default();
                *known = size.max(1).max(*known);
            }
            None => {
                if let Some((_, sum)) = self.open.last_mut() {
                    *sum = sum.saturating_add(size);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::read;

    #[test]
    fn doubling_is_refused() {
        let mut text = "WITH t0 AS (SELECT 1 AS x)".to_owned();
        for n in 1..40 {
            let before = n - 1;
            write!(text, ", t{n} AS (SELECT a.x FROM t{before} a JOIN t{before} b ON a.x = b.x)").unwrap();
        }
        let error = read(&format!("{text} SELECT * FROM t39")).unwrap_err();
        assert!(error.message().contains("WITH"), "{error}");
        assert!(read(&format!("{text} SELECT * FROM t5")).is_ok());
        let within = format!("SELECT * FROM ({text} SELECT * FROM t39) AS s, t");
        assert!(read(&within).unwrap_err().message().contains("WITH"));
    }
}
