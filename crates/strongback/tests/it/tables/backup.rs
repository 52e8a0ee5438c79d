//! A backup has the tables of its metadata's moment, whatever landed since.

use serde_json::json;
use testkit::{
    postgres,
    process::Launch,
    server::{self, Server},
};

/// A server with tables and a training set, brought back elsewhere from a backup.
fn bring_back(databases: Option<(&str, &str)>) {
    let binary = server::strongback_binary(option_env!("CARGO_BIN_EXE_strongback")).unwrap();
    let first = Server::start(Launch::strongback(binary.clone(), databases.map(|(url, _)| url))).unwrap();
    let mut client = first.client();
    let land = |client: &mut testkit::http::Client, batch: &str, rows: &str| {
        let path = format!("/api/1.0/tables/main.default.t/batches/{batch}?format=csv&create=true");
        assert_eq!(client.put(&path, rows.as_bytes()).unwrap().status, 200);
    };
    for n in 0..12 {
        land(&mut client, &format!("b{n}"), &format!("id\n{n}\n"));
    }
    let set = json!({ "name": "main.default.s", "labels": "main.default.t", "wait_ms": 30_000 });
    let begun = client.post("/api/1.0/training-sets", &set).unwrap().json();
    assert_eq!(begun["job"]["state"], "succeeded", "{begun}");
    let to = first.folder().join("backup");
    let made = first.command(&["backup", to.to_str().unwrap(), "--json"]).unwrap();
    assert!(made.status.success(), "{made:?}");
    land(&mut client, "late", "id\n99\n");

    let data = first.folder().join("restored");
    let mut restore = vec!["restore", to.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    if let Some((_, fresh)) = databases {
        restore.extend(["--database-url", fresh]);
    }
    let restored = std::process::Command::new(&binary).args(restore).output().unwrap();
    assert!(restored.status.success(), "{restored:?}");
    let second = Server::start_on(Launch::strongback(binary, databases.map(|(_, url)| url)), &data).unwrap();
    let mut client = second.client();
    let mut count = || {
        let asked = json!({ "statement": "SELECT count(*) AS n, max(id) AS m FROM t" });
        client.post("/api/1.0/sql", &asked).unwrap().json()
    };
    assert_eq!(count(), json!({ "n": 12, "m": 11 }));
    let path = "/api/1.0/training-sets/main.default.s/rebuild";
    assert_eq!(second.client().post(path, &json!({})).unwrap().json()["verdict"], "equal");
    land(&mut second.client(), "late", "id\n77\n");
    assert_eq!(count(), json!({ "n": 13, "m": 77 }));

    // A backup that lacks a file says so.
    let table = std::fs::read_dir(first.data_dir().join("tables")).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(table)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file())
        .unwrap();
    std::fs::remove_file(file).unwrap();
    let again = first.folder().join("again");
    let lacking = first.command(&["backup", again.to_str().unwrap()]).unwrap();
    assert_eq!(lacking.status.code(), Some(1), "{lacking:?}");
    assert!(String::from_utf8_lossy(&lacking.stderr).contains("of the table"), "{lacking:?}");
}

#[test]
fn tables_come_back_as_they_were_on_sqlite() {
    bring_back(None);
}

#[test]
fn tables_come_back_as_they_were_on_postgresql() {
    let Some(server) = postgres::server_url() else {
        println!("no PostgreSQL: set STRONGBACK_TEST_POSTGRES_URL, as `make test` does");
        return;
    };
    let (one, other) =
        (postgres::fresh_database(&server).unwrap(), postgres::fresh_database(&server).unwrap());
    bring_back(Some((one.url(), other.url())));
}
