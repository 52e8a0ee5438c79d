"""Requests that a generator makes of the OpenAPI document, right and wrong ones: none is answered by a failure of the server.

The store has things in it, and most requests speak of them (``generated_hooks.py``), so that they get past what is not found.
``STRONGBACK_GENERATED_SECONDS`` and ``STRONGBACK_GENERATED_SEED`` ask for a longer look, as ``tools/torture.sh`` does.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import launcher
from examples import EVERY
from raw import Raw
from world import World

SECONDS = int(os.environ.get("STRONGBACK_GENERATED_SECONDS", "32"))
SEED = os.environ.get("STRONGBACK_GENERATED_SEED", "1")

pytestmark = [pytest.mark.beyond, pytest.mark.timeout(5 * SECONDS + 240)]

# What MLflow has and this server does not is answered with 501, and tested elsewhere.
ABSENT = "Not part of this product"

# What a field stands for, and what a name does, which depends on the path.
FIELDS = {
    "alert_id": "$alert$", "alias": "champion", "artifact_directory_path": "dir", "artifact_file_path": "dir/f.txt",
    "asset": "$table$", "depth": 3, "direction": "both", "batch_id": "$fresh$", "catalog_name": "$catalog$", "experiment_id": "$exp$",
    "experiment_name": "$exp_name$", "format": "csv", "group": "$group$", "id": "$run$", "job_id": "$job$", "kind": "run",
    "member": "$member$", "metric_key": "m", "model": "$gov$", "model_id": "$logged$", "monitor": "$monitored$", "part": "1",
    "principal": "$user$", "root": "$run_root$", "run_id": "$run_of_file$", "schema_name": "$s$",
    "securable_type": "FUNCTION", "tag_key": "t", "upload": "$mpu$", "version": "1", "webhook_id": "$webhook$",
}  # fmt: skip
NAMES = {
    "/api/2.1/unity-catalog/catalogs": "$catalog$",
    "/api/2.1/unity-catalog/schemas": "$schema$",
    "/api/2.1/unity-catalog/tables": "$table$",
    "/api/2.1/unity-catalog/": "$gov$",
    "/api/2.0/mlflow/unity-catalog/": "$gov$",
    "/api/2.0/mlflow/": "$model$",
    "/model-versions/": "$model$",
    "/api/1.0/commands": "$command$",
    "/api/1.0/feature-tables": "$features$",
    "/api/1.0/training-sets": "$set$",
    "/api/1.0/monitors": "$monitored$",
    "/api/1.0/labels": "$watched$",
    "/api/1.0/tables": "$kept$",
    "/api/1.0/endpoints": "$endpoint$",
    "/api/2.0/serving-endpoints": "$endpoint$",
    "/endpoints": "$endpoint$",
    "/serving-endpoints": "$endpoint$",
    "/api/1.0/": "$gov$",
}
PATHS = {
    "/api/2.0/fs/directories": "$gov2_dir$",
    "/api/2.0/fs/": "$gov2_dir$/dir/f.txt",
    "/api/2.0/mlflow-artifacts/artifacts/{path}": "$run_file$",
    "/api/2.0/mlflow-artifacts/artifacts": "$run_root$",
    "/api/2.0/mlflow-artifacts/": "$run_file$",
    "/get-artifact": "dir/f.txt",
    "/model-versions/get-artifact": "dir/f.txt",
    "/api/1.0/exchange/files": "notes/a.txt",
}
BYTES = {"/api/1.0/tables": "id\n7\n", "/api/1.0/labels": "request_id,label\nr1,1\n"}
# These take away what others speak of, and get things of their own.
TAKES_AWAY = re.compile(
    r"^DELETE |/(delete|rename|erase|cancel|end|finalize)$|experiments/update$|abort|/fs/(files|directories)"
)
# What does nothing for somebody who has no signature, no model that runs, no report, no pages and no object store.
NEEDS_MORE = {
    "DELETE /api/2.0/fs/signed/uploads/{upload}/{path}",
    "GET /api/1.0/gate-reports/{report_id}",
    "GET /api/1.0/requests/{request_id}/why",
    "GET /api/2.0/fs/signed/files/{path}",
    "GET /api/2.0/mlflow-artifacts/signed/{path}",
    "GET /endpoints/{name}/health",
    "GET /endpoints/{name}/ping",
    "GET /mlflow",
    "GET /mlflow/",
    "GET /mlflow/static-files/{file}",
    "GET /why/{request_id}",
    "POST /api/1.0/gate-runs",
    "POST /api/1.0/model/govern",
    "POST /api/2.0/fs/files/{path}",
    "POST /api/2.0/mlflow/artifacts/presigned-download-url",
    "POST /api/2.0/mlflow/artifacts/presigned-upload-url",
    "POST /api/2.0/token/create",
    "POST /api/2.0/token/delete",
    "POST /api/2.1/unity-catalog/temporary-model-version-credentials",
    "POST /endpoints/{name}/invocations",
    "POST /serving-endpoints/{name}/invocations",
    "PUT /api/2.0/fs/signed/files/{path}",
    "PUT /api/2.0/fs/signed/parts/{upload}/{part}/{path}",
    "PUT /api/2.0/mlflow-artifacts/mpu/part/{upload}/{part}/{path}",
}


def of_path(table: dict, path: str, default=None):
    return next((value for begin, value in table.items() if path.startswith(begin)), default)


def right_fields(operation: str, documented: dict) -> dict:
    """What is right for an operation without an example: by the names of its parameters."""
    path = operation.split(" ")[1]
    values = FIELDS | {"name": of_path(NAMES, path), "full_name": of_path(NAMES, path), "path": of_path(PATHS, path)}
    if path.startswith(("/api/2.0/mlflow/metrics/get-history-bulk", "/api/1.0/runs/compare")):
        values |= {"run_id": ["$run$", "$other_run$"], "run_ids": ["$run$"]}
    names = [parameter["name"] for parameter in documented.get("parameters", [])]
    return {name: values[name] for name in names if values.get(name)}


def right(world: World, operations: dict[str, dict]) -> dict[str, dict]:
    """For each operation what is right, with the world's things in it."""
    examples, found = dict(EVERY), {}
    for operation, documented in operations.items():
        path = operation.split(" ")[1]
        own = World(world.raw) if TAKES_AWAY.search(operation) else world
        fields = examples.get(operation) or right_fields(operation, documented)
        # What is to be new each time is made new by each call.
        kept = json.loads(json.dumps(fields).replace("$fresh$", "%fresh%"))
        filled = json.loads(json.dumps(own.fill(kept)).replace("%fresh%", "$fresh$"))
        in_path = {name: filled.pop(name) for name in re.findall(r"\{(\w+)\}", path) if name in filled}
        in_body = operation in examples
        found[operation] = {"path": in_path, "query": {} if in_body else filled, "body": filled if in_body else {}}
        found[operation]["keeps_name"] = own is world
        if "application/octet-stream" in documented.get("requestBody", {}).get("content", {}):
            found[operation]["bytes"] = of_path(BYTES, path, '{"inputs": {"a": [1]}}')
    return found


