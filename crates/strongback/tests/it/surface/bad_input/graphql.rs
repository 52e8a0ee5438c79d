//! GraphQL documents that no page sends: the fields of its route are one text with a language of its own.

use serde_json::{Value, json};

use super::{Refusals, TOKENS, assert_none, is_refused, problem_of};
use crate::{
    support::{TestApp, on_every_store_with},
    surface::{Example, world::Tokens},
};

/// Longer than a document may be, and within what a body of this route may have.
const LONG: usize = 40 << 10;

fn hostile() -> Vec<(&'static str, Value)> {
    let query = |text: String| json!({ "query": text });
    let asked = |fields: &str| {
        query(format!("{{ mlflowGetExperiment(input: {{ experimentId: \"1\" }}) {{ {fields} }} }}"))
    };
    vec![
        ("empty", query(String::new())),
        ("no text", json!({ "query": 5 })),
        ("absent", json!({ "variables": {} })),
        ("no document", query("SELECT 1".into())),
        ("NUL", query("{ a\0 }".into())),
        ("fields without end", query(format!("query{{{}}}", "a ".repeat(LONG / 2)))),
        ("one long name", query(format!("{{{}}}", "a".repeat(LONG)))),
        ("only blanks", query(" ".repeat(LONG))),
        ("comments", query("#\n".repeat(LONG / 2))),
        ("open braces", query("{a".repeat(2_000))),
        ("deep fields", asked(&format!("{}{}", "a{".repeat(14), "a".to_owned() + &"}".repeat(14)))),
        ("deep list", query(format!("{{a(b:{}", "[".repeat(5_000)))),
        ("deep object", query(format!("{{a(b:{}", "{c:".repeat(2_000)))),
        ("open text", query(format!("{{a(b:\"{}", "x".repeat(5_000)))),
        ("open block text", query(format!("{{a(b:\"\"\"{}", "x".repeat(5_000)))),
        ("mutation", query("mutation { mlflowGetRun { run { info { runId } } } }".into())),
        ("subscription", query("subscription { a }".into())),
        (
            "twenty questions",
            query(format!("{{{}}}", (0..20).map(|n| format!("q{n}:a ")).collect::<String>())),
        ),
        ("one answer twice", asked("experiment { name } experiment { name }")),
        (
            "one field by many names",
            asked(&(0..200).map(|n| format!("f{n}:experiment{{name}} ")).collect::<String>()),
        ),
        ("fragment", query("{ ...f } fragment f on Query { a }".into())),
        ("fragment of itself", asked("...f } } fragment f on E { ...f } query g { a { b")),
        ("one operation twice", query(format!("query {0} {{a}} query {0} {{a}}", "n".repeat(2_000)))),
        ("no such operation", json!({ "query": "query a {b}", "operationName": "c" })),
        (
            "a variable without value",
            query(format!("query($v: V) {{ mlflowGetRun(input: ${}) {{ run }} }}", "v".repeat(3_000))),
        ),
        (
            "a variable again and again",
            json!({
                "query": format!("query($v: V) {{ mlflowGetRun(input: [{}]) {{ run }} }}", "$v ".repeat(1_000)),
                "variables": { "v": "x".repeat(LONG) },
            }),
        ),
        (
            "variables that are none",
            json!({ "query": "query($v: V) { mlflowGetRun(input: $v) { run } }", "variables": [1] }),
        ),
    ]
}

/// What is said to whoever asks something that is no question: little of what came.
const MESSAGE_MAX: usize = 400;

#[test]
fn hostile_documents_are_refused_in_a_few_words() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let mut problems = Vec::new();
        for (what, fields) in hostile() {
            let example = Example::new("POST", "/graphql", fields);
            let answer = test.send(example.request(&example.fields, tokens.admin.as_deref())).await;
            refusals.note(&answer);
            let said = answer.json["message"].as_str().unwrap_or_default().len();
            let why = problem_of(&answer)
                .or_else(|| (!is_refused(&answer)).then(|| "not refused".into()))
                .or_else(|| (said > MESSAGE_MAX).then(|| format!("{said} bytes of message")));
            problems.extend(why.map(|why| format!("{what}: {why}: {}", &answer.json)));
        }
        assert_none(&problems);
        refusals.assert_left_no_event(&test, &tokens).await;
    });
}

#[test]
fn a_question_that_is_not_answered_is_not_repeated_whole() {
    on_every_store_with(&[], async |test: TestApp| {
        let name = "n".repeat(7_000);
        let answer = test
            .post("/graphql", json!({ "query": format!("{{ q: {name} {{ apiError {{ message }} }} }}") }))
            .await;
        let said = answer.json["data"]["q"]["apiError"]["message"].as_str().unwrap();
        assert!(said.contains("not answered here") && said.len() < MESSAGE_MAX, "{said}");
    });
}
