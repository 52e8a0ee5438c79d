//! A statement: what it is, and which tables it names.

use std::{collections::HashSet, ops::ControlFlow};

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::sql::{
    parser::{DFParserBuilder, Statement as Parsed},
    sqlparser::{
        ast::{
            Expr, Ident, ObjectName, Query, Statement as Sql, TableAlias, TableFactor, TableVersion, Value,
            VisitMut, VisitorMut,
        },
        dialect::DatabricksDialect,
        tokenizer::{Token, Tokenizer},
    },
};

use syntax::names::fold_case;

use super::{Resolved, common, unreadable};
use crate::error::{Error, Result};

/// Bytes of a statement.
pub const STATEMENT_BYTES_MAX: usize = 256 << 10;
/// Words and signs of a statement.
const WORDS_MAX: usize = 4_000;
/// How deep a statement may be nested.
const DEPTH_MAX: usize = 100;
/// Tables that one statement may name.
const TABLES_MAX: usize = 200;

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// One to three parts, as written.
    pub parts: Vec<String>,
    /// The version that is asked for; the newest where nothing is said.
    pub as_of: Option<AsOf>,
}

/// Which version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// By its number.
    Version(u64),
    /// The one that was the newest at a moment, in milliseconds since the epoch.
    Millis(i64),
}

/// A statement that was read: a query, and nothing else.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) parsed: Parsed,
    /// The tables that it names, in the order of its text. A table that is named twice stands here twice.
    pub tables: Vec<Named>,
}

/// Reads a statement.
pub fn read(text: &str) -> Result<Statement> {
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "The statement has {} bytes; it may have {STATEMENT_BYTES_MAX}.",
            text.len()
        )));
    }
    check_length(text)?;
    let mut statements = DFParserBuilder::new(text)
        .with_dialect(&DatabricksDialect {})
        .with_recursion_limit(DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| unreadable(&error))?;
    let (Some(mut parsed), None) = (statements.pop_front(), statements.pop_front()) else {
        return Err(Error::invalid(
            "Write one statement, for example: SELECT count(*) FROM prod.risk.transactions",
        ));
    };
    common::check(query_of(&mut parsed)?)?;
    let mut names = Names { common: common_names(query_of(&mut parsed)?), found: Vec::new() };
    match query_of(&mut parsed)?.visit(&mut names) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) if names.found.len() > TABLES_MAX => Err(Error::invalid(format!(
            "The statement names {} tables; it may name {TABLES_MAX}.",
            names.found.len()
        ))),
        ControlFlow::Continue(()) => Ok(Statement { parsed, tables: names.found }),
    }
}

/// Refuses a statement of too many words: `1+1+1+…` is read without recursion and becomes a tree as deep as it is long,
/// which is taken down by recursion.
fn check_length(text: &str) -> Result<()> {
    let words = Tokenizer::new(&DatabricksDialect {}, text)
        .tokenize()
        .map_err(|error| Error::invalid(format!("The statement cannot be read: {error}.")))?;
    let count = words.iter().filter(|word| !matches!(word, Token::Whitespace(_))).count();
    if count > WORDS_MAX {
        return Err(Error::invalid(format!(
            "The statement has {count} words and signs; it may have {WORDS_MAX}. Put long lists into a table and join it."
        )));
    }
    Ok(())
}

/// The query of a statement, or of the one that is to be explained.
pub(super) fn query_of(parsed: &mut Parsed) -> Result<&mut Query> {
    let refused = || {
        Error::invalid(
            "Only queries run here: SELECT, WITH, VALUES, or EXPLAIN of one. Tables are made and changed by `strongback table` \
             and its interface.",
        )
    };
    match parsed {
        Parsed::Statement(statement) => match statement.as_mut() {
            Sql::Query(query) => Ok(query),
            Sql::Explain { statement, .. } => match statement.as_mut() {
                Sql::Query(query) => Ok(query),
                _ => Err(refused()),
            },
            _ => Err(refused()),
        },
        Parsed::Explain(explain) => query_of(&mut explain.statement),
        _ => Err(refused()),
    }
}

