//! Sources of model versions: every form that clients send, and hostile ones.

use proptest::prelude::*;
use syntax::names::FullName;
use syntax::paths::ArtifactPath;
use syntax::source::{ArtifactRoot, SourceUri, check_artifact_location};

use crate::climbing::{cut, dots, leads_up, slash, tails};

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn path(raw: &str) -> ArtifactPath {
    ArtifactPath::parse_directory(raw).unwrap()
}

fn accepted(source: &str, expected: SourceUri) {
    assert_eq!(SourceUri::parse(source), Ok(expected), "{source}");
}

fn refused(source: &str, expected: &str) {
    let error = SourceUri::parse(source).expect_err(source).to_string();
    assert!(error.starts_with("Invalid model version source: '"), "{error}");
    assert!(error.contains(expected), "{source}: {error}");
}

#[test]
fn models_and_runs() {
    let (name, run_id) = ("my model v2".to_owned(), RUN.to_owned());
    accepted(&format!("models:/m-{RUN}"), SourceUri::LoggedModel { model_id: format!("m-{RUN}") });
    accepted(
        &format!("MODELS:///m-{}", RUN.to_uppercase()),
        SourceUri::LoggedModel { model_id: format!("m-{RUN}") },
    );
    accepted("models:/my model v2/3", SourceUri::ModelVersion { name: name.clone(), version: 3 });
    accepted("models:/my model v2@Champion", SourceUri::ModelAlias { name, alias: "Champion".to_owned() });
    accepted("models:/a@b@c", SourceUri::ModelAlias { name: "a@b".to_owned(), alias: "c".to_owned() });
    for (word, stage) in
        [("latest", None), ("LATEST", None), ("production", Some("Production")), ("None", Some("None"))]
    {
        accepted(&format!("models:/x/{word}"), SourceUri::ModelLatest { name: "x".to_owned(), stage });
    }
    accepted("models:/m-1/2", SourceUri::ModelVersion { name: "m-1".to_owned(), version: 2 });
    let run = |below: &str| SourceUri::RunRelative { run_id: run_id.clone(), path: path(below) };
    accepted(&format!("runs:/{RUN}/model"), run("model"));
    accepted(&format!("runs:/{RUN}/a b/c/"), run("a b/c"));
    accepted(&format!("runs:/{RUN}"), run(""));
}

#[test]
fn artifact_places() {
    let run = |root, below: &str| SourceUri::RunArtifacts { root, run_id: RUN.to_owned(), path: path(below) };
    let model = |root, below: &str| SourceUri::LoggedModelArtifacts {
        root,
        model_id: format!("m-{RUN}"),
        path: path(below),
    };
    accepted(&format!("mlflow-artifacts:/12/{RUN}/artifacts/model"), run(ArtifactRoot::Proxied, "model"));
    accepted(&format!("mlflow-artifacts:///12/{RUN}/artifacts"), run(ArtifactRoot::Proxied, ""));
    accepted(&format!("mlflow-artifacts:/12/models/m-{RUN}/artifacts/"), model(ArtifactRoot::Proxied, ""));
    // Where an experiment has a place of its own.
    for place in ["/", "///", "/team-a/", "///team-a/b/c/", "/models/"] {
        let place = format!("mlflow-artifacts:{place}");
        accepted(&format!("{place}{RUN}/artifacts/model"), run(ArtifactRoot::Proxied, "model"));
        accepted(&format!("{place}models/m-{RUN}/artifacts/x"), model(ArtifactRoot::Proxied, "x"));
    }
    accepted(
        &format!("mlflow-artifacts:/{RUN}/artifacts/models/m-{RUN}/artifacts"),
        run(ArtifactRoot::Proxied, &format!("models/m-{RUN}/artifacts")),
    );
    let workspace = "dbfs:/databricks/mlflow-tracking/12";
    accepted(&format!("{workspace}/{RUN}/artifacts/model"), run(ArtifactRoot::Workspace, "model"));
    accepted(&format!("{workspace}/logged_models/m-{RUN}/artifacts"), model(ArtifactRoot::Workspace, ""));
    let files = "/WorkspaceInternal/Mlflow/Artifacts/12";
    accepted(&format!("{files}/Runs/{RUN}/artifacts/a/b"), run(ArtifactRoot::Files, "a/b"));
    accepted(&format!("{files}/LoggedModels/m-{RUN}/artifacts/a"), model(ArtifactRoot::Files, "a"));
    accepted(
        "/Models/prod/risk/fraud/3/data/model.pkl",
        SourceUri::VersionFiles {
            name: FullName::parse("prod.risk.fraud").unwrap(),
            version: 3,
            path: path("data/model.pkl"),
        },
    );
}

