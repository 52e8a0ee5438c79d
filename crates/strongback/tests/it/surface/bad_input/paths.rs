//! Paths that want to be elsewhere, in every encoding, wherever a path is taken.

use std::{collections::BTreeSet, path::Path};

use serde_json::json;

use super::{
    Base, Refusals, TOKENS, assert_none, complain, for_each,
    generated::{self, ShowSeed, must_be_refused},
    problem_of,
};
use crate::{
    support::{TestApp, on_every_store_with},
    surface::{Example, examples, world::Tokens},
};

/// As it stands in an address, after a directory that is there; what is not ASCII is encoded.
const HOSTILE: &[&str] = &[
    "..",
    "../x",
    "a/../../x",
    "./x",
    "a/./x",
    "%2e%2e/x",
    "%2E%2E%2Fx",
    "..%2fx",
    "%252e%252e%252fx",
    "%25252e%25252e%25252fx",
    "..%5cx",
    "..\\x",
    "a%5c..%5cx",
    "%c0%ae%c0%ae/x",
    "%c0%afx",
    "%e0%80%ae%e0%80%ae/x",
    "%ef%bc%8e%ef%bc%8e/x",
    "..;/x",
    "..;",
    "a/..;v=1/x",
    "..%3Bx/y",
    "%2e%2e%3b/x",
    "%252e%252e%253B/x",
    ".;/x",
    "a/..%20;/x",
    "..%3F/x",
    "x;y.txt",
    "%00",
    "x%00.txt",
    "%0d%0aX-Evil:%201",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "C:/x",
    "C:%5cx",
    "%5c%5chost%5cshare",
    "file:///etc/passwd",
    "~/x",
    "x%23y",
    "x%3fy",
    "%ff%fe",
    "%f0%28%8c%28",
    "%ed%a0%80",
    "%f4%8f%bf%bfx",
    "x%ef%bf%be",
    "%",
    "%zz",
    "%2",
    "a//b",
    "x/",
    "%20",
    "%7f",
];

/// What lies in the data directory and beside it, apart from what may grow.
fn places(root: &Path) -> BTreeSet<String> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    // What the store adds, and what endpoints and feature tables make where there are some.
    let known = ["-wal", "-shm", "/data/payload", "/data/serving", "/data/online.redb"];
    let grows = |name: &String| !known.iter().any(|part| name.contains(part));
    names(root).into_iter().chain(names(&root.join("data"))).filter(grows).collect()
}

#[test]
fn hostile_paths_lead_nowhere() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        let shown = ShowSeed(generated::seed());
        let before = places(test.dir.path());
        let takes_rest = |example: &Example| example.path.contains("{*") && !example.path.contains("{*rest}");
        let examples = examples::all().into_iter().filter(takes_rest).collect();
        let problems = for_each(examples, async |example: Example| {
            let base = Base::new(&test, &tokens, &refusals, example.clone()).await;
            let mut problems = Vec::new();
            let made = generated::paths(&mut generated::choices(shown.0, example.path));
            let made = made.iter().map(|raw| generated::in_address(raw));
            let known = HOSTILE.iter().map(|raw| (*raw).to_owned()).chain([long(), "x/".repeat(2_000)]);
            for raw in known.chain(made) {
                let Some(request) = request(&base, &raw) else { continue };
                let answer = base.send(request).await;
                let why = problem_of(&answer).or_else(|| {
                    let is_taken = answer.status < 400 && must_be_refused(&raw);
                    is_taken.then(|| "a hostile path was taken".to_owned())
                });
                problems.extend(why.map(|why| complain(&example, "path", &json!(raw), &why, &answer)));
            }
            problems
        });
        assert_none(&problems.await);
        refusals.assert_left_no_event(&test, &tokens).await;
        assert_eq!(places(test.dir.path()), before, "something was written where nothing belongs");
    });
}

/// The example with its path replaced by one below the same directory, as raw bytes of the address.
fn request(base: &Base<'_>, raw: &str) -> Option<http::Request<axum::body::Body>> {
    let request = base.example.request(&base.fields, base.token());
    let (parts, body) = request.into_parts();
    let uri = parts.uri.to_string();
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let dir = path.rsplit_once('/').map_or(path, |(dir, _)| dir);
    let uri: http::Uri = format!("{dir}/{raw}?{query}").parse().ok()?;
    let mut request = http::Request::from_parts(parts, body);
    *request.uri_mut() = uri;
    Some(request)
}

fn long() -> String {
    "x".repeat(5_000)
}

/// Parts of the names of fields that are paths or addresses.
const PATH_WORDS: &[&str] =
    &["path", "uri", "url", "location", "source", "root", "directory", "folder", "destination", "link"];