def generate(running, environment: dict, folder: Path, seconds: int) -> None:
    """Sends generated requests for so long; a failure of the server's own is one of the test's."""
    tool = Path(sys.executable).with_name("schemathesis")
    flags = (
        f"--checks not_a_server_error --phases coverage,fuzzing --max-examples 4 --seed {SEED} --no-shrink --no-color"
    )
    flags += f" --max-time {seconds} --suppress-health-check all --warnings off"
    done = subprocess.run(
        [tool, "run", "openapi.json", "--url", running.url, *flags.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds + 100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "generated" in done.stdout, done.stdout[-2_000:]


def test_no_generated_request_fails_inside_the_server(server, tmp_path):
    extra = ("--webhooks-allow", "127.0.0.1")
    with launcher.on_store(server.backend, tmp_path / "data", extra=extra) as running:
        document = Raw(running).get("/api/openapi.json").json
        operations = {
            f"{method.upper()} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        # It also asks by methods that a path does not have.
        absent = {name.split(" ")[1] for name, operation in operations.items() if operation.get("summary") == ABSENT}
        operations = {name: operation for name, operation in operations.items() if name.split(" ")[1] not in absent}
        for path in absent:
            del document["paths"][path]
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        (tmp_path / "real.json").write_text(json.dumps(right(World(Raw(running)), operations)))
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": "generated_hooks",
            "PYTHONPATH": str(Path(__file__).parent),
            "GENERATED_REAL": str(tmp_path / "real.json"),
            "GENERATED_SENT": str(tmp_path / "sent.txt"),
            "GENERATED_SEED": SEED,
        }
        sent = []
        # A machine that has much else to do comes round later.
        for seconds in (SECONDS, 4 * SECONDS):
            generate(running, environment, tmp_path, seconds)
            sent += [line.rsplit(" ", 1) for line in (tmp_path / "sent.txt").read_text().splitlines()]
            never = operations.keys() - {operation for operation, _ in sent}
            did_something = {operation for operation, status in sent if int(status) < 400}
            missed = operations.keys() - did_something - NEEDS_MORE
            if not never and len(missed) <= len(operations) // 20:
                break
    assert not never, "never sent"
    print(
        f"generated: {len(sent)} requests of {len(operations)} operations, of which {len(did_something)} did something"
    )
    assert len(missed) <= len(operations) // 20, missed
