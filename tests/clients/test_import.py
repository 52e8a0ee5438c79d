"""``strongback import mlflow``: a store of MLflow's own comes in whole, and its client is told the same of both."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

import alembic.command
import mlflow
import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

import launcher
import mlflow_store
import terminal
from conftest import POSTGRES_URL, addressing_nothing, backends
from raw import Raw

pytestmark = pytest.mark.beyond


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    with addressing_nothing(monkeypatch):
        yield


@pytest.fixture(scope="module")
def filled(tmp_path_factory, toy, toy_model):
    """A SQLite database of MLflow with its files: the folder."""
    folder = tmp_path_factory.mktemp("theirs")
    with contextlib.chdir(folder):
        mlflow_store.fill("sqlite:///mlflow.db", toy, toy_model)
    return folder


@pytest.fixture
def theirs(filled, tmp_path, monkeypatch):
    """A copy of it, where one works."""
    folder = tmp_path / "theirs"
    shutil.copytree(filled, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(params=backends())
def ours(request, tmp_path):
    """An empty server."""
    with launcher.on_store(request.param, tmp_path / "ours") as server:
        yield server


def run_import(server, *arguments, source="mlflow.db"):
    """Exit code, report and talk of an import."""
    command = [str(launcher.binary()), "import", "mlflow", source, "--server", server.url, "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def theirs_url(folder):
    """By the whole path: mlflow keeps a connection for each address."""
    return f"sqlite:///{folder}/mlflow.db"


def told(uri):
    return mlflow_store.told(MlflowClient(uri, registry_uri=uri))


def test_a_database_comes_in_whole(ours, theirs, toy):
    before = told(theirs_url(theirs))
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    there = {kind: line["there"] for kind, line in report["items"].items()}
    assert there == {"experiment": 3, "run": 5, "logged_model": 1, "model": 2, "version": 3}
    assert all(
        line["equal"] == line["made"] == line["there"] for kind, line in report["items"].items() if kind != "experiment"
    )
    assert report["points"] == [307, 307]
    assert report["files"]["equal"] == report["files"]["there"] == report["files"]["stored"] > 5
    after = told(ours.url)
    for part in before:
        assert after[part] == before[part], part
    # Files come with their bytes, and models are loaded by whatever name they have.
    client = MlflowClient(ours.url, registry_uri=ours.url)
    child = next(run for run in after["runs"].values() if "auc" in run["data"]["metrics"])["info"]["run_id"]
    assert sorted(f.path for f in client.list_artifacts(child)) == ["config.json", "notes"]
    assert client.list_artifacts(child, "notes/a b")[0].path == "notes/a b/ü.txt"
    mlflow.set_tracking_uri(ours.url)
    mlflow.set_registry_uri(ours.url)
    features, _ = toy
    expected = None
    for name in ("models:/scorer@champion", "models:/scorer/3", "models:/scorer/Production", "models:/copied/1"):
        predicted = list(mlflow.pyfunc.load_model(name).predict(features))
        assert expected is None or predicted == expected
        expected = predicted
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri("")
    answer = subprocess.run(
        [str(launcher.binary()), "model", "show", "scorer", "--server", ours.url, "--json"],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


# Schemas that a database of MLflow 2.9 passes through as it is upgraded: whatever came with a later one may be absent.
SCHEMAS = {
    "2.9": "acf3f17fdcc7",
    "2.16": "4465047574b1",
    "3.0, with logged models": "6953534de441",
    "later, with workspaces": "1b5f0d9ad7c1",
    "3.17": "dc11669786a5",
}


def old_store(old_python, what, uri, folder):
    """What MLflow 2.9 says of a store, which it filled or not."""
    script = Path(__file__).with_name("old_store.py")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = [old_python, script, what, uri]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def old_filled(tmp_path_factory, old_python):
    """A folder with a database that MLflow 2.9 made and filled, and what it says of it."""
    folder = tmp_path_factory.mktemp("old")
    return folder, old_store(old_python, "fill", "sqlite:///mlflow.db", folder)


@pytest.mark.timeout(360)
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_database_of_mlflow_2_9_comes_in_whole(ours, old_filled, old_python, tmp_path, schema):
    folder, before = old_filled
    database = tmp_path / "mlflow.db"
    shutil.copy(folder / "mlflow.db", database)
    alembic.command.upgrade(_get_alembic_config(f"sqlite:///{database}"), schema)
    compare_with_2_9(ours, str(database), before, old_python, tmp_path, schema)


@pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")
@pytest.mark.timeout(360)
def test_a_database_of_mlflow_2_9_comes_in_whole_from_postgresql(ours, old_filled, old_python, tmp_path):
    folder, before = old_filled
    url = launcher.create_database(POSTGRES_URL)
    try:
        address = "postgresql+psycopg://" + url.split("://")[1]
        as_2_9_has_it(folder / "mlflow.db", address)
        compare_with_2_9(ours, address, before, old_python, tmp_path, SCHEMAS["2.9"])
    finally:
        launcher.drop_database(POSTGRES_URL, url)


def as_2_9_has_it(database, address):
    """Copies a SQLite database of MLflow 2.9 into PostgreSQL, whose tables are made as MLflow 2.9 makes them there."""
    there, here = sqlalchemy.create_engine(f"sqlite:///{database}"), sqlalchemy.create_engine(address)
    InitialBase.metadata.create_all(here)
    alembic.command.upgrade(_get_alembic_config(address), SCHEMAS["2.9"])
    tables, kept = sqlalchemy.MetaData(), sqlalchemy.MetaData()
    tables.reflect(here)
    kept.reflect(there)
    with here.begin() as to, there.connect() as of:
        for table in tables.sorted_tables:
            # By the types of PostgreSQL: SQLite's flags are numbers.
            rows = [dict(row._mapping) for row in of.execute(sqlalchemy.select(kept.tables[table.name]))]
            for row in rows:
                row.update({c.name: bool(row[c.name]) for c in table.columns if isinstance(c.type, sqlalchemy.Boolean)})
            if rows and table.name != "alembic_version":
                to.execute(table.insert(), rows)
    for engine in (there, here):
        engine.dispose()


def compare_with_2_9(ours, source, before, old_python, tmp_path, schema):
    code, report, talk = run_import(ours, source=source)
    assert code == 0, (talk, report)
    assert report["version"] == schema
    there = {kind: line["there"] for kind, line in report["items"].items()}
    assert there == {"experiment": 3, "run": 5, "logged_model": 0, "model": 3, "version": 3}
    assert all(line["equal"] == line["there"] for line in report["items"].values())
    assert (report["points"], report["aliases"]) == ([305, 305], [2, 2])
    assert report["files"]["equal"] == report["files"]["there"] == report["files"]["stored"] == 4
    assert report["left_behind"] == {}
    after = old_store(old_python, "tell", ours.url, tmp_path)
    for part in before:
        assert after[part] == before[part], part
    # What was compared is not little.
    assert (
        after["files"]["scorer/1"]
        == after["files"]["copied/1"]
        == {"MLmodel": "flavors: {}\n", "data/a b/ü.txt": "hello"}
    )
    assert {run["info"]["lifecycle_stage"] for run in after["runs"].values()} == {"active", "deleted"}
    assert after["experiments"]["0"][2] == {"of": "the default one"}


def test_a_folder_comes_in_whole(ours, tmp_path, toy, toy_model, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "mlruns"
    mlflow_store.fill(folder.as_uri(), toy, toy_model)
    before = told(folder.as_uri())
    # It was moved since: its runs are found where the folder is.
    folder.rename(tmp_path / "moved")
    code, report, talk = run_import(ours, source=str(tmp_path / "moved"))
    assert code == 0, (talk, report)
    assert report["files"]["equal"] == report["files"]["there"] > 5
    after = told(ours.url)
    for part in ("experiments", "runs", "models", "logged"):
        assert after[part] == before[part], part
    # All of a version but the place of its files, which is another now.
    assert {which: version[1:] for which, version in after["versions"].items()} == {
        which: version[1:] for which, version in before["versions"].items()
    }


def test_a_server_comes_in_whole(ours, theirs, tmp_path):
    """A server that speaks MLflow's protocol: one of ours, which has taken over a database."""
    with launcher.on_store("sqlite", tmp_path / "between") as between:
        assert run_import(between)[0] == 0
        before = told(between.url)
        code, report, talk = run_import(ours, source=between.url)
        assert code == 0, (talk, report)
    after = told(ours.url)
    for part in before:
        assert after[part] == before[part], part
    assert report["files"]["equal"] == report["files"]["there"] > 5


