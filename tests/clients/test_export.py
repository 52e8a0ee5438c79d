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
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

import launcher
import mlflow_store
import terminal
from conftest import POSTGRES_URL, addressing_nothing, backends

pytestmark = pytest.mark.beyond


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    with addressing_nothing(monkeypatch):
        yield


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


def address_of(url):
    """As MLflow writes it."""
    return url.replace("postgres://", "postgresql://", 1)


@pytest.fixture(scope="module")
def empty_postgres():
    """An empty PostgreSQL database of MLflow."""
    if not POSTGRES_URL:
        pytest.skip("no PostgreSQL")
    url = launcher.create_database(POSTGRES_URL)
    try:
        upgrade(address_of(url))
        yield url
    finally:
        launcher.drop_database(POSTGRES_URL, url)


@pytest.fixture
def narrow(empty_postgres):
    """A copy of it, as an address: ids of experiments are narrower there than ours."""
    url = launcher.create_database(POSTGRES_URL, like=empty_postgres)
    try:
        yield address_of(url)
    finally:
        launcher.drop_database(POSTGRES_URL, url)


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


def sql(address, statement, *values):
    """Rows of a statement in a SQLite database of MLflow."""
    with closing(sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


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


def test_postgresql_has_narrower_ids_and_all_comes_back_equal(filled, narrow, tmp_path):
    before = told(filled.url)
    place = ["--artifacts", str(tmp_path / "files")]
    code, report, talk = call(filled, "export", narrow, *place)
    assert code == 0, (talk, report)
    assert counts(report) == WHOLE
    after = told(narrow)
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
    assert MlflowClient(narrow).create_experiment("made there") not in named.values()
    code, report, talk = call(filled, "export", narrow, *place)
    assert code == 0, (talk, report)
    assert counts(report) == {kind: (there, 0, 0, there) for kind, (there, *_) in WHOLE.items()}
    with launcher.on_store("sqlite", tmp_path / "again") as again:
        code, report, talk = call(again, "import", narrow, *place)
        assert code == 0, (talk, report)
        back = told(again.url)
        back["experiments"] = {k: v for k, v in back["experiments"].items() if v[0] != "made there"}
        assert_same(back, told(filled.url))


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
    assert report["files"]["stored"] == report["files"]["there"] > 5
    assert report["files"]["equal"] == 0
    assert call(filled, "export", theirs)[0] == 0
    # What does not travel stays.
    sql(theirs, "UPDATE runs SET source_name = 'train.py'")
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
    assert sql(theirs, "SELECT DISTINCT source_name FROM runs WHERE run_uuid <> ?", new) == [("train.py",)]


def test_what_is_broken_off_goes_on(ours, theirs):
    client = MlflowClient(ours.url)
    home = client.create_experiment("many")
    runs = [client.create_run(home).info.run_id for _ in range(1_200)]
    for run in runs[:50]:
        for step in range(5):
            client.log_metric(run, "loss", 1 / (1 + step), step=step)
    command = [str(launcher.binary()), "export", "mlflow", theirs, "--server", ours.url]
    # Runs go 500 at once: each time when one more part of them is there.
    for there in (0, 500):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            terminal.once(process, lambda there=there: sql(theirs, "SELECT count(*) FROM runs")[0][0] > there)
            process.kill()
    code, report, talk = call(ours, "export", theirs)
    assert code == 0, (talk, report)
    assert report["items"]["run"]["equal"] == report["items"]["run"]["there"] == 1_200
    assert_same(told(theirs), told(ours.url))


def test_nothing_is_left_of_a_file_that_was_broken_off(ours, theirs, tmp_path):
    client = MlflowClient(ours.url)
    run = client.create_run(client.create_experiment("large"))
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(400 << 20)
    client.log_artifact(run.info.run_id, str(large))
    there = tmp_path / "theirs" / "mlartifacts"
    command = [str(launcher.binary()), "export", "mlflow", theirs, "--server", ours.url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        terminal.once(process, lambda: any(there.rglob(".strongback-*.part")))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, "the same call goes on" in said) == (130, True), said
    assert [path for path in there.rglob("*") if path.is_file()] == []
    code, report, talk = call(ours, "export", theirs)
    assert code == 0, (talk, report)
    [whole] = [path for path in there.rglob("*") if path.is_file()]
    assert (whole.name, whole.stat().st_size) == ("large.bin", 400 << 20)


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
    place = tmp_path / "files"
    to = ["--artifacts", str(place), "--artifact-root", place.as_uri()]

    def uri():
        return MlflowClient(theirs, registry_uri=theirs).get_model_version_download_uri("plain", "1")

    code, report, talk = call(filled, "export", theirs, *to)
    assert code == 0, (talk, report)
    assert uri().endswith(f"/{child.info.run_id}/artifacts/plain")
    client.log_text(child.info.run_id, "flavors: {another: 1}", "plain/MLmodel")
    code, report, talk = call(filled, "export", theirs, *to)
    assert code == 1
    assert report["items"]["version"]["different"] == ["plain/1"]
    assert Path(uri().removeprefix("file://"), "MLmodel").read_text() == "flavors: {}"
    code, report, talk = call(filled, "export", theirs, "--replace", *to)
    assert code == 0, (talk, report)
    assert "/versions/" in uri()
    assert Path(uri().removeprefix("file://"), "MLmodel").read_text() == "flavors: {}"
    # And comes back with them, though other files lie where it was made of some.
    with launcher.on_store("sqlite", tmp_path / "back") as back:
        code, report, talk = call(back, "import", theirs)
        assert code == 0, (talk, report)
        there = MlflowClient(back.url, registry_uri=back.url).get_model_version_download_uri("plain", "1")
        mlflow.set_tracking_uri(back.url)
        assert mlflow.artifacts.load_text(f"{there}/MLmodel") == "flavors: {}"
        mlflow.set_tracking_uri(None)


def test_an_older_database_takes_what_it_has_a_place_for(filled, theirs):
    path = theirs.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = off")
        for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models"):
            connection.execute(f"DROP TABLE {table}")
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, (talk, report)
    ((what, count),) = report["left_behind"].items()
    assert (what.startswith("logged models"), count) == (True, 1)
    assert counts(report)["run"] == WHOLE["run"]
    # A version that was made of the logged model has its files.
    ((place,),) = sql(theirs, "SELECT storage_location FROM model_versions WHERE name = 'copied'")
    assert (Path(path).parent / "mlartifacts" / place.removeprefix("mlflow-artifacts:/") / "MLmodel").is_file()
    sql(theirs, "ALTER TABLE model_versions DROP COLUMN storage_location")
    command = [str(launcher.binary()), "export", "mlflow", theirs, "--server", filled.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "everything is there and equal, but 1 thing has no place there" in done.stdout


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


def made(server, name, *, metric=None, **more):
    """A new experiment with one run: both ids."""
    client = MlflowClient(server.url)
    home = client.create_experiment(name, **more)
    run = client.create_run(home).info.run_id
    if metric:
        client.log_metric(run, metric, 1.0)
    return home, run


def names_of_homes(address):
    """By run the name of the experiment that it is in there."""
    client = MlflowClient(address)
    homes = client.search_experiments(ViewType.ALL)
    return {run.info.run_id: home.name for home in homes for run in client.search_runs([home.experiment_id])}


def test_postgresql_an_id_that_a_wide_experiment_has_there_is_taken_by_nobody(ours, narrow, theirs, tmp_path):
    wide, wide_run = made(ours, "wide", tags={"team": "risk"})
    assert call(ours, "export", narrow, "--no-artifacts")[0] == 0
    assert MlflowClient(narrow).get_experiment_by_name("wide").experiment_id == "1"
    there = MlflowClient(theirs)
    old_run = there.create_run(there.create_experiment("old")).info.run_id
    assert call(ours, "import", theirs, "--no-artifacts")[0] == 0
    assert told(ours.url)["experiments"].keys() == {"0", "1", wide}
    before = MlflowClient(narrow).get_experiment("1")
    for more in ([], ["--replace"], []):
        code, report, talk = call(ours, "export", narrow, "--no-artifacts", *more)
        assert code == 0, (talk, report)
        assert dict(MlflowClient(narrow).get_experiment("1")) == dict(before)
        assert names_of_homes(narrow) == {wide_run: "wide", old_run: "old"}
    assert report["items"]["experiment"]["made"] == 0
    with launcher.on_store("sqlite", tmp_path / "again") as again:
        code, report, talk = call(again, "import", narrow, "--no-artifacts")
        assert code == 0, (talk, report)
        assert_same(told(again.url), told(ours.url))


def test_postgresql_runs_of_a_refused_experiment_go_to_no_other(ours, narrow):
    long, long_run = made(ours, "long", artifact_location="s3://bucket" + "/long" * 60)
    _, run = made(ours, "short")
    code, report, talk = call(ours, "export", narrow, "--no-artifacts")
    assert code == 1, talk
    assert [(item["kind"], item["id"]) for item in report["refused"]] == [("experiment", long), ("run", long_run)]
    assert "256" in report["refused"][0]["why"]
    assert long in report["refused"][1]["why"]
    assert names_of_homes(narrow) == {run: "short"}


def test_postgresql_what_is_broken_off_leaves_free_numbers(ours, narrow):
    made(ours, "first")
    url = narrow.replace("postgresql://", "postgres://", 1)
    launcher.run_sql(
        url,
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;
           CREATE TRIGGER full_disk BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION full_disk()""",
    )
    # What would meet every item is no fault of one.
    code, report, talk = call(ours, "export", narrow, "--no-artifacts")
    assert (code, report) == (4, None)
    assert "no space left" in talk
    launcher.run_sql(url, "DROP TRIGGER full_disk ON runs")
    assert MlflowClient(narrow).create_experiment("made there") == "2"
    launcher.run_sql(url, "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), 50)")
    made(ours, "second")
    code, report, talk = call(ours, "export", narrow, "--no-artifacts")
    assert code == 0, (talk, report)
    assert MlflowClient(narrow).create_experiment("made later") == "51"


def test_a_database_that_cannot_grow_ends_it(filled, theirs):
    size_kb = Path(theirs.removeprefix("sqlite:///")).stat().st_size // 1024
    command = [str(launcher.binary()), "export", "mlflow", theirs, "--server", filled.url, "--no-artifacts"]
    bounded = ["bash", "-c", f'trap "" XFSZ; ulimit -f {size_kb}; exec "$@"', "bash", *command]
    done = subprocess.run(bounded, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert "The database takes nothing" in done.stderr
    code, report, talk = call(filled, "export", theirs)
    assert code == 0, (talk, report)
    assert_same(told(theirs), told(filled.url))


def test_a_foreign_experiment_of_the_same_id_stops_it_always(ours, theirs, tmp_path):
    source = tmp_path / "source.db"
    shutil.copy(theirs.removeprefix("sqlite:///"), source)
    MlflowClient(f"sqlite:///{source}").create_experiment("fraud")
    assert call(ours, "import", f"sqlite:///{source}")[0] == 0
    time.sleep(0.01)
    there = MlflowClient(theirs)
    there.create_run(there.create_experiment("churn", tags={"team": "growth"}))
    before = told(theirs)
    for more in ([], ["--replace"], ["--dry-run"]):
        code, report, talk = call(ours, "export", theirs, *more)
        assert (code, report) == (3, None)
        assert "the id of experiment 'fraud' (1) has 'churn' there" in talk
    assert told(theirs) == before


def test_an_experiment_that_was_renamed_here_is_the_same(ours, theirs):
    home, run = made(ours, "fraud")
    assert call(ours, "export", theirs)[0] == 0
    client = MlflowClient(ours.url)
    client.rename_experiment(home, "fraud, the old one")
    client.rename_experiment("0", "main")
    another, another_run = made(ours, "fraud")
    code, report, talk = call(ours, "export", theirs)
    assert code == 1, talk
    assert sorted(report["items"]["experiment"]["different"]) == ["0", home]
    # Its name is not free yet.
    assert [item["id"] for item in report["refused"]] == [another, another_run]
    assert names_of_homes(theirs) == {run: "fraud"}
    code, report, talk = call(ours, "export", theirs, "--replace")
    assert code == 0, (talk, report)
    assert_same(told(theirs), told(ours.url))


def test_a_version_that_was_deleted_there_stays_so_without_a_word(filled, theirs):
    assert call(filled, "export", theirs)[0] == 0
    MlflowClient(theirs, registry_uri=theirs).delete_model_version("scorer", "3")
    code, report, talk = call(filled, "export", theirs)
    assert code == 1, talk
    assert report["items"]["version"]["different"] == ["scorer/3"]
    assert [item["why"] for item in report["refused"]] == ["'challenger' is version 3, which is not there"]
    assert report["aliases"] == [3, 2]
    assert "scorer/3" not in told(theirs)["versions"]
    code, report, talk = call(filled, "export", theirs, "--replace")
    assert code == 0, (talk, report)
    assert_same(told(theirs), told(filled.url))


def test_what_somebody_makes_there_meanwhile_is_not_written_over(filled, theirs):
    sql(
        theirs,
        """CREATE TRIGGER meanwhile AFTER INSERT ON registered_models WHEN NEW.name = 'scorer' BEGIN
             INSERT INTO model_versions (name, version, description, current_stage, source, status)
               VALUES ('scorer', 1, 'made there', 'None', 's3://there/m', 'READY');
             INSERT INTO registered_model_aliases (name, alias, version) VALUES ('scorer', 'challenger', 1);
           END""",
    )
    code, report, talk = call(filled, "export", theirs)
    assert code == 1, talk
    refused = [(item["kind"], item["id"]) for item in report["refused"]]
    # Those of the version that did not go, and the one that is there.
    assert refused == [("version", "scorer/1")] + [(None, "scorer")] * 3
    there = MlflowClient(theirs, registry_uri=theirs)
    assert there.get_model_version("scorer", "1").description == "made there"
    assert there.get_model_version_by_alias("scorer", "challenger").version == 1
    assert report["items"]["version"]["equal"] == 2


def test_what_belongs_to_a_refused_model_or_experiment_is_named(filled, theirs):
    for table, name in (("registered_models", "scorer"), ("experiments", "fraud")):
        sql(
            theirs,
            f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} WHEN NEW.name = '{name}' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
    fraud = MlflowClient(filled.url).get_experiment_by_name("fraud").experiment_id
    code, report, talk = call(filled, "export", theirs)
    assert code == 1, talk
    refused = [(item["kind"], item["id"]) for item in report["refused"]]
    assert [kind for kind, _ in refused] == ["experiment", *["run"] * 3, "logged_model", "model", *["version"] * 2] + [
        None
    ] * 3
    assert {("experiment", fraud), ("model", "scorer"), ("version", "scorer/1"), ("version", "scorer/3")} < set(refused)
    assert all(report["items"][kind]["there"] == there for kind, (there, *_) in WHOLE.items())
    assert counts(report)["version"] == (3, 1, 0, 1)
    assert counts(report)["run"] == (5, 2, 0, 2)
    assert report["aliases"] == [3, 0]
    after = told(theirs)
    assert (len(after["runs"]), after["models"].keys(), after["versions"].keys()) == (2, {"copied"}, {"copied/1"})
    assert sql(theirs, "SELECT * FROM registered_model_aliases") == []


def test_postgresql_an_alias_of_a_refused_model_ends_nothing(filled, narrow):
    url = narrow.replace("postgresql://", "postgres://", 1)
    launcher.run_sql(url, "ALTER TABLE registered_models ADD CHECK (name <> 'scorer')")
    code, report, talk = call(filled, "export", narrow, "--no-artifacts")
    assert code == 1, talk
    refused = [(item["kind"], item["id"]) for item in report["refused"]]
    assert refused == [("model", "scorer"), ("version", "scorer/1"), ("version", "scorer/3")] + [(None, "scorer")] * 3
    assert counts(report)["model"] == (2, 1, 0, 1)
    assert told(narrow)["versions"].keys() == {"copied/1"}


def test_measurements_of_several_data_sets_at_one_time_are_one_there(filled, theirs):
    client = MlflowClient(filled.url)
    (child,) = client.search_runs([client.get_experiment_by_name("fraud").experiment_id], "metrics.auc > 0")
    (model,) = told(filled.url)["logged"]
    for name in ("a", "b", "c"):
        client.log_metric(
            child.info.run_id, "f1", 0.5, timestamp=5, step=1, dataset_name=name, dataset_digest="1", model_id=model
        )
    for made in (1, 0):
        code, report, talk = call(filled, "export", theirs)
        assert code == 0, (talk, report)
        assert counts(report)["logged_model"] == (1, made, 0, 1)
        ((what, count),) = report["left_behind"].items()
        assert (what.startswith("points of logged models"), count) == (True, 2)
    assert sql(theirs, "SELECT dataset_name FROM logged_model_metrics WHERE metric_name = 'f1'") == [("a",)]


def test_another_place_of_files_is_a_difference(filled, theirs, tmp_path, toy):
    assert call(filled, "export", theirs)[0] == 0
    place = tmp_path / "files"
    to = ["--artifacts", str(place), "--artifact-root", place.as_uri()]
    code, report, talk = call(filled, "export", theirs, *to)
    assert code == 1, talk
    different = {kind: len(line["different"]) for kind, line in report["items"].items()}
    # The default experiment has a place of its own, and its run has not.
    assert different == {"experiment": 2, "run": 5, "logged_model": 1, "model": 0, "version": 3}
    code, report, talk = call(filled, "export", theirs, "--replace", *to)
    assert code == 0, (talk, report)
    mlflow.set_tracking_uri(theirs)
    mlflow.set_registry_uri(theirs)
    assert len(mlflow.pyfunc.load_model("models:/scorer@champion").predict(toy[0])) == len(toy[0])
    assert call(filled, "export", theirs, *to)[0] == 0


def test_more_files_than_can_be_listed_are_named(ours, theirs):
    client = MlflowClient(ours.url)
    home, run = made(ours, "many")
    client.log_text(run, "one", "one.txt")
    other = client.create_run(home).info.run_id
    client.log_text(other, "two", "two.txt")
    sql(
        str(ours.data_dir / "metadata.db"),
        """WITH RECURSIVE at (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM at WHERE i <= 100000)
           INSERT INTO file (area, path, object, size, sha256, created_at, created_by)
           SELECT area, 'many/' || i, object, size, sha256, created_at, created_by FROM file, at WHERE path = 'one.txt'""",
    )
    code, report, talk = call(ours, "export", theirs)
    assert code == 1, talk
    (why,) = report["files"]["refused"]
    assert run in why
    assert "100000" in why
    assert (report["files"]["stored"], report["items"]["run"]["equal"]) == (1, 2)


def test_other_workspaces_are_not_touched(filled, theirs, tmp_path):
    fraud = MlflowClient(filled.url).get_experiment_by_name("fraud").experiment_id
    sql(theirs, "INSERT INTO experiments (experiment_id, name, workspace) VALUES (?, 'fraud', 'team')", int(fraud))
    sql(theirs, "INSERT INTO runs (run_uuid, experiment_id) VALUES ('theirs', ?)", int(fraud))
    sql(theirs, "INSERT INTO registered_models (workspace, name, description) VALUES ('team', 'scorer', 'theirs')")
    sql(theirs, "INSERT INTO registered_model_tags (workspace, name, key, value) VALUES ('team', 'scorer', 'k', 'v')")
    sql(theirs, "INSERT INTO model_versions (workspace, name, version) VALUES ('team', 'scorer', 1)")
    sql(theirs, "INSERT INTO model_version_tags (workspace, name, version, key) VALUES ('team', 'scorer', 1, 'k')")
    sql(theirs, "INSERT INTO registered_model_aliases VALUES ('team', 'scorer', 'champion', 1)")
    registry = ("registered_models", "registered_model_tags", "model_versions", "model_version_tags")
    tables = ("experiments", *registry, "registered_model_aliases")

    def team():
        return [sql(theirs, f"SELECT * FROM {table} WHERE workspace = 'team'") for table in tables]  # noqa: S608

    before = team()
    assert call(filled, "export", theirs)[0] == 0
    MlflowClient(filled.url, registry_uri=filled.url).update_registered_model("scorer", "what it is now")
    code, report, talk = call(filled, "export", theirs, "--replace")
    assert code == 0, (talk, report)
    assert report["items"]["model"]["changed"] == 1
    assert team() == before
    # Its id was that of another: it has the next, and a tag.
    ((number,),) = sql(theirs, "SELECT experiment_id FROM experiments WHERE name = 'fraud' AND workspace = 'default'")
    assert number != int(fraud)
    with launcher.on_store("sqlite", tmp_path / "again") as again:
        code, report, talk = call(again, "import", theirs)
        assert code == 0, (talk, report)
        assert report["left_behind"] == {
            f"{what} of other workspaces": 1 for what in ("experiments", "runs", "registered models", "versions")
        }
        assert_same(told(again.url), told(filled.url))


def test_a_tag_that_an_export_sets_itself_confuses_none(ours, theirs):
    home, run = made(ours, "fraud", tags={"strongback.experiment_id": "99", "team": "risk"})
    for made_now in (1, 0):
        code, report, talk = call(ours, "export", theirs)
        assert code == 0, (talk, report)
        assert report["items"]["run"]["made"] == made_now
        assert list(report["left_behind"].values()) == [1]
    assert names_of_homes(theirs) == {run: "fraud"}
    assert told(theirs)["experiments"][home][2] == {"team": "risk"}
