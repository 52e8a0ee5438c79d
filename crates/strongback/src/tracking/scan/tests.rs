//! Searches against filtering and sorting every run one by one.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use syntax::search::{
    Aggregate, Attribute, Comparison, DatasetField, Operand, Operator, Span, Subject, ilike, like,
};

use super::*;
use crate::tracking::columns::{ColumnId, SegmentBuilder};
use crate::tracking::document::{DatasetInput, Point, RunDocument};

/// A run as the tests keep it.
#[derive(Debug, Clone)]
struct Run {
    uuid: [u8; 16],
    user: String,
    start: i64,
    end: Option<i64>,
    deleted: bool,
    experiment: i64,
    document: RunDocument,
    /// Every value that was logged, by key, in the order of their steps.
    logged: BTreeMap<String, Vec<f64>>,
}

impl Run {
    fn facts(&self) -> RunFacts<'_> {
        RunFacts {
            uuid: self.uuid,
            user: &self.user,
            status: if self.end.is_some() { "FINISHED" } else { "RUNNING" },
            start_time_ms: self.start,
            end_time_ms: self.end,
            deleted: self.deleted,
            document: &self.document,
        }
    }

    fn hex(&self) -> String {
        hex::encode(self.uuid)
    }
}

/// Segments in memory.
#[derive(Default)]
struct Memory {
    segments: Vec<Segment>,
    deleted: Vec<i64>,
    roots: [String; 3],
    columns: HashMap<(i64, ColumnId), Vec<u8>>,
    /// How often the search may still ask whether to go on; `None`: as often as it likes.
    patience: Option<Cell<usize>>,
}

impl Memory {
    fn build(runs: &BTreeMap<i64, Run>, segment_runs: usize) -> Self {
        let roots = [0, 1, 2].map(|experiment| format!("mlflow-artifacts:/{experiment}"));
        let mut memory = Self { roots, ..Self::default() };
        for experiment in [1, 2] {
            let own: Vec<_> = runs.iter().filter(|(_, run)| run.experiment == experiment).collect();
            for part in own.chunks(segment_runs) {
                let mut builder = SegmentBuilder::default();
                for (run_id, run) in part {
                    builder.apply(**run_id, &run.facts()).unwrap();
                }
                let changes = builder.finish();
                let id = memory.segments.len() as i64;
                let (first_run, last_run) = changes.run_ids.unwrap();
                memory.segments.push(Segment {
                    id,
                    revision: 0,
                    experiment,
                    runs: changes.runs,
                    first_run,
                    last_run,
                });
                memory
                    .columns
                    .extend(changes.written.into_iter().map(|(column, bytes)| ((id, column), bytes)));
            }
        }
        memory
    }
}

impl ColumnSource for Memory {
    type Bytes = Vec<u8>;
    type Error = Damaged;

    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn column(&self, segment: &Segment, kind: Kind, key: &str) -> Result<Option<Vec<u8>>, Damaged> {
        Ok(self.columns.get(&(segment.id, ColumnId { kind, key: key.into() })).cloned())
    }

    fn keep_going(&self) -> Result<(), Damaged> {
        let Some(left) = &self.patience else { return Ok(()) };
        match left.get().checked_sub(1) {
            Some(fewer) => {
                left.set(fewer);
                Ok(())
            }
            None => Err(Damaged { format: "patience", at: 0, why: "it is at an end" }),
        }
    }

    fn is_deleted(&self, experiment: i64) -> bool {
        self.deleted.contains(&experiment)
    }

    fn home(&self, experiment: i64) -> Home<'_> {
        Home { mlflow_id: mlflow_id(experiment), artifact_root: &self.roots[experiment as usize] }
    }
}

/// Too large for a float, and not in the order of the experiments' own ids.
fn mlflow_id(experiment: i64) -> i64 {
    900_719_925_474_099_300 - experiment
}

