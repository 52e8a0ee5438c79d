//! Feature tables and training sets.

use serde_json::json;

use super::Example;

const TABLES: &str = "/api/1.0/feature-tables";
const TABLE: &str = "/api/1.0/feature-tables/{full_name}";
const SETS: &str = "/api/1.0/training-sets";
const SET: &str = "/api/1.0/training-sets/{full_name}";

pub fn examples() -> Vec<Example> {
    let yaml = "version: 1\nname: $schema$.$fresh$\nsource: $source$\ntimestamp: at\nrow_key: [id]\npane: 1m\nfeatures:\n\
                - {name: n, aggregate: count, window: 1h}\n";
    let page = json!({ "catalog_name": "$catalog$", "schema_name": "$s$", "max_results": 10 });
    vec![
        Example::new("POST", TABLES, json!({ "yaml": yaml, "dry_run": false })),
        Example::new("GET", TABLES, page.clone()).note("lists what the caller may read"),
        Example::new("GET", TABLE, json!({ "full_name": "$features$" })),
        Example::new(
            "POST",
            "/api/1.0/feature-tables/{full_name}/materialize",
            json!({ "full_name": "$features$", "full": true, "wait_ms": 0 }),
        ),
        Example::new(
            "POST",
            SETS,
            json!({
                "name": "$schema$.$fresh$", "labels": "$source$", "features": [], "timestamp": "at", "label": "id",
                "columns": ["id"], "where": "id > 0", "comment": "words", "wait_ms": 0,
            }),
        ),
        Example::new("GET", SETS, page).note("lists what the caller may read"),
        Example::new("GET", SET, json!({ "full_name": "$set$" })),
        Example::new(
            "GET",
            "/api/1.0/training-sets/{full_name}/rows",
            json!({ "full_name": "$set$", "format": "csv" }),
        ),
        Example::new("POST", "/api/1.0/training-sets/{full_name}/rebuild", json!({ "full_name": "$set$" })),
        Example::new("DELETE", SET, json!({ "full_name": "$set$" })),
    ]
}
