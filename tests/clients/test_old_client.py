"""Code and client of MLflow 2.9, the oldest that is served, and of two between it and today's, in environments of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import launcher
from conftest import python_of
from test_import import run_import


def run_old(old_python, script, *arguments, folder=None):
    """What a script says at last, run by the Python of that client."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = [old_python, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# Versions of the client, and the lock file of each; today's is the one that runs the tests.
CLIENTS = {"2.9.2": "old", "2.22.4": "old-2.22", "3.1.4": "old-3.1", mlflow.__version__: None}


@pytest.mark.timeout(360)
@pytest.mark.parametrize("version", CLIENTS)
def test_code_for_mlflow_2_9_goes_on_unchanged(server, unique, version):
    lock, is_peer = CLIENTS[version], server.backend == "peer"
    got = run_old(python_of(lock) if lock else sys.executable, "old_client.py", server.url, unique("old"))
    result, traces = got.pop("traces", (2, None))
    assert result == 2, "a traced function gives what it gives without"
    assert is_peer or traces == (None if version == "2.9.2" else "NOT_IMPLEMENTED")
    logged = got.pop("logged", None)
    assert got == {
        "version": version,
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
        "aliases": ["champion"] if is_peer else ["champion", "production"],
        "versions": [{"a": "b"}],
        "uri": "mlflow-artifacts",
        "copied": ["1", True],
        "left": {"tried": "1"},
        "deleted": 1,
        "experiment": "deleted",
    }
    expected = {
        "listed": ["MLmodel"],
        "status": "READY",
        "tier": "gold",
        "metrics": [["f1", 0.7, "day1"]],
        "found": True,
        "none": 0,
        "read": True,
        "written": [[True, 1]],
        "registered": [True, True],
    }
    assert logged == (expected if version.startswith("3.") else None)


@pytest.mark.timeout(360)
def test_a_model_of_mlflow_2_9_is_logged_registered_and_loaded(server, unique, old_python):
    name = unique("scaled")
    got = run_old(old_python, "old_model.py", server.url, name)
    first, second = [2.0, 5.0], [3.0, 7.5]
    assert got == {
        "registered": "1",
        "predicted": {
            "models:/{name}/1": first,
            "models:/{name}/2": second,
            "models:/{name}/Production": first,
            "models:/{name}/Staging": second,
            "models:/{name}@champion": first,
            "models:/{name}/latest": second,
            "runs:/{run}/model": first,
        },
        "history": [[True, "model", ["python_function"]]],
        "signature": ["amount", "hour"],
        "metadata": {"of": "2.9"},
        "of": True,
        "example": {"amount": [1.0, 2.5], "hour": [3, 4]},
        "files": [
            f"model/{file}"
            for file in (
                "MLmodel",
                "artifacts",
                "conda.yaml",
                "input_example.json",
                "python_env.yaml",
                "python_model.pkl",
                "requirements.txt",
            )
        ],
        "dependencies": "mlflow==2.9.2\ncloudpickle",
        "versions": [["2", "Staging", True], ["1", "Production", True]],
        "rows": 4,
        "frame": [True, True],
    }
    # And by the client of today.
    rows = pd.DataFrame({"amount": [4.0], "hour": [0]})
    assert mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(rows) == [8.0]


@pytest.mark.beyond
@pytest.mark.timeout(360)
def test_a_folder_of_mlflow_2_9_comes_in_whole(server, old_python, tmp_path):
    folder = tmp_path / "mlruns"
    before = run_old(old_python, "old_store.py", "fill", folder.as_uri(), folder=tmp_path)
    with launcher.on_store(server.backend, tmp_path / "ours") as ours:
        code, report, talk = run_import(ours, source=str(folder))
        assert code == 0, (talk, report)
        after = run_old(old_python, "old_store.py", "tell", ours.url, folder=tmp_path)
        code, report, talk = run_import(ours, source=str(folder))
        assert code == 0, (talk, report)
        assert all((line["made"], line["changed"]) == (0, 0) for line in report["items"].values())
    for part in before:
        assert after[part] == before[part], part
    assert report["files"]["equal"] == report["files"]["there"] == 4
