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

/// Where everybody may make tables, that alone decides nothing about what others watch.
#[test]
fn strangers_neither_watch_nor_label_what_is_not_theirs() {
    on_every_store_with(&[("auth", "tokens")], async |test: TestApp| {
        let (eve, ann) = (token_of(&test, "eve", false).await, token_of(&test, "ann", false).await);
        let test = test.acting_as(&ann);
        let types = "_request_id:string,_row:int,_event_time:timestamp,_prediction:double,x:double";
        let csv =
            format!("_request_id,_row,_event_time,_model_version,_prediction,x,kind\n{}", hour(0, 200, 0.0));
        land(&test, "main.default.fraud_payload", "first", types, &csv).await;
        land(&test, "main.default.train", "first", "x:double,y:double", "x,y\n1,0\n2,1\n").await;
        let yaml = YAML.replace("prod.risk", "main.default").replace(
            "thresholds:\n  - { metric: psi, above: 0.2 }\n",
            "labels: { lateness: 7d, metrics: [accuracy] }\n",
        );

        let labels = "request_id,label\n0-1,1\n";
        let of_eve = async |method: &str, path: &str, body: &str| {
            let mut request = request(method, path, None);
            *request.body_mut() = Body::from(body.to_owned());
            let headers = request.headers_mut();
            headers.insert("authorization", format!("Bearer {eve}").parse().unwrap());
            headers.insert("content-type", "application/json".parse().unwrap());
            test.send(request).await
        };
        let refused = of_eve("PUT", "/api/1.0/labels/main.default.fraud/batches/a", labels).await;
        assert_eq!((refused.status, refused.error_code()), (403, "PERMISSION_DENIED"), "{refused:?}");
        let body = json!({ "yaml": yaml }).to_string();
        assert_eq!(of_eve("POST", "/api/1.0/monitors", &body).await.status, 403);

        // A table of that name is hers to make; what it says counts only for whoever names it.
        let path = "/api/1.0/tables/main.default.fraud_labels/batches/a?format=csv&create=true\
                    &types=request_id:string,row:int,label:double,labelled_at:timestamp";
        let csv: String = (0..200).map(|row| format!("0-{row},0,1,2024-11-25T00:00:00Z\n")).collect();
        ok(&of_eve("PUT", path, &format!("request_id,row,label,labelled_at\n{csv}")).await);
        ok(&apply(&test, &yaml).await);
        let worker = Worker::start(&test.app);
        let run = async || {
            let queued = test.post("/api/1.0/monitors/main.default.fraud/run", json!({})).await;
            ended(&test, ok(&queued)["job_id"].as_str().unwrap()).await
        };
        let labelled = async || {
            let found = test.get("/api/1.0/monitors/main.default.fraud/windows").await;
            ok(&found)["windows"][0]["labelled_rows"].clone()
        };
        let job = run().await;
        assert_eq!(
            (job["state"].clone(), job["result"]["windows"].clone()),
            (json!("succeeded"), json!(1)),
            "{job}"
        );
        assert_eq!(labelled().await, 0);
        let log = test.get(&format!("/api/1.0/jobs/{}/log", job["job_id"].as_str().unwrap())).await;
        let text = ok(&log)["text"].as_str().unwrap();
        assert!(text.contains("the labels in 'main.default.fraud_labels' do not count: eve"), "{text}");
        assert!(text.contains("may not change 'main.default.fraud'"), "{text}");
        assert_eq!(monitoring::look(&test.app).await.unwrap(), 0, "nothing is left to be done");

        let named = yaml.replace("labels: { ", "labels: { table: main.default.fraud_labels, ");
        ok(&apply(&test, &named).await);
        assert_eq!(run().await["result"], json!({ "windows": 1, "revised": 1 }));
        assert_eq!(labelled().await, 200);
        worker.stop().await;
    });
}
