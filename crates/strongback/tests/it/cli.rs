//! Commands of the binary, as a person or a script calls them.

use std::{
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use testkit::{
    postgres,
    process::Launch,
    server::{Server, strongback_binary},
};

mod asked;
mod hostile;
mod place;

fn binary() -> std::path::PathBuf {
    strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap()
}

/// Runs it in a directory, without the settings of whoever runs the tests.
fn run(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(dir).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("STRONGBACK_")) {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output, part: &str) {
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(part), "{}: {said}", output.status);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn flags_win_over_environment_over_file_over_defaults_and_each_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = "data_dir = 'of-file'\nport = 7001\nlog = 'warn'\nlog_format = 'json'\n";
    std::fs::write(dir.path().join("strongback.toml"), file).unwrap();
    let environment =
        [("STRONGBACK_PORT", "7002"), ("STRONGBACK_DATA_DIR", "of-environment"), ("STRONGBACK_LOG", "debug")];
    let shown = run(dir.path(), &["config", "show", "--json", "--data-dir", "of-flag"], &environment);
    let shown: Value = serde_json::from_str(&done(&shown)).unwrap();
    let check = |name: &str, value: &str, source: &str| {
        assert_eq!(shown[name], json!({ "value": value, "source": source }), "{name}");
    };
    check("data_dir", "of-flag", "flag");
    check("port", "7002", "environment STRONGBACK_PORT");
    check("log", "debug", "environment STRONGBACK_LOG");
    check("log_format", "json", "file strongback.toml");
    check("host", "127.0.0.1", "default");
    let said = done(&run(dir.path(), &["config", "show", "--database-url", "postgres://me:hush@db/x"], &[]));
    assert!(said.contains("postgres://me:***@db/x") && !said.contains("hush"), "{said}");
}

#[test]
fn settings_that_cannot_be_kept_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    refused(
        &run(dir.path(), &["config", "show"], &[("STRONGBACK_PORT", "http")]),
        "environment STRONGBACK_PORT",
    );
    let tls = ["up", "--database-url", "postgres://me:hush@db/x?sslmode=maybe"];
    let output = run(dir.path(), &tls, &[]);
    refused(&output, "none of disable, prefer, require, verify-ca, verify-full");
    assert!(!text(&output.stderr).contains("hush"));
    refused(&run(dir.path(), &["up", "--host", "0.0.0.0"], &[]), "--auth tokens");
    refused(&run(dir.path(), &["up", "--log", "a=b=c"], &[]), "Write e.g. info");
    std::fs::write(dir.path().join("strongback.toml"), "colour = 'red'").unwrap();
    refused(&run(dir.path(), &["config", "show"], &[]), "\"colour\", which is not a setting");
    std::fs::write(dir.path().join("strongback.toml"), "allowed_hosts = [1, 2]").unwrap();
    refused(&run(dir.path(), &["config", "show"], &[]), "The setting allowed_hosts (file strongback.toml)");
    std::fs::remove_file(dir.path().join("strongback.toml")).unwrap();
    for name in ["STRONGBACK_DATA_DIR", "STRONGBACK_HOST", "STRONGBACK_DATABASE_URL"] {
        let empty = run(dir.path(), &["config", "show"], &[(name, "")]);
        refused(&empty, &format!("(environment {name}) is not allowed: it is empty"));
    }
    assert!(!dir.path().join("strongback-data").exists(), "nothing was made");
}

