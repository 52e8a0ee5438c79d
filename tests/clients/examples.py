"""Calls that work: operation and fields, whose words stand for things of a world (``world.py``)."""

M, U, ONE = "/api/2.0/mlflow", "/api/2.1/unity-catalog", "/api/1.0"
GOV = f"{M}/unity-catalog"
PAIR = [{"key": "a", "value": "b"}]
KEY_VALUE = {"key": "k", "value": "v"}
VERSION = {"name": "$model$", "version": "1"}
GOV_VERSION = {"name": "$gov$", "version": "1"}
CHANGES = {"add_tags": PAIR, "remove": ["t"]}
EVENT = {"entity": "MODEL_VERSION", "action": "CREATED"}
HOOK = {
    "name": "ci", "description": "words", "url": "https://127.0.0.1:9/hook", "events": [EVENT], "secret": "hush",
    "status": "ACTIVE",
}  # fmt: skip
DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}
POINT = {
    "key": "b", "value": 1, "timestamp": 1, "step": 0, "model_id": "$logged$", "dataset_name": "d",
    "dataset_digest": "1",
}  # fmt: skip

TRACKING = [
    (f"POST {M}/experiments/create", {"name": "$fresh$", "tags": PAIR}),
    (
        f"POST {M}/experiments/search",
        {"max_results": 5, "filter": "name = 'x'", "order_by": ["name"], "view_type": "ALL"},
    ),
    (f"POST {M}/experiments/search-datasets", {"experiment_ids": ["$exp$"]}),
    (f"POST {M}/experiments/update", {"experiment_id": "$exp$", "new_name": "$fresh$"}),
    (f"POST {M}/experiments/delete", {"experiment_id": "$exp$"}),
    (f"POST {M}/experiments/restore", {"experiment_id": "$dead_exp$"}),
    (f"POST {M}/experiments/set-experiment-tag", {"experiment_id": "$exp$", **KEY_VALUE}),
    (f"POST {M}/experiments/delete-experiment-tag", {"experiment_id": "$exp$", "key": "t"}),
    (
        f"POST {M}/runs/create",
        {"experiment_id": "$exp$", "run_name": "name", "start_time": 1, "user_id": "ada", "tags": PAIR},
    ),
    (
        f"POST {M}/runs/search",
        {
            "experiment_ids": ["$exp$"], "filter": "metrics.m > 0.1", "order_by": ["metrics.m"], "max_results": 5,
            "run_view_type": "ALL",
        },
    ),
    (f"POST {M}/runs/update", {"run_id": "$run$", "status": "FINISHED", "end_time": 5, "run_name": "other"}),
    (f"POST {M}/runs/delete", {"run_id": "$run$"}),
    (f"POST {M}/runs/restore", {"run_id": "$dead_run$"}),
    (f"POST {M}/runs/set-tag", {"run_id": "$run$", **KEY_VALUE}),
    (f"POST {M}/runs/delete-tag", {"run_id": "$run$", "key": "t"}),
    (f"POST {M}/runs/log-batch", {"run_id": "$run$", "metrics": [POINT], "params": PAIR, "tags": PAIR}),
    (f"POST {M}/runs/log-metric", {"run_id": "$run$", **POINT}),
    (f"POST {M}/runs/log-parameter", {"run_id": "$run$", "key": "q", "value": "1"}),
    (
        f"POST {M}/runs/log-inputs",
        {
            "run_id": "$run$", "models": [{"model_id": "$logged$"}],
            "datasets": [{"dataset": DATASET, "tags": [{"key": "mlflow.data.context", "value": "train"}]}],
        },
    ),
    (f"POST {M}/runs/outputs", {"run_id": "$run$", "models": [{"model_id": "$logged$", "step": 1}]}),
    (
        f"POST {M}/runs/log-model",
        {
            "run_id": "$run$",
            "model_json": '{"artifact_path": "m", "flavors": {}, "utc_time_created": "x", "run_id": "$run$"}',
        },
    ),
    (
        f"POST {M}/logged-models",
        {
            "experiment_id": "$exp$", "name": "model", "model_type": "x", "source_run_id": "$run$", "params": PAIR,
            "tags": PAIR,
        },
    ),
    (
        f"POST {M}/logged-models/search",
        {
            "experiment_ids": ["$exp$"], "filter": "name = 'l'", "max_results": 5,
            "order_by": [{"field_name": "name", "ascending": True}],
            "datasets": [{"dataset_name": "d", "dataset_digest": "1"}],
        },
    ),
    (f"PATCH {M}/logged-models/{{model_id}}", {"model_id": "$logged$", "status": "LOGGED_MODEL_READY"}),
    (f"PATCH {M}/logged-models/{{model_id}}/tags", {"model_id": "$logged$", "tags": PAIR}),
    (f"POST {M}/logged-models/{{model_id}}/params", {"model_id": "$logged$", "params": PAIR}),
]  # fmt: skip