#[test]
fn addresses_of_versions() {
    const ID: &str = "019ab0c1-0000-7000-8000-00000000000a";
    let files =
        |below: &str| SourceUri::PinnedFiles { model_uuid: ID.to_owned(), version: 3, path: path(below) };
    accepted(&format!("mlflow-artifacts:/versions/{ID}/3"), files(""));
    accepted(&format!("mlflow-artifacts:///versions/{}/3/a/b", ID.to_uppercase()), files("a/b"));
    for rest in [
        "versions",
        &format!("versions/{ID}"),
        &format!("versions/{ID}/0"),
        &format!("versions/{ID}/x"),
        &format!("versions/{ID}0/3"),
        &format!("versions/{}/3", ID.replace('-', "")),
        "versions/019ab0c1-0000-7000-8000-00000000000g/3",
    ] {
        refused(&format!("mlflow-artifacts:/{rest}"), "Write it as mlflow-artifacts:/");
    }
}

#[test]
fn other_places() {
    let external = |scheme: &str, authority: &str, below: &str| SourceUri::External {
        scheme: scheme.to_owned(),
        authority: authority.to_owned(),
        path: path(below),
    };
    accepted("s3://bucket/a/b", external("s3", "bucket", "a/b"));
    accepted("S3://bucket", external("s3", "bucket", ""));
    accepted("gs://bucket/a%20b/", external("gs", "bucket", "a%20b"));
    accepted(
        "abfss://data@acc.dfs.core.windows.net/x",
        external("abfss", "data@acc.dfs.core.windows.net", "x"),
    );
    accepted("hdfs://name:8020/x", external("hdfs", "name:8020", "x"));
    accepted("dbfs:/some/where", external("dbfs", "", "some/where"));
    for local in ["/data/model", "file:/data/model", "file:///data/model", "/data/model/"] {
        accepted(local, SourceUri::Local { path: path("data/model") });
    }
    accepted("dummy-source", SourceUri::Opaque("dummy-source".to_owned()));
}

#[test]
fn hostile_forms() {
    for climbing in [
        "s3://b/../x",
        "s3://b/a/%2e%2e/x",
        "s3://b/a/%252e%252e/x",
        "dbfs:/../etc",
        "/data/../etc/passwd",
        "/data/%2e%2e/etc",
        "file:///data/..%2fetc",
        "/Models/prod/risk/fraud/3/../4",
        "mlflow-artifacts:/1/../x",
        "models:/../x/1",
        "models:/a%2f..%2fb/1",
        "models:/a%00b/1",
        "models:/..",
        "s3://b/..;/x",
        "s3://b/a/..%3Bv=1/x",
        "dbfs:/..;/etc",
        "/data/.;/x",
        "file:///data/%2e%2e%253B",
        "/Models/prod/risk/fraud/3/..;/4",
        "models:/..;/1",
    ] {
        refused(climbing, "Invalid path");
    }
    refused(&format!("runs:/{RUN}/../{RUN}/model"), "Invalid path");
    refused(&format!("runs:/{RUN}/%2e%2e/x"), "Invalid path");
    refused(&format!("runs:/{RUN}//x"), "Invalid path");
    refused(&format!("mlflow-artifacts:/12/{RUN}/artifacts/%2e%2e%2fx"), "Invalid path");
}

#[test]
fn broken_forms() {
    for empty in ["", "  "] {
        refused(empty, "It is empty");
    }
    refused(&format!("s3://b/{}", "a/".repeat(2000)), "maximum length of 2048 bytes");
    for host in ["http://h/x", "https://h/x", "scp://h/x", "javascript:alert(1)", "data:x"] {
        refused(host, "is not accepted");
    }
    refused("s3://b\\@evil/x", "does not belong there");
    refused("s3:///x", "Write it as <scheme>://<bucket>/<path>");
    refused("s3://user:secret@bucket/x", "'<user>:<password>'");
    refused("s3:/bucket/x", "Write it as");
    refused(&format!("mlflow-artifacts://evil/12/{RUN}/artifacts"), "The host part 'evil'");
    refused("file://evil/x", "The host part 'evil'");
    refused("models://profile/x/1", "The host part 'profile'");
    refused(&format!("runs:/{RUN}/m?versionId=1"), "query or fragment");
    refused("s3://b/x#y", "query or fragment");
    for form in [
        "models:/x",
        "models:/x/newest",
        "models:/x/latest/1",
        "models:/x/Live",
        "models:/x/0",
        "models:/x/01",
        "models:/x/-1",
        "models:/x/99999999999999999999999",
        "models:/x/1/data",
        "models:x/1",
        "runs:/short/model",
        "runs:/",
        "mlflow-artifacts:/12/x/artifacts",
        "mlflow-artifacts:/exp/models/m-1/artifacts",
        "/Models/a/b/c",
        "/Models/a/b/c/x",
        "dbfs:/databricks/mlflow-tracking/12/x/artifacts",
        "file:data",
        "relative/path",
    ] {
        refused(form, "Write it as");
    }
    refused("models:/name:b/1", "Names cannot contain '/' or ':'");
    refused("models:/a@b c", "Invalid alias name");
    refused("/Models/a.x/b/c/1", "Invalid catalog name 'a.x'");
    refused("..", "Invalid path");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn arbitrary_text_never_panics(source in any::<String>()) {
        _ = SourceUri::parse(&source).map_err(|error| error.to_string());
    }

    #[test]
    fn what_passes_never_climbs(
        head in "(models:/|runs:/0123456789abcdef0123456789abcdef/|s3://b/|dbfs:/|file:|/|/Models/a/b/c/1/|mlflow-artifacts:/1/0123456789abcdef0123456789abcdef/artifacts/)",
        tail in tails(),
    ) {
        let text = format!("{head}{tail}");
        if SourceUri::parse(&text).is_ok() || check_artifact_location(&text).is_ok() {
            prop_assert!(!leads_up(&tail), "{text}");
        }
    }

    #[test]
    fn no_source_climbs(
        head in "(models:/a|runs:/0123456789abcdef0123456789abcdef|s3://b|dbfs:|file:|file://|/a|/Models/a/b/c/1|mlflow-artifacts:/1/0123456789abcdef0123456789abcdef/artifacts)",
        before in "(/[a-z]{1,3}){0,2}",
        (dots, cut, slash) in (dots(), cut(), slash()),
        after in "[a-z1]{0,2}",
    ) {
        let source = format!("{head}{before}/{dots}{cut}{slash}{after}");
        prop_assert!(SourceUri::parse(&source).is_err(), "{source}");
    }
}

