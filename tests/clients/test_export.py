"""``strongback export mlflow``: everything goes into a database of MLflow's own, its client is told the same of both, and what
comes back from there is equal."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
import mlflow_store
from conftest import POSTGRES_URL, backends, forget_mlflow

pytestmark = pytest.mark.beyond


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    """What mlflow is told here is forgotten afterwards; no server is shared."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    mlflow.set_tracking_uri(None)
    forget_mlflow()


def upgrade(url):
    """Makes the tables as MLflow makes them."""
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An empty SQLite database of MLflow."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def theirs(empty, tmp_path):
    """A copy of it, as an address."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def ours(tmp_path):
    """An empty server."""
    with launcher.on_store("sqlite", tmp_path / "ours") as server:
        yield server


@pytest.fixture
def filled(ours, toy, toy_model):
    mlflow_store.fill(ours.url, toy, toy_model)
    return ours


def call(server, verb, address, *arguments, token=None):
    """Exit code, report and talk."""
    command = [str(launcher.binary()), verb, "mlflow", address, "--server", server.url, "--json", *arguments]
    environment = os.environ | ({"STRONGBACK_TOKEN": token} if token else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def told(uri):
    return mlflow_store.told(MlflowClient(uri, registry_uri=uri))


def counts(report):
    return {
        kind: (line["there"], line["made"], line["changed"], line["equal"]) for kind, line in report["items"].items()
    }


WHOLE = {
    "experiment": (3, 3, 0, 3),
    "run": (5, 5, 0, 5),
    "logged_model": (1, 1, 0, 1),
    "model": (2, 2, 0, 2),
    "version": (3, 3, 0, 3),
}


def assert_same(after, before):
    for part in before:
        assert after[part] == before[part], part


@pytest.mark.parametrize("backend", backends())
def test_everything_goes_and_comes_back_equal(backend, tmp_path, toy, toy_model, theirs):
    with launcher.on_store(backend, tmp_path / "ours") as ours:
        mlflow_store.fill(ours.url, toy, toy_model)
        before = told(ours.url)
        code, report, talk = call(ours, "export", theirs)
    assert code == 0, (talk, report)
    assert counts(report) == WHOLE
    assert report["points"] == [307, 307]
    # One of them follows the stage here.
    assert report["aliases"] == [3, 3]
    assert report["files"]["equal"] == report["files"]["there"] == report["files"]["stored"] > 5
    assert not report["left_behind"]
    assert_same(told(theirs), before)
    with launcher.on_store(backend, tmp_path / "again") as again:
        code, report, talk = call(again, "import", theirs)
        assert code == 0, (talk, report)
        assert report["files"]["equal"] == report["files"]["there"] > 5
        assert_same(told(again.url), before)


@pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")
def test_postgresql_has_narrower_ids_and_all_comes_back_equal(filled, tmp_path):
    before = told(filled.url)
    place = ["--artifacts", str(tmp_path / "files")]
    url = launcher.create_database(POSTGRES_URL)
    try:
        address = url.replace("postgres://", "postgresql://", 1)
        upgrade(address)
        code, report, talk = call(filled, "export", address, *place)
        assert code == 0, (talk, report)
        assert counts(report) == WHOLE
        after = told(address)
        for part in ("models", "versions"):
            assert after[part] == before[part]
        named = {told[0]: number for number, told in after["experiments"].items()}
        wide = {told[0]: number for number, told in before["experiments"].items()}
        tags = after["experiments"][named["fraud"]][2]
        assert tags["strongback.experiment_id"] == wide["fraud"]
        assert int(named["fraud"]) < 2**31
        for run_id, run in before["runs"].items():
            there = after["runs"][run_id]
            assert there["info"].pop("experiment_id") in named.values()
            run["info"].pop("experiment_id")
            assert there == run
        # A new experiment there has a number that is free.
        assert MlflowClient(address).create_experiment("made there") not in named.values()
        code, report, talk = call(filled, "export", address, *place)
        assert code == 0, (talk, report)
        assert counts(report) == {kind: (there, 0, 0, there) for kind, (there, *_) in WHOLE.items()}
        with launcher.on_store("sqlite", tmp_path / "again") as again:
            code, report, talk = call(again, "import", address, *place)
            assert code == 0, (talk, report)
            back = told(again.url)
            back["experiments"] = {k: v for k, v in back["experiments"].items() if v[0] != "made there"}
            assert_same(back, told(filled.url))
    finally:
        launcher.drop_database(POSTGRES_URL, url)


def test_models_are_loaded_there_without_a_server(filled, theirs, tmp_path, toy):
    place = tmp_path / "files"
    code, report, talk = call(filled, "export", theirs, "--artifacts", str(place), "--artifact-root", place.as_uri())
    assert code == 0, (talk, report)
    mlflow.set_tracking_uri(theirs)
    mlflow.set_registry_uri(theirs)
    features, _ = toy
    expected = None
    for name in ("models:/scorer@champion", "models:/scorer/3", "models:/scorer/Production", "models:/copied/1"):
        predicted = list(mlflow.pyfunc.load_model(name).predict(features))
        assert expected is None or predicted == expected
        expected = predicted
    client = MlflowClient(theirs)
    (child,) = client.search_runs(["0", *told(theirs)["experiments"]], "metrics.auc > 0")
    assert client.list_artifacts(child.info.run_id, "notes/a b")[0].path == "notes/a b/ü.txt"


def test_mlflow_serves_what_went(filled, theirs, tmp_path, toy):
    """MLflow's own server on the database and the files, as a team would start it that goes back."""
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, (talk, report)
    port = launcher.free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", theirs, "--port", str(port)]
    command += ["--artifacts-destination", str(tmp_path / "theirs" / "mlartifacts"), "--workers", "1"]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
    try:
        launcher.wait_until_healthy(
            launcher.Server(url, "peer", process=process, log=tmp_path / "server.log"), limit_s=90
        )
        assert_same(told(url), told(filled.url))
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        features, _ = toy
        assert len(mlflow.pyfunc.load_model("models:/scorer@champion").predict(features)) == len(features)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_what_goes_again_changes_nothing_and_what_differs_needs_a_word(filled, theirs):
    code, report, _ = call(filled, "export", theirs, "--dry-run")
    assert code == 0
    assert {kind: line["made"] for kind, line in report["items"].items()} == {
        kind: n for kind, (n, *_) in WHOLE.items()
    }
    assert told(theirs)["runs"] == {}
    assert call(filled, "export", theirs)[0] == 0
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, talk
    assert counts(report) == {kind: (there, 0, 0, there) for kind, (there, *_) in WHOLE.items()}
    assert report["files"]["stored"] == 0
    client = MlflowClient(filled.url, registry_uri=filled.url)
    fraud = client.get_experiment_by_name("fraud").experiment_id
    (child,) = client.search_runs([fraud], "metrics.auc > 0")
    client.log_metric(child.info.run_id, "auc", 0.95, timestamp=1_700_000_000_001, step=4)
    client.set_tag(child.info.run_id, "later", "yes")
    client.log_text(child.info.run_id, "hello again", "config.json")
    client.set_registered_model_alias("scorer", "champion", "3")
    client.update_registered_model("scorer", "what it is now")
    new = client.create_run(fraud).info.run_id
    before = told(theirs)
    code, report, talk = call(filled, "export", theirs)
    assert code == 1, talk
    assert report["items"]["run"]["different"] == [child.info.run_id]
    assert report["items"]["model"]["different"] == ["scorer"]
    assert [item["why"] for item in report["refused"]] == ["'champion' is version 1 there; --replace sets it to 3"]
    assert any("config.json" in why for why in report["files"]["refused"])
    after = told(theirs)
    assert after["runs"].keys() - before["runs"].keys() == {new}
    assert {k: v for k, v in after["runs"].items() if k != new} == before["runs"]
    code, report, talk = call(filled, "export", theirs, "--replace")
    assert code == 0, (talk, report)
    assert report["items"]["run"]["changed"] == 1
    assert_same(told(theirs), told(filled.url))


