//! GraphQL documents that no page sends: the fields of its route are one text with a language of its own.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::random::Random;

use super::{
    Refusals, TOKENS, assert_none,
    generated::{self, ShowSeed, one},
    is_refused, message, problem_of,
};
use crate::{
    support::{TestApp, ok, on_every_store_with},
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

/// Nothing is a value of GraphQL: what lacks is told by its name.
#[test]
fn an_input_that_is_null_has_no_fields() {
    on_every_store_with(&[], async |test: TestApp| {
        let said = async |input: &str, variables: Value| {
            let query =
                format!("query($v: V) {{ mlflowGetRun(input: {input}) {{ apiError {{ message }} }} }}");
            let answer = test.post("/graphql", json!({ "query": query, "variables": variables })).await;
            ok(&answer)["data"]["mlflowGetRun"]["apiError"]["message"].as_str().unwrap().to_owned()
        };
        for (input, variables) in [
            ("null", json!({})),
            ("$v", json!({ "v": null })),
            ("{}", json!({})),
            ("{ runId: null }", json!({})),
            ("{ runId: $v }", json!({ "v": null })),
        ] {
            let said = said(input, variables).await;
            assert!(said.contains("run_id"), "{input}: {said}");
        }
        for input in ["5", "[1]", "\"x\""] {
            let said = said(input, json!({})).await;
            assert!(said.contains(input) && said.contains("in braces"), "{said}");
        }
        let answer = test.post("/graphql", json!({ "query": "{ nobody(a: null) { x } }" })).await;
        assert!(ok(&answer)["errors"][0].as_str().unwrap().contains("not answered here"), "{answer:?}");
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

/// Documents that are made, for each store.
const MADE: usize = 150;
/// In which each is answered, by a build that is not optimised on a machine that others use.
const ANSWER: Duration = Duration::from_secs(10);

/// A document of fields, aliases, fragments, arguments and directives, of which one in four is damaged.
fn made(random: &mut Random) -> Value {
    let deepest = one(random, &[&1_u64, &3, &6, &11, &40, &900]);
    let widest = one(random, &[&1_u64, &2, &3, &60]);
    let mut budget = 1_500;
    let inner = selections(random, *deepest, *widest, &mut budget);
    let question = one(
        random,
        &[
            "mlflowGetExperiment(input: {experimentId: \"0\"})",
            "mlflowGetRun(input: {runId: \"x\"})",
            "mlflowGetRun(input: null)",
            "mlflowGetRun(input: $v)",
            "mlflowGetRun(input: {runId: null})",
            "nobody(a: null)",
            "nobody",
            "__schema",
        ],
    );
    let kind = one(random, &["", "", "query", "query q", "query q($v: V)", "mutation", "subscription"]);
    let mut text = format!("{kind} {{ {question} {{ apiError {{ message }} {inner} }} }}");
    for name in ["f", "g"].iter().take(random.below(3) as usize) {
        let within = one(random, &["name", "...f", "...g", "...nobody", "experiment { name }"]);
        let of = one(random, &["E", "Query", "on"]);
        write!(text, " fragment {name} on {of} {{ {within} }}").unwrap();
    }
    if random.chance(1, 4) {
        let at = random.below(text.len() as u64) as usize;
        if random.chance(1, 2) {
            text.truncate(at);
        } else {
            text.insert_str(
                at,
                one(random, &["{", "}", "\"", "\"\"\"", "$v", "\0", "#", "\u{feff}", "😀", "...", "&"]),
            );
        }
    }
    let variables =
        one(random, &["null", "{}", r#"{"v": 1}"#, r#"{"v": null}"#, r#"{"v": {"v": [[[]]]}}"#, "[]", "5"]);
    json!({ "query": text, "variables": serde_json::from_str::<Value>(variables).unwrap(), "operationName": null })
}

fn selections(random: &mut Random, depth: u64, widest: u64, budget: &mut u32) -> String {
    let mut text = String::new();
    for at in 0..=random.below(widest) {
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        let alias = if random.chance(1, 3) { format!("a{at}: ") } else { String::new() };
        let name = one(
            random,
            &["experiment", "name", "experimentId", "tags", "nobody", "__typename", "run", "info"],
        );
        let argument = one(
            random,
            &["", "", "", "(a: $v)", "(a: null)", "(a: [[{b: 1}]])", "(a: \"x\", a: 1)", "(a: E)"],
        );
        let directive = one(random, &["", "", "", "@skip(if: true)", "@include(if: $v)", "@nobody"]);
        match random.below(8) {
            0 => write!(text, "...f "),
            1 => write!(text, "... on E {{ {name} }} "),
            _ => write!(text, "{alias}{name}{argument} {directive} "),
        }
        .unwrap();
        if depth > 1 && (at == 0 || random.chance(1, 3)) {
            let inner = selections(random, depth - 1, widest, budget);
            write!(text, "n{at} {{ {inner} }} ").unwrap();
        }
    }
    if text.is_empty() { "name".to_owned() } else { text }
}

#[test]
fn documents_that_nobody_wrote_are_answered_or_refused_in_a_few_words() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let shown = ShowSeed(generated::seed());
        let mut random = Random::new(shown.0);
        let (mut problems, mut refused) = (Vec::new(), 0);
        for _ in 0..MADE {
            let fields = made(&mut random);
            let example = Example::new("POST", "/graphql", fields.clone());
            let began = Instant::now();
            let answer = test.send(example.request(&example.fields, tokens.admin.as_deref())).await;
            let took = began.elapsed();
            refusals.note(&answer);
            let said = message(&answer);
            let names = ["query", "Query", "GraphQL", "variables", "Fragments"]
                .iter()
                .any(|word| said.contains(word));
            let is_told = answer.status < 400 || is_refused(&answer) && names && said.len() <= MESSAGE_MAX;
            refused += usize::from(answer.status >= 400);
            let why = problem_of(&answer)
                .or_else(|| (!is_told).then(|| "not refused in words of its own".into()))
                .or_else(|| (took > ANSWER).then(|| format!("{took:?}")));
            problems.extend(why.map(|why| format!("{fields}: {why}: {}", &answer.json)));
        }
        assert_none(&problems);
        assert!((MADE / 10..MADE).contains(&refused), "{refused} of {MADE} are refused");
        refusals.assert_left_no_event(&test, &tokens).await;
    });
}
