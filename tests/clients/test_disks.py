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

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

import launcher
from broken_disk import failing_disk, fill, free, read_only, refusing, small_disk
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


@pytest.mark.parametrize(("workers", "slow_ms"), [(4, 0), (8, 20)])
def test_runs_whose_log_the_disk_does_not_keep(server, tmp_path, monkeypatch, workers, slow_ms):
    """The log of the metadata store breaks and heals under writers: what was acknowledged is there, what was refused is not, and
    it goes on by itself. Also on a disk that takes its time, where the next group is made meanwhile."""
    if server.backend != "sqlite":
        pytest.skip("the log of PostgreSQL is its own")
    data_dir, broken = tmp_path / "data", tmp_path / "broken"
    log = f"{data_dir.resolve()}/metadata.db-wal"
    broken_log = refusing("fdatasync", tmp_path, log, when=broken, slow_ms=slow_ms)
    running = started_with(broken_log, data_dir, monkeypatch)
    try:
        with Writers(running, workers) as writers:
            for _ in range(3):
                time.sleep(0.7)
                broken.touch()
                time.sleep(0.7)
                assert ready(running)[0] == 503
                assert send(running, "GET", "health", None, "text/plain")[0] == 200
                broken.unlink()
                until_ready(running)
        assert {200, 503} <= writers.statuses() <= {200, 503, 504}, writers.statuses()
        before = names_of_runs(running)
        running.process.send_signal(signal.SIGKILL)
    finally:
        running.end()
    again = launcher.strongback(data_dir)
    try:
        assert names_of_runs(again) == before
        writers.reconcile(before)
    finally:
        assert again.stop() == 0, again.log_tail()
    assert_verified(data_dir)


READ_ONLY = ("read-only", "writable")


