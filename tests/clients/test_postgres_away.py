"""PostgreSQL that goes away under load: clients are told to try again, and nothing that was acknowledged is lost."""

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import launcher
from conftest import POSTGRES_URL

pytestmark = [pytest.mark.beyond, pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")]

TOOL = Path(__file__).parents[2] / "tools" / "postgres.sh"
WRITERS = 4
API = "api/2.0/mlflow"


@pytest.fixture(autouse=True)
def client_environment():
    """No server is shared here, and none is needed for SQLite."""


@pytest.fixture
def cluster(tmp_path):
    """A cluster of its own, to be halted and resumed."""
    environment = os.environ | {"STRONGBACK_CACHE": str(tmp_path / "cache")}

    def tool(verb):
        done = subprocess.run([TOOL, verb], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    tool.url = tool("start")
    yield tool
    tool("stop")


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
        for away_s in (0.0, 1.0, 4.0):
            time.sleep(1.5)
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
