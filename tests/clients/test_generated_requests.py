"""Requests that a generator makes of the OpenAPI document, right and wrong ones: none is answered by a failure of the server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import launcher

pytestmark = pytest.mark.beyond

# What MLflow has and this server does not is answered with 501, and tested elsewhere.
ABSENT = "Not part of this product"
SECONDS = 60


def test_no_generated_request_fails_inside_the_server(server, raw, tmp_path):
    with launcher.on_store(server.backend, tmp_path / "data") as running:
        document = raw.get("/api/openapi.json").json
        # It also asks by methods that a path does not have.
        absent = [
            path
            for path, operations in document["paths"].items()
            if any(operation.get("summary") == ABSENT for operation in operations.values())
        ]
        for path in absent:
            del document["paths"][path]
        assert len(document["paths"]) > 150
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        tool = Path(sys.executable).with_name("schemathesis")
        flags = "--checks not_a_server_error --phases coverage,fuzzing --max-examples 4 --seed 1 --no-shrink --no-color"
        flags += f" --max-time {SECONDS} --suppress-health-check all --warnings off"
        done = subprocess.run(
            [tool, "run", "openapi.json", "--url", running.url, *flags.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS + 120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
        assert "generated" in done.stdout, done.stdout[-2_000:]
