//! Whose rights count.

use super::*;
use crate::support::{call, on_every_store_with, token_of};

#[test]
fn strangers_see_neither_monitors_nor_alerts() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let root = token_of(&test, "root", true).await;
        let test = test.acting_as(&root);
        world(&test, YAML).await;
        let worker = Worker::start(&test.app);
        computed(&test).await;
        let eve = token_of(&test, "eve", false).await;
        let ada = token_of(&test, "ada", false).await;
        for (method, path) in [
            ("GET", "/api/1.0/monitors/prod.risk.fraud"),
            ("GET", "/api/1.0/monitors/prod.risk.fraud/windows"),
            ("DELETE", "/api/1.0/monitors/prod.risk.fraud"),
            ("POST", "/api/1.0/monitors/prod.risk.fraud/run"),
        ] {
            assert_eq!(call(&test, &eve, method, path, None).await.status, 403, "{method} {path}");
        }
        let listed = call(&test, &eve, "GET", "/api/1.0/alerts", None).await;
        assert_eq!(ok(&listed)["alerts"], json!([]));
        let id = alerts(&test, "standing").await[0]["alert_id"].as_str().unwrap().to_owned();
        let one = format!("/api/1.0/alerts/{id}");
        assert_eq!(call(&test, &eve, "GET", &one, None).await.status, 403);
        assert_eq!(call(&test, &eve, "POST", &format!("{one}/resolve"), None).await.status, 403);
        // Nor do the series, whose experiment lies in the schema of what is watched.
        let monitor = test.get("/api/1.0/monitors/prod.risk.fraud").await;
        let run_id = ok(&monitor)["run_id"].as_str().unwrap().to_owned();
        let path = format!("/api/2.0/mlflow/runs/get?run_id={run_id}");
        assert_eq!(call(&test, &eve, "GET", &path, None).await.status, 403);

        // Whose the alert is may answer it, without any right to the monitor.
        let yaml = YAML.replace("lateness: 6h", "lateness: 6h\nalerts: { owner: ada }");
        ok(&apply(&test, &yaml).await);
        ok(&test.post(&format!("{one}/resolve"), json!({})).await);
        payload(&test, "next", &hour(2, 200, 60.0)).await;
        computed(&test).await;
        let id = alerts(&test, "standing").await[0]["alert_id"].as_str().unwrap().to_owned();
        let listed = call(&test, &ada, "GET", "/api/1.0/alerts", None).await;
        assert_eq!(ok(&listed)["alerts"][0]["owner"], "ada");
        let path = format!("/api/1.0/alerts/{id}/acknowledge");
        assert_eq!(ok(&call(&test, &ada, "POST", &path, None).await)["acknowledged_by"], "ada");
        assert_eq!(call(&test, &ada, "GET", "/api/1.0/monitors/prod.risk.fraud", None).await.status, 403);
        worker.stop().await;
    });
}