#[test]
fn places_for_artifacts() {
    for good in [
        "mlflow-artifacts:/7",
        "mlflow-artifacts:/[18]",
        "s3://bucket",
        "s3://bucket/some/where/",
        "gs://bucket/a b",
        "abfss://container@account.dfs.core.windows.net/a",
        "wasbs://container@account/a",
        "hdfs://namenode:8020/a",
        "hdfs:///a",
        "sftp://host/a",
        "ftp://me@host:21/a",
        "s3://bucket/a;b",
        "dbfs:/mnt/a",
        "file:///srv/artifacts",
        "file:/srv/artifacts",
        "/srv/artifacts",
    ] {
        check_artifact_location(good).unwrap_or_else(|error| panic!("{error}"));
    }
    for (bad, why) in [
        ("http://host/a", "The scheme 'http' is not accepted; leave it out"),
        ("scp://host/a", "The scheme 'scp'"),
        ("javascript:alert(1)", "The scheme 'javascript'"),
        ("runs:/x", "The scheme 'runs'"),
        ("s3://user:password@bucket/a", "The host part '<user>:<password>'"),
        ("ftp://user:password@host/a", "The host part '<user>:<password>'"),
        ("s3:///a", "Write it as <scheme>://<bucket>/<path>"),
        ("file://host/a", "The host part 'host'"),
        ("mlflow-artifacts://host/a", "The host part 'host'"),
        ("s3://bucket/%252e%252e/a", ""),
        ("s3://bucket/a/../b", ""),
        ("file:///a/%2e%2e/b", ""),
        ("/a\\..\\b", ""),
        ("s3://bucket/a/..;b", "segment '.' or '..'"),
        ("mlflow-artifacts:/..%3B/x", "segment '.' or '..'"),
        ("/srv/%2e%2e%253b/x", "segment '.' or '..'"),
        ("C:\\mlruns", "The scheme 'c'"),
        ("mlruns", "Write it as an absolute path or a URI"),
        ("s3://bucket/a?b", "query or fragment"),
        ("s3://bucket/a#b", "query or fragment"),
        ("", "Write it as"),
        (&"x".repeat(3_000), "2048 bytes"),
    ] {
        let error = check_artifact_location(bad).expect_err(bad).to_string();
        assert!(error.starts_with("Invalid artifact location: '"), "{error}");
        assert!(error.contains(why), "{bad}: {error}");
    }
}

proptest! {
    /// Whatever climbs is refused, however it is written and wherever it stands.
    #[test]
    fn no_place_for_artifacts_climbs(
        start in prop::sample::select(vec!["mlflow-artifacts:/", "s3://b/", "dbfs:/", "file:///", "file:/", "/", "hdfs://n:1/"]),
        before in "[a-z]{0,3}",
        dots in prop_oneof![dots(), Just("..%00".to_owned())],
        (cut, slash) in (cut(), slash()),
        after in "[a-z]{1,3}",
    ) {
        let before = if before.is_empty() { before } else { format!("{before}{slash}") };
        let place = format!("{start}{before}{dots}{cut}{slash}{after}");
        prop_assert!(check_artifact_location(&place).is_err(), "{}", place);
    }
}