REGISTRY = [
    (f"POST {M}/registered-models/create", {"name": "$fresh$", "description": "words", "tags": PAIR}),
    (f"POST {M}/registered-models/search", {"filter": "name LIKE 'x%'", "max_results": 5, "order_by": ["name ASC"]}),
    (f"POST {M}/registered-models/get-latest-versions", {"name": "$model$", "stages": ["None"]}),
    (f"POST {M}/registered-models/rename", {"name": "$model$", "new_name": "$fresh$"}),
    (f"PATCH {M}/registered-models/update", {"name": "$model$", "description": "other words"}),
    (f"DELETE {M}/registered-models/delete", {"name": "$model$"}),
    (f"POST {M}/registered-models/set-tag", {"name": "$model$", **KEY_VALUE}),
    (f"DELETE {M}/registered-models/delete-tag", {"name": "$model$", "key": "t"}),
    (f"POST {M}/registered-models/alias", {"name": "$model$", "alias": "challenger", "version": "1"}),
    (f"DELETE {M}/registered-models/alias", {"name": "$model$", "alias": "champion"}),
    (
        f"POST {M}/model-versions/create",
        {
            "name": "$model$", "source": "models:/$logged$", "run_id": "$run$", "model_id": "$logged$",
            "run_link": "https://example.com/run", "description": "words", "tags": PAIR,
        },
    ),
    (
        f"POST {M}/model-versions/search",
        {"filter": "name = '$model$'", "max_results": 5, "order_by": ["version_number DESC"]},
    ),
    (
        f"POST {M}/model-versions/transition-stage",
        {**VERSION, "stage": "Staging", "archive_existing_versions": True},
    ),
    (
        f"POST {M}/databricks/model-versions/transition-stage",
        {**VERSION, "stage": "Staging", "archive_existing_versions": True},
    ),
    (f"PATCH {M}/model-versions/update", {**VERSION, "description": "other words"}),
    (f"POST {M}/model-versions/set-tag", {**VERSION, **KEY_VALUE}),
    (f"DELETE {M}/model-versions/delete-tag", {**VERSION, "key": "t"}),
    (f"DELETE {M}/model-versions/delete", VERSION),
]  # fmt: skip

WEBHOOKS = [
    (f"POST {M}/webhooks", HOOK),
    (f"PATCH {M}/webhooks/{{webhook_id}}", {"webhook_id": "$webhook$", **HOOK}),
    (f"POST {M}/webhooks/{{webhook_id}}/test", {"webhook_id": "$webhook$", "event": EVENT}),
]

