//! Requests that no well-behaved client sends, made from the examples by breaking one thing at a time: MLflow's code
//! and status, the field named, never a server error, and nothing changed.
//!
//! The caller is an administrator, so that what refuses is the check of the input and never a right.

mod bodies;
mod fields;
mod generated;
mod graphql;
mod ids;
mod paths;
mod types;
mod values;

use std::{collections::HashSet, sync::Mutex};

use axum::body::Body;
use futures::{StreamExt, stream};
use http::Request;
use serde_json::{Value, json};
use strongback::error::Code;

use super::{
    Example, examples,
    world::{Tokens, World},
};
use crate::support::{Answer, TestApp};

const TOKENS: &[(&str, &str)] = &[("auth", "tokens"), ("webhooks_allow", "127.0.0.1")];

/// Examples of routes that read fields, one a route, without those that are answered alike whatever comes.
fn examples_with_fields() -> Vec<Example> {
    let mut seen = HashSet::new();
    let fields_of = |example: &Example| fields::of(example.method, example.path);
    examples::all()
        .into_iter()
        .filter(|example| !fields_of(example).is_empty() && !example.path.contains("{*rest}"))
        .filter(|example| seen.insert((example.method, example.path)))
        .collect()
}

/// Whether an answer is one that a client can act on: never our fault, and an error in the shape of errors.
fn problem_of(answer: &Answer) -> Option<String> {
    let code = answer.error_code();
    if answer.status >= 500 && answer.status != 501 {
        return Some("a server error".into());
    }
    if answer.status < 400 {
        return None;
    }
    // A HEAD has no body to say it in.
    if answer.json.is_null() && answer.headers.contains_key("content-length") {
        return None;
    }
    if !Code::ALL.iter().any(|known| known.name() == code) {
        return Some("an unknown code".into());
    }
    answer.json["message"].as_str().is_none_or(str::is_empty).then(|| "no message".into())
}

fn message(answer: &Answer) -> &str {
    answer.json["message"].as_str().unwrap_or_default()
}

/// Whether a refusal names the field as a field: quoted, with the path to it or within it. That its name occurs
/// somewhere says nothing, because messages show what was sent.
fn names(answer: &Answer, field: &str) -> bool {
    let is_path = |text: &&str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '\\'))
    };
    let quoted = message(answer).split('\'').skip(1).filter(is_path);
    quoted.flat_map(|path| path.split(['.', '[', ']'])).any(|part| part == field)
}

/// Whether a refusal says which field it means: by its name, or in the words that MLflow has for it ("experiment ID").
fn says(answer: &Answer, field: &str) -> bool {
    let message = answer.json["message"].as_str().unwrap_or_default().to_lowercase();
    let field = field.trim_end_matches('s');
    let words = field.replace('_', " ");
    let kind = field.rsplit('_').next().unwrap_or_default();
    // MLflow's plain registry says 400 of an alias that is not there.
    message.ends_with("not found.")
        || message.contains(field)
        || message.contains(&words)
        || matches!(kind, "name" | "path") && message.contains(kind)
        // A root is a path.
        || field == "root" && message.contains("path")
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 400 && matches!(answer.error_code(), "INVALID_PARAMETER_VALUE" | "BAD_REQUEST")
}

/// Ids of requests that were refused: no event may carry one of them.
#[derive(Default)]
struct Refusals(Mutex<HashSet<String>>);

impl Refusals {
    fn note(&self, answer: &Answer) {
        if answer.status >= 400 {
            let id = answer.headers["x-request-id"].to_str().unwrap();
            self.0.lock().unwrap().insert(id.to_owned());
        }
    }

    async fn assert_left_no_event(&self, test: &TestApp, tokens: &Tokens) {
        const ALL: usize = 10_000;
        let log = Example::new("GET", "/api/1.0/audit-log", json!({ "max_results": ALL }));
        let log = test.send(log.request(&log.fields, tokens.admin.as_deref())).await;
        let events = crate::support::ok(&log)["events"].as_array().unwrap();
        assert!(events.len() < ALL, "there are more events than can be looked at");
        let refused = self.0.lock().unwrap();
        assert!(!refused.is_empty(), "nothing was refused");
        let left = |event: &&Value| refused.contains(event["request_id"].as_str().unwrap());
        assert_eq!(
            events.iter().filter(left).collect::<Vec<_>>(),
            Vec::<&Value>::new(),
            "events of refused calls"
        );
    }
}

/// Does something with every example, a few at a time, and answers the problems of all.
async fn for_each<F: Future<Output = Vec<String>>>(
    examples: Vec<Example>,
    check: impl Fn(Example) -> F,
) -> Vec<String> {
    stream::iter(examples).map(check).buffered(8).concat().await
}

/// An example with its fields filled.
struct Base<'t> {
    example: Example,
    test: &'t TestApp,
    tokens: Tokens,
    refusals: &'t Refusals,
    fields: Value,
    /// Whether a call succeeded that may have used up what it named.
    is_used: bool,
}

impl<'t> Base<'t> {
    async fn new(test: &'t TestApp, tokens: &Tokens, refusals: &'t Refusals, example: Example) -> Self {
        let tokens = tokens.clone();
        let mut base = Self { example, test, tokens, refusals, fields: Value::Null, is_used: false };
        base.renew().await;
        base
    }

    async fn renew(&mut self) {
        self.fields = World::new(self.test, &self.tokens).fill(&self.example.fields).await;
        self.is_used = false;
    }

    fn token(&self) -> Option<&str> {
        self.tokens.admin.as_deref()
    }

    /// Sends it with one field replaced, in the body or in the query.
    async fn send_with(&mut self, field: &fields::Field, value: Value, in_query: bool) -> Answer {
        let answer = self.try_with(field, value.clone(), in_query).await;
        let may_be_used_up = matches!(answer.status, 404 | 409) || message(&answer).contains("state");
        if !self.is_used || !may_be_used_up {
            self.is_used |= answer.status < 400 && !self.example.reads();
            return answer;
        }
        // It may be refused only because an earlier call of the example deleted or finished what it names.
        self.renew().await;
        let answer = self.try_with(field, value, in_query).await;
        self.is_used = answer.status < 400;
        answer
    }

    async fn try_with(&self, field: &fields::Field, value: Value, in_query: bool) -> Answer {
        let mut fields = self.fields.clone();
        field.put(&mut fields, value);
        self.send(self.example.request_with(&fields, self.token(), in_query)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.test.send(request).await;
        self.refusals.note(&answer);
        answer
    }
}

/// A short look at a value for a list of problems.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.chars().take(60).collect()
}

fn complain(example: &Example, what: &str, value: &Value, why: &str, answer: &Answer) -> String {
    let said = json!({ "status": answer.status, "body": answer.json }).to_string();
    let said: String = said.chars().take(300).collect();
    format!("{} {} {what} = {}: {why}: {said}", example.method, example.path, shown(value))
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}
