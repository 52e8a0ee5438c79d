"""The servers and the environment that every test here gets.

``server`` is started once for each backend: SQLite always, PostgreSQL where ``STRONGBACK_TEST_POSTGRES_URL`` names a
cluster. ``STRONGBACK_TEST_PEER_URL`` points the suite at a running MLflow server instead and leaves out what only
Strongback serves, which shows that the tests ask for MLflow's rules and not for ours.
"""

import os

# Before mlflow is imported: it reads some of these once. Short retries make a failing call fail at once.
os.environ.update(
    {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT": "10",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
)
for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_EXPERIMENT_NAME"):
    os.environ.pop(name, None)

import subprocess
import uuid
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
from raw import Raw

PEER_URL = os.environ.get("STRONGBACK_TEST_PEER_URL")
POSTGRES_URL = os.environ.get("STRONGBACK_TEST_POSTGRES_URL")


def backends() -> list[str]:
    if PEER_URL:
        return ["peer"]
    return ["sqlite", "postgres"] if POSTGRES_URL else ["sqlite"]


def pytest_collection_modifyitems(config, items):
    if PEER_URL:
        left_out = [item for item in items if item.get_closest_marker("beyond")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("beyond")]


def pytest_report_header():
    server = f"peer at {PEER_URL}" if PEER_URL else str(launcher.binary())
    return f"server under test: {server}, on {' and '.join(backends())}"


def forget_mlflow() -> None:
    """Undoes what mlflow keeps in its process and hands to its children: the run, the experiment and the addresses in use."""
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_registry_uri("")
    mlflow.tracking.fluent._active_experiment_id = None
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session", params=backends())
def server(request, tmp_path_factory):
    """A running server, shared by all tests of a backend; it must stop cleanly when they are done."""
    if request.param == "peer":
        yield launcher.peer(PEER_URL)
        return
    with launcher.on_store(request.param, tmp_path_factory.mktemp(request.param) / "data") as running:
        yield running


@contextmanager
def addressing_nothing(monkeypatch):
    """For tests that share no server: mlflow knows no address before, and forgets what it was told after."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)
    forget_mlflow()


@pytest.fixture(autouse=True)
def client_environment(server, monkeypatch, tmp_path):
    """What a user has in the environment: where the server is. Undone after each test, with mlflow's own globals."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "any-token-is-taken-on-an-open-loopback-server")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none.cfg"))
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    yield
    forget_mlflow()


@pytest.fixture
def client(client_environment) -> MlflowClient:
    """The mlflow client with the plain registry."""
    return MlflowClient()


@pytest.fixture
def raw(server) -> Raw:
    """Requests as no well-behaved client would send them."""
    return Raw(server)


@pytest.fixture
def unique():
    """Makes names that no other test uses: ``unique("model")``."""
    return lambda stem: f"{stem}-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def experiment_id(client, unique) -> str:
    return client.create_experiment(unique("experiment"))


@pytest.fixture
def run_id(client, experiment_id) -> str:
    return client.create_run(experiment_id).info.run_id


@pytest.fixture(scope="session")
def toy():
    """A small separable data set with named columns: ``(features, labels)``."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(7)
    features = pd.DataFrame(rng.normal(size=(200, 3)), columns=["amount", "hour", "distance"])
    return features, (features["amount"] + 0.5 * features["hour"] > 0).astype("int64")


@pytest.fixture(scope="session")
def toy_model(toy):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(*toy)


@cache
def python_of(lock: str) -> Path:
    """The Python of the environment of `requirements/<lock>.txt`, made where there is none."""
    script = Path(__file__).parents[2] / "tools/venv.sh"
    made = subprocess.run([script, lock], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return Path(made.stdout.strip()) / "bin/python"


@pytest.fixture(scope="session")
def old_python() -> Path:
    """That of the oldest client that is served."""
    return python_of("old")


@pytest.fixture
def ask(server):
    """Runs the command line against the server: ``(exit code, data, talk)``."""

    def run(*arguments: str) -> tuple[int, str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
        environment["STRONGBACK_URL"] = server.url
        command = [str(launcher.binary()), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run