impl Statement {
    /// Puts the names under which tables are registered in the place of those that were written. Answers the names by which
    /// the statement qualifies columns, one a table.
    pub(super) fn point_at(&mut self, tables: &[Resolved]) -> Result<Vec<String>> {
        let mut pointing = Pointing { common: HashSet::new(), tables, aliases: Vec::new() };
        let query = query_of(&mut self.parsed)?;
        pointing.common = common_names(query);
        match query.visit(&mut pointing) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(pointing.aliases),
        }
    }
}

/// The name of a table in the engine: two versions of one table are two tables there. Names are compared as the catalog
/// compares them, so that two tables are never taken for one.
pub(super) fn registered_as(table: &Resolved) -> String {
    format!("{}@v{}", fold_case(&table.leaf), table.version)
}

/// Names that the query itself gives to parts of it.
fn common_names(query: &mut Query) -> HashSet<String> {
    struct Common(HashSet<String>);
    impl VisitorMut for Common {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            let named = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(named.map(|table| table.alias.name.value.to_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let mut common = Common(HashSet::new());
    let _ = query.visit(&mut common);
    common.0
}

/// A table factor that means a table, and its parts.
fn table_of<'f>(factor: &'f mut TableFactor, common: &HashSet<String>) -> Option<TableParts<'f>> {
    match factor {
        TableFactor::Table { name, alias, args: None, version, .. } => {
            let parts: Vec<String> =
                name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
            let is_common = parts.len() == 1 && common.contains(&parts[0].to_lowercase());
            (!is_common).then_some(TableParts { name, alias, version, parts })
        }
        _ => None,
    }
}

struct TableParts<'f> {
    name: &'f mut ObjectName,
    alias: &'f mut Option<TableAlias>,
    version: &'f mut Option<TableVersion>,
    parts: Vec<String>,
}

struct Names {
    common: HashSet<String>,
    found: Vec<Named>,
}

impl VisitorMut for Names {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let Some(table) = table_of(factor, &self.common) else { return ControlFlow::Continue(()) };
        if !(1..=3).contains(&table.parts.len()) {
            return ControlFlow::Break(Error::invalid(format!(
                "The table name {} does not have one to three parts, such as prod.risk.transactions.",
                table.name
            )));
        }
        match table.version.as_ref().map(as_of).transpose() {
            Ok(as_of) => {
                self.found.push(Named { parts: table.parts, as_of });
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

struct Pointing<'t> {
    common: HashSet<String>,
    tables: &'t [Resolved],
    aliases: Vec<String>,
}

impl VisitorMut for Pointing<'_> {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let Some(table) = table_of(factor, &self.common) else { return ControlFlow::Continue(()) };
        let Some(resolved) = self.tables.get(self.aliases.len()) else {
            return ControlFlow::Break(Error::internal("a statement names more tables than were resolved"));
        };
        let quoted = |text: &str| Ident::with_quote('`', text);
        *table.version = None;
        // What columns are qualified with stays what was written.
        if table.alias.is_none() {
            let leaf = table.parts.last().map_or("", String::as_str).to_lowercase();
            *table.alias =
                Some(TableAlias { explicit: true, name: quoted(&leaf), columns: Vec::new(), at: None });
        }
        self.aliases.extend(table.alias.as_ref().map(|alias| alias.name.value.to_lowercase()));
        let (catalog, schema) = (fold_case(&resolved.catalog), fold_case(&resolved.schema));
        *table.name =
            ObjectName::from(vec![quoted(&catalog), quoted(&schema), quoted(&registered_as(resolved))]);
        ControlFlow::Continue(())
    }
}

