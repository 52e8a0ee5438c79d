//! Tables: what lands is there once, who may see it, and what becomes of its versions.

mod backup;
mod broken_off;
mod kill;
mod leave;
mod rights;
mod versions;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{
    catalog::prod_risk,
    support::{Answer, TestApp, ok, on_every_store, request},
};

const NAME: &str = "prod.risk.t";

/// Sends rows as a batch.
pub async fn batch(test: &TestApp, name: &str, id: &str, query: &str, csv: &str) -> Answer {
    let path = format!("/api/1.0/tables/{name}/batches/{id}?format=csv&create=true&{query}");
    test.send(bytes_request("PUT", &path, csv)).await
}

fn bytes_request(method: &str, path: &str, body: &str) -> Request<Body> {
    let mut request = request(method, path, None);
    *request.body_mut() = Body::from(body.to_owned());
    request
}

/// The answer of a query as text, with its status.
pub async fn sql(test: &TestApp, statement: &str) -> (u16, String) {
    let body = json!({ "statement": statement, "format": "csv" });
    text_of(test, request("POST", "/api/1.0/sql", Some(body))).await
}

pub async fn text_of(test: &TestApp, request: Request<Body>) -> (u16, String) {
    let response = test.router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

pub async fn versions(test: &TestApp, name: &str) -> Vec<Value> {
    let found = test.get(&format!("/api/1.0/tables/{name}/versions")).await;
    ok(&found)["versions"].as_array().unwrap().clone()
}

#[test]
fn a_batch_lands_once() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let first = batch(&test, NAME, "day-1", "", "id,amount\n1,2.5\n2,\n").await;
        let made = ok(&first);
        assert_eq!(made["version"], 1);
        assert_eq!((made["rows"].clone(), made["is_repeat"].clone()), (json!(2), json!(false)));
        assert_eq!(made["columns"][1]["nulls"], 1);

        let again = batch(&test, NAME, "day-1", "", "id,amount\n1,2.5\n2,\n").await;
        assert_eq!(ok(&again)["is_repeat"], true);
        assert_eq!(ok(&again)["columns"], made["columns"], "the first answer once more");

        let other = batch(&test, NAME, "day-1", "", "id,amount\n9,9\n").await;
        assert_eq!((other.status, other.error_code()), (409, "ALREADY_EXISTS"));
        assert!(other.json["message"].as_str().unwrap().contains("version 1"), "{other:?}");

        ok(&batch(&test, NAME, "day-2", "", "AMOUNT,id\n4,3\n").await);
        assert_eq!(
            sql(&test, "SELECT id, amount FROM prod.risk.T ORDER BY ID").await,
            (200, "id,amount\n1,2.5\n2,\n3,4.0\n".into())
        );
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.risk.t VERSION AS OF 1").await.1, "n\n2\n");
        let twice = "SELECT count(*) AS n FROM prod.risk.t a JOIN prod.risk.t b ON a.id = b.id";
        assert_eq!(sql(&test, twice).await.1, "n\n3\n");
        let rows: Vec<(Value, Value, Value)> = versions(&test, NAME)
            .await
            .into_iter()
            .map(|version| (version["version"].clone(), version["kind"].clone(), version["rows"].clone()))
            .collect();
        assert_eq!(
            rows,
            [
                (json!(2), json!("append"), json!(3)),
                (json!(1), json!("append"), json!(2)),
                (json!(0), json!("create"), json!(0))
            ]
        );
    });
}

#[test]
fn eight_writers_of_one_table_lose_nothing() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let sent = (0..8).map(|n| {
            let test = &test;
            async move { batch(test, NAME, &format!("b{n}"), "", &format!("id\n{n}\n")).await }
        });
        for answer in futures::future::join_all(sent).await {
            ok(&answer);
        }
        assert_eq!(
            sql(&test, "SELECT count(DISTINCT id) AS n, max(id) AS m FROM prod.risk.t").await.1,
            "n,m\n8,7\n"
        );
        assert_eq!(versions(&test, NAME).await.len(), 9);
    });
}

#[test]
fn an_array_of_json_is_told_from_lines() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let path = format!("/api/1.0/tables/{NAME}/batches/x?format=json&create=true");
        let array = test.send(bytes_request("PUT", &path, "\n [{\"id\": 1},\n {\"id\": 2}]\n")).await;
        assert_eq!(array.status, 400, "{array:?}");
        let said = array.json["message"].as_str().unwrap();
        assert!(said.starts_with("The file is a JSON array. Rows come as JSON lines"), "{said}");
        // A list further down is a bad row like any other.
        let line = test.send(bytes_request("PUT", &path, "{\"id\": 1}\n[2]\n")).await;
        assert!(line.json["message"].as_str().unwrap().contains("line 2: it is no JSON object"), "{line:?}");
    });
}