GOVERNED = [
    (f"POST {GOV}/registered-models/create", {"name": "$schema$.$fresh$", "description": "words", "tags": PAIR}),
    (f"PATCH {GOV}/registered-models/update", {"name": "$gov$", "description": "other words"}),
    (f"DELETE {GOV}/registered-models/delete", {"name": "$gov$"}),
    (f"POST {GOV}/registered-models/set-tag", {"name": "$gov$", **KEY_VALUE}),
    (f"DELETE {GOV}/registered-models/delete-tag", {"name": "$gov$", "key": "t"}),
    (f"POST {GOV}/registered-models/alias", {"name": "$gov$", "alias": "challenger", "version": "1"}),
    (f"DELETE {GOV}/registered-models/alias", {"name": "$gov$", "alias": "champion"}),
    (
        f"POST {GOV}/model-versions/create",
        {
            "name": "$gov$", "source": "models:/$logged$", "run_id": "$run$", "model_id": "$logged$",
            "description": "words", "tags": PAIR,
        },
    ),
    (f"POST {GOV}/model-versions/finalize", {"name": "$gov$", "version": "$gov2$"}),
    (f"PATCH {GOV}/model-versions/update", {**GOV_VERSION, "description": "other words"}),
    (f"DELETE {GOV}/model-versions/delete", GOV_VERSION),
    (f"POST {GOV}/model-versions/set-tag", {**GOV_VERSION, **KEY_VALUE}),
    (f"DELETE {GOV}/model-versions/delete-tag", {**GOV_VERSION, "key": "t"}),
    (f"POST {GOV}/model-versions/emit-lineage", GOV_VERSION),
    (
        f"POST {GOV}/model-versions/generate-temporary-credentials",
        {**GOV_VERSION, "operation": "MODEL_VERSION_OPERATION_READ"},
    ),
    (
        f"POST {U}/models",
        {"name": "$fresh$", "catalog_name": "$catalog$", "schema_name": "$s$", "comment": "words", "tags": PAIR},
    ),
    (f"PATCH {U}/models/{{full_name}}", {"full_name": "$gov$", "comment": "other"}),
    (
        f"PUT {U}/models/{{full_name}}/aliases/{{alias}}",
        {"full_name": "$gov$", "alias": "challenger", "version_num": 1},
    ),
    (f"DELETE {U}/models/{{full_name}}/aliases/{{alias}}", {"full_name": "$gov$", "alias": "champion"}),
    (
        f"POST {U}/models/versions",
        {
            "model_name": "$gov_name$", "catalog_name": "$catalog$", "schema_name": "$s$", "source": "models:/$logged$",
            "run_id": "$run$", "comment": "words",
        },
    ),
    (f"PATCH {U}/models/{{full_name}}/versions/{{version}}", {"full_name": "$gov$", "version": 1, "comment": "other"}),
    (
        f"PATCH {U}/securable-tags/{{securable_type}}/{{full_name}}",
        {"securable_type": "FUNCTION", "full_name": "$gov$", "changes": CHANGES},
    ),
    (
        f"PATCH {U}/subentity-tags/{{securable_type}}/{{full_name}}/{{version}}",
        {"securable_type": "FUNCTION", "full_name": "$gov$", "version": 1, "changes": CHANGES},
    ),
]  # fmt: skip

