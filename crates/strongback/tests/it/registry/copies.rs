//! Copies of versions: what they are made of is settled when they are made, whatever happens to names afterwards.

use serde_json::{Value, json};

use super::{GOVERNED, MLFLOW, make_model, prod_risk, send};
use crate::support::{Answer, TestApp, ok, on_every_store};

async fn register(test: &TestApp, name: &str, source: &str) -> Answer {
    let body = json!({ "name": name, "source": source });
    test.post(&format!("{MLFLOW}/model-versions/create"), body).await
}

async fn download_uri(test: &TestApp, name: &str) -> Answer {
    test.get(&format!("{MLFLOW}/model-versions/get-download-uri?name={name}&version=1")).await
}

#[test]
fn a_copy_does_not_follow_a_name_that_was_given_again() {
    on_every_store(|test| async move {
        for (name, source) in
            [("m", "s3://bucket/first"), ("copy", "models:/m/1"), ("second", "models:/copy/1")]
        {
            make_model(&test, name).await;
            ok(&register(&test, name, source).await);
        }
        let rename = json!({ "name": "m", "new_name": "old" });
        ok(&test.post(&format!("{MLFLOW}/registered-models/rename"), rename).await);
        make_model(&test, "m").await;
        ok(&register(&test, "m", "s3://bucket/other").await);
        for name in ["copy", "second"] {
            assert_eq!(ok(&download_uri(&test, name).await)["artifact_uri"], "s3://bucket/first", "{name}");
        }
        // Nor is it lost with what it was copied from.
        ok(&send(&test, "DELETE", &format!("{MLFLOW}/registered-models/delete"), json!({ "name": "old" }))
            .await);
        assert_eq!(ok(&download_uri(&test, "second").await)["artifact_uri"], "s3://bucket/first");
    });
}

#[test]
fn what_cannot_be_copied_is_said() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        make_model(&test, "copy").await;
        let body = json!({ "name": "prod.risk.m", "source": "s3://bucket/model" });
        ok(&test.post(&format!("{GOVERNED}/model-versions/create"), body).await);
        for (source, words) in [
            ("models:/prod.risk.m/1", "finalize it"),
            ("models:/prod.risk.m@champion", "champion not found"),
            ("/Models/prod/risk/m/1/data", "Name the version itself"),
            ("dummy-source", "addresses nothing"),
        ] {
            let refused = register(&test, "copy", source).await;
            assert_eq!(refused.error_code(), "INVALID_PARAMETER_VALUE", "{source}: {refused:?}");
            assert!(refused.json["message"].as_str().unwrap().contains(words), "{source}: {refused:?}");
        }
        ok(&test
            .post(
                &format!("{GOVERNED}/model-versions/finalize"),
                json!({ "name": "prod.risk.m", "version": "1" }),
            )
            .await);
        ok(&register(&test, "copy", "/Models/prod/risk/m/1").await);
        // A prompt's source is a word.
        let tags = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }]);
        let body = json!({ "name": "copy", "source": "dummy-source", "tags": tags });
        ok(&test.post(&format!("{MLFLOW}/model-versions/create"), body).await);
    });
}

#[test]
fn a_client_uploads_from_its_own_disk_and_others_do_not_read_there() {
    on_every_store(|test| async move {
        prod_risk(&test).await;
        make_model(&test, "prod.risk.m").await;
        let body = json!({ "name": "prod.risk.m", "source": "/home/ana/model" });
        let plain = test.post(&format!("{MLFLOW}/model-versions/create"), body.clone()).await;
        assert_eq!(plain.status, 400, "{plain:?}");
        let made = test.post(&format!("{GOVERNED}/model-versions/create"), body).await;
        assert_eq!(ok(&made)["model_version"]["source"], "/home/ana/model");
        assert_eq!(made.json["model_version"]["model_id"], Value::Null);
        // Where it was on that disk is a note: the files are in the registry.
        let address = download_uri(&test, "prod.risk.m").await;
        let address = ok(&address)["artifact_uri"].as_str().unwrap();
        assert!(address.starts_with("mlflow-artifacts:/versions/"), "{address}");
    });
}