def test_what_comes_again_changes_nothing_and_what_is_new_comes(ours, theirs):
    assert run_import(ours)[0] == 0
    code, report, talk = run_import(ours)
    assert code == 0, talk
    assert all((line["made"], line["changed"]) == (0, 0) for line in report["items"].values())
    assert report["files"]["stored"] == 0
    client = MlflowClient(theirs_url(theirs), registry_uri=theirs_url(theirs))
    fraud = client.get_experiment_by_name("fraud").experiment_id
    child = client.search_runs([fraud], "metrics.auc > 0")[0].info.run_id
    client.log_metric(child, "auc", 0.95, timestamp=1_700_000_000_001, step=4)
    client.set_tag(child, "later", "yes")
    new = client.create_run(fraud).info.run_id
    client.set_registered_model_alias("scorer", "champion", "3")
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert (report["items"]["run"]["made"], report["items"]["run"]["changed"]) == (1, 1)
    after, before = told(ours.url), told(theirs_url(theirs))
    assert after == before
    assert new in after["runs"]
    assert after["models"]["scorer"][2]["champion"] == "3"


def test_ids_that_others_have_stop_it_before_anything_is_written(ours, theirs):
    assert run_import(ours)[0] == 0
    before = told(ours.url)
    code, report, talk = run_import(ours, "--label", "another")
    assert (code, report) == (3, None)
    assert "Nothing was written" in talk
    assert "--remap" in talk
    code, report, _ = run_import(ours, "--label", "another", "--dry-run")
    assert code == 1
    assert report["items"]["run"] == {"there": 5, "taken": 5}
    assert told(ours.url) == before
    # With other ids everything comes once more, and the mapping holds.
    code, report, talk = run_import(ours, "--label", "another", "--remap")
    assert code == 0, (talk, report)
    moved = {(kind, there): here for kind, there, here in report["moved"]}
    after = told(ours.url)
    assert len(after["runs"]) == 2 * len(before["runs"])
    parents = {run["data"]["tags"].get("mlflow.parentRunId"): run for run in after["runs"].values()}
    (parent,) = (run["info"]["run_id"] for run in before["runs"].values() if run["info"]["run_name"] == "parent")
    child = parents[moved["run", parent]]
    assert child["info"]["run_id"] in {here for (kind, _), here in moved.items() if kind == "run"}
    assert child["info"]["experiment_id"] == moved["experiment", "1"]
    copy = after["versions"]["scorer (imported)/1"]
    assert copy[1] == child["info"]["run_id"]
    code, report, _ = run_import(ours, "--label", "another")
    assert code == 0
    assert all((line["made"], line["changed"]) == (0, 0) for line in report["items"].values())
    assert told(ours.url) == after


