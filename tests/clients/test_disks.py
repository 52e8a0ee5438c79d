"""Disks that break or are full.

Nothing is acknowledged that did not go through ``fdatasync``: with a disk that refuses it, imports and scores are refused. A disk
without room refuses what needs some, says so, and loses nothing: what is sent again once there is room is there once.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

import launcher
from broken_disk import refusing
from governed import ensure_schema

pytestmark = pytest.mark.beyond

NAME, SMALL = "prod.risk.t", "prod.risk.small"
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


def score(server, rows=1):
    """Status and text of one request."""
    body = {"dataframe_split": {"columns": ["a", "b"], "data": [[float(row), 2.0] for row in range(rows)]}}
    return send(server, "POST", "endpoints/fraud/invocations", json.dumps(body).encode(), "application/json")


def put(server, batch, rows=40_000, name=NAME):
    """Sends a batch of numbers that nothing makes shorter; status and text."""
    numbers = random.Random(batch)
    lines = [f"{row},{numbers.random()},{numbers.random()}\n" for row in range(rows)]
    path = f"api/1.0/tables/{name}/batches/{batch}?format=csv&create=true"
    return send(server, "PUT", path, ("id,a,b\n" + "".join(lines)).encode(), "text/csv")


def send(server, method, path, body, content_type):
    request = urllib.request.Request(f"{server.url}/{path}", body, {"content-type": content_type}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def small_files(server):
    """A table of three files, whose newest version is 3."""
    for batch in range(3):
        assert put(server, batch, rows=10, name=SMALL)[0] == 200


def newest(server, name):
    done = strongback(server, "table", "show", name, "--json")
    return json.loads(done.stdout)["newest"] if done.returncode == 0 else None


def rows_of(server, name):
    """How many rows a table has; none where there is no such table."""
    found = newest(server, name)
    return found and found["rows"]


def version_of(server, name):
    return newest(server, name)["version"]


@pytest.mark.usefixtures("client_of_its_own")
def test_what_the_disk_does_not_keep_is_not_acknowledged(server, tmp_path, monkeypatch):
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
        small_files(running)
    finally:
        assert running.stop() == 0, running.log_tail()

    places = (f"{data_dir.resolve()}/{name}/" for name in ("payload", "tables"))
    broken = refusing("fdatasync", tmp_path, *places)
    for mode, scored in (("power", 503), ("process", 200)):
        with monkeypatch.context() as patch:
            for name, value in broken.items():
                patch.setenv(name, value)
            running = launcher.strongback(data_dir, extra=(*PYTHON, "--payload-log", mode))
        try:
            status, said = score(running)
            assert status == scored, f"{mode}: {said}\n{running.log_tail()}"
            refused = strongback(running, *imported)
            assert refused.returncode not in (0, 1, 2), refused.stderr
            # Files of tables go by no way but their own: what joins them brings nothing with it.
            refused = strongback(running, "table", "compact", SMALL)
            assert refused.returncode not in (0, 1, 2), refused.stderr
            # Nor does a segment go before its rows are kept.
            flushed = strongback(running, "endpoint", "log", "fraud", "--flush", "--json")
            assert (flushed.returncode == 0) == (mode == "power"), flushed.stdout
            log = json.loads(strongback(running, "endpoint", "log", "fraud", "--json").stdout)
            assert log["waiting"] == (1 if mode == "process" else 0), log
        finally:
            running.stop()

    running = launcher.strongback(data_dir, extra=PYTHON)
    try:
        assert rows_of(running, NAME) is None, "nothing of it landed"
        assert version_of(running, SMALL) == 3, "nothing was joined"
        done = strongback(running, *imported)
        assert done.returncode == 0, done.stderr
        assert rows_of(running, NAME) == 2
        done = strongback(running, "endpoint", "log", "fraud", "--flush", "--json")
        assert done.returncode == 0, done.stderr
        # Both that were answered; that a refused one is there too is no harm, and told.
        assert rows_of(running, json.loads(done.stdout)["table"]) >= 2
    finally:
        assert running.stop() == 0, running.log_tail()


def test_a_directory_that_is_not_kept_is_not_acknowledged(server, tmp_path, monkeypatch):
    """A name is as good as the directory that it stands in: with one that is not synced, nothing is said to be there."""
    data_dir = tmp_path / "data"
    with launcher.on_store(server.backend, data_dir) as running:
        ensure_schema(running, "prod", "risk")
        small_files(running)
        assert running.stop() == 0
        with monkeypatch.context() as patch:
            for name, value in refusing("fsync", tmp_path, f"{data_dir.resolve()}/tables/").items():
                patch.setenv(name, value)
            broken = launcher.strongback(data_dir, database_url=running.database_url)
        try:
            status, said = put(broken, 3, rows=10, name=SMALL)
            assert status >= 500, said
            refused = strongback(broken, "table", "compact", SMALL)
            assert refused.returncode not in (0, 1, 2), refused.stderr
        finally:
            broken.end()
        again = launcher.strongback(data_dir, database_url=running.database_url)
        try:
            assert put(again, 3, rows=10, name=SMALL)[0] == 200
            assert rows_of(again, SMALL) == 40, "each batch once"
        finally:
            assert again.stop() == 0, again.log_tail()


def test_runs_whose_log_the_disk_does_not_keep(server, tmp_path, monkeypatch):
    """The log of the metadata store breaks and heals under four writers: what was acknowledged is there, what was refused is
    not, and it goes on by itself."""
    if server.backend != "sqlite":
        pytest.skip("the log of PostgreSQL is its own")
    data_dir, broken = tmp_path / "data", tmp_path / "broken"
    with monkeypatch.context() as patch:
        log = f"{data_dir.resolve()}/metadata.db-wal"
        for name, value in refusing("fdatasync", tmp_path, log, when=broken).items():
            patch.setenv(name, value)
        running = launcher.strongback(data_dir)
    try:
        told, over = {}, threading.Event()

        def write(worker):
            number = 0
            while not over.is_set():
                name, number = f"{worker}-{number}", number + 1
                told[name] = create_run(running, name)

        writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for writer in writers:
            writer.start()
        for _ in range(3):
            time.sleep(0.7)
            broken.touch()
            time.sleep(0.7)
            assert send(running, "GET", "ready", None, "text/plain")[0] == 503
            assert send(running, "GET", "health", None, "text/plain")[0] == 200
            broken.unlink()
            until = time.monotonic() + 10
            while send(running, "GET", "ready", None, "text/plain")[0] != 200:
                assert time.monotonic() < until, running.log_tail()
        over.set()
        for writer in writers:
            writer.join()
        statuses = set(told.values())
        assert {200, 503} <= statuses <= {200, 503, 504}, statuses
        before = names_of_runs(running)
        running.process.send_signal(signal.SIGKILL)
    finally:
        running.end()
    again = launcher.strongback(data_dir)
    try:
        assert names_of_runs(again) == before
        for name, status in told.items():
            assert status == 504 or (name in before) == (status == 200), (name, status)
    finally:
        assert again.stop() == 0, again.log_tail()
    verified = subprocess.run(
        [launcher.binary(), "audit-log", "verify", "--data-dir", str(data_dir)], capture_output=True
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def create_run(server, name):
    """The status that the creation of a run of this name gets."""
    body = json.dumps({"experiment_id": "0", "run_name": name}).encode()
    return send(server, "POST", "api/2.0/mlflow/runs/create", body, "application/json")[0]


def names_of_runs(server):
    found, token = set(), None
    while True:
        body = {"experiment_ids": ["0"], "max_results": 1000} | ({"page_token": token} if token else {})
        status, said = send(server, "POST", "api/2.0/mlflow/runs/search", json.dumps(body).encode(), "application/json")
        assert status == 200, said
        page = json.loads(said)
        names = [run["info"]["run_name"] for run in page.get("runs", [])]
        assert not found & set(names), "each once"
        found |= set(names)
        token = page.get("next_page_token")
        if not token:
            return found


@contextmanager
def small_disk(at):
    """A file system of its own, 96 MiB large."""
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(at)]).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def room(at):
    found = os.statvfs(at)
    return found.f_bavail * found.f_frsize


def fill(path, leave):
    """Takes the room of a disk but for so many bytes."""
    with path.open("wb", buffering=0) as file:
        while (left := room(path.parent) - leave) > 0:
            file.write(bytes(min(left, 1 << 20)))


def free(path):
    """Gives that room back at once: a kernel may keep what was only unlinked for as long as it caches its name."""
    os.truncate(path, 0)
    path.unlink()


@pytest.mark.usefixtures("client_of_its_own")
def test_a_disk_without_room_refuses_and_loses_nothing(server, tmp_path):
    if server.backend != "sqlite":
        pytest.skip("the disk is that of tables and log, on either store")
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    with small_disk(tmp_path / "disk") as disk:
        filler, running = disk / "filler", launcher.strongback(disk / "data", extra=PYTHON)
        try:
            ensure_schema(running, "prod", "risk")
            serve(running)
            assert put(running, 0)[0] == 200
            fill(filler, 2 << 20)
            # There is room to receive it, and none for its file.
            status, said = put(running, 1)
            assert (status, "tables is full" in said) == (503, True), said
            fill(filler, 0)
            status, said = put(running, 1)
            assert (status, "full" in said) == (503, True), said
            answered = 0
            while (answer := score(running, 1_000))[0] == 200:
                answered += 1
                assert answered < 10_000, "the log grows where no room is"
            assert (answer[0], "cannot be logged" in answer[1]) == (503, True), answer[1]
            # What needs no room goes on, also for a server that is started anew.
            assert rows_of(running, NAME) == 40_000
            running.stop(signal.SIGKILL)
            running = launcher.strongback(disk / "data", extra=PYTHON)
            assert rows_of(running, NAME) == 40_000

            free(filler)
            for batch in (0, 1):
                status, said = put(running, batch)
                assert status == 200, f"{said}\n{running.log_tail()}"
            assert rows_of(running, NAME) == 80_000, "each batch once"
            # Its model found no room when the server was started, and is tried again.
            until = time.monotonic() + 60
            while score(running, 1_000)[0] != 200:
                assert time.monotonic() < until, running.log_tail()
                time.sleep(0.5)
            log = json.loads(strongback(running, "endpoint", "log", "fraud", "--flush", "--json").stdout)
            # One that was refused may be there as well, and is told.
            assert rows_of(running, log["table"]) in {1_000 * (answered + more) for more in (1, 2)}, log
        finally:
            running.end()
        verified = subprocess.run([launcher.binary(), "audit-log", "verify", "--data-dir", str(disk / "data")])
        assert verified.returncode == 0


def call(server, path, body=None):
    """Status and answer of a call with JSON."""
    method = "GET" if body is None else "POST"
    data = None if body is None else json.dumps(body).encode()
    status, said = send(server, method, path, data, "application/json")
    return status, json.loads(said)


def ready(server):
    status, said = send(server, "GET", "ready", None, "application/json")
    return status, json.loads(said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_runs_on_a_disk_without_room_are_refused_and_kept(server, tmp_path):
    """Metadata on PostgreSQL has a disk of its own: there runs go on, and artifacts are refused."""
    mlflow_api = "api/2.0/mlflow"
    with small_disk(tmp_path / "disk") as disk, launcher.on_store(server.backend, disk / "data") as running:
        status, made = call(running, f"{mlflow_api}/runs/create", {"experiment_id": "0"})
        assert status == 200, made
        run_id = made["run"]["info"]["run_id"]
        artifact = f"api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/big.bin"
        (disk / "filler").touch()
        fill(disk / "filler", 0)

        def log(step):
            points = [{"key": "loss", "value": random.random(), "step": step, "timestamp": at} for at in range(500)]
            return call(running, f"{mlflow_api}/runs/log-batch", {"run_id": run_id, "metrics": points})

        kept, most = 0, 2_000 if server.backend == "sqlite" else 20
        while kept < most and (answer := log(kept))[0] == 200:
            kept += 1
        if server.backend == "sqlite":
            assert kept < most, "the store grows where no room is"
            assert (answer[0], "full" in answer[1]["message"]) == (503, True), answer
            assert answer[1]["error_code"] == "TEMPORARILY_UNAVAILABLE", answer
        status, said = send(running, "PUT", artifact, bytes(4 << 20), "application/octet-stream")
        assert (status, "full" in said) == (503, True), said
        status, found = ready(running)
        assert (status, "full" in found["objects"]) == (503, True), found
        assert send(running, "GET", "health", None, "text/plain")[0] == 200
        # What is there can be read.
        status, found = call(running, f"{mlflow_api}/runs/get?run_id={run_id}")
        assert (status, found["run"]["info"]["run_id"]) == (200, run_id)

        free(disk / "filler")
        until = time.monotonic() + 30
        while ready(running)[0] != 200:
            assert time.monotonic() < until, running.log_tail()
            time.sleep(0.2)
        assert log(kept)[0] == 200, "without a restart"
        assert send(running, "PUT", artifact, bytes(4 << 20), "application/octet-stream")[0] == 200
        assert len(send(running, "GET", artifact, None, "text/plain")[1]) == 4 << 20
        history = f"{mlflow_api}/metrics/get-history?run_id={run_id}&metric_key=loss"
        status, found = call(running, history)
        steps = [point["step"] for point in found["metrics"]]
        assert sorted(steps) == [step for step in range(kept + 1) for _ in range(500)], (
            "what was acknowledged, and once"
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_a_disk_that_cannot_be_written_keeps_a_server_from_starting(server, tmp_path):
    if server.backend != "sqlite":
        pytest.skip("the disk is that of the data directory, on either store")
    with small_disk(tmp_path / "disk") as disk:
        assert launcher.strongback(disk / "data").stop() == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        started = [launcher.binary(), "up", "--data-dir", str(disk / "data"), "--port", "0"]
        done = subprocess.run(started, capture_output=True, text=True, timeout=60)
        assert done.returncode not in (0, 101), done
        said = done.stdout + done.stderr
        assert "read-only" in said.lower(), said
        assert str(disk / "data") in said, said
        # The same directory, once it can be written.
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert launcher.strongback(disk / "data").stop() == 0
