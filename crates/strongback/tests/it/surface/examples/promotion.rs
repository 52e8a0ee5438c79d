//! Gates: runs, reports, and what moves on them.

use serde_json::json;

use super::Example;

const GATES: &str = "version: 1
evaluation:
  table: prod.risk.t@3
  label: fraud
accuracy:
  - metric: roc_auc
    margin: 0.01
";

pub fn examples() -> Vec<Example> {
    const REPORTS: &str = "/api/1.0/gate-reports";
    vec![
        Example::new(
            "POST",
            "/api/1.0/gate-runs",
            json!({
                "model": "$moved$", "candidate": "1", "alias": "champion", "config": "$gates$", "move": true,
                "idempotency_key": "$fresh$",
            }),
        ),
        Example::new("GET", REPORTS, json!({ "model": "$gov$", "version": 1, "max_results": 5 })),
        Example::new("GET", "/api/1.0/gate-reports/{report_id}", json!({ "report_id": "$report$" })),
        Example::new(
            "POST",
            "/api/1.0/model/govern",
            json!({ "name": "$gov$", "aliases": ["champion"], "config": GATES }),
        ),
        Example::new(
            "POST",
            "/api/1.0/model/promote",
            json!({ "name": "$gov$", "version": "1", "alias": "shadow", "override": true, "reason": "words" }),
        ),
        Example::new(
            "POST",
            "/api/1.0/model/rollback",
            json!({ "name": "$moved$", "alias": "champion", "from_version": 2, "reason": "words" }),
        ),
    ]
}
