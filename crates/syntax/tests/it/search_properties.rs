//! What holds for every filter: nothing panics, printing and parsing are inverse, orders are total.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::select;
use syntax::search::{
    Aggregate, Attribute, Comparison, DatasetField, Expr, Function, Grammar, Operand, Operator, Span,
    Subject, compare_numbers, like, parse_filter, parse_order_by, parse_order_field,
};

use crate::fixture::{Thing, things};

/// Pieces that filters are made of, well put together and not.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = vec![
        "metrics.",
        "params.",
        "tags.",
        "tag.",
        "attributes.",
        "attribute.",
        "dataset.",
        "status",
        "name",
        "run_id",
        "version_number",
        "experiment_id",
        "acc",
        ".min",
        ".last",
        ".mean",
        "`a b`",
        "\"k\"",
        "'v'",
        "''",
        "=",
        "!=",
        "<",
        ">=",
        "LIKE",
        "ilike",
        "IN",
        "NOT",
        "IS",
        "NULL",
        "AND",
        "OR",
        "(",
        ")",
        ",",
        "1",
        "-1.5e3",
        "1e",
        "0x",
        ".",
        "..",
        "-",
        ";",
        "`",
        "'",
        "\"",
        " ",
        " ",
        " ",
        "\n",
        "é",
        "\u{0}",
        "💥",
    ];
    prop::collection::vec(select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

/// Every attribute that a filter of this grammar can name.
fn attributes(grammar: Grammar) -> Vec<Attribute> {
    let known = |attribute: &Attribute| {
        parse_filter(grammar, &format!("{} IS NULL", grammar.attribute_name(*attribute))).is_ok()
    };
    Attribute::ALL.into_iter().filter(known).collect()
}

fn subjects(grammar: Grammar) -> BoxedStrategy<Subject> {
    let key = "[ -~é\n]{1,12}";
    let attribute = select(attributes(grammar)).prop_map(Subject::Attribute);
    let tag = key.prop_map(Subject::Tag);
    let metric = key.prop_map(Subject::Metric);
    let param = key.prop_map(Subject::Param);
    let fields = vec![DatasetField::Name, DatasetField::Digest, DatasetField::Context];
    let dataset = select(fields).prop_map(Subject::Dataset);
    let function = || select(vec![Function::Min, Function::Max]);
    let quoted = (key, function()).prop_map(|(key, function)| Aggregate::of(&key, function));
    let unquoted = ("[a-zé0-9_.]{1,6}", select(Function::ALL.to_vec()));
    let unquoted = unquoted.prop_filter_map("a function of a key", |(key, f)| {
        Aggregate::unquoted(&format!("{key}.{}", f.name()))
    });
    let aggregate = prop_oneof![quoted, unquoted].prop_map(Subject::Aggregate);
    match grammar {
        Grammar::Runs => prop_oneof![attribute, tag, metric, param, dataset, aggregate].boxed(),
        Grammar::LoggedModels => prop_oneof![attribute, tag, metric, param].boxed(),
        _ => prop_oneof![attribute, tag].boxed(),
    }
}

/// A comparison that this grammar can write.
fn comparison(grammar: Grammar) -> BoxedStrategy<Expr> {
    use Operator as O;
    let finish = move |(subject, number, text, texts, pick): (Subject, f64, String, Vec<String>, usize)| {
        let integers = grammar == Grammar::Experiments
            || matches!(subject, Subject::Attribute(Attribute::VersionNumber));
        let number = match integers {
            true if number.is_infinite() => 7.0,
            true => number.trunc(),
            false => number,
        };
        let id = subject == Subject::Attribute(Attribute::ExperimentId)
            && matches!(grammar, Grammar::Experiments | Grammar::Runs);
        let as_id = |text: &String| if id { text.len().to_string() } else { text.clone() };
        let (op, value) = if grammar.is_numeric(&subject) {
            match [O::Eq, O::Ne, O::Lt, O::Le, O::Gt, O::Ge, O::IsNull, O::IsNotNull][pick % 8] {
                op @ (O::IsNull | O::IsNotNull) => (op, Operand::None),
                op => (op, Operand::Number(number)),
            }
        } else {
            match pick % 8 {
                0 => (O::IsNotNull, Operand::None),
                1 => (O::Eq, Operand::Text(as_id(&text))),
                2 => (O::Ne, Operand::Text(as_id(&text))),
                3 => (O::Like, Operand::Text(text)),
                4 => (O::ILike, Operand::Text(text)),
                5 => (O::In, Operand::List(texts.iter().map(as_id).collect())),
                6 => (O::NotIn, Operand::List(texts.iter().map(as_id).collect())),
                _ => (O::IsNull, Operand::None),
            }
        };
        Expr::Compare(Comparison { subject, op, value, span: Span::default() })
    };
    let values = (
        subjects(grammar),
        prop_oneof![prop::num::f64::NORMAL, prop::num::f64::ZERO, -1e6..1e6, Just(f64::INFINITY)],
        "[ -~é\t\n]{0,12}",
        prop::collection::vec("[ -~é]{0,6}", 1..4),
        any::<usize>(),
    );
    values.prop_map(finish).prop_filter("the grammar takes the operator", move |e| takes(grammar, e)).boxed()
}

/// Whether the grammar takes this operator of such a subject, found out with a tame key and value.
fn takes(grammar: Grammar, expr: &Expr) -> bool {
    expr.comparisons().into_iter().all(|comparison| {
        let subject = match &comparison.subject {
            Subject::Tag(_) => Subject::Tag("k".to_owned()),
            Subject::Param(_) => Subject::Param("k".to_owned()),
            Subject::Metric(_) | Subject::Aggregate(_) => Subject::Metric("k".to_owned()),
            other => other.clone(),
        };
        let value = match &comparison.value {
            Operand::Number(_) => Operand::Number(1.0),
            Operand::Text(_) => Operand::Text("1".to_owned()),
            Operand::List(_) => Operand::List(vec!["1".to_owned()]),
            Operand::None => Operand::None,
        };
        let tame = Expr::Compare(Comparison { subject, value, op: comparison.op, span: Span::default() });
        parse_filter(grammar, &tame.to_filter(grammar)).is_ok()
    })
}

fn grammar_and_filter() -> impl Strategy<Value = (Grammar, Expr)> {
    select(Grammar::ALL.to_vec()).prop_flat_map(|grammar| {
        prop::collection::vec(tree(comparison(grammar)), 0..5).prop_map(move |parts| (grammar, top(parts)))
    })
}

/// Comparisons, and what is made of them by AND, OR and NOT.
fn tree(leaf: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    leaf.prop_recursive(4, 16, 4, |part| {
        let parts = || prop::collection::vec(part.clone(), 2..4);
        prop_oneof![
            parts().prop_map(Expr::And),
            parts().prop_map(Expr::Or),
            part.clone().prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

/// As a parser gives it: what is alone needs no AND around it but the one at the top.
fn top(mut parts: Vec<Expr>) -> Expr {
    match parts.pop() {
        Some(Expr::And(only)) if parts.is_empty() => Expr::And(only),
        Some(last) => {
            parts.push(last);
            Expr::And(parts)
        }
        None => Expr::And(parts),
    }
}

/// One of the comparisons of a tag with these texts.
fn one_of(texts: [&'static str; 3]) -> impl Strategy<Value = Expr> {
    let parse = |text: &str| parse_filter(Grammar::Runs, &format!("tags.t = '{text}'")).unwrap();
    select(texts.to_vec()).prop_map(move |text| match parse(text) {
        Expr::And(mut parts) => bare(parts.remove(0)),
        other => other,
    })
}

/// What a filter means, written down once more: of its comparisons, those with this text hold.
fn naive(expr: &Expr, of: Option<&str>) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().filter(|part| naive(part, of)).count() == parts.len(),
        Expr::Or(parts) => parts.iter().filter(|part| naive(part, of)).count() > 0,
        Expr::Not(part) => !naive(part, of),
        Expr::Compare(comparison) => of.is_some_and(|of| comparison.value == Operand::Text(of.to_owned())),
    }
}

/// The tree without its spans.
fn bare(expr: Expr) -> Expr {
    match expr {
        Expr::And(parts) => Expr::And(parts.into_iter().map(bare).collect()),
        Expr::Or(parts) => Expr::Or(parts.into_iter().map(bare).collect()),
        Expr::Not(part) => Expr::Not(Box::new(bare(*part))),
        Expr::Compare(comparison) => Expr::Compare(Comparison { span: Span::default(), ..comparison }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        for grammar in Grammar::ALL {
            if let Err(error) = parse_filter(grammar, &text) {
                prop_assert!(error.span.end <= text.len());
                prop_assert!(!error.to_string().is_empty());
            }
            _ = parse_order_by(grammar, std::slice::from_ref(&text)).map_err(|error| error.to_string());
            _ = parse_order_field(grammar, &text, true).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn nearly_filters_never_panic(text in fragments()) {
        for grammar in Grammar::ALL {
            match parse_filter(grammar, &text) {
                Err(error) => prop_assert!(!error.to_string().is_empty()),
                Ok(filter) => {
                    // What parses can be printed, parsed again and evaluated.
                    let again = parse_filter(grammar, &filter.to_filter(grammar));
                    prop_assert_eq!(again.map(bare), Ok(bare(filter.clone())));
                    _ = things(grammar).iter().filter(|thing| filter.matches(*thing)).count();
                }
            }
            _ = parse_order_by(grammar, std::slice::from_ref(&text)).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse((grammar, filter) in grammar_and_filter()) {
        let text = filter.to_filter(grammar);
        let parsed = parse_filter(grammar, &text).map(bare);
        prop_assert_eq!(parsed, Ok(filter), "{}", text);
    }

    #[test]
    fn and_or_and_not_mean_what_they_say(part in tree(one_of(["a", "b", "c"])), of in prop::option::of("[a-d]")) {
        let thing = of.iter().fold(Thing::new("x"), |thing, of| thing.tag("t", of));
        let filter = top(vec![part]);
        prop_assert_eq!(filter.matches(&thing), naive(&filter, of.as_deref()), "{}", filter.to_filter(Grammar::Runs));
        // What stands in no OR and under no NOT holds of all that matches.
        if filter.matches(&thing) {
            let all = filter.required().iter().all(|c| of.as_deref().is_some_and(|of| c.value == Operand::Text(of.to_owned())));
            prop_assert!(all);
        }
    }

    #[test]
    fn numbers_are_ordered_totally(mut values in prop::collection::vec(prop::option::of(prop::num::f64::ANY), 0..12),
                                   ascending: bool) {
        values.sort_by(|a, b| compare_numbers(*a, *b, ascending));
        let missing = values.iter().filter(|value| value.is_none()).count();
        prop_assert!(values[values.len() - missing..].iter().all(Option::is_none));
        let present: Vec<f64> = values.iter().flatten().copied().collect();
        let not_numbers = present.iter().filter(|value| value.is_nan()).count();
        let (numbers, nans) = present.split_at(present.len() - not_numbers);
        prop_assert!(nans.iter().all(|value| value.is_nan()));
        let wanted = if ascending { Ordering::Greater } else { Ordering::Less };
        prop_assert!(numbers.windows(2).all(|pair| pair[0].partial_cmp(&pair[1]) != Some(wanted)));
    }

    #[test]
    fn comparisons_mean_what_they_say(value in prop_oneof![-3.0..3.0, Just(f64::NAN)], bound in -3i32..3, text in "[a-c]{0,3}") {
        let thing = Thing::new("x").metric("m", value).tag("t", &text);
        let holds = |filter: String| parse_filter(Grammar::Runs, &filter).map(|f| f.matches(&thing)).unwrap();
        let bound_number = f64::from(bound);
        prop_assert_eq!(holds(format!("metrics.m > {bound}")), value > bound_number);
        prop_assert_eq!(holds(format!("metrics.m <= {bound}")), value <= bound_number);
        prop_assert_eq!(holds(format!("metrics.m != {bound}")), value != bound_number);
        prop_assert_eq!(holds(format!("metrics.other != {bound}")), false);
        prop_assert_eq!(holds("tags.t LIKE 'a%'".to_owned()), like("a%").matches(&text));
        prop_assert_eq!(holds("tags.t != 'a'".to_owned()), text != "a");
        prop_assert_eq!(holds("tags.other != 'a'".to_owned()), false);
    }
}