@pytest.mark.timeout(240)
def test_what_is_broken_off_goes_on(ours, theirs):
    """The command is killed with some runs on their way, and stopped by a person, who is told that the same call goes on."""
    many(theirs / "mlflow.db", 2_500)
    command = [str(launcher.binary()), "import", "mlflow", "mlflow.db", "--server", ours.url]
    raw = Raw(ours)

    def has_come(run):
        return raw.get(f"/api/2.0/mlflow/runs/get?run_id={run:032x}").status == 200

    # Runs come in the order of their ids, 500 at once: each time when more of them have come and others are on their way. The server may
    # still take a part from the one that was killed; with one more the command itself has come so far that it hears of Ctrl-C.
    for more, by, code in (
        (0, signal.SIGKILL, -signal.SIGKILL),
        (500, signal.SIGINT, 130),
        (0, signal.SIGKILL, -signal.SIGKILL),
    ):
        awaited = more + next(run for run in range(0, 2_500, 500) if not has_come(run))
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            terminal.once(process, lambda run=awaited: has_come(run))
            process.send_signal(by)
            _, said = process.communicate(timeout=30)
        assert process.returncode == code, said
        assert ("the same call goes on" in said) == (by == signal.SIGINT), said
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    line = report["items"]["run"]
    assert line["equal"] == line["there"] == 2_505
    assert told(ours.url) == told(theirs_url(theirs))


@pytest.mark.timeout(240)
def test_a_terminal_is_told_how_much_is_done_and_left(theirs, tmp_path):
    """On the way in and out again; Ctrl-C says what became of it."""
    shutil.copy("mlflow.db", "before.db")
    many(theirs / "mlflow.db", 8_000)

    def told_how_far(shown):
        progress = shown.until(r"runs: (\d+) of (\d+), (\d+)/s, (\d+) s left")
        done, total, rate, left = map(int, progress.groups())
        assert 0 < done <= total == 8_005
        # Both are rounded.
        assert (total - done) / (rate + 0.5) - 0.5 <= left <= (total - done) / (rate - 0.5) + 0.5, progress[0]

    with launcher.on_store("sqlite", tmp_path / "ours") as ours:
        binary = str(launcher.binary())
        with terminal.OnTerminal(binary, "import", "mlflow", "mlflow.db", "--server", ours.url) as importing:
            told_how_far(importing)
            assert importing.end(120) == 0, importing.said
        into = f"sqlite:///{theirs}/before.db"
        with terminal.OnTerminal(binary, "export", "mlflow", into, "--server", ours.url) as exporting:
            told_how_far(exporting)
            exporting.interrupt()
            exporting.until("Stopped. What went is there; the same call goes on from it.")
            assert exporting.end() == 130