#[test]
fn bad_rows_stop_a_batch_and_leave_nothing() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let types = "types=id:long";
        let refused = batch(&test, NAME, "x", types, "id,n\n1,1\nx,2\n3\n").await;
        assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"));
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.json["message"].as_str().unwrap(), @r"
            2 of 3 rows do not fit, so nothing was imported.
              line 3, column id, 'x': it is no whole number
              line 4: it has 1 values, and the header has 2
            Mend the file, or have such rows put aside by naming a quarantine table.
            ");
        }
        assert_eq!(test.get("/api/2.1/unity-catalog/tables/prod.risk.t").await.status, 404);
        assert_eq!(std::fs::read_dir(test.dir.path().join("data/tables")).unwrap().count(), 0);

        let query = format!("{types}&quarantine=prod.risk.bad");
        let landed = batch(&test, NAME, "x", &query, "id,n\n1,1\nx,2\n3\n").await;
        assert_eq!((ok(&landed)["rows"].clone(), ok(&landed)["bad_rows"].clone()), (json!(1), json!(2)));
        let bad = "SELECT batch_id, line, reason FROM prod.risk.bad ORDER BY line";
        assert_eq!(
            sql(&test, bad).await.1,
            "batch_id,line,reason\nx,3,it is no whole number\nx,4,\"it has 1 values, and the header has 2\"\n"
        );
        let again = batch(&test, NAME, "x", &query, "id,n\n1,1\nx,2\n3\n").await;
        assert_eq!(ok(&again)["is_repeat"], true);
        assert_eq!(versions(&test, "prod.risk.bad").await.len(), 2);
    });
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let said = batch(&test, NAME, "x", "dry_run=true", "id,when\n007,2026-11-24\n").await;
        let said = ok(&said);
        assert_eq!(said["columns"][0]["note"], "numbers begin with 0, so they are kept as text");
        assert_eq!(said["columns"][1]["type_text"], "date");
        assert_eq!(said.get("version"), None);
        assert_eq!(test.get("/api/2.1/unity-catalog/tables/prod.risk.t").await.status, 404);
        let spool = test.dir.path().join("data/spool/objects");
        let left = (0..=u8::MAX).map(|shard| spool.join(format!("{shard:02x}")));
        assert_eq!(left.map(|dir| std::fs::read_dir(dir).unwrap().count()).sum::<usize>(), 0);
    });
}

#[test]
fn what_is_asked_wrong_is_told() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let said = async |query: &str, csv: &str| {
            let answer = batch(&test, NAME, "x", query, csv).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            answer.json["message"].as_str().unwrap().to_owned()
        };
        assert!(said("mode=replace", "id\n1\n").await.contains("append, overwrite"));
        assert!(said("delimiter=ab", "id\n1\n").await.contains("'delimiter'"));
        assert!(said("types=id", "id\n1\n").await.contains("name:type"));
        assert!(said("types=id:money", "id\n1\n").await.contains("Types are"));
        assert!(said("types=other:long", "id\n1\n").await.contains("not in the file"));
        assert!(said("quarantine=PROD.risk.T", "id\n1\n").await.contains("its own quarantine"));
        ok(&batch(&test, "prod.risk.other", "x", "", "id\n1\n").await);
        assert!(
            said("types=id:long&quarantine=prod.risk.other", "id\n1\nx\n").await.contains("other columns")
        );
        assert!(said("", "").await.contains("empty"));
        assert!(said("", "a b\n1\n").await.contains("'a_b'"));
        let missing = test
            .send(bytes_request("PUT", "/api/1.0/tables/prod.risk.none/batches/x?format=csv", "id\n1\n"))
            .await;
        assert_eq!(missing.status, 404);
        let no_format = test
            .send(bytes_request("PUT", "/api/1.0/tables/prod.risk.t/batches/x?create=true", "id\n1\n"))
            .await;
        assert!(no_format.json["message"].as_str().unwrap().contains("format=csv"), "{no_format:?}");
        for (statement, part) in [
            ("DROP TABLE prod.risk.t", "Only queries"),
            ("SELECT * FROM prod.risk.none", "does not exist"),
            ("SELECT nothing FROM (SELECT 1 AS a)", "nothing"),
            ("SELECT 1 +", "cannot be read"),
            ("SELECT * FROM a.b.c.d", "three parts"),
        ] {
            let (status, text) = sql(&test, statement).await;
            assert!((400..=404).contains(&status) && text.contains(part), "{statement}: {status} {text}");
        }
    });
}

