//! Tables that the server keeps: batches, versions, pins, upkeep, queries.

use serde_json::json;

use super::Example;

pub fn examples() -> Vec<Example> {
    const ONE: &str = "/api/1.0/tables/{full_name}";
    let path = |what: &str| -> &'static str { format!("{ONE}/{what}").leak() };
    let batch = json!({ "full_name": "$kept$", "batch_id": "$fresh$", "format": "csv" });
    let pin = json!({ "full_name": "$kept$", "version": 2, "reason": "audit" });
    let query = json!({
        "statement": "SELECT count(*) AS n FROM $kept$ WHERE id > 1", "parameters": {},
        "format": "csv", "row_limit": 10, "time_s": 30,
    });
    vec![
        Example::new("PUT", path("batches/{batch_id}"), batch).bytes("id\n7\n"),
        Example::new("GET", path("versions"), json!({ "full_name": "$kept$", "max_results": 2 })),
        Example::new("POST", path("pins"), pin),
        Example::new(
            "POST",
            path("unpin"),
            json!({ "full_name": "$kept_pinned$", "version": 3, "principal": "$owner$" }),
        ),
        Example::new("POST", path("vacuum"), json!({ "full_name": "$kept$", "keep_from": 2 })),
        Example::new("POST", path("compact"), json!({ "full_name": "$kept$" })),
        Example::new("POST", "/api/1.0/sql", query),
    ]
}
