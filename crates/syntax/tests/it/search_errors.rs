//! Where the caret stands, what the tree looks like, and what is refused for its size.

use syntax::search::{
    Aggregate, Attribute, COMPARISONS_MAX, Comparison, DatasetField, Expr, FILTER_BYTES_MAX, Function,
    Grammar, NESTED_MAX, Operand, Operator, OrderBy, PATTERN_CHARS_MAX, Span, Subject, WILDCARDS_MAX,
    parse_filter, parse_order_by, parse_order_field,
};

use crate::fixture::Thing;

/// The carets stand under exactly this piece of the text.
fn check_caret(grammar: Grammar, text: &str, offending: &str) {
    let error = parse_filter(grammar, text).unwrap_err();
    assert_eq!(&text[error.span.start..error.span.end], offending, "{error}");
    assert_eq!(error.source_text, text);
}

#[test]
fn caret_stands_under_the_offending_token() {
    let runs = Grammar::Runs;
    check_caret(runs, "foo.x = 'a'", "foo");
    check_caret(runs, "metrics.a > 1 AND `foo`.x = 'a'", "`foo`");
    check_caret(runs, "attributes.nope = 'a'", "nope");
    check_caret(runs, "attributes.`nope` = 'a'", "`nope`");
    check_caret(runs, "dataset.source = 'a'", "source");
    check_caret(runs, "metrics.a == 1", "==");
    check_caret(runs, "tags.a  NOT   LIKE 'x'", "NOT   LIKE");
    check_caret(runs, "metrics.a > 'one'", "'one'");
    check_caret(runs, "params.a = one", "one");
    check_caret(runs, "params.a = 'x' XOR params.b = 'y'", "XOR");
    check_caret(runs, "OR params.a = 'x'", "OR");
    check_caret(runs, "params.a = 'x' OR", "");
    check_caret(runs, "params.a = 'x' OR OR params.b = 'y'", "OR");
    check_caret(runs, "params.a = 'x' AND OR params.b = 'y'", "OR");
    check_caret(runs, "NOT", "");
    check_caret(runs, "NOT AND params.a = 'x'", "AND");
    check_caret(runs, "params.a = 'x' NOT params.b = 'y'", "NOT");
    check_caret(runs, "()", ")");
    check_caret(runs, "(params.a = 'x'", "");
    check_caret(runs, "params.a = 'x')", ")");
    check_caret(runs, "(params.a = 'x') params.b = 'y'", "params.b");
    check_caret(runs, "metrics.a BETWEEN 1 AND 2", "BETWEEN");
    check_caret(runs, "metrics.a > 1;", ";");
    check_caret(runs, "metrics.a >", "");
    check_caret(runs, "tags.a = 'x", "'x");
    check_caret(runs, "metrics.val-loss > 1", "-");
    check_caret(runs, "start_time IN ('a', 'b')", "('a', 'b')");
    check_caret(runs, "metrics.a IN (1, 2)", "(1, 2)");
    check_caret(runs, "tags.a IN ()", "()");
    check_caret(runs, "params.a NOT IN ('b' 'c')", "'c'");
    check_caret(runs, "dataset.name IN 'b'", "'b'");
    check_caret(runs, "experiment_id IN ('1', 'b')", "'b'");
    check_caret(runs, "experiment_id LIKE '1'", "LIKE");
    check_caret(runs, "run_id IN ('a', 2)", "2");
    check_caret(runs, "run_id IN 'a'", "'a'");
    check_caret(runs, "run_id = ('a')", "=");
    check_caret(runs, "status IS NUL", "NUL");
    check_caret(runs, "status IS NOT", "");
    check_caret(runs, "nope IS NULL", "nope");
    check_caret(Grammar::ModelVersions, "version_number IN ('1')", "('1')");
    check_caret(Grammar::LoggedModels, "creation_timestamp NOT IN ('1')", "NOT IN");
    check_caret(runs, "   ", "   ");
    check_caret(runs, "metrics.`a`.mean > 1", "mean");
    check_caret(runs, "metrics.`a`. > 1", "");
    check_caret(runs, "metrics.`a`.min.max > 1", "min.max");
    check_caret(runs, "metrics.`a`.MIN > 1", "MIN");
    check_caret(runs, "metrics.`a`.min-max > 1", "-");
    check_caret(runs, "metrics.`a`.min > 'one'", "'one'");
    check_caret(runs, "metrics.a.min LIKE 'x'", "'x'");
    check_caret(runs, "params.`a`.min = 'x'", ".min");
    check_caret(Grammar::LoggedModels, "metrics.`a`.min > 1", "min");
    check_caret(Grammar::Experiments, "tags.`a`.min = 'x'", ".min");
    check_caret(Grammar::Experiments, "experiment_id IN ('1', 'x')", "'x'");
    check_caret(Grammar::ModelVersions, "version_number > 1.5", "1.5");
    check_caret(Grammar::LoggedModels, "metrics.a LIKE 1", "LIKE");
}

