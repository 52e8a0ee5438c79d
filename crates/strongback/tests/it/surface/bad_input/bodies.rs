//! Bodies that are wrong as a whole.

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::header;
use strongback::router;

use super::{
    super::{Example, world::Tokens},
    Base, Refusals, TOKENS, assert_none, complain, examples_with_fields, fields, for_each, is_refused,
    message, problem_of,
};
use crate::support::{Answer, TestApp, on_every_store_with};

const DEEP: usize = 10_000;

fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP)).into_bytes();
    vec![
        ("cut off", b"{\"run_id\": \"x\"".to_vec()),
        ("one brace", b"{".to_vec()),
        ("trailing", b"{\"a\": 1} x".to_vec()),
        ("single quotes", b"{'a': 1}".to_vec()),
        ("list", b"[]".to_vec()),
        ("text", b"\"text\"".to_vec()),
        ("text of a list", b"\"[]\"".to_vec()),
        ("number", b"5".to_vec()),
        ("true", b"true".to_vec()),
        ("NaN", b"{\"value\": NaN}".to_vec()),
        ("Infinity", b"{\"value\": -Infinity}".to_vec()),
        ("illegal UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec()),
        ("overlong UTF-8", b"{\"name\": \"\xc0\xaf\"}".to_vec()),
        ("half a surrogate", b"{\"name\": \"\\ud800\"}".to_vec()),
        ("half a surrogate as a name", b"{\"\\udc00\": 1}".to_vec()),
        ("raw NUL", b"{\"name\": \"\0\"}".to_vec()),
        ("NUL in an unknown field", b"{\"unheard_of\": \"\\u0000\"}".to_vec()),
        ("binary", (0..=255).collect()),
        ("deep list", deep("[", "]")),
        ("deep list in a field", [b"{\"tags\":".as_slice(), &deep("[", "]"), b"}"].concat()),
        ("deep object", deep("{\"a\":", "}")),
        ("deep and open", "[".repeat(DEEP).into_bytes()),
        ("huge number", b"{\"max_results\": 1e999}".to_vec()),
        ("long number", format!("{{\"version\": {}}}", "9".repeat(5_000)).into_bytes()),
        ("a name twice", b"{\"other\": 1, \"other\": 2}".to_vec()),
        ("a name twice within", b"{\"other\": [{\"x\": 1, \"x\": 1}]}".to_vec()),
        ("a name twice, once escaped", b"{\"other\": 1, \"oth\\u0065r\": 1}".to_vec()),
        ("byte order mark", b"\xef\xbb\xbf{}".to_vec()),
    ]
}

fn examples_with_json() -> Vec<Example> {
    let takes_json = |example: &Example| fields::takes_json(example.method, example.path);
    examples_with_fields().into_iter().filter(takes_json).collect()
}

/// What was sent, and why the answer is not the refusal of it, if it is not.
fn unrefused(example: &Example, what: &str, answer: &Answer) -> Option<String> {
    let why = problem_of(answer).or_else(|| (!is_refused(answer)).then(|| "not refused".to_owned()))?;
    Some(complain(example, "body", &what.into(), &why, answer))
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_changes_nothing() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let problems = for_each(examples_with_json(), async |example: Example| {
            let base = Base::new(&test, &tokens, &refusals, example.clone()).await;
            let mut problems = Vec::new();
            for (what, body) in broken() {
                let mut request = example.request_with(&base.fields, base.token(), false);
                *request.body_mut() = Body::from(body);
                problems.extend(unrefused(&example, what, &base.send(request).await));
            }
            problems
        });
        assert_none(&problems.await);
        refusals.assert_left_no_event(&test, &tokens).await;
    });
}

/// Types of content that a plain form or a careless client declares.
const KINDS: &[&str] = &["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"];

#[test]
fn a_body_that_is_not_said_to_be_json_or_is_too_large_is_refused() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let routes = router::table();
        let large = Bytes::from(vec![b' '; (32 << 20) + 1]);
        let problems = for_each(examples_with_json(), async |example: Example| {
            let base = Base::new(&test, &tokens, &refusals, example.clone()).await;
            let mut problems = Vec::new();
            for kind in KINDS {
                let mut request = example.request_with(&base.fields, base.token(), false);
                // Fields that all stand in the path leave nothing to be declared.
                if request.body().is_end_stream() {
                    *request.body_mut() = Body::from("{}");
                }
                request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
                problems.extend(unrefused(&example, kind, &base.send(request).await));
            }
            let is_route =
                |route: &&router::Route| route.method == example.method && route.path == example.path;
            let most = routes.iter().find(is_route).unwrap().limits.body.expect("a JSON body has a limit");
            let mut request = example.request_with(&base.fields, base.token(), false);
            *request.body_mut() = Body::from(large.slice(..=most));
            let answer = base.send(request).await;
            if (answer.status, answer.error_code()) != (413, "BAD_REQUEST")
                || !message(&answer).contains(&most.to_string())
            {
                problems.push(complain(&example, "body", &most.into(), "not refused for its size", &answer));
            }
            problems
        });
        assert_none(&problems.await);
        refusals.assert_left_no_event(&test, &tokens).await;
    });
}