CATALOG = [
    (f"POST {U}/catalogs", {"name": "$fresh$", "comment": "words", "properties": {"a": "b"}}),
    (f"PATCH {U}/catalogs/{{name}}", {"name": "$catalog$", "comment": "other words"}),
    (f"DELETE {U}/catalogs/{{name}}", {"name": "$catalog$", "force": True}),
    (f"POST {U}/schemas", {"name": "$fresh$", "catalog_name": "$catalog$", "comment": "words"}),
    (f"PATCH {U}/schemas/{{full_name}}", {"full_name": "$schema$", "comment": "other words"}),
    (f"DELETE {U}/schemas/{{full_name}}", {"full_name": "$schema$", "force": True}),
    (
        f"POST {U}/tables",
        {
            "catalog_name": "$catalog$", "schema_name": "$s$", "name": "$fresh$", "table_type": "EXTERNAL",
            "data_source_format": "DELTA", "storage_location": "s3://bucket/t", "comment": "words",
            "columns": [
                {"name": "id", "type_name": "LONG", "type_text": "bigint", "position": 0, "nullable": True},
            ],
            "properties": {"a": "b"},
        },
    ),
    (f"PATCH {U}/tables/{{full_name}}", {"full_name": "$table$", "comment": "other words"}),
    (f"DELETE {U}/tables/{{full_name}}", {"full_name": "$table$", "force": True}),
    (f"PATCH {ONE}/owner", {"name": "$table$", "kind": "table", "owner": "admins"}),
    (f"POST {ONE}/principals", {"name": "$fresh$", "kind": "user", "admin": False}),
    (f"POST {ONE}/groups/{{group}}/members", {"group": "$group$", "member": "$user$"}),
    (f"POST {ONE}/audit-log/erase", {"asset": "$schema$", "reason": "ticket 7", "dry_run": False}),
    (f"POST {ONE}/tokens", {"principal": "$user$", "comment": "job"}),
]  # fmt: skip

FILES = [
    (
        "POST /api/2.0/mlflow-artifacts/mpu/create/{root}",
        {"root": "$run_root$", "path": "/home/ada/other.bin", "num_parts": 2},
    ),
    (
        "POST /api/2.0/mlflow-artifacts/mpu/complete/{root}",
        {
            "root": "$run_root$", "path": "/home/ada/big.bin", "upload_id": "$mpu$",
            "parts": [{"part_number": 1, "etag": ""}, {"part_number": 2, "etag": ""}],
        },
    ),
    (
        "POST /api/2.0/mlflow-artifacts/mpu/abort/{root}",
        {"root": "$run_root$", "path": "/home/ada/big.bin", "upload_id": "$mpu$"},
    ),
    ("POST /api/2.0/fs/create-download-url", {"path": "$gov_dir$/dir/f.txt"}),
    ("POST /api/2.0/fs/create-upload-url", {"path": "$gov2_dir$/new.txt"}),
    (
        "POST /api/2.0/fs/create-upload-part-urls",
        {"path": "$gov2_dir$/big.bin", "session_token": "$session$", "start_part_number": 1, "count": 2},
    ),
    ("POST /api/2.0/fs/create-abort-upload-url", {"path": "$gov2_dir$/big.bin", "session_token": "$session$"}),
]  # fmt: skip

