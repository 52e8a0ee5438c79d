//! Bodies that are wrong as a whole.

use axum::body::Body;
use axum::body::HttpBody as _;
use bytes::Bytes;
use http::header;
use strongback::router;

use super::{super::world::Tokens, fields};
use super::{
    Base, TOKENS, assert_none, complain, examples_with_fields, is_refused, newest_event, problem_of,
};
use crate::support::{TestApp, on_every_store_with};

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
        ("byte order mark", b"\xef\xbb\xbf{}".to_vec()),
    ]
}

fn examples_with_json() -> impl Iterator<Item = super::Example> {
    examples_with_fields().into_iter().filter(|example| fields::takes_json(example.method, example.path))
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_changes_nothing() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::administrator(&test).await;
        let mut problems = Vec::new();
        for example in examples_with_json() {
            let base = Base::new(&test, &tokens, example.clone()).await;
            let before = newest_event(&test, &tokens).await;
            for (what, body) in broken() {
                let mut request = example.request_with(&base.fields, base.token(), false);
                *request.body_mut() = Body::from(body);
                let answer = test.send(request).await;
                let why =
                    problem_of(&answer).or_else(|| (!is_refused(&answer)).then(|| "not refused".to_owned()));
                problems.extend(why.map(|why| complain(&example, "body", &what.into(), &why, &answer)));
            }
            if newest_event(&test, &tokens).await != before {
                problems.push(format!("{} {}: a refused body left an event", example.method, example.path));
            }
        }
        assert_none(&problems);
    });
}

#[test]
fn a_body_that_is_not_said_to_be_json_or_is_too_large_is_refused() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let tokens = Tokens::administrator(&test).await;
        let routes = router::table();
        let mut problems = Vec::new();
        let large = Bytes::from(vec![b' '; (32 << 20) + 1]);
        for example in examples_with_json() {
            let base = Base::new(&test, &tokens, example.clone()).await;
            let before = newest_event(&test, &tokens).await;
            let is_route =
                |route: &&router::Route| route.method == example.method && route.path == example.path;
            for kind in [
                None,
                Some("text/plain"),
                Some("application/x-www-form-urlencoded"),
                Some("application/jsonx"),
            ] {
                let mut request = example.request_with(&base.fields, base.token(), false);
                // Fields that all stand in the path leave nothing to be declared.
                let is_empty = request.body().is_end_stream();
                request.headers_mut().remove(header::CONTENT_TYPE);
                if let Some(kind) = kind {
                    request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
                }
                if is_empty {
                    *request.body_mut() = Body::from("{}");
                }
                let answer = test.send(request).await;
                let why =
                    problem_of(&answer).or_else(|| (!is_refused(&answer)).then(|| "not refused".to_owned()));
                problems
                    .extend(why.map(|why| complain(&example, "content type", &kind.into(), &why, &answer)));
            }
            let most = routes.iter().find(is_route).unwrap().limits.body.unwrap_or(8 << 20);
            let mut request = example.request_with(&base.fields, base.token(), false);
            *request.body_mut() = Body::from(large.slice(..=most));
            let answer = test.send(request).await;
            if (answer.status, answer.error_code()) != (413, "BAD_REQUEST") {
                problems.push(complain(&example, "body", &most.into(), "not refused for its size", &answer));
            }
            if newest_event(&test, &tokens).await != before {
                problems.push(format!("{} {}: a refused body left an event", example.method, example.path));
            }
        }
        assert_none(&problems);
    });
}
