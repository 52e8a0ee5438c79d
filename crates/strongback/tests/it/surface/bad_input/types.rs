//! One field wrong at a time, for every field of every route.

use serde_json::{Value, json};

use super::super::{Example, examples, world::Tokens};
use super::{
    Base, Refusals, TOKENS, assert_none, complain, examples_with_fields, fields, for_each, is_refused,
    message, names, problem_of, says, values,
};
use crate::support::{Answer, TestApp, on_every_store_with};

#[test]
fn a_field_of_a_wrong_type_is_refused_by_its_name_and_changes_nothing() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let problems = for_each(examples_with_fields(), async |example: Example| {
            let mut base = Base::new(&test, &tokens, &refusals, example.clone()).await;
            let mut problems = Vec::new();
            for field in fields::of(example.method, example.path) {
                for (value, in_query) in places(&base, &field, values::wrong(&field)) {
                    let answer = base.send_with(&field, value.clone(), in_query).await;
                    let why = problem_of(&answer).or_else(|| unrefused(&example, &field, &answer));
                    problems.extend(why.map(|why| complain(&example, field.name(), &value, &why, &answer)));
                }
            }
            problems
        });
        assert_none(&problems.await);
        refusals.assert_left_no_event(&test, &tokens).await;
    });
}

/// Why an answer is not the refusal of this field, if it is not.
fn unrefused(example: &Example, field: &fields::Field, answer: &Answer) -> Option<String> {
    // A signed address is good as it is, and no other.
    if example.note == examples::SIGNED {
        return (!matches!(answer.status, 400 | 403))
            .then(|| "another address than the signed one was taken".to_owned());
    }
    // What stands in a path may as well be a thing that does not exist. A HEAD cannot say what was wrong.
    if field.in_path && (answer.status == 404 || example.method == "HEAD" && answer.status == 400) {
        return None;
    }
    if !is_refused(answer) {
        return Some("not refused".to_owned());
    }
    let is_named = names(answer, field.name()) || field.in_path && message(answer).contains("Invalid path");
    (!is_named).then(|| "the field is not named".to_owned())
}

/// Where a value can be said: in a body anything, in path and query only text.
fn places(base: &Base<'_>, field: &fields::Field, given: Vec<Value>) -> Vec<(Value, bool)> {
    let example = &base.example;
    let takes_json = fields::takes_json(example.method, example.path);
    let reads_query = example.method == "DELETE" || !takes_json;
    let mut places = Vec::new();
    for value in given {
        let can_be_text = value.is_string() && !field.is_nested() && !field.takes("array");
        if field.in_path {
            places.extend(can_be_text.then_some((value, reads_query)));
            continue;
        }
        if reads_query && can_be_text {
            places.push((value.clone(), true));
        }
        if takes_json {
            places.push((value, false));
        }
    }
    places
}

/// Fields that are kept however long they are: values of params and tags of runs are cut, as MLflow does, and the
/// description of a data set may be long.
const LONG: &[&str] =
    &["value", "run_name", "source", "schema", "profile", "model_json", "etag", "operation", "session_token"];

#[test]
fn odd_values_are_taken_or_refused_by_name_and_never_fail() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let given = |field: &fields::Field, _: &Example| {
            let mut given = values::edges(field);
            if field.takes("string") && !values::is_number(field) {
                given.extend(values::odd_texts());
            }
            given.push(json!(null));
            given
        };
        assert_none(&try_all(&test, given, |_, _| None).await);
    });
}

#[test]
fn a_text_without_measure_is_refused_by_name() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let given = |field: &fields::Field, example: &Example| {
            // Above every limit on a text, or just below the limit on the body.
            let long = if fields::takes_json(example.method, example.path) { 120_000 } else { 60_000 };
            let is_text = field.takes("string") && !values::is_number(field) && !field.in_path;
            if is_text { vec![json!("x".repeat(long))] } else { Vec::new() }
        };
        let is_taken = |field: &fields::Field, example: &Example| {
            let changes = !example.reads() && !example.path.contains("search");
            (changes && !LONG.contains(&field.name())).then(|| "a long value was taken".to_owned())
        };
        assert_none(&try_all(&test, given, is_taken).await);
    });
}

/// Tries values for every field that an example has; what a route does not read says nothing. A refusal names the field,
/// and `taken` says why an acceptance is wrong.
async fn try_all(
    test: &TestApp,
    given: impl Fn(&fields::Field, &Example) -> Vec<Value>,
    taken: impl Fn(&fields::Field, &Example) -> Option<String>,
) -> Vec<String> {
    let (tokens, refusals) = (Tokens::administrator(test).await, Refusals::default());
    let problems = for_each(examples_with_fields(), async |example: Example| {
        let mut base = Base::new(test, &tokens, &refusals, example.clone()).await;
        let in_query = !fields::takes_json(example.method, example.path);
        let of_route = fields::of(example.method, example.path);
        let mut problems = Vec::new();
        for field in of_route.iter().filter(|field| field.is_among(&example.fields)) {
            let mut given = given(field, &example);
            given.retain(|value| !field.in_path || value.is_string());
            for value in given {
                let answer = base.send_with(field, value.clone(), in_query).await;
                let why = problem_of(&answer).or_else(|| {
                    if is_refused(&answer) && !says(&answer, field.name()) {
                        return Some("the field is not named".to_owned());
                    }
                    if answer.status < 300 { taken(field, &example) } else { None }
                });
                problems.extend(why.map(|why| complain(&example, field.name(), &value, &why, &answer)));
            }
        }
        problems
    });
    let problems = problems.await;
    refusals.assert_left_no_event(test, &tokens).await;
    problems
}