def test_a_disk_that_becomes_read_only_while_a_server_runs(server, tmp_path, monkeypatch):
    """Writes are refused by name, reads go on, and so do writes once it can be written again."""
    data_dir, marker = tmp_path / "data", tmp_path / "read-only"
    with launcher.on_store(server.backend, data_dir) as first:
        assert first.stop() == 0
        shim = read_only(tmp_path, f"{data_dir.resolve()}/", marker)
        running = started_with(shim, data_dir, monkeypatch, first.database_url)
        try:
            status, made = call(running, "api/2.0/mlflow/runs/create", {"experiment_id": "0", "run_name": "first"})
            assert status == 200, made
            run_id = made["run"]["info"]["run_id"]
            assert put_artifact(running, run_id, "kept.txt")[0] == 200
            with Writers(running, 4) as writers:
                for round in range(2):
                    time.sleep(0.5)
                    marker.touch()
                    time.sleep(0.7)
                    status, said = put_artifact(running, run_id, f"refused-{round}.txt")
                    assert status == 503, said
                    assert_explained(said)
                    assert_reads_go_on(running, run_id)
                    status, found = until_not_ready(running)
                    assert_explained(found["objects"])
                    if server.backend == "sqlite":
                        assert_explained(found["metadata"])
                    marker.unlink()
                    until_ready(running)
                    assert put_artifact(running, run_id, f"again-{round}.txt")[0] == 200
            # At the moment at which it can be written again, each of them may be told that it just failed.
            vague = [said for status, said in writers.refusals() if status == 503 and not is_explained(said)]
            assert len(vague) <= 2 * 4, vague
            # PostgreSQL has another disk.
            expected = {200, 503} if server.backend == "sqlite" else {200}
            assert expected <= writers.statuses() <= expected | ({504} if server.backend == "sqlite" else set())
            before = names_of_runs(running)
            running.process.send_signal(signal.SIGKILL)
        finally:
            running.end()
        again = launcher.strongback(data_dir, database_url=first.database_url)
        try:
            assert names_of_runs(again) == before
            writers.reconcile(before)
            assert artifacts(again, run_id) == {"kept.txt", "again-0.txt", "again-1.txt"}
        finally:
            assert again.stop() == 0, again.log_tail()
    if server.backend == "sqlite":
        assert_verified(data_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_a_file_system_that_fails_keeps_what_was_acknowledged(server, tmp_path):
    """A kernel makes a file system read-only at its first error and forgets what was not synced."""
    if server.backend != "sqlite":
        pytest.skip("the disk is that of the data directory, on either store")
    with failing_disk(tmp_path / "disk") as disk:
        data_dir = disk.at / "data"
        running = launcher.strongback(data_dir)
        try:
            status, made = call(running, "api/2.0/mlflow/runs/create", {"experiment_id": "0", "run_name": "first"})
            assert status == 200, made
            run_id = made["run"]["info"]["run_id"]
            with Writers(running, 4) as writers:
                time.sleep(1)
                assert put_artifact(running, run_id, "kept.txt")[0] == 200
                disk.fail()
                time.sleep(0.7)
                status, said = put_artifact(running, run_id, "refused.txt")
                assert status == 503, said
                assert send(running, "GET", "health", None, "text/plain")[0] == 200
                status, found = until_not_ready(running)
                assert_explained(found["objects"])
                assert_explained(found["metadata"])
                # What was read may be gone after a restart where the sync failed and not the write before it.
                status, said = send(running, "GET", f"api/2.0/mlflow/runs/get?run_id={run_id}", None, "text/plain")
                assert status in (200, 503), said
                if status == 503:
                    assert_explained(said)
            assert {200, 503} <= writers.statuses() <= {200, 503, 504}, writers.statuses()
            assert writers.refusals(), "nothing was refused"
            assert all(is_explained(said) for status, said in writers.refusals() if status == 503), writers.refusals()
            running.process.send_signal(signal.SIGKILL)
        finally:
            running.end()
        disk.mend()
        again = launcher.strongback(data_dir)
        try:
            writers.reconcile(names_of_runs(again))
            assert artifacts(again, run_id) == {"kept.txt"}
        finally:
            assert again.stop() == 0, again.log_tail()
        assert_verified(data_dir)


def started_with(environment, data_dir, monkeypatch, database_url=None):
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return launcher.strongback(data_dir, database_url=database_url)


class Writers:
    """Threads that create runs, each of a name of its own, and remember what they were told."""

    def __init__(self, server, count):
        self.server, self.told, self.over = server, {}, threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(worker,)) for worker in range(count)]

    def write(self, worker):
        number = 0
        while not self.over.is_set():
            name, number = f"{worker}-{number}", number + 1
            body = json.dumps({"experiment_id": "0", "run_name": name}).encode()
            self.told[name] = send(self.server, "POST", "api/2.0/mlflow/runs/create", body, "application/json")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def statuses(self):
        return {status for status, _ in self.told.values()}

    def refusals(self):
        return [(status, said) for status, said in self.told.values() if status != 200]

    def reconcile(self, there):
        """What was acknowledged is there, and what was refused is not."""
        for name, (status, said) in self.told.items():
            assert status == 504 or (name in there) == (status == 200), (name, status, said)


def put_artifact(server, run_id, name):
    path = f"api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/{name}"
    return send(server, "PUT", path, b"some bytes", "application/octet-stream")


def artifacts(server, run_id):
    status, found = call(server, f"api/2.0/mlflow/artifacts/list?run_id={run_id}")
    assert status == 200, found
    return {file["path"] for file in found.get("files", [])}


def is_explained(said):
    """It says what the matter is and what to do."""
    return all(word in said for word in READ_ONLY)


def assert_explained(said):
    assert is_explained(said) or "cannot be written" in said, said


def assert_reads_go_on(server, run_id):
    assert send(server, "GET", "health", None, "text/plain")[0] == 200
    status, found = call(server, f"api/2.0/mlflow/runs/get?run_id={run_id}")
    assert (status, found["run"]["info"]["run_name"]) == (200, "first"), found
    path = f"api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/kept.txt"
    assert send(server, "GET", path, None, "text/plain") == (200, "some bytes")


def until_ready(server, seconds=10):
    until = time.monotonic() + seconds
    while ready(server)[0] != 200:
        assert time.monotonic() < until, server.log_tail()
        time.sleep(0.05)


def until_not_ready(server):
    """What is found in a moment is answered for a second."""
    until = time.monotonic() + 10
    while (answer := ready(server))[0] != 503:
        assert time.monotonic() < until, server.log_tail()
        time.sleep(0.05)
    return answer


def assert_verified(data_dir):
    verified = subprocess.run(
        [launcher.binary(), "audit-log", "verify", "--data-dir", str(data_dir)], capture_output=True
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


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
