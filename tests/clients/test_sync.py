"""Nothing is acknowledged that did not go through ``fdatasync``: with a disk that refuses it, imports and scores are refused."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

import launcher
from broken_disk import refuse_fdatasync
from governed import ensure_schema

pytestmark = pytest.mark.beyond

NAME = "prod.risk.t"
PYTHON = ("--worker-python", sys.executable)


def strongback(server, *arguments):
    return subprocess.run(
        [launcher.binary(), *arguments, "--server", server.url], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def client_of_its_own(monkeypatch):
    """What mlflow is told here is forgotten afterwards."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)


def serve(server):
    """A model behind the endpoint ``fraud``."""
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("sync")
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 2)), columns=["a", "b"])
    model = LogisticRegression().fit(rows, rows.a > 0)
    with mlflow.start_run():
        signature = infer_signature(rows, model.predict(rows))
        info = mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
    mlflow.register_model(info.model_uri, "m")
    done = strongback(server, "endpoint", "create", "fraud", "--model", "m/1")
    assert done.returncode == 0, done.stderr


def score(server):
    """Status and text of one request."""
    body = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}).encode()
    request = urllib.request.Request(
        f"{server.url}/endpoints/fraud/invocations", body, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def rows_of(server, name):
    """How many rows a table has; none where there is no such table."""
    done = strongback(server, "table", "show", name, "--json")
    return json.loads(done.stdout)["newest"]["rows"] if done.returncode == 0 else None


@pytest.mark.usefixtures("client_of_its_own")
def test_what_the_disk_does_not_keep_is_not_acknowledged(server, tmp_path):
    if server.backend != "sqlite":
        pytest.skip("the disk is that of tables and log, on either store")
    data_dir, csv = tmp_path / "data", tmp_path / "rows.csv"
    csv.write_text("id,amount\n1,2.5\n2,3\n")
    imported = ("table", "import", str(csv), "--name", NAME, "--batch-id", "one")

    running = launcher.strongback(data_dir, extra=PYTHON)
    try:
        ensure_schema(running, "prod", "risk")
        serve(running)
        assert score(running)[0] == 200
    finally:
        assert running.stop() == 0, running.log_tail()

    for mode, scored in (("power", 503), ("process", 200)):
        running = launcher.strongback(data_dir, extra=(*PYTHON, "--payload-log", mode), before=refuse_fdatasync)
        try:
            status, said = score(running)
            assert status == scored, f"{mode}: {said}\n{running.log_tail()}"
            refused = strongback(running, *imported)
            assert refused.returncode not in (0, 1, 2), refused.stderr
        finally:
            running.stop()

    running = launcher.strongback(data_dir, extra=PYTHON)
    try:
        assert rows_of(running, NAME) is None, "nothing of it landed"
        done = strongback(running, *imported)
        assert done.returncode == 0, done.stderr
        assert rows_of(running, NAME) == 2
        done = strongback(running, "endpoint", "log", "fraud", "--flush", "--json")
        assert done.returncode == 0, done.stderr
        # Both that were answered; that a refused one is there too is no harm, and told.
        assert rows_of(running, json.loads(done.stdout)["table"]) >= 2
    finally:
        assert running.stop() == 0, running.log_tail()