def many(database, count):
    """Adds runs as rows, since the client would take minutes."""
    with sqlite3.connect(database) as connection:
        for at in range(count):
            run = f"{at:032x}"
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
                " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES"
                " (?, ?, 'UNKNOWN', '', '', 'ada', 'FINISHED', ?, ?, '', 'active', '', 1)",
                (run, f"run-{at}", 1_600_000_000_000 + at, 1_600_000_001_000 + at),
            )
            connection.execute("INSERT INTO tags VALUES ('mlflow.runName', ?, ?)", (f"run-{at}", run))
            for step in range(20):
                row = ("loss", 1.0 / (step + 1), 1_600_000_000_000 + step, run, step, 0)
                connection.execute(
                    "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)", row
                )
            connection.execute(
                "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )


def test_what_cannot_be_kept_is_named_and_holds_up_nothing(ours, theirs):
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute(
            "INSERT INTO params VALUES ('nul', ?, (SELECT run_uuid FROM runs WHERE name = 'deleted'))", ("a\0b",)
        )
        connection.execute("UPDATE model_versions SET status = 'FAILED_REGISTRATION' WHERE version = 3")
        connection.execute("UPDATE registered_model_aliases SET version = 9 WHERE alias = 'challenger'")
    code, report, talk = run_import(ours)
    assert code == 1, talk
    refused = {
        (item["kind"], item["id"].split("/")[-1] if item["kind"] == "version" else ""): item["why"]
        for item in report["refused"]
    }
    assert "NUL" in refused["run", ""]
    assert "FAILED_REGISTRATION" in refused["version", "3"]
    assert "9" in refused[None, ""]
    assert report["items"]["run"]["equal"] == 4
    assert report["items"]["run"]["missing"]


def test_a_root_that_is_no_root_brings_nothing(ours, theirs):
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = '' WHERE name = 'parent'")
        connection.execute("UPDATE runs SET artifact_uri = ? WHERE name = 'deleted'", (str(theirs),))
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    client = MlflowClient(ours.url)
    for name in ("parent", "deleted"):
        (run,) = client.search_runs(["1"], f"attributes.run_name = '{name}'", run_view_type=ViewType.ALL)
        assert client.list_artifacts(run.info.run_id) == []


def test_an_alias_that_was_moved_here_stays(ours, theirs):
    assert run_import(ours)[0] == 0
    client = MlflowClient(ours.url, registry_uri=ours.url)
    client.set_registered_model_alias("scorer", "champion", "3")
    code, report, talk = run_import(ours)
    assert code == 1, talk
    assert "moved here since" in report["refused"][0]["why"]
    assert client.get_registered_model("scorer").aliases["champion"] == "3"


def test_an_alias_that_is_there_no_more_goes_unless_it_was_moved_here(ours, theirs):
    there = MlflowClient(theirs_url(theirs), registry_uri=theirs_url(theirs))
    here = MlflowClient(ours.url, registry_uri=ours.url)
    assert run_import(ours)[0] == 0
    there.delete_registered_model_alias("scorer", "challenger")
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert report["aliases_removed"] == ["scorer@challenger"]
    assert here.get_registered_model("scorer").aliases == {"champion": "1"}
    # Once it is there again, it comes again.
    there.set_registered_model_alias("scorer", "challenger", "1")
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert report["aliases_removed"] == []
    assert here.get_registered_model("scorer").aliases == {"champion": "1", "challenger": "1"}
    # What somebody has set here stays, and the models were changed by that.
    here.set_registered_model_alias("scorer", "champion", "3")
    here.set_registered_model_alias("copied", "of_ours", "1")
    there.delete_registered_model_alias("scorer", "champion")
    code, report, talk = run_import(ours)
    assert (code, report["refused"], report["aliases_removed"]) == (1, [], []), talk
    assert report["items"]["model"]["different"] == ["copied", "scorer"]
    assert here.get_registered_model("scorer").aliases == {"champion": "3", "challenger": "1"}
    assert here.get_registered_model("copied").aliases == {"of_ours": "1"}


def test_tags_of_the_default_experiment_are_compared(ours, theirs):
    there, here = MlflowClient(theirs_url(theirs)), MlflowClient(ours.url)
    there.set_experiment_tag("0", "of", "them")
    here.set_experiment_tag("0", "ours", "stays")
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert here.get_experiment("0").tags == {"of": "them", "ours": "stays"}
    here.set_experiment_tag("0", "of", "us")
    code, report, talk = run_import(ours)
    assert code == 1, talk
    assert report["items"]["experiment"]["different"] == ["0"]


def test_a_version_whose_files_come_later_is_pinned_to_them_then(ours, theirs, toy):
    assert run_import(ours, "--no-artifacts")[0] == 0
    client = MlflowClient(ours.url, registry_uri=ours.url)
    before = told(ours.url)
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert report["files"]["equal"] == report["files"]["there"] > 5
    assert report["items"]["version"]["changed"] == 3
    # What it is made of has come, and nothing else of it has changed.
    assert told(ours.url) == before
    mlflow.set_tracking_uri(ours.url)
    mlflow.set_registry_uri(ours.url)
    for name in ("models:/scorer@champion", "models:/scorer/3", "models:/copied/1"):
        assert len(mlflow.pyfunc.load_model(name).predict(toy[0])) == 200
    assert client.get_model_version("scorer", "1").status_message in ("", None)
    code, report, talk = run_import(ours)
    assert code == 0, (talk, report)
    assert (report["items"]["version"]["changed"], report["files"]["stored"]) == (0, 0)


def test_a_version_behind_a_governed_alias_gets_no_files_until_that_ends(ours, theirs):
    assert run_import(ours, "--no-artifacts")[0] == 0
    govern = {"name": "scorer", "aliases": ["champion"]}
    assert Raw(ours).post("/api/1.0/model/govern", govern).status == 200
    code, report, talk = run_import(ours)
    assert code == 1, talk
    [why] = [item["why"] for item in report["refused"] if item["kind"] == "version"]
    assert "The governed alias 'champion'" in why
    assert "gets no files now" in why
    # The others have theirs, and the alias points where it did.
    assert report["items"]["version"]["changed"] == 2
    client = MlflowClient(ours.url, registry_uri=ours.url)
    assert client.get_registered_model("scorer").aliases["champion"] == "1"
    assert Raw(ours).post("/api/1.0/model/govern", {"name": "scorer", "aliases": []}).status == 200
    code, report, talk = run_import(ours)
    assert (report["refused"], report["items"]["version"]["changed"]) == ([], 1), talk
    # To govern a model is a change of it, which is told.
    assert (code, report["items"]["model"]["different"]) == (1, ["scorer"]), talk


def test_files_that_a_version_has_for_itself_come(ours, theirs, tmp_path):
    own, proxied = theirs / "own model", theirs / "mlartifacts" / "versions" / "u" / "1"
    for folder in (own, proxied):
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text("flavors: {}\n")
        (folder / "data").mkdir()
        (folder / "data" / "ü.bin").write_bytes(folder.name.encode())
    with sqlite3.connect("mlflow.db") as connection:
        sql = "UPDATE model_versions SET source = ?, storage_location = ?, run_id = NULL WHERE name = ? AND version = ?"
        connection.execute(sql, (own.as_uri(), "", "scorer", 3))
        ((run,),) = connection.execute("SELECT run_uuid FROM metrics WHERE key = 'auc'").fetchall()
        # Whatever lies now at its source.
        connection.execute(sql, (f"runs:/{run}/notes", "mlflow-artifacts:/versions/u/1", "copied", 1))
        connection.execute(sql, ("/etc", "", "scorer", 1))
    code, report, talk = run_import(ours)
    assert code == 1, talk
    # Whatever a version names is no model for that.
    assert report["files"]["refused"] == ["of scorer/1: there is no MLmodel file at /etc"]
    assert report["items"]["version"]["equal"] == 3
    assert report["files"]["equal"] == report["files"]["there"] > 5
    mlflow.set_tracking_uri(ours.url)
    client = MlflowClient(ours.url, registry_uri=ours.url)
    for (name, number), folder in {("scorer", "3"): own, ("copied", "1"): proxied}.items():
        place = client.get_model_version_download_uri(name, number)
        root = mlflow.artifacts.download_artifacts(place, dst_path=str(tmp_path / name))
        assert mlflow_store.files(Path(root)) == mlflow_store.files(folder)
    _, again, _ = run_import(ours)
    assert (again["files"]["stored"], again["items"]["version"]["changed"]) == (0, 0)
    assert again["files"]["equal"] == report["files"]["equal"]
    # What is pinned stays as it is: what changes there is named.
    (own / "MLmodel").write_text("flavors: {x: {}}\n")
    code, again, talk = run_import(ours)
    assert code == 1, talk
    assert any("MLmodel of scorer/3" in why and "stay" in why for why in again["files"]["refused"]), again["files"]


def test_what_is_damaged_in_a_folder_is_in_the_report(ours, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = tmp_path / "mlruns"
    client = MlflowClient(folder.as_uri())
    run = client.create_run(client.create_experiment("one")).info
    for step in range(3):
        client.log_metric(run.run_id, "loss", 1.0, step=step)
    client.log_param(run.run_id, "good", "1")
    assert run_import(ours, source=str(folder))[0] == 0
    place = folder / run.experiment_id / run.run_id
    (place / "params" / "bad").write_bytes(b"\xff")
    with (place / "metrics" / "loss").open("a") as file:
        file.write("no point\n1 2 9\n")
    code, report, talk = run_import(ours, source=str(folder))
    assert code == 1, talk
    below = f"{run.experiment_id}/{run.run_id}"
    expected = [
        f"{below}/metrics/loss: 1 of its lines are damaged, the others come",
        f"{below}/params/bad: it is not UTF-8",
    ]
    assert report["unread"] == {"count": 2, "named": expected}
    # What can be read has come.
    assert report["points"] == [4, 4]
    command = [str(launcher.binary()), "import", "mlflow", str(folder), "--server", ours.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert all(f"cannot be read: {what}" in done.stderr for what in expected)
    assert "NOT everything is here and equal" in done.stdout


def test_a_version_that_both_made_holds_up_nothing(ours, theirs):
    assert run_import(ours)[0] == 0
    there = MlflowClient(theirs_url(theirs), registry_uri=theirs_url(theirs))
    here = MlflowClient(ours.url, registry_uri=ours.url)
    for client in (there, here):
        run = client.create_run("0")
        client.create_model_version("scorer", f"runs:/{run.info.run_id}/x", run.info.run_id)
    code, report, talk = run_import(ours)
    assert code == 1, talk
    (refused,) = report["refused"]
    assert (refused["kind"], refused["id"]) == ("version", "scorer/4")
    assert "did not come from" in refused["why"]
    assert report["items"]["run"]["made"] == 1
    assert report["aliases"] == [2, 2]


def test_files_out_of_reach_are_no_success(ours, theirs):
    with sqlite3.connect("mlflow.db") as connection:
        connection.execute("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/1/' || run_uuid || '/artifacts'")
    code, report, talk = run_import(ours)
    assert code == 1, talk
    assert report["files"]["out_of_reach"] == 5
    assert run_import(ours, "--no-artifacts")[0] == 0


def test_calls_that_are_wrong_say_what_to_do(ours, theirs, tmp_path):
    (tmp_path / "text.db").write_text("no database")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (a)").connection.commit()
    for source, said in (
        ("gone.db", "cannot be read"),
        (str(tmp_path / "text.db"), "cannot be read"),
        (str(tmp_path / "other.db"), "no database of MLflow"),
        ("mysql://u:hush@h/d", "SQLite and PostgreSQL"),
    ):
        code, report, talk = run_import(ours, source=source)
        assert code in (2, 4), (source, code)
        assert report is None
        assert said in talk, talk
        assert "hush" not in talk


def test_only_administrators_import(theirs, tmp_path):
    data_dir = tmp_path / "closed"
    tokens = {"root": launcher.token(data_dir, "root", "--admin"), "eve": launcher.token(data_dir, "eve")}
    server = launcher.strongback(data_dir, extra=("--auth", "tokens"))
    outcomes = {}
    try:
        for name, token in tokens.items():
            command = [str(launcher.binary()), "import", "mlflow", "mlflow.db", "--server", server.url]
            environment = os.environ | {"STRONGBACK_TOKEN": token}
            outcomes[name] = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    finally:
        server.end()
    assert outcomes["root"].returncode == 0, outcomes["root"].stderr
    assert outcomes["eve"].returncode == 3, outcomes["eve"].stderr
    assert "administrators" in outcomes["eve"].stderr