#[test]
fn patterns_are_bounded_with_a_caret_under_them() {
    let filter = |op: &str, pattern: &str| format!("tags.a {op} '{pattern}'");
    for op in ["LIKE", "ILIKE"] {
        parse_filter(Grammar::Runs, &filter(op, &"ä".repeat(PATTERN_CHARS_MAX))).unwrap();
        parse_filter(Grammar::Runs, &filter(op, &"%_".repeat(WILDCARDS_MAX / 2))).unwrap();
        let (long, wild) = ("a".repeat(PATTERN_CHARS_MAX + 1), "_".repeat(WILDCARDS_MAX + 1));
        check_caret(Grammar::Runs, &filter(op, &long), &format!("'{long}'"));
        check_caret(Grammar::Experiments, &filter(op, &wild), &format!("'{wild}'"));
    }
    parse_filter(Grammar::Runs, &filter("=", &"_".repeat(PATTERN_CHARS_MAX + 1))).unwrap();
}

#[test]
fn display_shows_message_hint_line_and_caret() {
    let shown = |text: &str| parse_filter(Grammar::Runs, text).unwrap_err().to_string();
    assert_eq!(
        shown("tags.größe = 'x' XOR 1"),
        "Invalid clause(s) in filter string: 'XOR' (comparisons are joined by AND and OR)\n  \
         tags.größe = 'x' XOR 1\n                   ^^^"
    );
    assert_eq!(
        shown("metrics.a > 1\n  AND metrics.b >> 2\nAND x"),
        "Invalid comparator '>>' not one of '=', '!=', '<', '<=', '>', '>=', 'IS NULL', 'IS NOT NULL'\n    \
         AND metrics.b >> 2\n                  ^^"
    );
    let long =
        format!("{}foo.x = 'a' AND {}", "metrics.a > 1 AND ".repeat(50), "metrics.a > 1 AND ".repeat(50));
    let lines: Vec<String> = shown(&long).lines().map(str::to_owned).collect();
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().skip(caret).take(3).collect::<String>(), "foo");
    assert!(lines[1].chars().count() < 130 && lines[1].contains('…'), "{}", lines[1]);
}

#[test]
fn every_refusal_of_the_reference_can_be_shown() {
    for line in include_str!("../data/reference.tsv").lines() {
        let text = line.split('\t').nth(1).unwrap_or_default();
        for grammar in Grammar::ALL {
            if let Err(error) = parse_filter(grammar, text) {
                assert!(error.span.start <= error.span.end && error.span.end <= text.len());
                assert!(text.trim().is_empty() || error.to_string().contains('^'), "{error}");
            }
        }
    }
}

fn check_tree(grammar: Grammar, text: &str, subject: Subject, op: Operator, value: Operand) {
    let expected = Comparison { subject, op, value, span: Span { start: 0, end: text.len() } };
    assert_eq!(parse_filter(grammar, text), Ok(Expr::And(vec![Expr::Compare(expected)])), "{text}");
}

