"""Code and client of MLflow 2.9, the oldest that is served, in an environment of their own."""

import json
import os
import subprocess
from pathlib import Path

import mlflow
import pandas as pd
import pytest

import launcher
from test_import import run_import


def run_old(old_python, script, *arguments, folder=None):
    """What a script says at last, run by the Python of MLflow 2.9."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = [old_python, Path(__file__).with_name(script), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(360)
def test_code_for_mlflow_2_9_goes_on_unchanged(server, unique, old_python):
    got = run_old(old_python, "old_client.py", server.url, unique("old"))
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
