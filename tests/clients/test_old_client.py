"""Code and client of MLflow 2.9, the oldest that is served, in an environment of their own."""

import json
import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.timeout(360)
def test_code_for_mlflow_2_9_goes_on_unchanged(server, unique, old_python):
    script = Path(__file__).with_name("old_client.py")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    done = subprocess.run(
        [old_python, script, server.url, unique("old")], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout.splitlines()[-1])
    assert got == {
        "version": "2.9.2",
        "params": {"depth": "3", "solver": "sag"},
        "tier": "gold",
        "metrics": {"loss": 0.2, "auc": 0.5},
        "status": "FINISHED",
        "dataset": "day1",
        "history": [0, 1, 2, 3, 4],
        "artifacts": ["model/a.txt"],
        "text": "hello",
        "searched": True,
        "model_version": "1",
        "ready": "READY",
        "stage": "Production",
        "latest": ["1"],
        "aliases": ["champion", "production"] if server.backend != "peer" else ["champion"],
        "versions": [{"a": "b"}],
        "uri": "mlflow-artifacts",
        "deleted": 1,
        "experiment": "deleted",
    }
