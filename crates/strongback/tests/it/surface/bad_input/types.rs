//! One field wrong at a time, for every field of every route.

use serde_json::{Value, json};

use super::super::{Example, examples, world::Tokens};
use super::{
    Base, TOKENS, assert_none, complain, examples_with_fields, fields, is_refused, names, newest_event,
    problem_of, values,
};
use crate::support::{Answer, TestApp, on_every_store_with};

#[test]
fn a_field_of_a_wrong_type_is_refused_by_its_name_and_changes_nothing() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::administrator(&test).await;
        let (mut problems, mut sent) = (Vec::new(), 0);
        for example in examples_with_fields() {
            let mut base = Base::new(&test, &tokens, example.clone()).await;
            let before = newest_event(&test, &tokens).await;
            for field in fields::of(example.method, example.path) {
                for (value, in_query) in places(&base, &field, values::wrong(&field)) {
                    let answer = base.send_with(&field, value.clone(), in_query).await;
                    sent += 1;
                    let why = problem_of(&answer).or_else(|| unrefused(&example, &field, &answer));
                    problems.extend(why.map(|why| complain(&example, field.name(), &value, &why, &answer)));
                }
            }
            if newest_event(&test, &tokens).await != before {
                problems.push(format!("{} {}: a refused call left an event", example.method, example.path));
            }
        }
        assert_none(&problems);
        assert!(sent > 2_000, "only {sent} requests were made");
    });
}

/// Why an answer is not the refusal of this field, if it is not.
fn unrefused(example: &Example, field: &fields::Field, answer: &Answer) -> Option<String> {
    // A signed address is good as it is, and no other.
    if example.note == examples::SIGNED {
        return (answer.status != 403).then(|| "another address than the signed one was taken".to_owned());
    }
    // What stands in a path may as well be a thing that does not exist. A HEAD cannot say what was wrong.
    if field.in_path && (answer.status == 404 || example.method == "HEAD" && answer.status == 400) {
        return None;
    }
    if !is_refused(answer) {
        return Some("not refused".to_owned());
    }
    let is_named = names(answer, field.name()) || field.in_path && names(answer, "Invalid path");
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
fn odd_and_long_values_are_taken_or_refused_by_name_and_never_fail() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::administrator(&test).await;
        let mut problems = Vec::new();
        for example in examples_with_fields() {
            let mut base = Base::new(&test, &tokens, example.clone()).await;
            let changes = !example.reads() && !example.path.contains("search");
            // Above every limit on a text, or just below the limit on the body.
            let long = if fields::takes_json(example.method, example.path) { 120_000 } else { 60_000 };
            for field in fields::of(example.method, example.path) {
                // What a route does not read says nothing.
                if !field.is_among(&example.fields) {
                    continue;
                }
                let mut given = values::edges(&field);
                if field.takes("string") && !values::is_number(&field) {
                    given.extend(values::odd_texts());
                    given.push(json!("x".repeat(long)));
                }
                given.push(json!(null));
                for value in given {
                    let is_long = value.as_str().is_some_and(|text| text.len() > 1_000);
                    if field.in_path && (is_long || !value.is_string()) {
                        continue;
                    }
                    let in_query = !fields::takes_json(example.method, example.path);
                    let answer = base.send_with(&field, value.clone(), in_query).await;
                    let why = problem_of(&answer).or_else(|| {
                        let is_field = is_refused(&answer) && answer.status != 413;
                        if is_field && !names(&answer, field.name()) {
                            return Some("the field is not named".to_owned());
                        }
                        let is_taken =
                            is_long && answer.status < 300 && changes && !LONG.contains(&field.name());
                        is_taken.then(|| "a long value was taken".to_owned())
                    });
                    problems.extend(why.map(|why| complain(&example, field.name(), &value, &why, &answer)));
                }
            }
        }
        assert_none(&problems);
    });
}
