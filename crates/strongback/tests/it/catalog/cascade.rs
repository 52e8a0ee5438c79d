//! What goes with a catalog or schema that is deleted by force, and how the audit log tells it.

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CATALOGS, SCHEMAS, TABLES, declare, prod_risk, send};
use crate::support::{TestApp, ok, on_every_store};

/// The actions of the events that are listed for an asset, newest first.
async fn actions(test: &TestApp, asset: &str) -> Vec<String> {
    let log = test.get(&format!("/api/1.0/audit-log?asset={asset}")).await;
    let events = ok(&log)["events"].as_array().unwrap();
    events.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

/// The detail of the newest event of a kind.
async fn detail(test: &TestApp, action: &str) -> Value {
    let log = test.get(&format!("/api/1.0/audit-log?action={action}&max_results=1")).await;
    ok(&log)["events"][0]["detail"].clone()
}

fn digest(assets: &[Value]) -> String {
    let mut hash = Sha256::new();
    for asset in assets {
        hash.update(format!("{} {}\n", asset["id"], asset["revision"]));
    }
    hex::encode(hash.finalize())
}

#[test]
fn a_forced_deletion_says_what_went_and_is_an_event_of_all_of_it() {
    on_every_store(async |test: TestApp| {
        prod_risk(&test).await;
        declare(&test, "prod.risk.t").await;
        declare(&test, "prod.risk.early").await;
        let model = json!({ "name": "prod.risk.m" });
        ok(&test.post("/api/2.0/mlflow/registered-models/create", model).await);
        let edit = json!({ "comment": "words" });
        ok(&send(&test, "PATCH", &format!("{TABLES}/prod.risk.t"), edit).await);
        ok(&send(&test, "DELETE", &format!("{TABLES}/prod.risk.early"), json!({})).await);
        ok(&send(&test, "DELETE", &format!("{CATALOGS}/prod?force=true"), json!({})).await);

        let said = detail(&test, "catalog.delete").await;
        assert_eq!(said["with"], json!({ "model": 1, "schema": 1, "table": 1 }));
        let listed = said["assets"]["listed"].as_array().unwrap();
        let names: Vec<_> = listed.iter().map(|asset| (&asset["name"], &asset["revision"])).collect();
        let (risk, t, m) = (json!("prod.risk"), json!("prod.risk.t"), json!("prod.risk.m"));
        assert_eq!(names, [(&risk, &json!(2)), (&t, &json!(3)), (&m, &json!(2))]);
        assert_eq!(
            (&said["assets"]["left_out"], &said["assets"]["sha256"]),
            (&json!(0), &json!(digest(listed)))
        );

        for (asset, expected) in [
            ("prod", &["catalog.delete", "catalog.create"][..]),
            ("prod.risk", &["catalog.delete", "schema.create"]),
            ("prod.risk.t", &["catalog.delete", "table.update", "table.declare"]),
            ("prod.risk.m", &["catalog.delete", "model.create"]),
            // It was gone before.
            ("prod.risk.early", &["table.delete", "table.declare"]),
            ("risk", &[]),
        ] {
            assert_eq!(actions(&test, asset).await, expected, "{asset}");
        }

        // Whatever takes the names afterwards is something else, and shares its history by name alone.
        prod_risk(&test).await;
        declare(&test, "prod.risk.t").await;
        ok(&send(&test, "DELETE", &format!("{SCHEMAS}/prod.risk?force=true"), json!({})).await);
        let since = &actions(&test, "prod.risk.t").await[..2];
        assert_eq!(since, ["schema.delete", "table.declare"]);
        assert_eq!(actions(&test, "prod").await, ["catalog.create", "catalog.delete", "catalog.create"]);
    });
}

#[test]
fn what_the_list_of_a_forced_deletion_has_no_room_for_is_counted_and_found() {
    on_every_store(async |test: TestApp| {
        for (count, name) in [(205, "t".to_owned()), (100, "long".repeat(60))] {
            prod_risk(&test).await;
            let tables = stream::iter(0..count).map(|n| declare_owned(&test, format!("prod.risk.{name}{n}")));
            tables.buffer_unordered(16).collect::<Vec<()>>().await;
            ok(&send(&test, "DELETE", &format!("{CATALOGS}/prod?force=true"), json!({})).await);
            let said = detail(&test, "catalog.delete").await;
            assert!(said.to_string().len() < 32 << 10, "{}", said.to_string().len());
            assert_eq!(said["with"], json!({ "schema": 1, "table": count }));
            let listed = said["assets"]["listed"].as_array().unwrap();
            assert!(listed.len() > 50 && listed.len() <= 200, "{}", listed.len());
            assert_eq!(said["assets"]["left_out"], json!(count + 1 - listed.len()));
            assert_ne!(said["assets"]["sha256"], json!(digest(listed)), "it is that of all");
            for n in 0..count {
                let asset = format!("prod.risk.{name}{n}");
                if !listed.iter().any(|known| known["name"] == json!(asset)) {
                    assert_eq!(actions(&test, &asset).await, ["catalog.delete", "table.declare"]);
                    break;
                }
            }
        }
    });
}

async fn declare_owned(test: &TestApp, name: String) {
    declare(test, &name).await;
}
