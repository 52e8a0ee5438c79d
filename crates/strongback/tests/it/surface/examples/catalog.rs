//! Catalogs, schemas, tables, owners, principals, tokens and the audit log.

use serde_json::json;

use super::Example;

pub fn examples() -> Vec<Example> {
    [securables(), principals(), tokens()].concat()
}

fn securables() -> Vec<Example> {
    const CATALOGS: &str = "/api/2.1/unity-catalog/catalogs";
    const CATALOG: &str = "/api/2.1/unity-catalog/catalogs/{name}";
    const SCHEMAS: &str = "/api/2.1/unity-catalog/schemas";
    const SCHEMA: &str = "/api/2.1/unity-catalog/schemas/{full_name}";
    const TABLES: &str = "/api/2.1/unity-catalog/tables";
    const TABLE: &str = "/api/2.1/unity-catalog/tables/{full_name}";
    let table = json!({
        "catalog_name": "$catalog$", "schema_name": "$s$", "name": "$fresh$", "table_type": "EXTERNAL",
        "data_source_format": "DELTA", "storage_location": "s3://bucket/t", "comment": "words",
        "columns": [{ "name": "id", "type_name": "LONG", "type_text": "bigint", "position": 0, "nullable": true }],
        "properties": { "a": "b" },
    });
    vec![
        Example::new("GET", "/api/2.1/unity-catalog/metastore_summary", json!({})),
        Example::new("GET", "/api/2.1/unity-catalog/current-metastore-assignment", json!({})),
        Example::new(
            "POST",
            CATALOGS,
            json!({ "name": "$fresh$", "comment": "words", "properties": { "a": "b" } }),
        )
        .note("the metastore belongs to the administrators"),
        Example::new("GET", CATALOGS, json!({ "max_results": 10 })).note("lists what the caller may read"),
        Example::new("GET", CATALOG, json!({ "name": "$catalog$" })),
        Example::new("PATCH", CATALOG, json!({ "name": "$catalog$", "comment": "other words" })),
        Example::new("DELETE", CATALOG, json!({ "name": "$catalog$", "force": true })),
        Example::new(
            "POST",
            SCHEMAS,
            json!({ "name": "$fresh$", "catalog_name": "$catalog$", "comment": "words" }),
        ),
        Example::new("GET", SCHEMAS, json!({ "catalog_name": "$catalog$" }))
            .note("lists what the caller may read"),
        Example::new("GET", SCHEMA, json!({ "full_name": "$schema$" })),
        Example::new("PATCH", SCHEMA, json!({ "full_name": "$schema$", "new_name": "$fresh$" })),
        Example::new("DELETE", SCHEMA, json!({ "full_name": "$schema$", "force": true })),
        Example::new("POST", TABLES, table),
        Example::new("GET", TABLES, json!({ "catalog_name": "$catalog$", "schema_name": "$s$" }))
            .note("lists what the caller may read"),
        Example::new("GET", TABLE, json!({ "full_name": "$table$" })),
        Example::new("PATCH", TABLE, json!({ "full_name": "$table$", "comment": "other words" })),
        Example::new("DELETE", TABLE, json!({ "full_name": "$table$", "force": true })),
        Example::new(
            "GET",
            "/api/2.1/unity-catalog/tables/{full_name}/exists",
            json!({ "full_name": "$table$" }),
        )
        .note("what the caller may not read is refused as by a get, and not denied"),
        Example::new(
            "PATCH",
            "/api/1.0/owner",
            json!({ "name": "$table$", "kind": "table", "owner": "admins" }),
        ),
    ]
}

fn principals() -> Vec<Example> {
    const ALL: &str = "/api/1.0/principals";
    const MEMBERS: &str = "/api/1.0/groups/{group}/members";
    const MEMBER: &str = "/api/1.0/groups/{group}/members/{member}";
    vec![
        Example::new("POST", ALL, json!({ "name": "$fresh$", "kind": "user", "admin": false })),
        Example::new("GET", ALL, json!({ "max_results": 5 })),
        Example::new("GET", MEMBERS, json!({ "group": "$group$" })),
        Example::new("POST", MEMBERS, json!({ "group": "$group$", "member": "$user$" })),
        Example::new("DELETE", MEMBER, json!({ "member": "$member$", "group": "$group$" })),
        Example::new("GET", "/api/1.0/audit-log", json!({ "action": "run", "max_results": 5 })),
        Example::new("GET", "/api/1.0/audit-log/checkpoint", json!({}))
            .note("the first is signed by background work, which does not run here"),
        Example::new(
            "POST",
            "/api/1.0/audit-log/erase",
            json!({ "asset": "$schema$", "reason": "ticket 7", "dry_run": false }),
        ),
    ]
}

fn tokens() -> Vec<Example> {
    let own = json!({ "comment": "laptop", "lifetime_seconds": 60 });
    vec![
        Example::new("POST", "/api/1.0/tokens", json!({ "principal": "$user$", "comment": "job" })),
        Example::new("GET", "/api/1.0/tokens", json!({ "principal": "$user$" })),
        Example::new("POST", "/api/2.0/token/create", own).note("everybody has tokens of their own"),
        Example::new("GET", "/api/2.0/token/list", json!({})).note("lists the caller's own"),
        Example::new("POST", "/api/2.0/token/delete", json!({ "token_id": "$token$" }))
            .note("somebody else's token is as unknown as one that does not exist"),
    ]
}