fn as_of(version: &TableVersion) -> Result<AsOf> {
    let wrong = |given: &Expr| {
        Error::invalid(format!(
            "The version {given} is neither a number nor a time. Write VERSION AS OF 3, or TIMESTAMP AS OF '2026-11-24T08:00:00Z'."
        ))
    };
    let literal = |given: &Expr| match given {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                Some(text.clone())
            }
            _ => None,
        },
        Expr::TypedString(typed) => typed.value.value.clone().into_string(),
        _ => None,
    };
    match version {
        TableVersion::VersionAsOf(given) => {
            let number = literal(given).and_then(|text| text.parse().ok()).ok_or_else(|| wrong(given))?;
            Ok(AsOf::Version(number))
        }
        TableVersion::TimestampAsOf(given) | TableVersion::ForSystemTimeAsOf(given) => {
            let millis = literal(given).and_then(|text| millis(&text)).ok_or_else(|| wrong(given))?;
            Ok(AsOf::Millis(millis))
        }
        TableVersion::Function(given) | TableVersion::Changes { changes: given, .. } => Err(wrong(given)),
    }
}

/// Milliseconds since the epoch; UTC where no zone is said.
fn millis(text: &str) -> Option<i64> {
    let naive = |form: &str| NaiveDateTime::parse_from_str(text, form).ok().map(|moment| moment.and_utc());
    let moment = DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc());
    let moment = moment
        .or_else(|| naive("%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc()))?;
    Some(moment.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        read(text).unwrap().tables.iter().map(|table| table.parts.join(".")).collect()
    }

    #[test]
    fn tables_are_told_wherever_they_stand() {
        assert_eq!(names("SELECT 1"), Vec::<String>::new());
        assert_eq!(
            names("SELECT * FROM prod.risk.a, b WHERE x IN (SELECT y FROM s.c)"),
            ["prod.risk.a", "b", "s.c"]
        );
        assert_eq!(names("WITH a AS (SELECT * FROM t) SELECT * FROM A JOIN u USING (id)"), ["t", "u"]);
        assert_eq!(names("EXPLAIN SELECT * FROM t UNION ALL SELECT * FROM `T-2`"), ["t", "T-2"]);
        assert_eq!(names("SELECT * FROM generate_series(1, 3)"), Vec::<String>::new());
    }

    #[test]
    fn versions_are_numbers_or_times() {
        let of = |text: &str| read(text).unwrap().tables[0].as_of;
        assert_eq!(of("SELECT * FROM t VERSION AS OF 3"), Some(AsOf::Version(3)));
        assert_eq!(of("SELECT * FROM t TIMESTAMP AS OF '1970-01-01 00:00:01'"), Some(AsOf::Millis(1000)));
        assert_eq!(of("SELECT * FROM t"), None);
        for (wrong, said) in [
            ("VERSION AS OF -1", "Expected: a value"),
            ("VERSION AS OF 1.5", "neither"),
            ("TIMESTAMP AS OF 'yesterday'", "neither"),
            ("TIMESTAMP AS OF now()", "neither"),
        ] {
            let error = read(&format!("SELECT * FROM t {wrong}")).unwrap_err();
            assert!(error.message().contains(said), "{wrong}: {error}");
        }
    }

    #[test]
    fn only_one_query_runs() {
        for refused in [
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "COPY (SELECT 1) TO '/tmp/x.parquet'",
            "INSERT INTO t VALUES (1)",
            "DROP TABLE t",
            "SET datafusion.execution.batch_size = 1",
            "EXPLAIN INSERT INTO t VALUES (1)",
            "SHOW TABLES",
            "PREPARE p AS SELECT 1",
            "DESCRIBE t",
        ] {
            let error = read(refused).unwrap_err();
            assert!(error.message().contains("Only queries"), "{refused}: {error}");
        }
        assert!(read("SELECT 1; SELECT 2").unwrap_err().message().contains("one statement"));
        assert!(read("").unwrap_err().message().contains("one statement"));
        assert!(read("SELEC 1").unwrap_err().message().contains("cannot be read"));
        let long = format!("SELECT 1{}", "+1".repeat(100_000));
        assert!(read(&long).unwrap_err().message().contains("words"));
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(read(&deep).is_err());
    }
}
