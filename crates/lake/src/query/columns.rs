//! Names of columns compare without case, while the engine's do not.
//!
//! A name that is not quoted and means a column of a table, but for its case, is spelled as the table spells it. A qualified
//! name means its table's; of one without, where two tables differ by case alone, the spelling that is written decides.

use std::{collections::HashMap, ops::ControlFlow};

use datafusion::{
    arrow::datatypes::SchemaRef,
    sql::sqlparser::ast::{
        Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Select, SelectItem,
        VisitMut, VisitorMut,
    },
};

use super::statement::{Statement, query_of};

/// From a name in lower case to its spelling; nothing where there are several.
type Spellings = HashMap<String, Option<String>>;

/// Spells the names of a statement's columns as its tables do. `aliases` are what the statement calls its tables.
pub(super) fn spell_out(statement: &mut Statement, aliases: &[String], schemas: &[SchemaRef]) {
    let mut spelling = Spelling::default();
    for (alias, schema) in aliases.iter().zip(schemas) {
        let of_table = spelling.by_table.entry(alias.clone()).or_default();
        for field in schema.fields() {
            for spellings in [&mut *of_table, &mut spelling.of_all] {
                let known =
                    spellings.entry(field.name().to_lowercase()).or_insert(Some(field.name().clone()));
                if known.as_ref() != Some(field.name()) {
                    *known = None;
                }
            }
        }
    }
    if let Ok(query) = query_of(&mut statement.parsed) {
        let _ = query.visit(&mut spelling);
    }
}

#[derive(Default)]
struct Spelling {
    of_all: Spellings,
    by_table: HashMap<String, Spellings>,
}

impl Spelling {
    fn spell(&self, name: &mut Ident) {
        Self::spell_by(&self.of_all, name);
    }

    fn spell_by(spellings: &Spellings, name: &mut Ident) {
        if name.quote_style.is_some() {
            return;
        }
        match spellings.get(&name.value.to_lowercase()) {
            // It would become lower case otherwise.
            Some(Some(spelling)) => *name = Ident::with_quote('`', spelling),
            Some(None) => name.quote_style = Some('`'),
            None => {}
        }
    }

    fn spell_last(&self, name: &mut ObjectName) {
        if let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() {
            self.spell(last);
        }
    }

    fn spell_join(&self, join: &mut Join) {
        let (JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::AsOf { constraint, .. }) = &mut join.join_operator
        else {
            return;
        };
        if let JoinConstraint::Using(names) = constraint {
            for name in names {
                self.spell_last(name);
            }
        }
    }
}

impl VisitorMut for Spelling {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            // What the query calls a column, it means by that name further on.
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.spell(alias);
            }
        }
        for join in select.from.iter_mut().flat_map(|from| &mut from.joins) {
            self.spell_join(join);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.spell(name),
            Expr::CompoundIdentifier(parts) => {
                if let [.., table, name] = parts.as_mut_slice() {
                    let of_table = self.by_table.get(&table.value.to_lowercase());
                    Self::spell_by(of_table.unwrap_or(&self.of_all), name);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
