//! Catalogs, schemas and tables by name: what is unique, what is found, what is refused.

use serde_json::json;

use super::{CATALOGS, SCHEMAS, TABLES, declare, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

#[test]
fn names_compare_without_case_and_are_shown_as_given() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let taken = test.post(CATALOGS, json!({ "name": "PROD" })).await;
        assert_eq!((taken.status, taken.error_code()), (409, "ALREADY_EXISTS"));
        assert!(taken.json["message"].as_str().unwrap().contains("compare without case"), "{taken:?}");
        let found = test.get(&format!("{SCHEMAS}/Prod.RISK")).await;
        assert_eq!(ok(&found)["full_name"], "prod.risk");
    });
}

#[test]
fn a_rename_moves_everything_below_and_touches_one_row() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        declare(&test, "prod.risk.t").await;
        let before = ok(&test.get(&format!("{TABLES}/prod.risk.t")).await).clone();
        let renamed =
            send(&test, "PATCH", &format!("{CATALOGS}/prod"), json!({ "new_name": "live", "comment": "x" }))
                .await;
        assert_eq!((&ok(&renamed)["name"], &renamed.json["comment"]), (&json!("live"), &json!("x")));
        let after = ok(&test.get(&format!("{TABLES}/live.risk.t")).await).clone();
        assert_eq!(after["full_name"], "live.risk.t");
        assert_eq!(
            (&before["table_id"], &before["updated_at"]),
            (&after["table_id"], &after["updated_at"]),
            "the table itself did not change"
        );
        assert_eq!(test.get(&format!("{CATALOGS}/prod")).await.status, 404);
    });
}

#[test]
fn what_holds_something_is_deleted_by_force_only_and_then_its_names_are_free() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        declare(&test, "prod.risk.t").await;
        let refused = send(&test, "DELETE", &format!("{CATALOGS}/prod"), json!({})).await;
        assert_eq!((refused.status, refused.error_code()), (400, "INVALID_PARAMETER_VALUE"));
        let deleted = send(&test, "DELETE", &format!("{CATALOGS}/prod?force=true"), json!({})).await;
        ok(&deleted);
        for path in ["catalogs/prod", "schemas/prod.risk", "tables/prod.risk.t"] {
            assert_eq!(test.get(&format!("/api/2.1/unity-catalog/{path}")).await.status, 404, "{path}");
        }
        prod_risk(&test).await;
        let listed = test.get(&format!("{TABLES}?catalog_name=prod&schema_name=risk")).await;
        assert_eq!(ok(&listed)["tables"], json!([]));
    });
}

#[test]
fn the_place_of_plain_names_stays() {
    on_every_store(async |test: TestApp| {
        for (method, path, body) in [
            ("DELETE", "catalogs/main?force=true", json!({})),
            ("DELETE", "schemas/main.default?force=true", json!({})),
            ("PATCH", "catalogs/main", json!({ "new_name": "other" })),
            ("PATCH", "schemas/main.default", json!({ "new_name": "other" })),
        ] {
            let refused = send(&test, method, &format!("/api/2.1/unity-catalog/{path}"), body).await;
            assert_eq!(refused.status, 400, "{method} {path}: {refused:?}");
        }
    });
}

#[test]
fn pages_are_whole_whatever_their_size() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        for name in ["e", "B", "d", "a", "C"] {
            declare(&test, &format!("prod.risk.{name}")).await;
        }
        for size in [0, 1, 2, 5, 100] {
            let mut found: Vec<String> = Vec::new();
            let mut token = String::new();
            loop {
                let query =
                    format!("catalog_name=prod&schema_name=risk&max_results={size}&page_token={token}");
                let page = ok(&test.get(&format!("{TABLES}?{query}")).await).clone();
                let names = page["tables"].as_array().unwrap().iter();
                found.extend(names.map(|table| table["name"].as_str().unwrap().to_owned()));
                match page["next_page_token"].as_str() {
                    Some(next) => next.clone_into(&mut token),
                    None => break,
                }
            }
            assert_eq!(found, ["a", "B", "C", "d", "e"], "pages of {size}");
        }
    });
}

#[test]
fn a_change_that_changes_nothing_leaves_no_trace() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        let events = async || {
            let log = test.get("/api/1.0/audit-log?max_results=1000").await;
            ok(&log)["events"].as_array().unwrap().len()
        };
        let before = events().await;
        let path = format!("{CATALOGS}/prod");
        ok(&send(&test, "PATCH", &path, json!({ "comment": "", "new_name": "prod", "owner": "local" }))
            .await);
        assert_eq!(events().await, before);
        ok(&send(&test, "PATCH", &path, json!({ "owner": "admins" })).await);
        let log = test.get("/api/1.0/audit-log?max_results=1").await;
        assert_eq!(ok(&log)["events"][0]["action"], "owner.set");
        assert_eq!(log.json["events"][0]["detail"], json!({ "owner": ["local", "admins"] }));
    });
}