#[test]
fn a_start_script_of_mlflows_server_is_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mlflow.db"), "a store").unwrap();
    std::fs::create_dir_all(dir.path().join("mlruns/0")).unwrap();
    for (flags, part) in [
        (&["--backend-store-uri", "sqlite:///mlflow.db"][..], "would start empty beside it"),
        (&["--backend-store-uri", "./mlruns"], "--data-dir DIR"),
        (&["--backend-store-uri", "mysql+pymysql://u:hush@h/d"], "name a PostgreSQL database"),
        (&["--default-artifact-root", "az://bucket/x"], "abfss://"),
        (&["--no-serve-artifacts"], "Leave the flag out"),
        (&["--app-name", "basic-auth"], "--auth tokens"),
        (&["--serve-artifacts", "--host", "0.0.0.0"], "--auth tokens"),
        (&["--allowed-hosts", "192.168.*"], "--auth tokens"),
        (&["--backend-store-uri", "postgresql+psycopg2://me:hush@db/x?sslmode=maybe"], "verify-full"),
        (
            &["--backend-store-uri", "postgres://a/b", "--database-url", "postgres://a/b"],
            "cannot be used with",
        ),
    ] {
        let output = run(dir.path(), &[&["up", "--port", "0"], flags].concat(), &[]);
        refused(&output, part);
        assert!(!text(&output.stderr).contains("hush"), "{flags:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing was made");
}

#[test]
fn a_variable_that_is_no_text_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let no_text = std::ffi::OsStr::from_bytes(b"/tmp/x\xff");
    for (name, arguments) in [
        ("STRONGBACK_DATA_DIR", ["config", "show"]),
        ("STRONGBACK_URL", ["catalog", "list"]),
        ("STRONGBACK_TOKEN", ["catalog", "list"]),
    ] {
        let output =
            Command::new(binary()).current_dir(dir.path()).args(arguments).env(name, no_text).output();
        refused(&output.unwrap(), &format!("{name} is not valid UTF-8"));
    }
}

#[test]
fn doctor_finds_the_mlflow_of_the_active_environment() {
    let dir = tempfile::tempdir().unwrap();
    let (environment, package) = (dir.path().join("venv"), dir.path().join("site/mlflow"));
    let python = environment.join("bin/python3");
    std::fs::create_dir_all(python.parent().unwrap()).unwrap();
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("version.py"), "VERSION = \"2.9.2\"\n").unwrap();
    std::fs::write(&python, format!("#!/bin/sh\necho '{}'\n", package.display())).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let variables = [("VIRTUAL_ENV", environment.to_str().unwrap()), ("STRONGBACK_PORT", "0")];
    let output = run(dir.path(), &["doctor", "--json"], &variables);
    let findings: Vec<Value> = serde_json::from_str(&text(&output.stdout)).unwrap();
    let client = findings.iter().find(|finding| finding["check"] == "client").unwrap();
    let what = client["what"].as_str().unwrap();
    assert!(what.contains(&format!("mlflow 2.9.2 under {}", python.display())), "{what}");
    assert_eq!(client["verdict"], "note", "it is not the tested version");
}

#[test]
fn doctor_looks_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let output =
        run(dir.path(), &["doctor", "--json", "--data-dir", "deep/data"], &[("STRONGBACK_PORT", "0")]);
    let findings: Vec<Value> = serde_json::from_str(&text(&output.stdout)).unwrap();
    let checks: Vec<&str> = findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
    assert_eq!(checks, ["disk", "sync", "port", "metadata", "artifacts", "client", "clock", "models"]);
    assert!(findings[1]["what"].as_str().unwrap().contains("fdatasync"), "{findings:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it left something behind");
}

