"""What the tests of object stores share: a server whose artifacts lie in one, started again on the same data, and looks at it."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

import launcher

PROXY = "/api/2.0/mlflow-artifacts"
# Bytes of a part that the server sends to a store.
PART = 12 << 20


@contextmanager
def starting(backend, tmp_path, monkeypatch, place: str):
    """Starts servers on one metadata store of the kind, whose artifacts lie at the place; mlflow is told of the last one."""
    cluster = os.environ["STRONGBACK_TEST_POSTGRES_URL"] if backend == "postgres" else None
    database_url = launcher.create_database(cluster) if cluster else None
    started = []

    def begin(*extra):
        extra = extra or ("--artifacts-url", place)
        started.append(launcher.strongback(tmp_path / "data", database_url=database_url, extra=extra))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", started[-1].url)
        monkeypatch.setenv("DATABRICKS_HOST", started[-1].url)
        return started[-1]

    begin.arguments = ["--database-url", database_url] if database_url else []
    yield begin
    for one in started:
        one.end()
    if cluster:
        launcher.drop_database(cluster, database_url)


def until(is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def new_run(client):
    run = client.create_run(client.create_experiment(f"e{time.time_ns()}"))
    return run.info.run_id, run.info.artifact_uri.removeprefix("mlflow-artifacts:/")


def large_file(path: Path, size=2 * PART + 7) -> Path:
    path.write_bytes(os.urandom(1 << 20) * (size >> 20) + os.urandom(size % (1 << 20)))
    return path


def in_parts(monkeypatch) -> None:
    """Has mlflow send files in parts of 5 MiB, and get them so from where the server says."""
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", str(5 << 20))


def fetch(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
        return answer.status, answer.read()


def ready(server):
    try:
        return fetch(f"{server.url}/ready")[0], ""
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["objects"]


def command(start, tmp_path, *arguments, data_dir="data"):
    every = [*arguments, "--data-dir", str(tmp_path / data_dir), *start.arguments]
    return subprocess.run([launcher.binary(), *every], capture_output=True, text=True, timeout=120)


def refused(start, *extra) -> str:
    """Why a server does not start."""
    with pytest.raises(AssertionError, match="ended with") as error:
        start(*extra)
    return str(error.value)