/// The oracle's view of a value.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// What this subject has in a run; `deleted` are the experiments that are.
fn found(run: &Run, subject: &Subject, deleted: &[i64]) -> Found {
    let document = &run.document;
    let one = |text: Option<&str>| Found::Texts(text.map(str::to_owned).into_iter().collect());
    match subject {
        Subject::Metric(key) => {
            Found::Numbers(document.metric(key).map(|metric| metric.latest.value.get()).into_iter().collect())
        }
        Subject::Aggregate(aggregate) => {
            Found::Numbers(naive_aggregate(run, aggregate).into_iter().collect())
        }
        Subject::Param(key) => one(document.param(key)),
        Subject::Tag(key) => one(document.tag(key)),
        Subject::Dataset(field) => Found::Texts(
            document
                .datasets()
                .iter()
                .filter_map(|input| match field {
                    DatasetField::Name => Some(input.name.clone()),
                    DatasetField::Digest => Some(input.digest.clone()),
                    DatasetField::Context => input.context.clone(),
                })
                .collect(),
        ),
        Subject::Attribute(Attribute::RunId) => one(Some(&run.hex())),
        Subject::Attribute(Attribute::RunName) => one(document.tag("mlflow.runName")),
        Subject::Attribute(Attribute::UserId) => one(Some(&run.user)),
        Subject::Attribute(Attribute::Status) => one(Some(run.facts().status)),
        Subject::Attribute(Attribute::ArtifactUri) => {
            one(Some(&format!("mlflow-artifacts:/{}/{}/artifacts", run.experiment, run.hex())))
        }
        Subject::Attribute(Attribute::ExperimentId) => one(Some(&mlflow_id(run.experiment).to_string())),
        Subject::Attribute(Attribute::LifecycleStage) => {
            one(Some(if run.deleted || deleted.contains(&run.experiment) { "deleted" } else { "active" }))
        }
        Subject::Attribute(Attribute::StartTime) => Found::Numbers(vec![run.start as f64]),
        Subject::Attribute(Attribute::EndTime) => {
            Found::Numbers(run.end.map(|end| end as f64).into_iter().collect())
        }
        Subject::Attribute(_) => unreachable!("no attribute of runs"),
    }
}

fn naive_aggregate(run: &Run, aggregate: &Aggregate) -> Option<f64> {
    if let Some(values) = aggregate.literal().and_then(|key| run.logged.get(key)) {
        return values.last().copied();
    }
    let values = run.logged.get(aggregate.key())?;
    let numbers = values.iter().copied().filter(|value| !value.is_nan());
    match aggregate.function() {
        Function::Last => values.last().copied(),
        Function::Min => numbers.reduce(f64::min),
        Function::Max => numbers.reduce(f64::max),
    }
}

fn naive_holds(run: &Run, comparison: &Comparison, deleted: &[i64]) -> bool {
    let is_attribute = matches!(comparison.subject, Subject::Attribute(_));
    match (found(run, &comparison.subject, deleted), comparison.op, &comparison.value) {
        (Found::Numbers(numbers), Operator::IsNull, Operand::None) => numbers.is_empty(),
        (Found::Numbers(numbers), Operator::IsNotNull, Operand::None) => !numbers.is_empty(),
        // An empty attribute is none.
        (Found::Texts(texts), op, Operand::None) if is_attribute => {
            (texts.concat().is_empty()) == (op == Operator::IsNull)
        }
        (Found::Numbers(numbers), op, Operand::Number(value)) => numbers.iter().any(|number| match op {
            Operator::Eq => number == value,
            Operator::Ne => number != value,
            Operator::Lt => number < value,
            Operator::Le => number <= value,
            Operator::Gt => number > value,
            Operator::Ge => number >= value,
            _ => false,
        }),
        (Found::Texts(texts), Operator::IsNull, Operand::None) => texts.is_empty(),
        (Found::Texts(texts), Operator::IsNotNull, Operand::None) => !texts.is_empty(),
        (Found::Texts(texts), op, Operand::Text(value)) => texts.iter().any(|text| match op {
            Operator::Eq => text == value,
            Operator::Ne => text != value,
            Operator::Like => like(value).matches(text),
            Operator::ILike => ilike(value).matches(text),
            _ => false,
        }),
        (Found::Texts(texts), op, Operand::List(list)) => {
            texts.iter().any(|text| list.contains(text) == (op == Operator::In))
        }
        _ => false,
    }
}

