//! Monitors, alerts, labels.

use serde_json::json;

use super::Example;

pub fn examples() -> Vec<Example> {
    const MONITOR: &str = "/api/1.0/monitors/{full_name}";
    const ALERT: &str = "/api/1.0/alerts/{alert_id}";
    let range = json!({
        "full_name": "$monitored$", "from": "2024-11-24T00:00:00Z", "to": "2024-11-25T00:00:00Z",
    });
    let windows = json!({ "full_name": "$monitored$", "before": "2024-11-25T00:00:00Z", "max_results": 10 });
    let answer = json!({ "alert_id": "$alert$", "note": "known" });
    let list = json!({ "state": "standing", "monitor": "$monitored$", "max_results": 10 });
    vec![
        Example::new("POST", "/api/1.0/monitors", json!({ "yaml": "$monitor_yaml$" })),
        Example::new(
            "GET",
            "/api/1.0/monitors",
            json!({ "catalog_name": "$catalog$", "schema_name": "$s$", "max_results": 10 }),
        )
        .note("lists what the caller may read"),
        Example::new("GET", MONITOR, json!({ "full_name": "$monitored$" })),
        Example::new("DELETE", MONITOR, json!({ "full_name": "$monitored$" })),
        Example::new("GET", "/api/1.0/monitors/{full_name}/windows", windows),
        Example::new("POST", "/api/1.0/monitors/{full_name}/run", range),
        Example::new("GET", "/api/1.0/alerts", list).note("lists what the caller may read"),
        Example::new("GET", ALERT, json!({ "alert_id": "$alert$" })),
        Example::new("POST", "/api/1.0/alerts/{alert_id}/acknowledge", answer.clone()),
        Example::new("POST", "/api/1.0/alerts/{alert_id}/resolve", answer),
        Example::new(
            "PUT",
            "/api/1.0/labels/{full_name}/batches/{batch_id}",
            json!({ "full_name": "$watched$", "batch_id": "$fresh$", "format": "csv" }),
        )
        .bytes("request_id,label\nr1,1\n"),
    ]
}