#[test]
fn trees_are_canonical() {
    let text = |text: &str| Operand::Text(text.to_owned());
    let list = |values: &[&str]| Operand::List(values.iter().map(|&v| v.to_owned()).collect());
    let attribute = Subject::Attribute;
    let tag = |key: &str| Subject::Tag(key.to_owned());
    let runs = Grammar::Runs;
    let number = Operand::Number;
    check_tree(runs, "metric.a.b>-1.5e2", Subject::Metric("a.b".into()), Operator::Gt, number(-150.0));
    check_tree(runs, "parameters.\"a b\" != 'x'", Subject::Param("a b".into()), Operator::Ne, text("x"));
    check_tree(runs, "created <= .5", attribute(Attribute::StartTime), Operator::Le, number(0.5));
    check_tree(runs, "`Run Name` ilike \"A%\"", attribute(Attribute::RunName), Operator::ILike, text("A%"));
    check_tree(runs, "tag.`a``b` is not null", tag("a`b"), Operator::IsNotNull, Operand::None);
    check_tree(runs, "tags.x = 'it''s \\'", tag("x"), Operator::Eq, text("it's \\"));
    check_tree(
        runs,
        "datasets.digest not in (\"a\", 'b''c',)",
        Subject::Dataset(DatasetField::Digest),
        Operator::NotIn,
        list(&["a", "b'c"]),
    );
    check_tree(
        Grammar::ModelVersions,
        "version_number >= '2'",
        attribute(Attribute::VersionNumber),
        Operator::Ge,
        number(2.0),
    );
    let logged = Grammar::LoggedModels;
    check_tree(logged, "status = 2", attribute(Attribute::Status), Operator::Eq, text("2"));
    check_tree(logged, "status IN (2, '3')", attribute(Attribute::Status), Operator::In, list(&["2", "3"]));
    check_tree(logged, "name = lm-a.1", attribute(Attribute::Name), Operator::Eq, text("lm-a.1"));
    check_tree(logged, "name = \"a'\"", attribute(Attribute::Name), Operator::Eq, text("a'"));
    check_tree(logged, "tags.x ilike \"a%\"", tag("x"), Operator::ILike, text("a%"));
    let (null, not_null) = (Operator::IsNull, Operator::IsNotNull);
    check_tree(runs, "end_time is null", attribute(Attribute::EndTime), null, Operand::None);
    check_tree(runs, "metrics.a IS NOT NULL", Subject::Metric("a".into()), not_null, Operand::None);
    check_tree(
        Grammar::RegisteredModels,
        "description IS NULL",
        attribute(Attribute::Description),
        null,
        Operand::None,
    );
    check_tree(
        Grammar::ModelVersions,
        "run_id IS NOT NULL",
        attribute(Attribute::RunId),
        not_null,
        Operand::None,
    );
    check_tree(logged, "params.`a b` IS NULL", Subject::Param("a b".into()), null, Operand::None);
    check_tree(runs, "status not in ('a')", attribute(Attribute::Status), Operator::NotIn, list(&["a"]));
    check_tree(
        logged,
        "creation_timestamp < inf",
        attribute(Attribute::CreationTime),
        Operator::Lt,
        number(f64::INFINITY),
    );
}