/// Removes the newest asset from a store, as a purge does, and answers its number.
fn purge_newest(data: &Path, url: Option<&str>) -> i64 {
    const PURGE: [&str; 2] = [
        "DELETE FROM experiment WHERE asset_id = (SELECT MAX(id) FROM asset)",
        "DELETE FROM asset WHERE id = (SELECT MAX(id) FROM asset) RETURNING id",
    ];
    if let Some(url) = url {
        let mut client = ::postgres::Client::connect(url, ::postgres::NoTls).unwrap();
        client.execute(PURGE[0], &[]).unwrap();
        return client.query_one(PURGE[1], &[]).unwrap().get(0);
    }
    let store = rusqlite::Connection::open(data.join("metadata.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    store.execute(PURGE[0], []).unwrap();
    store.query_row(PURGE[1], [], |row| row.get(0)).unwrap()
}

/// A server with a run, a file and a model, backed up while it runs and brought back elsewhere.
fn back_up_and_bring_back(databases: Option<(&str, &str)>) {
    let launch = Launch::strongback(binary(), databases.map(|(url, _)| url));
    let mut server = Server::start(launch).unwrap();
    let mut http = server.client();
    let made = http.post("/api/2.0/mlflow/experiments/create", &json!({ "name": "kept" })).unwrap().json();
    let experiment = made["experiment_id"].as_str().unwrap().to_owned();
    let body = json!({ "experiment_id": experiment, "run_name": "r", "start_time": 1 });
    let run_made = http.post("/api/2.0/mlflow/runs/create", &body).unwrap().json();
    let root = run_made["run"]["info"]["artifact_uri"].as_str().unwrap().replace("mlflow-artifacts:/", "");
    let file = format!("/api/2.0/mlflow-artifacts/artifacts/{}/a.bin", root.trim_start_matches('/'));
    assert_eq!(http.put(&file, &vec![7; 100_000]).unwrap().status, 200);

    http.post("/api/2.0/mlflow/experiments/create", &json!({ "name": "purged" })).unwrap();
    let purged = purge_newest(&server.data_dir(), databases.map(|(url, _)| url));

    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    done(&server.command(&["backup", backup.to_str().unwrap()]).unwrap());
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(backup.join("backup.json")).unwrap()).unwrap();
    assert_eq!(manifest["schema"], strongback::db::migrate::NEWEST);
    refused(&server.command(&["backup", backup.to_str().unwrap()]).unwrap(), "exists already");
    if let Some((url, _)) = databases {
        let own = server.data_dir();
        let arguments = ["backup", "none", "--data-dir", own.to_str().unwrap(), "--database-url", url];
        let without_tools = run(place.path(), &arguments, &[("PATH", "/nonexistent")]);
        refused(&without_tools, "pg_dump cannot be started");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing half-made is left");
    }
    http.post("/api/2.0/mlflow/experiments/create", &json!({ "name": "later" })).unwrap();
    assert!(server.terminate().unwrap().success());

    let data = place.path().join("data");
    let (backup, to) = (backup.to_str().unwrap().to_owned(), data.to_str().unwrap().to_owned());
    let mut arguments = vec!["restore", backup.as_str(), "--data-dir", to.as_str()];
    if let Some((full, fresh)) = databases {
        let into_full = [&arguments[..], &["--database-url", full]].concat();
        refused(&run(place.path(), &into_full, &[]), "Nothing was restored");
        assert!(!data.exists(), "what failed leaves nothing");
        arguments.extend(["--database-url", fresh]);
    } else {
        let elsewhere = [&arguments[..], &["--database-url", "postgres://nobody@127.0.0.1:1/x"]].concat();
        refused(&run(place.path(), &elsewhere, &[]), "made on sqlite");
        assert!(!data.exists(), "what failed leaves nothing");
    }
    done(&run(place.path(), &arguments, &[]));
    refused(&run(place.path(), &arguments, &[]), "is not empty");

    let launch = Launch::strongback(binary(), databases.map(|(_, url)| url));
    let server = Server::start_on(launch, &data).unwrap();
    let mut http = server.client();
    let named = |http: &mut testkit::http::Client, name: &str| {
        http.get(&format!("/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}")).unwrap().status
    };
    assert_eq!((named(&mut http, "kept"), named(&mut http, "later")), (200, 404));
    assert_eq!(http.get(&file).unwrap().body, vec![7; 100_000]);
    http.post("/api/2.0/mlflow/experiments/create", &json!({ "name": "new" })).unwrap();
    let newest = purge_newest(&data, databases.map(|(_, url)| url));
    assert!(newest > purged, "a copy gave number {newest} again, which was {purged} before");
    let verified: Value =
        serde_json::from_str(&done(&server.command(&["audit-log", "verify", "--json"]).unwrap())).unwrap();
    assert_eq!(verified["wrong"], 0, "{verified}");
}

/// A file is stored, damaged on the disk in three ways, and named each time.
fn damage_a_file(database: Option<&str>) {
    let server = Server::start(Launch::strongback(binary(), database)).unwrap();
    let mut http = server.client();
    let body = json!({ "experiment_id": "0", "run_name": "r", "start_time": 1 });
    let made = http.post("/api/2.0/mlflow/runs/create", &body).unwrap().json();
    let run_id = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    for name in ["a.bin", "b.bin"] {
        let file = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/{name}");
        assert_eq!(http.put(&file, &vec![name.as_bytes()[0]; 3_000_000]).unwrap().status, 200);
    }
    let verify = || {
        let ended = server.command(&["artifacts", "verify", "--json"]).unwrap();
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        (ended.status.code(), report)
    };
    let (code, report) = verify();
    assert_eq!((code, &report["objects"], &report["bytes"]), (Some(0), &json!(2), &json!(6_000_000)));

    let is_a = |path: &Path| std::fs::read(path).is_ok_and(|bytes| bytes.first() == Some(&b'a'));
    let shards = std::fs::read_dir(server.data_dir().join("objects")).unwrap().flatten();
    let objects = shards.flat_map(|shard| std::fs::read_dir(shard.path()).unwrap().flatten());
    let object = objects.map(|object| object.path()).find(|path| is_a(path)).unwrap();
    let whole = std::fs::read(&object).unwrap();
    let mut other = whole.clone();
    other[2_000_000] ^= 1;
    let damages: [(&dyn Fn(), &str); 3] = [
        (&|| std::fs::write(&object, &other).unwrap(), "its bytes are others: sha-256"),
        (&|| std::fs::write(&object, &whole[1..]).unwrap(), "it has 2999999 bytes, and 3000000 were stored"),
        (&|| std::fs::remove_file(&object).unwrap(), "its object is gone"),
    ];
    for (damage, problem) in damages {
        damage();
        let (code, report) = verify();
        assert_eq!((code, &report["wrong"]), (Some(1), &json!(1)), "{report}");
        let found = &report["damaged"][0];
        assert_eq!(
            (&found["path"], found["area"].as_str().unwrap().contains(&run_id)),
            (&json!("a.bin"), true)
        );
        assert!(found["problem"].as_str().unwrap().starts_with(problem), "{report}");
    }
    std::fs::write(&object, &whole).unwrap();
    assert_eq!(verify().0, Some(0));
    // Where there is nothing to look at, nothing is damaged.
    let objects = server.data_dir().join("objects");
    let aside = objects.with_extension("aside");
    std::fs::rename(&objects, &aside).unwrap();
    let ended = server.command(&["artifacts", "verify"]).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{}", text(&ended.stderr));
    std::fs::rename(&aside, &objects).unwrap();
}

#[test]
fn a_file_that_changed_on_the_disk_is_named() {
    damage_a_file(None);
    if let Some(server) = postgres::server_url() {
        damage_a_file(Some(postgres::fresh_database(&server).unwrap().url()));
    }
}

#[test]
fn a_backup_beside_a_running_server_comes_back_whole_on_sqlite() {
    back_up_and_bring_back(None);
}

#[test]
fn a_backup_beside_a_running_server_comes_back_whole_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let (one, other) =
        (postgres::fresh_database(&server).unwrap(), postgres::fresh_database(&server).unwrap());
    back_up_and_bring_back(Some((one.url(), other.url())));
}

#[test]
fn a_restore_that_broke_off_is_not_taken_for_a_store() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("restoring"), "from somewhere").unwrap();
    let data = dir.path().to_str().unwrap();
    refused(&run(dir.path(), &["up", "--port", "0", "--data-dir", data], &[]), "did not get to its end");
}

#[test]
fn values_bound_to_statements_are_never_logged() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let database = postgres::fresh_database(&server).unwrap();
    let mut launch = Launch::strongback(binary(), Some(database.url()));
    launch.arguments.extend(["--log", "trace,tokio_postgres::query=trace"].map(String::from));
    let server = Server::start(launch).unwrap();
    let body = json!({ "name": "a-name-that-is-bound" });
    assert_eq!(server.client().post("/api/2.0/mlflow/experiments/create", &body).unwrap().status, 200);
    let log = server.log();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "{log}");
    assert!(!log.contains("a-name-that-is-bound") && !log.contains("executing statement"), "{log}");
}