#[test]
fn both_clients_see_a_kept_table_as_a_managed_one() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let body = json!({
            "catalog_name": "prod", "schema_name": "risk", "name": "made", "table_type": "MANAGED",
            "data_source_format": "DELTA", "comment": "empty yet",
            "columns": [
                { "name": "id", "type_name": "LONG", "nullable": false },
                { "name": "amount", "type_name": "DECIMAL", "type_precision": 10, "type_scale": 2 },
            ],
        });
        let made = test.post("/api/2.1/unity-catalog/tables", body.clone()).await;
        let made = ok(&made);
        assert_eq!((made["table_type"].clone(), made["owner"].clone()), (json!("MANAGED"), json!("local")));
        assert!(made["storage_location"].as_str().unwrap().starts_with("file:///"), "{made}");
        assert_eq!(made["columns"][1]["type_text"], "decimal(10,2)");
        let taken = test.post("/api/2.1/unity-catalog/tables", body).await;
        assert_eq!((taken.status, taken.error_code()), (409, "ALREADY_EXISTS"));

        ok(&batch(&test, "prod.risk.made", "x", "", "id,amount\n1,2.50\n").await);
        let refused = batch(&test, "prod.risk.made", "y", "", "id,amount\n,1\n").await;
        assert!(refused.json["message"].as_str().unwrap().contains("a value is required"), "{refused:?}");
        assert_eq!(sql(&test, "SELECT * FROM prod.risk.made").await.1, "id,amount\n1,2.50\n");

        // A table keeps its name; its schema may get another, and the table is where it was.
        let body = json!({ "new_name": "other" });
        let refused =
            test.send(request("PATCH", "/api/2.1/unity-catalog/tables/prod.risk.made", Some(body))).await;
        let said = refused.json["message"].as_str().unwrap();
        assert!(refused.status == 400 && said.contains("'new_name' is not supported"), "{refused:?}");
        ok(&test
            .send(request(
                "PATCH",
                "/api/2.1/unity-catalog/schemas/prod.risk",
                Some(json!({ "new_name": "fraud" })),
            ))
            .await);
        assert_eq!(sql(&test, "SELECT count(*) AS n FROM prod.fraud.made").await.1, "n\n1\n");
        let declared = json!({ "catalog_name": "prod", "schema_name": "fraud", "name": "elsewhere" });
        ok(&test.post("/api/2.1/unity-catalog/tables", declared).await);
        let (status, text) = sql(&test, "SELECT * FROM prod.fraud.elsewhere").await;
        assert!(status == 400 && text.contains("lives elsewhere"), "{status} {text}");
    });
}

#[test]
fn a_join_that_looks_at_every_pair_ends_with_its_time_and_holds_up_nobody() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let rows: String = (0..40_000).map(|n| format!("{n}\n")).collect();
        ok(&batch(&test, NAME, "one", "", &format!("x\n{rows}")).await);
        let ask = async |statement: &str| {
            let body = json!({ "statement": statement, "format": "csv", "time_s": 1 });
            text_of(&test, request("POST", "/api/1.0/sql", Some(body))).await
        };
        // More pairs than any time is enough for.
        let (status, text) =
            ask(&format!("SELECT count(*) FROM {NAME} a, {NAME} b, {NAME} c WHERE a.x + b.x + c.x > 0"))
                .await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("looks at every pair of rows"), "{text}");
        // So many that they take long.
        let began = std::time::Instant::now();
        let (status, text) =
            ask(&format!("SELECT count(*) AS n FROM {NAME} a, {NAME} b WHERE a.x + b.x > 0")).await;
        assert_eq!(status, 504, "{text}");
        let (status, text) = sql(&test, "SELECT 1 AS n").await;
        assert_eq!((status, text.as_str()), (200, "n\n1\n"));
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    });
}

#[test]
fn a_quotation_mark_that_is_not_closed_makes_no_value_of_all_that_follows() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        for (csv, line) in [
            ("a,b\n1,x\n2,\"open\n3,y\n", 3),
            ("a,b\r\n1,x\r\n2,\"open\r\n3,y\r\n", 3),
            ("a,b\n1,\"x\"\"\n", 2),
        ] {
            for types in ["", "types=a:long,b:string"] {
                let refused = batch(&test, NAME, "one", types, csv).await;
                assert_eq!(refused.status, 400, "{csv:?}: {refused:?}");
                let said = refused.json["message"].as_str().unwrap();
                assert!(
                    said.contains(&format!("begins at line {line} has a quotation mark")),
                    "{csv:?}: {said}"
                );
            }
        }
        let made = batch(&test, NAME, "one", "", "a,b\n1,\"x, \"\"y\"\"\n\"\n2,5\" pipe\n3,\"z\"").await;
        assert_eq!(ok(&made)["rows"], 3);
        // Lines are counted alike, whatever they end with.
        for end in ["\n", "\r\n"] {
            let bad = ["a,b", "1,x", "none,y", ""].join(end);
            let refused = batch(&test, NAME, "two", "types=a:long", &bad).await;
            assert!(refused.json["message"].as_str().unwrap().contains("line 3"), "{end:?}: {refused:?}");
        }
    });
}