#[test]
fn trees_of_metrics_are_canonical() {
    let (runs, logged) = (Grammar::Runs, Grammar::LoggedModels);
    let one = || Operand::Number(1.0);
    let of = |key: &str, function| Subject::Aggregate(Aggregate::of(key, function));
    check_tree(runs, "metrics.`a`.min < 1", of("a", Function::Min), Operator::Lt, one());
    check_tree(runs, "metric.\"a.min\".max = 1", of("a.min", Function::Max), Operator::Eq, one());
    check_tree(runs, "`metrics`.`a`.max = 1", of("a", Function::Max), Operator::Eq, one());
    check_tree(runs, "metrics.`a`.last = 1", Subject::Metric("a".into()), Operator::Eq, one());
    check_tree(runs, "metrics.`a.min` = 1", Subject::Metric("a.min".into()), Operator::Eq, one());
    check_tree(runs, "metrics.min = 1", Subject::Metric("min".into()), Operator::Eq, one());
    check_tree(runs, "metrics.a.mean = 1", Subject::Metric("a.mean".into()), Operator::Eq, one());
    check_tree(runs, "metrics..min = 1", Subject::Metric(".min".into()), Operator::Eq, one());
    for (text, whole, key) in
        [("metrics.a.b.last = 1", "a.b.last", "a.b"), ("`metrics`.a.min = 1", "a.min", "a")]
    {
        let aggregate = Aggregate::unquoted(whole).unwrap();
        assert_eq!((aggregate.key(), aggregate.literal()), (key, Some(whole)));
        check_tree(runs, text, Subject::Aggregate(aggregate), Operator::Eq, one());
    }
    let literal = Subject::Metric("a.min".into());
    check_tree(logged, "metrics.a.min = 1", literal, Operator::Eq, one());
    assert_eq!(parse_filter(runs, ""), Ok(Expr::And(Vec::new())));
    assert_eq!(parse_filter(runs, "and AND"), Ok(Expr::And(Vec::new())));
}

#[test]
fn sizes_are_limited() {
    let most = vec!["metrics.a > 1"; COMPARISONS_MAX].join(" AND ");
    assert!(parse_filter(Grammar::Runs, &most).is_ok());
    let more = format!("{most} AND metrics.a > 1");
    let error = parse_filter(Grammar::Runs, &more).unwrap_err();
    assert_eq!(error.message, "A filter can hold at most 256 comparisons");
    // However they are joined.
    let error = parse_filter(Grammar::Runs, &more.replace(" AND ", " OR NOT ")).unwrap_err();
    assert_eq!(error.message, "A filter can hold at most 256 comparisons");

    let nested = |open: &str, close: &str, deep: usize| {
        parse_filter(Grammar::Runs, &format!("{}metrics.a > 1{}", open.repeat(deep), close.repeat(deep)))
    };
    for (open, close) in [("(", ")"), ("NOT ", ""), ("NOT(", ")")] {
        let most = if open == "NOT(" { NESTED_MAX / 2 } else { NESTED_MAX };
        assert!(nested(open, close, most).is_ok());
        for deep in [most + 1, 10_000] {
            let error = nested(open, close, deep).unwrap_err();
            assert_eq!(error.message, "A filter can be nested at most 32 deep");
        }
    }

    let ids: Vec<String> = (0..25_000).map(|id| format!("'{id:032x}'")).collect();
    assert!(parse_filter(Grammar::Runs, &format!("run_id IN ({})", ids.join(","))).is_ok());
    let error = parse_filter(Grammar::Runs, &"a".repeat(FILTER_BYTES_MAX + 1)).unwrap_err();
    assert!(error.to_string().contains("1048577 bytes exceeds the maximum of 1048576"), "{error}");
    assert!(error.to_string().len() < 200);

    let error = parse_filter(Grammar::Runs, &format!("run_id IN ({})", ",".repeat(70_000))).unwrap_err();
    assert_eq!(error.message, "A filter can hold at most 65536 words, texts and signs");

    let digits = format!("version_number = {}", "9".repeat(400));
    assert!(parse_filter(Grammar::ModelVersions, &digits).is_err());

    let orders: Vec<String> = (0..65).map(|key| format!("metrics.m{key}")).collect();
    let error = parse_order_by(Grammar::Runs, &orders).unwrap_err();
    assert_eq!(error.message, "An order can hold at most 64 fields");
}