fn naive_compare(a: &Run, b: &Run, order: &[OrderBy], deleted: &[i64]) -> Ordering {
    let class = |found: &Found| match found {
        Found::Numbers(numbers) => numbers.first().map_or(2, |number| u8::from(number.is_nan())),
        Found::Texts(texts) => {
            if texts.is_empty() {
                2
            } else {
                0
            }
        }
    };
    for OrderBy { subject, ascending } in order {
        let (x, y) = (found(a, subject, deleted), found(b, subject, deleted));
        let by_class = class(&x).cmp(&class(&y));
        let by_value = match (&x, &y) {
            _ if class(&x) != 0 || class(&y) != 0 => Ordering::Equal,
            (Found::Numbers(x), Found::Numbers(y)) => x[0].partial_cmp(&y[0]).unwrap(),
            (Found::Texts(x), Found::Texts(y)) => x.iter().min().cmp(&y.iter().min()),
            _ => unreachable!(),
        };
        let ordering = by_class.then(if *ascending { by_value } else { by_value.reverse() });
        if ordering.is_ne() {
            return ordering;
        }
    }
    let by_start = order.iter().any(|by| by.subject == Subject::Attribute(Attribute::StartTime));
    let ties = if by_start { Ordering::Equal } else { b.start.cmp(&a.start) };
    ties.then(a.uuid.cmp(&b.uuid))
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(0.1), Just(-1.0), Just(0.0), Just(2.0), Just(1e300)]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[abB]{1,2}", Just("é".to_owned())]
}

fn run() -> impl Strategy<Value = Run> {
    let texts =
        || prop::collection::btree_map(prop_oneof!["[pq]", Just("mlflow.runName".to_owned())], word(), 0..3);
    let values = prop::collection::vec(number(), 1..4);
    let key = prop_oneof![4 => "[mn]", 1 => "[mn][.](min|last)"];
    let metrics = prop::collection::btree_map(key, values, 0..4);
    let inputs = prop::collection::vec((word(), prop::option::of(word())), 0..3);
    let times = (0_i64..4, prop::option::of(0_i64..4), prop::bool::weighted(0.2), 1_i64..3, word());
    (any::<[u8; 16]>(), times, texts(), texts(), metrics, inputs).prop_map(
        |(uuid, (start, end, deleted, experiment, user), params, tags, metrics, inputs)| {
            let mut document = RunDocument::default();
            for (key, value) in &params {
                assert!(document.set_param(key, value).unwrap());
            }
            for (key, value) in &tags {
                assert!(document.set_tag(key, value));
            }
            for (key, values) in &metrics {
                let points =
                    (0..).zip(values).map(|(step, value)| (key.as_str(), Point::new(1, step, *value)));
                document.log_points(points.collect());
            }
            for (name, context) in inputs {
                document.add_dataset(DatasetInput { name, digest: "d".into(), context });
            }
            Run { uuid, user, start, end, deleted, experiment, document, logged: metrics }
        },
    )
}

fn function() -> impl Strategy<Value = Function> {
    prop::sample::select(Function::ALL.to_vec())
}

fn subject() -> impl Strategy<Value = Subject> {
    let attribute = prop::sample::select(vec![
        Attribute::RunId,
        Attribute::RunName,
        Attribute::UserId,
        Attribute::Status,
        Attribute::StartTime,
        Attribute::EndTime,
        Attribute::ArtifactUri,
        Attribute::ExperimentId,
        Attribute::LifecycleStage,
    ]);
    prop_oneof![
        "[mno]".prop_map(Subject::Metric),
        ("[mno]", function(), any::<bool>()).prop_map(|(key, function, is_quoted)| {
            let unquoted = format!("{key}.{}", function.name());
            Subject::Aggregate(match is_quoted {
                true => Aggregate::of(&key, function),
                false => Aggregate::unquoted(&unquoted).unwrap(),
            })
        }),
        "[pqr]".prop_map(Subject::Param),
        "[pqr]".prop_map(Subject::Tag),
        attribute.prop_map(Subject::Attribute),
    ]
}

fn dataset() -> impl Strategy<Value = Subject> {
    prop::sample::select(DatasetField::ALL.to_vec()).prop_map(Subject::Dataset)
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Operator::{Eq, Ge, Gt, ILike, In, IsNotNull, IsNull, Le, Like, Lt, Ne, NotIn};
    let subject = prop_oneof![4 => subject(), 1 => dataset()];
    let numeric = (prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge]), number());
    let pattern = prop_oneof![word(), Just("%a%".to_owned()), Just("_".to_owned()), Just("%".to_owned())];
    let textual = (prop::sample::select(vec![Eq, Ne, Like, ILike]), pattern);
    let listed = prop_oneof![
        4 => word(),
        1 => prop::sample::select(vec!["deleted", "RUNNING"]).prop_map(str::to_owned),
        1 => (1_i64..3).prop_map(|experiment| mlflow_id(experiment).to_string()),
    ];
    let list = (prop::sample::select(vec![In, NotIn]), prop::collection::vec(listed, 1..3));
    let null = prop::sample::select(vec![IsNull, IsNotNull]);
    (subject, numeric, textual, list, null, 0_u8..4).prop_map(
        |(subject, numeric, textual, list, null, which)| {
            let is_number = matches!(
                subject,
                Subject::Metric(_)
                    | Subject::Aggregate(_)
                    | Subject::Attribute(Attribute::StartTime | Attribute::EndTime)
            );
            let (op, value) = match which {
                0 => (null, Operand::None),
                _ if is_number => (numeric.0, Operand::Number(numeric.1)),
                1 => (list.0, Operand::List(list.1)),
                _ => (textual.0, Operand::Text(textual.1)),
            };
            Comparison { subject, op, value, span: Span::default() }
        },
    )
}