PLATFORM = [
    (f"POST {ONE}/tables/{{full_name}}/pins", {"full_name": "$kept$", "version": 2, "reason": "audit"}),
    (f"POST {ONE}/tables/{{full_name}}/unpin", {"full_name": "$kept_pinned$", "version": 3}),
    (f"POST {ONE}/tables/{{full_name}}/vacuum", {"full_name": "$kept$", "keep_from": 2}),
    (
        f"POST {ONE}/sql",
        {"statement": "SELECT count(*) AS n FROM $kept$ WHERE id > 1", "parameters": {}, "row_limit": 10, "time_s": 30},
    ),
    (f"POST {ONE}/feature-tables", {"yaml": "$features_yaml$", "dry_run": False}),
    (
        f"POST {ONE}/feature-tables/{{full_name}}/materialize",
        {"full_name": "$features$", "full": True, "wait_ms": 0},
    ),
    (
        f"POST {ONE}/training-sets",
        {
            "name": "$schema$.$fresh$", "labels": "$source$", "features": [], "timestamp": "at", "label": "id",
            "columns": ["id"], "where": "id > 0", "comment": "words", "wait_ms": 0,
        },
    ),
    (
        f"POST {ONE}/commands",
        {
            "name": "$schema$.$fresh$", "comment": "words",
            "definition": {
                "argv": ["/bin/echo", "{depth}"], "env": {"MODE": "fast"}, "label": "gpu", "wall_seconds": 60,
                "params": {"depth": {"type": "integer", "default": 8, "min": 1, "max": 32}},
                "processor_seconds": 60, "memory_mb": 512, "max_attempts": 2, "retry_failed": True,
            },
        },
    ),
    (
        f"POST {ONE}/commands/{{full_name}}/run",
        {"full_name": "$command$", "params": {"depth": "7"}, "version": 1, "idempotency_key": "$fresh$"},
    ),
    (
        f"POST {ONE}/runner/lease",
        {
            "runner": "$runner$", "labels": ["$label_of_job$"], "allow": ["*"], "lease_seconds": 60, "wait_seconds": 0,
        },
    ),
    (
        f"POST {ONE}/runner/jobs/{{job_id}}/heartbeat",
        {
            "job_id": "$leased$", "runner": "$runner$", "fencing_token": 1, "wall_ms": 7, "processor_ms": 5,
            "lease_seconds": 60, "log": "a line", "log_at": 0,
        },
    ),
    (
        f"POST {ONE}/runner/jobs/{{job_id}}/end",
        {
            "job_id": "$leased$", "runner": "$runner$", "fencing_token": 1, "wall_ms": 7, "processor_ms": 5,
            "reason": "exited", "exit_code": 0, "message": "words", "peak_memory_bytes": 9, "output": "{}",
        },
    ),
    (f"POST {ONE}/monitors", {"yaml": "$monitor_yaml$"}),
    (
        f"POST {ONE}/monitors/{{full_name}}/run",
        {"full_name": "$monitored$", "from": "2024-11-24T00:00:00Z", "to": "2024-11-25T00:00:00Z"},
    ),
    (f"POST {ONE}/alerts/{{alert_id}}/acknowledge", {"alert_id": "$alert$", "note": "known"}),
    (f"POST {ONE}/alerts/{{alert_id}}/resolve", {"alert_id": "$alert$", "note": "known"}),
    (f"POST {ONE}/endpoints", {"name": "$fresh$", "model": "$gov$@champion", "comment": "words"}),
    (f"PATCH {ONE}/endpoints/{{name}}", {"name": "$endpoint$", "model": "$gov$/1"}),
    (
        "POST /api/2.0/serving-endpoints",
        {
            "name": "$fresh$", "description": "words",
            "config": {"served_entities": [{"name": "e", "entity_name": "$gov$", "entity_version": "1"}]},
        },
    ),
    (
        "PUT /api/2.0/serving-endpoints/{name}/config",
        {"name": "$endpoint$", "served_entities": [{"name": "e", "entity_name": "$gov$", "entity_version": "1"}]},
    ),
    (
        f"POST {ONE}/model/promote",
        {"name": "$gov$", "version": "1", "alias": "shadow", "override": True, "reason": "words"},
    ),
    (
        f"POST {ONE}/model/rollback",
        {"name": "$moved$", "alias": "champion", "from_version": 2, "reason": "words"},
    ),
    (
        f"POST {ONE}/exchange/plan",
        {
            "source": "old.db", "kind": "experiment",
            "items": [{"id": "7", "name": "$fresh$", "artifact_location": "s3://bucket/7"}],
        },
    ),
    (f"POST {ONE}/exchange/known", {"source": "old.db", "kind": "run", "after": ""}),
    (f"POST {ONE}/exchange/check", {"kind": "run", "ids": ["$run$"]}),
    (f"POST {ONE}/exchange/files", {"kind": "run", "ids": ["$run$"]}),
    (f"POST {ONE}/exchange/give", {"kind": "run", "of": "$exp$", "max_results": 5}),
    (
        "POST /graphql",
        {
            "query": 'query { mlflowGetExperiment(input: { experimentId: "$exp$" }) { experiment { name } } }',
            "variables": {},
        },
    ),
]  # fmt: skip

MLFLOWS = TRACKING + REGISTRY
EVERY = MLFLOWS + WEBHOOKS + GOVERNED + CATALOG + FILES + PLATFORM