#[test]
fn orders_are_read() {
    let order = |subject, ascending| OrderBy { subject, ascending };
    let items = [
        "metrics.`val loss` desc",
        "attributes.Created",
        "tags.a ASC",
        "\"params.b\" DESC",
        "metrics.`val loss`.min",
        "metrics.a.max DESC",
        "\"metrics.a.min\"",
    ];
    let items: Vec<String> = items.into_iter().map(str::to_owned).collect();
    let expected = vec![
        order(Subject::Metric("val loss".into()), false),
        order(Subject::Attribute(Attribute::StartTime), true),
        order(Subject::Tag("a".into()), true),
        order(Subject::Param("b".into()), false),
        order(Subject::Aggregate(Aggregate::of("val loss", Function::Min)), true),
        order(Subject::Aggregate(Aggregate::unquoted("a.max").unwrap()), false),
        order(Subject::Metric("a.min".into()), true),
    ];
    assert_eq!(parse_order_by(Grammar::Runs, &items), Ok(expected));
    assert_eq!(
        parse_order_field(Grammar::LoggedModels, "metrics.a.b", false),
        Ok(order(Subject::Metric("a.b".into()), false))
    );
    let fields = [
        ("params.`a b`", Subject::Param("a b".into())),
        ("tags.k", Subject::Tag("k".into())),
        ("attributes.name", Subject::Attribute(Attribute::Name)),
        ("experiment_id", Subject::Attribute(Attribute::ExperimentId)),
    ];
    for (field, subject) in fields {
        assert_eq!(parse_order_field(Grammar::LoggedModels, field, true), Ok(order(subject, true)));
    }
    for field in ["params.", "tags.``", "dataset.name", "nope", "attributes.nope"] {
        let error = parse_order_field(Grammar::LoggedModels, field, true).unwrap_err();
        assert!(error.message.starts_with("Invalid order by field name"), "{error}");
    }
    // Every attribute of a filter is one of an order, and so is every tag.
    for grammar in Grammar::ALL {
        for subject in subjects_of(grammar) {
            let parsed = parse_order_by(grammar, &[subject.to_text(grammar)]);
            assert_eq!(parsed, Ok(vec![order(subject, true)]), "{grammar:?}");
        }
    }
    let twice = ["start_time".to_owned(), "created DESC".to_owned()];
    let error = parse_order_by(Grammar::Runs, &twice).unwrap_err();
    assert!(error.message.starts_with("`order_by` contains duplicate fields"), "{error}");
}

/// A tag, and every attribute that a filter of this grammar takes.
fn subjects_of(grammar: Grammar) -> Vec<Subject> {
    let known = |attribute: &Attribute| {
        parse_filter(grammar, &format!("{} IS NULL", grammar.attribute_name(*attribute))).is_ok()
    };
    let attributes = Attribute::ALL.into_iter().filter(known).map(Subject::Attribute);
    let subjects: Vec<Subject> = attributes.chain([Subject::Tag("k".to_owned())]).collect();
    assert!(subjects.len() > 4, "{subjects:?}");
    subjects
}

#[test]
fn what_is_missing_is_null_and_what_is_empty_too_if_it_is_an_attribute() {
    let thing = Thing::new("x")
        .text(Attribute::UserId, "")
        .text(Attribute::Status, "FINISHED")
        .number(Attribute::StartTime, 1.0)
        .metric("nan", f64::NAN)
        .param("empty", "")
        .dataset("d", "1", "train");
    let is_null = |subject: &str, expected: bool| {
        for (test, holds) in [("IS NULL", expected), ("IS NOT NULL", !expected)] {
            let filter = parse_filter(Grammar::Runs, &format!("{subject} {test}")).unwrap();
            assert_eq!(filter.matches(&thing), holds, "{subject} {test}");
        }
    };
    for missing in ["user_id", "run_name", "end_time", "metrics.a", "metrics.a.min", "params.a", "tags.a"] {
        is_null(missing, true);
    }
    for present in ["status", "start_time", "metrics.nan", "params.empty", "dataset.context"] {
        is_null(present, false);
    }
}