/// Comparisons, and what is made of them by AND, OR and NOT.
fn part() -> impl Strategy<Value = Expr> {
    comparison().prop_map(Expr::Compare).prop_recursive(3, 8, 3, |part| {
        let parts = || prop::collection::vec(part.clone(), 0..3);
        prop_oneof![
            parts().prop_map(Expr::And),
            parts().prop_map(Expr::Or),
            part.clone().prop_map(|part| Expr::Not(Box::new(part))),
        ]
    })
}

fn naive_matches(run: &Run, filter: &Expr, deleted: &[i64]) -> bool {
    match filter {
        Expr::And(parts) => parts.iter().all(|part| naive_matches(run, part, deleted)),
        Expr::Or(parts) => parts.iter().any(|part| naive_matches(run, part, deleted)),
        Expr::Not(part) => !naive_matches(run, part, deleted),
        Expr::Compare(comparison) => naive_holds(run, comparison, deleted),
    }
}

fn order() -> impl Strategy<Value = Vec<OrderBy>> {
    let subject = prop_oneof![6 => subject(), 1 => dataset()];
    prop::collection::vec((subject, any::<bool>()), 0..4).prop_map(|fields| {
        let mut order: Vec<OrderBy> = Vec::new();
        for (subject, ascending) in fields {
            if order.iter().all(|by| by.subject != subject) {
                order.push(OrderBy { subject, ascending });
            }
        }
        order
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn pages_over_segments_and_fresh_runs_equal_filtering_and_sorting_everything(
        indexed in prop::collection::vec(run(), 0..40),
        updates in prop::collection::vec((0_i64..50, run()), 0..8),
        segment_runs in 1_usize..20,
        deleted in prop::collection::vec(1_i64..3, 0..2),
        mut parts in prop::collection::vec(part(), 0..3),
        by_id in prop::option::weighted(0.1, (0_usize..40, prop::sample::select(vec![Operator::Eq, Operator::Ne]))),
        order in order(),
        view in prop::sample::select(vec![View::Active, View::Deleted, View::All]),
        limit in 1_usize..12,
    ) {
        let mut runs: BTreeMap<i64, Run> = (0..).zip(indexed).collect();
        if let Some((place, op)) = by_id {
            let hex = runs.values().nth(place).map(Run::hex).unwrap_or_default();
            let subject = Subject::Attribute(Attribute::RunId);
            let comparison = Comparison { subject, op, value: Operand::Text(hex), span: Span::default() };
            parts.push(Expr::Compare(comparison));
        }
        let memory = Memory { deleted, ..Memory::build(&runs, segment_runs) };
        let is_deleted = |run: &Run| run.deleted || memory.is_deleted(run.experiment);
        let updates: BTreeMap<i64, Run> = updates.into_iter().map(|(run_id, mut run)| {
            if let Some(old) = runs.get(&run_id) {
                (run.uuid, run.experiment) = (old.uuid, old.experiment);
            }
            (run_id, run)
        }).collect();
        runs.extend(updates.clone());
        let fresh = |search: &mut Search<'_>| for (run_id, run) in &updates {
            let facts = RunFacts { deleted: is_deleted(run), ..run.facts() };
            let home = memory.home(run.experiment);
            search.fresh(FreshRun { run_id: *run_id, facts }, home, || Ok::<_, Damaged>(())).unwrap();
        };

        let mut expected: Vec<(&i64, &Run)> = runs.iter()
            .filter(|(_, run)| view == View::All || is_deleted(run) == (view == View::Deleted))
            .filter(|(_, run)| parts.iter().all(|part| naive_matches(run, part, &memory.deleted)))
            .collect();
        expected.sort_by(|a, b| naive_compare(a.1, b.1, &order, &memory.deleted));
        let expected: Vec<i64> = expected.into_iter().map(|(run_id, _)| *run_id).collect();

        let filter = Expr::And(parts);
        let mut found = Vec::new();
        let mut after: Option<Anchor> = None;
        loop {
            let query = Query { filter: Some(&filter), order: &order, view, limit, after: after.as_ref() };
            let mut search = Search::new(&query);
            fresh(&mut search);
            let page = search.page(&memory).unwrap();
            prop_assert!(page.run_ids.len() <= limit);
            found.extend(page.run_ids);
            let Some(next) = page.next else { break };
            prop_assert!(found.len() < expected.len());
            after = Some(Anchor::decode(&next.encode(), &order).unwrap());
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn hostile_tokens_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), order in order()) {
        let mut bytes = bytes;
        bytes.splice(..0, [1]);
        if let Ok(anchor) = Anchor::decode(&bytes, &order) {
            prop_assert_eq!(Anchor::decode(&anchor.encode(), &order).unwrap(), anchor);
        }
    }
}

fn plain_run(n: u8, document: RunDocument) -> Run {
    Run {
        uuid: [n; 16],
        user: String::new(),
        start: i64::from(n),
        end: None,
        deleted: false,
        experiment: 1,
        document,
        logged: BTreeMap::new(),
    }
}

/// However many texts a column has, only a few are tested before somebody is asked whether to go on.
#[test]
fn a_search_without_patience_ends_in_the_middle_of_a_column() {
    let runs: BTreeMap<i64, Run> = (0..200_u8)
        .map(|n| {
            let mut document = RunDocument::default();
            document.set_tag("t", &n.to_string());
            (i64::from(n), plain_run(n, document))
        })
        .collect();
    let filter = syntax::search::parse_filter(syntax::search::Grammar::Runs, "tags.t LIKE '%_'").unwrap();
    let query = Query { filter: Some(&filter), order: &[], view: View::All, limit: 1_000, after: None };
    let asked = |patience: usize| {
        let memory = Memory { patience: Some(Cell::new(patience)), ..Memory::build(&runs, 4_096) };
        let page = Search::new(&query).page(&memory);
        page.map(|page| (page.run_ids.len(), patience - memory.patience.unwrap().get()))
    };
    let (found, times) = asked(1_000).unwrap();
    assert_eq!(found, 200);
    // Four columns, and four times 64 texts.
    assert!(times >= 8, "{times}");
    for patience in 0..times {
        assert_eq!(asked(patience).unwrap_err().format, "patience");
    }
    assert_eq!(asked(times).unwrap().0, 200);
}

#[test]
fn a_page_that_ends_early_goes_on_behind_its_last_run() {
    let runs: BTreeMap<i64, Run> =
        (0..9).map(|n| (i64::from(n), plain_run(n, RunDocument::default()))).collect();
    let memory = Memory::build(&runs, 4);
    let (mut found, mut after) = (Vec::new(), None::<Anchor>);
    for pages in 1.. {
        let query = Query { filter: None, order: &[], view: View::All, limit: 5, after: after.as_ref() };
        let mut page = Search::new(&query).page(&memory).unwrap();
        page.end_after(if pages == 1 { 0 } else { 2 });
        found.extend(page.run_ids);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, (0..9).rev().collect::<Vec<_>>());
}

#[test]
fn bytes_of_a_page_token_are_fixed_and_bound_to_their_order() {
    let order = [OrderBy { subject: Subject::Metric("auc".into()), ascending: false }];
    let bytes =
        hex::decode(concat!("0102", "01000000000000e03f", "00d00f", "000102030405060708090a0b0c0d0e0f"))
            .unwrap();
    let anchor = Anchor::decode(&bytes, &order).unwrap();
    assert_eq!(anchor.encode(), bytes);
    assert_eq!(Anchor::decode(&bytes, &[]).unwrap_err().why, "it belongs to another order");
    let smallest = Subject::Aggregate(Aggregate::of("auc", Function::Min));
    assert_eq!(Anchor::decode(&bytes, &[OrderBy { subject: smallest, ascending: false }]), Ok(anchor));
    let other = [OrderBy { subject: Subject::Param("lr".into()), ascending: false }];
    assert_eq!(Anchor::decode(&bytes, &other).unwrap_err().why, "it belongs to another order");
    for len in 0..bytes.len() {
        Anchor::decode(&bytes[..len], &order).unwrap_err();
    }
}