/// Fields whose names have such a word and that are neither: kinds, versions and the like.
const NO_PATHS: &[&str] = &["source_type", "source_version", "data_source_format", "source_name"];

/// Fewer fields than this, over all routes, and the search for them is broken.
const PATH_FIELDS_MIN: usize = 25;

fn is_path(field: &super::fields::Field) -> bool {
    let has = |word: &str| field.name().contains(word);
    !field.in_path && PATH_WORDS.iter().any(|word| has(word)) && !NO_PATHS.contains(&field.name())
}

/// What a field with such a name may be.
enum Kind {
    /// A path below something.
    Path,
    /// A place: a path below the root, or an address with a path. On a disk of the client it may be anywhere, but at no place that says
    /// two things.
    Place,
    /// Where the server sends something.
    Target,
    /// Nothing: the server has its own.
    Absent,
    /// A text that names something elsewhere, where the server never goes.
    Words,
}

fn kind_of(example: &Example, name: &str) -> Kind {
    let of = |part: &str| example.path.contains(part);
    match name {
        // An upload's own path is the client's, of which the last part alone counts.
        "path" if of("/mpu/") => Kind::Words,
        _ if name.contains("path") => Kind::Path,
        "artifact_location" => Kind::Place,
        "source" if of("/model-versions/") || of("/unity-catalog/models") => Kind::Place,
        // Of what else is called a source, a data set's is a text and an import's a name.
        "source" if of("/exchange/") || of("/runs/log-inputs") => Kind::Words,
        "url" => Kind::Target,
        "storage_root" => Kind::Absent,
        "storage_location" if of("/unity-catalog/models") => Kind::Absent,
        "storage_location" if of("/unity-catalog/tables") => Kind::Words,
        "run_link" | "source_run_id" => Kind::Words,
        _ => panic!("say what {name} of {} may be", example.path),
    }
}

/// Whether a text that was taken there should not have been.
fn is_taken_wrongly(example: &Example, name: &str, text: &str) -> bool {
    match kind_of(example, name) {
        // Where one looks, a dot that is written as such means nothing, as in a file system.
        Kind::Path
            if ["/list", "/directories", "/artifacts"].iter().any(|end| example.path.ends_with(end)) =>
        {
            must_be_refused(&text.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/"))
        }
        Kind::Path => must_be_refused(text),
        Kind::Place => must_be_refused(text.strip_prefix('/').unwrap_or(text)),
        Kind::Target => {
            let target = url::Url::parse(text).ok();
            !target.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        }
        Kind::Absent => !text.is_empty(),
        Kind::Words => text.contains('\0'),
    }
}

#[test]
fn hostile_paths_in_fields_lead_nowhere() {
    on_every_store_with(TOKENS, async |test: TestApp| {
        let (tokens, refusals) = (Tokens::administrator(&test).await, Refusals::default());
        // What the engine of tables makes when it is first needed is there already.
        crate::surface::World::new(&test, &tokens).get("kept").await;
        let before = places(test.dir.path());
        let shown = ShowSeed(generated::seed());
        let found = std::cell::Cell::new(0);
        let problems = for_each(super::examples_with_fields(), async |example: Example| {
            let mut base = Base::new(&test, &tokens, &refusals, example.clone()).await;
            let in_query = example.reads() || example.bytes.is_some();
            let mut problems = Vec::new();
            for field in super::fields::of(example.method, example.path).into_iter().filter(is_path) {
                found.set(found.get() + 1);
                let of = format!("{} {} {}", example.method, example.path, field.name());
                let made = generated::texts(&mut generated::choices(shown.0, &of));
                for text in texts().into_iter().chain(made) {
                    let answer = base.send_with(&field, json!(text), in_query).await;
                    let why = problem_of(&answer).or_else(|| {
                        let is_taken = answer.status < 400 && is_taken_wrongly(&example, field.name(), &text);
                        is_taken.then(|| "a hostile path was taken".to_owned())
                    });
                    problems
                        .extend(why.map(|why| complain(&example, field.name(), &json!(text), &why, &answer)));
                }
            }
            problems
        });
        assert_none(&problems.await);
        assert!(found.get() >= PATH_FIELDS_MIN, "{} fields are paths", found.get());
        refusals.assert_left_no_event(&test, &tokens).await;
        assert_eq!(places(test.dir.path()), before, "something was written where nothing belongs");
    });
}

/// The hostile paths as text: as they are, and decoded once where that is text.
fn texts() -> BTreeSet<String> {
    let decoded =
        HOSTILE.iter().filter_map(|raw| percent_encoding::percent_decode_str(raw).decode_utf8().ok());
    decoded.map(Into::into).chain(HOSTILE.iter().map(|raw| (*raw).to_owned())).chain([long()]).collect()
}
