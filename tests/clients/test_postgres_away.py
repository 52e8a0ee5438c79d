"""PostgreSQL that goes away under load, or has no room: clients are told to try again, and nothing acknowledged is lost."""

import itertools
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mlflow
import psycopg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

import launcher
from broken_disk import fill, free, small_disk
from conftest import POSTGRES_URL, forget_mlflow

pytestmark = [pytest.mark.beyond, pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")]

TOOL = Path(__file__).parents[2] / "tools" / "postgres.sh"
WRITERS = 4
API = "api/2.0/mlflow"


@pytest.fixture(autouse=True)
def client_environment():
    """No server is shared here, and none is needed for SQLite."""


@contextmanager
def cluster_of_its_own(cache, **environment):
    """A cluster that this test may halt, restart and resume. Where its owner cannot reach the cache, it lies in ``TMPDIR``."""
    environment = os.environ | {"STRONGBACK_CACHE": str(cache)} | environment

    def tool(verb):
        done = subprocess.run([TOOL, verb], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    tool.url = tool("start")
    try:
        yield tool
    finally:
        tool("stop")


@pytest.fixture
def cluster(tmp_path):
    with cluster_of_its_own(tmp_path / "cache") as tool:
        yield tool


def call(server, path, body):
    """Status and answer; 0 where the connection broke off."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/{path}", data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError as error:
        return 0, {"error": repr(error)}


class Writer(threading.Thread):
    """Logs one step after the other into runs of its own, each until it is acknowledged, as mlflow's client does."""

    def __init__(self, server, experiment):
        super().__init__(daemon=True)
        self.server, self.experiment = server, experiment
        self.acknowledged, self.refused = {}, []
        self.ends = threading.Event()

    def until_it_is_there(self, path, body):
        while True:
            status, answer = call(self.server, f"{API}/{path}", body)
            if status == 200:
                return answer
            self.refused.append((status, answer))
            time.sleep(0.05)

    def run(self):
        while not self.ends.is_set():
            made = self.until_it_is_there("runs/create", {"experiment_id": self.experiment, "start_time": 1})
            run = made["run"]["info"]["run_id"]
            for step in range(50):
                points = [{"key": "loss", "value": step / 8, "timestamp": step, "step": step}]
                params = [{"key": f"p{step}", "value": str(step)}]
                self.until_it_is_there("runs/log-batch", {"run_id": run, "metrics": points, "params": params})
                self.acknowledged[run] = step
                if self.ends.is_set():
                    return


def ready(server):
    try:
        with urllib.request.urlopen(f"{server.url}/ready", timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def said_by_ready(server):
    try:
        with urllib.request.urlopen(f"{server.url}/ready", timeout=20) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def until(is_so, seconds):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_nothing_is_lost_while_it_is_away(cluster, tmp_path):
    server = launcher.strongback(tmp_path / "data", database_url=cluster.url)
    try:
        status, made = call(server, f"{API}/experiments/create", {"name": "load"})
        assert status == 200
        writers = [Writer(server, made["experiment_id"]) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        # Often at once back: a server that crashes forgets numbers of transactions, and gives them to others.
        for away_s in (*[0.0] * 12, 1.0, 4.0):
            time.sleep(1.5 if away_s else 0.25)
            before = sum(len(writer.refused) for writer in writers)
            cluster("halt")
            if away_s:
                until(lambda: ready(server) == 503, 15)
            time.sleep(away_s)
            cluster("resume")
            until(lambda: ready(server) == 200, 30)
            assert sum(len(writer.refused) for writer in writers) > before or not away_s
        time.sleep(1.5)
        for writer in writers:
            writer.ends.set()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        for writer in writers:
            # 503 is what clients try again after; none is an accident of ours.
            assert {status for status, _ in writer.refused} <= {503}, writer.refused[:3]
            assert {answer["error_code"] for _, answer in writer.refused} <= {"TEMPORARILY_UNAVAILABLE"}
            assert writer.acknowledged
            for run, last in writer.acknowledged.items():
                with urllib.request.urlopen(f"{server.url}/{API}/runs/get?run_id={run}", timeout=30) as answer:
                    data = json.loads(answer.read())["run"]["data"]
                params = {param["key"]: param["value"] for param in data["params"]}
                assert all(params[f"p{step}"] == str(step) for step in range(last + 1))
                history = f"{server.url}/{API}/metrics/get-history?run_id={run}&metric_key=loss"
                with urllib.request.urlopen(history, timeout=30) as answer:
                    steps = [int(point["step"]) for point in json.loads(answer.read())["metrics"]]
                # Each once, though some were sent twice.
                assert sorted(steps)[: last + 1] == list(range(last + 1))
                assert len(steps) == len(set(steps)) <= last + 2
        assert server.stop() == 0
    finally:
        server.end()


class Steady(threading.Thread):
    """Does something again and again with a number, and keeps which of them succeeded. What fails is kept as well."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.done, self.failed, self.ends = work, [], [], threading.Event()

    def run(self):
        number = 0
        while not self.ends.is_set():
            try:
                self.work(number)
                self.done.append(number)
            except Exception as error:
                self.failed.append(error)
            number += 1


def has_done(thread, count):
    return len(thread.done) >= count


def may_be_repeated(error):
    """Whether it tells a user to try again: a code of MLflow's, or a status of a file's."""
    if isinstance(error, MlflowException):
        return error.error_code in {"TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"} or "Max retries" in str(error)
    answer = getattr(error, "response", None)
    return answer is not None and answer.status_code in (503, 504)


@pytest.fixture
def as_users_have_it(monkeypatch):
    """mlflow's own number of repetitions, and its own pauses."""
    for name in ("MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER", "TIMEOUT"):
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")


@pytest.mark.usefixtures("as_users_have_it")
def test_the_real_client_goes_on_over_restarts(cluster, tmp_path, monkeypatch):
    server = launcher.strongback(tmp_path / "data", database_url=cluster.url)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        client = MlflowClient(server.url, registry_uri=server.url)
        experiment = client.create_experiment("load")
        files = client.create_run(experiment, run_name="files").info.run_id
        client.create_registered_model("fraud")
        for _ in range(2):
            client.create_model_version("fraud", "s3://elsewhere/model")
        runs, seen = {}, []

        def log(number):
            run = client.create_run(experiment, run_name=str(number)).info.run_id
            points = [Metric("loss", step / 8, step, step) for step in range(20)]
            client.log_batch(run, points, [Param("number", str(number))], [RunTag("a", "b")])
            client.log_metric(run, "auc", number, timestamp=1, step=0)
            client.set_terminated(run)
            runs[number] = run

        def put(number):
            client.log_text(files, f"text {number}", f"{number}.txt")
            client.set_registered_model_alias("fraud", "champion", str(1 + number % 2))

        def look(number):
            found = client.search_runs([experiment], order_by=["attributes.start_time DESC"], max_results=10)
            assert client.get_run(files).info.run_name == "files"
            seen.append(len(found))
            time.sleep(0.05)

        threads = [Steady(log), Steady(put), Steady(look)]
        for thread in threads:
            thread.start()
        for away in (lambda: cluster("restart"), lambda: (cluster("halt"), time.sleep(1.5), cluster("resume"))):
            time.sleep(1)
            away()
            before = {thread: len(thread.done) for thread in threads}
            for thread in threads:
                until(partial(has_done, thread, before[thread] + 2), 40)
        for thread in threads:
            thread.ends.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        for thread in threads:
            assert all(may_be_repeated(error) for error in thread.failed), thread.failed[:3]
        writer, putter, _ = threads
        for number in writer.done:
            run = client.get_run(runs[number])
            assert (run.info.status, run.data.params, run.data.tags["a"]) == ("FINISHED", {"number": str(number)}, "b")
            assert run.data.metrics["auc"] == number
            history = client.get_metric_history(runs[number], "loss")
            assert sorted(point.step for point in history) == list(range(20)), "each once, though some were sent twice"
        there = {file.path for file in client.list_artifacts(files)}
        assert {f"{number}.txt" for number in putter.done} <= there
        for number in putter.done[-3:]:
            assert mlflow.artifacts.load_text(f"runs:/{files}/{number}.txt") == f"text {number}"
        if not putter.failed:
            last = client.get_model_version_by_alias("fraud", "champion")
            assert last.version == str(1 + putter.done[-1] % 2)
        assert server.stop() == 0
    finally:
        server.end()
        forget_mlflow()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_database_without_room_refuses_and_loses_nothing(tmp_path):
    # Its owner has no way into the folder of a test.
    place = Path(tempfile.mkdtemp(prefix="strongback-full-"))
    place.chmod(0o755)
    (tmp_path / "cache").mkdir(mode=0o700)
    try:
        disk = place / "disk"
        with small_disk(disk, 160), cluster_of_its_own(tmp_path / "cache", TMPDIR=str(disk)) as cluster:
            fill_and_free(cluster, disk / "filler", tmp_path / "data")
    finally:
        shutil.rmtree(place)


def fill_and_free(cluster, filler, data_dir):
    server = launcher.strongback(data_dir, database_url=cluster.url)
    try:
        status, made = call(server, f"{API}/runs/create", {"experiment_id": "0"})
        assert status == 200, made
        run = made["run"]["info"]["run_id"]
        acknowledged, steps = [], itertools.count()

        def log():
            step = next(steps)
            points = [{"key": "loss", "value": random.random(), "step": step, "timestamp": at} for at in range(500)]
            status, answer = call(server, f"{API}/runs/log-batch", {"run_id": run, "metrics": points})
            if status == 200:
                acknowledged.append(step)
            return status, answer

        # First there is no room for rows.
        filler.touch()
        fill(filler, 0)
        while (answer := log())[0] == 200:
            assert len(acknowledged) < 2_000, "the store grows where no room is"
        assert (answer[0], answer[1]["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE"), answer
        assert "full" in answer[1]["message"], answer
        with urllib.request.urlopen(f"{server.url}/{API}/runs/get?run_id={run}", timeout=30) as found:
            assert found.status == 200, "what is there can be read"
        until(lambda: ready(server) == 503, 10)
        assert "full" in said_by_ready(server)["metadata"]
        free(filler)
        until(lambda: ready(server) == 200, 10)
        answer = log()
        assert answer[0] == 200, answer

        # Then none for its log, which ends it.
        filler.touch()
        fill(filler, 0)
        switch = ["psql", "-X", "-q", "-c", "SELECT pg_switch_wal()", cluster.url]
        for _ in range(20):
            log()
            if subprocess.run(switch, capture_output=True).returncode != 0:
                break
        until(lambda: ready(server) == 503, 20)
        assert "PostgreSQL does not answer" in said_by_ready(server)["metadata"]
        answer = log()
        assert answer[0] == 503, answer
        with urllib.request.urlopen(f"{server.url}/health", timeout=5) as found:
            assert found.status == 200
        # It tries to recover, and ends where it cannot.
        until(lambda: not list(filler.parent.glob("*/data/postmaster.pid")), 30)
        free(filler)
        cluster("resume")
        until(lambda: ready(server) == 200, 30)
        answer = log()
        assert answer[0] == 200, answer
        with urllib.request.urlopen(f"{server.url}/{API}/metrics/get-history?run_id={run}&metric_key=loss") as found:
            there = [int(point["step"]) for point in json.loads(found.read())["metrics"]]
        assert sorted(there) == [step for step in acknowledged for _ in range(500)], "what was acknowledged, and once"
        assert server.stop() == 0
    finally:
        server.end()


def test_a_database_that_is_read_only_is_named_and_goes_on(cluster, tmp_path):
    """As after a failover, when the address leads to a standby."""

    def make_read_only(state):
        with psycopg.connect(cluster.url, autocommit=True) as admin:
            name = admin.info.dbname
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {state}')
            others = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            )
            admin.execute(others, [name])

    def create():
        return call(server, f"{API}/runs/create", {"experiment_id": "0"})

    server = launcher.strongback(tmp_path / "data", database_url=cluster.url)
    try:
        status, made = create()
        assert status == 200
        make_read_only("on")
        # The first one may meet a connection that is gone.
        until(lambda: "read-only" in create()[1].get("message", ""), 30)
        status, said = create()
        assert (status, said["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert "--database-url" in said["message"]
        run_id = made["run"]["info"]["run_id"]
        with urllib.request.urlopen(f"{server.url}/{API}/runs/get?run_id={run_id}", timeout=30) as answer:
            assert json.loads(answer.read())["run"]["info"]["run_id"] == run_id
        make_read_only("off")
        until(lambda: create()[0] == 200, 30)
        assert server.stop() == 0
    finally:
        server.end()