def test_what_is_broken_off_goes_on(ours, theirs):
    client = MlflowClient(ours.url)
    home = client.create_experiment("many")
    runs = [client.create_run(home).info.run_id for _ in range(1_200)]
    for run in runs[:50]:
        for step in range(5):
            client.log_metric(run, "loss", 1 / (1 + step), step=step)
    command = [str(launcher.binary()), "export", "mlflow", theirs, "--server", ours.url]
    for after in (0.2, 0.5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        process.kill()
        process.wait()
    code, report, talk = call(ours, "export", theirs)
    assert code == 0, (talk, report)
    assert report["items"]["run"]["equal"] == report["items"]["run"]["there"] == 1_200
    assert_same(told(theirs), told(ours.url))


def test_what_somebody_else_made_there_is_not_touched(filled, theirs):
    there = MlflowClient(theirs, registry_uri=theirs)
    theirs_fraud = there.create_experiment("fraud")
    run = there.create_run(theirs_fraud).info.run_id
    before = told(theirs)
    for more in ([], ["--replace"]):
        code, report, talk = call(filled, "export", theirs, *more)
        assert (code, report) == (3, None)
        assert "Nothing was written" in talk
        assert "'fraud'" in talk
    assert told(theirs) == before
    there.rename_experiment(theirs_fraud, "theirs")
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, (talk, report)
    after = told(theirs)
    assert after["runs"][run] == before["runs"][run]
    assert len(after["runs"]) == 6


def test_a_version_has_its_own_files_where_those_of_the_run_changed(filled, theirs, tmp_path, toy):
    """The run's files are changed after the version was pinned; what goes is what was registered."""
    client = MlflowClient(filled.url, registry_uri=filled.url)
    (child,) = client.search_runs([client.get_experiment_by_name("fraud").experiment_id], "metrics.auc > 0")
    client.log_text(child.info.run_id, "flavors: {}", "plain/MLmodel")
    client.create_model_version(
        "plain" if client.create_registered_model("plain") else "", f"{child.info.artifact_uri}/plain"
    )
    client.log_text(child.info.run_id, "flavors: {another: 1}", "plain/MLmodel")
    place = tmp_path / "files"
    code, report, talk = call(filled, "export", theirs, "--artifacts", str(place), "--artifact-root", place.as_uri())
    assert code == 0, (talk, report)
    uri = MlflowClient(theirs, registry_uri=theirs).get_model_version_download_uri("plain", "1")
    assert "/versions/" in uri
    assert Path(uri.removeprefix("file://"), "MLmodel").read_text() == "flavors: {}"


def test_an_older_database_takes_what_it_has_a_place_for(filled, theirs):
    path = theirs.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = off")
        for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE model_versions DROP COLUMN storage_location")
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, (talk, report)
    ((what, count),) = report["left_behind"].items()
    assert (what.startswith("logged models"), count) == (True, 1)
    assert counts(report)["run"] == WHOLE["run"]


def test_what_the_database_does_not_take_is_named_and_holds_up_nothing(filled, theirs):
    path = theirs.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER no BEFORE INSERT ON params WHEN NEW.key = 'a' BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    code, report, talk = call(filled, "export", theirs)
    assert code == 1
    (refused,) = report["refused"]
    assert refused["kind"] == "run"
    assert "not this one" in refused["why"]
    assert report["items"]["run"]["equal"] == 4
    assert "not this one" in talk or report["items"]["run"]["missing"] == []


def test_calls_that_are_wrong_say_what_to_do(ours, theirs, tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.commit()
    for destination, said in (
        (f"sqlite:///{tmp_path}/gone.db", "mlflow db upgrade"),
        (f"sqlite:///{tmp_path}/other.db", "no database of MLflow"),
        ("mysql://u:hush@h/d", "SQLite and PostgreSQL"),
        ("http://host:5000", "mlflow db upgrade"),
    ):
        code, report, talk = call(ours, "export", destination)
        assert (code, report) == (2, None), (destination, code)
        assert said in talk, talk
        assert "hush" not in talk
    assert not (tmp_path / "gone.db").exists()


def test_only_administrators_export(theirs, tmp_path):
    data_dir = tmp_path / "closed"
    tokens = {"root": launcher.token(data_dir, "root", "--admin"), "eve": launcher.token(data_dir, "eve")}
    server = launcher.strongback(data_dir, extra=("--auth", "tokens"))
    try:
        code, report, talk = call(server, "export", theirs, token=tokens["eve"])
        assert (code, report) == (3, None), talk
        assert told(theirs)["experiments"].keys() <= {"0"}
        assert call(server, "export", theirs, token=tokens["root"])[0] == 0
    finally:
        server.end()
