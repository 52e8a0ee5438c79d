//! Jobs, commands, and what runners ask for.

use serde_json::json;

use super::Example;

pub fn examples() -> Vec<Example> {
    [jobs(), commands(), runner()].concat()
}

fn jobs() -> Vec<Example> {
    const JOB: &str = "/api/1.0/jobs/{job_id}";
    vec![
        Example::new(
            "GET",
            "/api/1.0/jobs",
            json!({ "state": "queued", "kind": "command", "asset": "$command$", "max_results": 10 }),
        )
        .note("lists what the caller may see"),
        Example::new("GET", JOB, json!({ "job_id": "$job$", "wait_seconds": 0 })),
        Example::new(
            "GET",
            "/api/1.0/jobs/{job_id}/log",
            json!({ "job_id": "$leased$", "attempt": 1, "after": 0 }),
        ),
        Example::new("POST", "/api/1.0/jobs/{job_id}/cancel", json!({ "job_id": "$job$" })),
    ]
}

fn commands() -> Vec<Example> {
    const COMMANDS: &str = "/api/1.0/commands";
    const COMMAND: &str = "/api/1.0/commands/{full_name}";
    let definition = json!({
        "argv": ["/bin/echo", "{depth}"], "env": { "MODE": "fast" }, "label": "gpu", "wall_seconds": 60,
        "params": { "depth": { "type": "integer", "default": 8, "min": 1, "max": 32 } },
        "processor_seconds": 60, "memory_mb": 512, "max_attempts": 2, "retry_failed": true,
    });
    vec![
        Example::new(
            "POST",
            COMMANDS,
            json!({ "name": "$schema$.$fresh$", "definition": definition, "comment": "words", "owner": "$owner$" }),
        )
        .note("what runs on machines is declared by administrators alone"),
        Example::new("GET", COMMANDS, json!({ "catalog_name": "$catalog$", "schema_name": "$s$", "max_results": 10 }))
            .note("lists what the caller may read"),
        Example::new("GET", COMMAND, json!({ "full_name": "$command$", "version": 1 })),
        Example::new("DELETE", COMMAND, json!({ "full_name": "$command$" })),
        Example::new(
            "POST",
            "/api/1.0/commands/{full_name}/run",
            json!({
                "full_name": "$command$", "params": { "depth": "7" }, "version": 1, "idempotency_key": "$fresh$",
                "run_as": "$owner$",
            }),
        ),
    ]
}

fn runner() -> Vec<Example> {
    const LEASED: &str = "/api/1.0/runner/jobs/{job_id}";
    let of_lease = |path: &'static str, more: serde_json::Value| {
        let mut fields = json!({ "job_id": "$leased$", "runner": "$runner$", "fencing_token": 1, "wall_ms": 7, "processor_ms": 5 });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert!(path.starts_with(LEASED));
        Example::new("POST", path, fields)
    };
    vec![
        Example::new(
            "POST",
            "/api/1.0/runner/lease",
            json!({ "runner": "$runner$", "labels": ["$label_of_job$"], "allow": ["*.c"], "lease_seconds": 60, "wait_seconds": 0 }),
        )
        .note("the commands of others are run by runners and administrators"),
        of_lease(
            "/api/1.0/runner/jobs/{job_id}/heartbeat",
            json!({ "lease_seconds": 60, "log": "a line", "log_at": 0 }),
        )
        .note("keeps a lease, which is derived"),
        of_lease(
            "/api/1.0/runner/jobs/{job_id}/end",
            json!({ "reason": "exited", "exit_code": 0, "message": "words", "peak_memory_bytes": 9, "output": "{}" }),
        ),
    ]
}
