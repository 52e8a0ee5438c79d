"""An import that is made again: what was changed here stays, what is gone there is named, and nothing is left out unsaid."""

import contextlib
import os
import subprocess
import urllib.parse
import urllib.request

import pytest
from mlflow import MlflowClient

import launcher
from conftest import addressing_nothing, backends
from test_import import run_import

pytestmark = pytest.mark.beyond


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    with addressing_nothing(monkeypatch):
        yield


@pytest.fixture(params=backends())
def ours(request, tmp_path):
    """An empty server."""
    with launcher.on_store(request.param, tmp_path / "ours") as server:
        yield server


@pytest.fixture
def theirs(tmp_path):
    """A small database with its files: the client."""
    (tmp_path / "theirs").mkdir()
    with contextlib.chdir(tmp_path / "theirs"):
        uri = f"sqlite:///{tmp_path}/theirs/mlflow.db"
        yield MlflowClient(uri, registry_uri=uri)


class Files:
    """The files of a run on a server, by plain HTTP: mlflow's client remembers by the run's id alone where they are."""

    def __init__(self, server, experiment_id, run_id):
        self.root = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{run_id}/artifacts/"

    def put(self, path, text):
        request = urllib.request.Request(self.root + urllib.parse.quote(path), method="PUT", data=text.encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    def text(self, path):
        with urllib.request.urlopen(self.root + urllib.parse.quote(path), timeout=30) as answer:
            return answer.read().decode()


def test_a_file_that_came_here_in_another_way_stays(ours, theirs, tmp_path):
    home = theirs.create_experiment("one", artifact_location=str(tmp_path / "files"))
    run_id = theirs.create_run(home).info.run_id
    for name in ("kept.txt", "dir/moved on.txt", "same.txt"):
        theirs.log_text(run_id, "first", name)
    assert run_import(ours)[0] == 0
    here = Files(ours, home, run_id)
    here.put("kept.txt", "newer, written here")
    here.put("same.txt", "first")
    theirs.log_text(run_id, "second", "dir/moved on.txt")
    for stored in (1, 0):
        code, report, talk = run_import(ours)
        assert code == 1, talk
        assert report["files"]["different"] == [f"kept.txt of {run_id}"]
        assert (report["files"]["stored"], report["files"]["equal"]) == (stored, 2)
        assert (here.text("kept.txt"), here.text("dir/moved on.txt")) == ("newer, written here", "second")
    # Where the source comes to the same, nothing differs any more; and what is written here once stays theirs who wrote it.
    theirs.log_text(run_id, "newer, written here", "kept.txt")
    assert run_import(ours)[0] == 0
    theirs.log_text(run_id, "third", "same.txt")
    code, report, _ = run_import(ours)
    assert (code, report["files"]["different"]) == (1, [f"same.txt of {run_id}"])
    command = [str(launcher.binary()), "import", "mlflow", "mlflow.db", "--server", ours.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert (
        f"file same.txt of {run_id} is here and differs, as it was stored here in another way; it stays" in done.stderr
    )


def test_what_is_gone_there_is_named_and_stays(ours, theirs):
    run_id = theirs.create_run("0").info.run_id
    for name in ("first", "second"):
        theirs.create_registered_model(name)
        for _ in range(2):
            theirs.create_model_version(name, f"runs:/{run_id}/model", run_id)
    code, report, talk = run_import(ours)
    assert (code, report["gone"]) == (0, {}), talk
    theirs.delete_model_version("first", "2")
    theirs.delete_registered_model("second")
    theirs.rename_registered_model("first", "renamed")
    code, report, talk = run_import(ours)
    assert code == 0, talk
    assert report["gone"] == {"model": ["first", "second"], "version": ["first/1", "first/2", "second/1", "second/2"]}
    here = MlflowClient(ours.url, registry_uri=ours.url)
    assert {model.name for model in here.search_registered_models()} == {"first", "renamed", "second"}
    # What somebody deleted here as well is not there any more on both sides.
    here.delete_registered_model("second")
    here.delete_model_version("first", "1")
    assert run_import(ours)[1]["gone"] == {"model": ["first"], "version": ["first/2"]}


def test_files_that_cannot_come_are_named(ours, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder, far = tmp_path / "mlruns", tmp_path / "far"
    client = MlflowClient(folder.as_uri())
    near_run = client.create_run(client.create_experiment("near")).info
    far_run = client.create_run(client.create_experiment("far", artifact_location=str(far))).info
    client.create_run("0")
    for run in (near_run, far_run):
        client.log_text(run.run_id, "text", "a.txt")
    # As MLflow writes the address of a folder.
    code, report, talk = run_import(ours, source=folder.as_uri())
    assert (code, report["files"]["equal"]) == (0, 2), talk
    far.rename(tmp_path / "unmounted")
    code, report, talk = run_import(ours, source=str(folder))
    assert (code, report["files"]["out_of_reach"], report["files"]["there"]) == (1, 1, 1), talk
    (tmp_path / "unmounted").rename(far)
    root = folder / near_run.experiment_id / near_run.run_id / "artifacts"
    (root / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    code, report, talk = run_import(ours, source=str(folder))
    assert (code, report["files"]["there"]) == (1, 2), talk
    (refused,) = report["files"]["refused"]
    assert "caf" in refused
    assert refused.endswith("its name is not UTF-8 text")
