"""``strongback import mlflow URL``: MLflow's own server as the source, compared by what its client is told by both."""

import contextlib
import os
import signal
import subprocess
import sys

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

import launcher
import mlflow_store
from conftest import backends, forget_mlflow
from test_import import run_import, told

pytestmark = pytest.mark.beyond

POINTS = 30


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    """What mlflow is told here is forgotten afterwards; no server is shared."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)
    forget_mlflow()


class Peer:
    """MLflow's server in a folder of its own, which may be ended and started again at its address."""

    def __init__(self, folder):
        self.folder, self.port = folder, launcher.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
        ]
        command += [
            "--artifacts-destination",
            str(self.folder / "artifacts"),
            "--port",
            str(self.port),
            "--workers",
            "1",
        ]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        server = launcher.Server(self.url, "peer", process=self.process, log=self.folder / "server.log")
        launcher.wait_until_healthy(server, limit_s=120)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, toy, toy_model):
    peer = Peer(tmp_path_factory.mktemp("peer"))
    try:
        client = mlflow_store.fill(peer.url, toy, toy_model)
        home = client.create_experiment("wide")
        for number in range(3):
            run = client.create_run(home, run_name=f"run {number}", tags={"n": str(number)})
            points = [
                Metric(key, step / 7, 1_700_000_000_000 + step, step) for key in ("a", "b/c") for step in range(POINTS)
            ]
            client.log_batch(run.info.run_id, points, [Param("p", "ö" * 100)], [RunTag("t", "x")])
            client.log_text(run.info.run_id, "text", f"deep/er/{number} %41+&.txt")
            client.set_terminated(run.info.run_id, ("FINISHED", "FAILED", "KILLED")[number])
        yield peer
    finally:
        peer.end()


@pytest.fixture(params=backends())
def ours(request, tmp_path):
    """An empty server."""
    with launcher.on_store(request.param, tmp_path / "ours") as server:
        yield server


def files_of(url):
    """Every file of every run that is there, with its size."""
    client = MlflowClient(url)

    def below(run_id, path=None):
        for file in client.list_artifacts(run_id, path):
            if file.is_dir:
                yield from below(run_id, file.path)
            else:
                yield file.path, file.file_size

    homes = [home.experiment_id for home in client.search_experiments()]
    return {run.info.run_id: sorted(below(run.info.run_id)) for run in client.search_runs(homes, max_results=1_000)}


def test_mlflows_own_server_comes_in_whole_and_once(ours, theirs, toy):
    before, files = told(theirs.url), files_of(theirs.url)
    code, report, talk = run_import(ours, source=theirs.url)
    assert code == 0, (talk, report)
    after = told(ours.url)
    for part in before:
        assert after[part] == before[part], part
    assert files_of(ours.url) == files
    assert sum(map(len, files.values())) == 5
    mlflow.set_tracking_uri(ours.url)
    mlflow.set_registry_uri(ours.url)
    features, _ = toy
    for name in ("models:/scorer@champion", "models:/copied/1"):
        assert len(mlflow.pyfunc.load_model(name).predict(features)) == len(features)
    code, report, talk = run_import(ours, source=theirs.url)
    assert code == 0, (talk, report)
    assert all((line["made"], line["changed"]) == (0, 0) for line in report["items"].values())
    assert told(ours.url) == after
