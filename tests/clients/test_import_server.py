"""``strongback import mlflow URL``: MLflow's own server as the source, compared by what its client is told by both."""

import contextlib
import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import mlflow
import pytest
import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import ViewType

import launcher
import mlflow_store
from conftest import POSTGRES_URL, addressing_nothing, backends
from raw import MLFLOW
from test_import import run_import, told

# MLflow's server takes half a minute to start, more on a busy machine, and a test here starts one or two.
pytestmark = [pytest.mark.beyond, pytest.mark.timeout(300)]

# More than a server answers at once: runs, points of a metric, and runs with a metric.
RUNS, POINTS, MEASURED, LOGGED = 1_010, 25_500, 45, 60


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    with addressing_nothing(monkeypatch):
        yield


class Peer:
    """MLflow's server in a folder of its own, which may be ended and started again at its address."""

    def __init__(self, folder, *flags, store=None, **variables):
        self.folder, self.flags, self.variables = folder, flags, variables
        self.store = store or f"sqlite:///{folder}/mlflow.db"
        folder.mkdir(exist_ok=True)
        self.port = launcher.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port), *self.flags]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=os.environ | self.variables,
                start_new_session=True,
            )
        server = launcher.Server(self.url, "peer", process=self.process, log=self.folder / "server.log")
        try:
            launcher.wait_until_healthy(server, limit_s=120)
        except BaseException:
            self.end()
            raise

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Forwarding(http.server.BaseHTTPRequestHandler):
    def forward(self):
        if self.server.is_away:
            self.send_error(502, "Bad Gateway")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        there = http.client.HTTPConnection("127.0.0.1", self.server.port_behind, timeout=30)
        there.request(self.command, self.path, body or None, {"Content-Type": "application/json"})
        answer = there.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Disposition"):
            if value := answer.headers.get(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        there.close()

    do_GET = do_POST = forward

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def proxy_before(peer):
    """What stands before a server: it answers 502 once the server is away."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forwarding) as proxy:
        proxy.is_away, proxy.port_behind = False, peer.port
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        proxy.url = f"http://127.0.0.1:{proxy.server_port}"
        yield proxy
        proxy.shutdown()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, toy, toy_model):
    """A server with everything in it, on PostgreSQL where there is one."""
    database = launcher.create_database(POSTGRES_URL) if POSTGRES_URL else None
    store = "postgresql+psycopg://" + database.split("://")[1] if database else None
    try:
        peer = Peer(tmp_path_factory.mktemp("peer"), store=store)
        try:
            client = mlflow_store.fill(peer.url, toy, toy_model)
            mlflow_store.widen(client)
            many(peer.store)
            odd_files(peer.folder / "odd", client)
            yield peer
        finally:
            peer.end()
    finally:
        if database:
            launcher.drop_database(POSTGRES_URL, database)


def many(store):
    """Adds more than a page of everything that has pages, as rows, since the client would take minutes."""
    engine = sqlalchemy.create_engine(store)
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:

        def insert(table, rows):
            connection.execute(tables.tables[table].insert(), rows)

        (home,) = connection.scalars(sqlalchemy.text("SELECT experiment_id FROM experiments WHERE name = 'wide'"))
        ids = [f"{at:032x}" for at in range(RUNS)]
        runs = [
            {
                "run_uuid": run, "name": f"run-{at}", "user_id": "ada", "source_type": "UNKNOWN", "source_name": "",
                "status": "FINISHED", "start_time": 1_600_000_000_000 + at // 7, "lifecycle_stage": "active",
                "artifact_uri": "", "experiment_id": home,
            }
            for at, run in enumerate(ids)
        ]  # fmt: skip
        insert("runs", runs)
        insert("tags", [{"key": "mlflow.runName", "value": f"run-{at}", "run_uuid": run} for at, run in enumerate(ids)])
        for run in ids[:MEASURED]:
            points = [
                {"key": "loss", "value": 1 / (1 + at), "timestamp": at, "run_uuid": run, "step": at, "is_nan": False}
                for at in range(POINTS if run == ids[7] else 3)
            ]
            insert("metrics", points)
            insert("latest_metrics", points[-1:])
        places = f"mlflow-artifacts:/{home}/models/m-%032x/artifacts"
        models = [
            {
                "model_id": f"m-{at:032x}", "experiment_id": home, "name": "many", "artifact_location": places % at,
                "creation_timestamp_ms": at, "last_updated_timestamp_ms": at, "status": 2, "lifecycle_stage": "active",
            }
            for at in range(LOGGED)
        ]  # fmt: skip
        insert("logged_models", models)
        # Nothing else of them is filled.
        insert(
            "registered_models",
            [{"name": f"model-{at}", "creation_time": at, "last_updated_time": at + 1} for at in range(RUNS)],
        )
    engine.dispose()


ODD = (
    "deep/er/0 %41+&.txt",
    ".hidden",
    "a..b/c.txt",
    "日本/語.bin",
    "quote'\".txt",
    "x  y .txt",
    "a=b;c,d@e.txt",
    "[1]/{2}.txt",
)


def odd_files(folder, client):
    """Logs files whose names are unusual, an empty one and one of some size, of a run and of a logged model."""
    for name in ODD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "none").touch()
    (folder / "big.bin").write_bytes(bytes(range(256)) * 4_096)
    (home,) = client.search_experiments(filter_string="name = 'wide'")
    (run,) = client.search_runs([home.experiment_id], "attributes.run_name = 'run 0'")
    client.log_artifacts(run.info.run_id, str(folder), "odd dir")
    (model,) = client.search_logged_models([home.experiment_id], "name = 'm0'")
    client.log_model_artifacts(model.model_id, str(folder))


@pytest.fixture(scope="module")
def before(theirs, tmp_path_factory):
    """What MLflow's client is told by MLflow's server."""
    return told(theirs.url), pieces(theirs.url), bytes_of(theirs.url, tmp_path_factory.mktemp("before"))


@pytest.fixture(params=["sqlite"])
def ours(request, tmp_path):
    """An empty server."""
    with launcher.on_store(request.param, tmp_path / "ours") as server:
        yield server


def pieces(url):
    """What a client is told when it asks for one thing, where searches say less."""
    client = MlflowClient(url, registry_uri=url)
    runs = client.search_runs(
        [home.experiment_id for home in client.search_experiments(ViewType.ALL)],
        run_view_type=ViewType.ALL,
        order_by=["attributes.start_time DESC"],
        max_results=20,
    )
    wholes = [client.get_run(run.info.run_id) for run in runs]
    models = mlflow_store.every(client.search_registered_models, max_results=1_000)
    aliased = [(model.name, alias) for model in models for alias in model.aliases]
    return {
        "inputs": {
            whole.info.run_id: (
                sorted(model.model_id for model in whole.inputs.model_inputs),
                sorted((model.model_id, model.step) for model in whole.outputs.model_outputs),
            )
            for whole in wholes
        },
        "by alias": {of: str(client.get_model_version_by_alias(*of).version) for of in aliased},
        "latest": {
            name: sorted((str(version.version), version.current_stage) for version in client.get_latest_versions(name))
            for name in dict(aliased)
        },
        "charts": {
            (most, steps): charted(url, [f"{at:032x}" for at in (7, 8, MEASURED + 1)], most, steps)
            for most in (1, 2, 7, 999, 2_500)
            for steps in (None, (17, 17), (100, 2_600), (POINTS - 2, POINTS * 2))
        },
    }


def charted(url, run_ids, most, steps):
    """The points that a chart of some runs gets, in their order: a long history, a short one and none."""
    query = {"run_ids": run_ids, "metric_key": "loss", "max_results": most}
    if steps:
        query |= {"start_step": steps[0], "end_step": steps[1]}
    path = f"{MLFLOW}/metrics/get-history-bulk-interval?{urllib.parse.urlencode(query, doseq=True)}"
    with urllib.request.urlopen(url + path, timeout=60) as answer:
        points = json.load(answer).get("metrics", [])
    return [(p["run_id"], p.get("step", 0), p.get("timestamp", 0), p["value"]) for p in points]


def bytes_of(url, folder):
    """The bytes of every file that a client is given, of runs, logged models and versions."""
    client = MlflowClient(url, registry_uri=url)
    homes = [home.experiment_id for home in client.search_experiments()]
    places = {
        run.info.run_id: run.info.artifact_uri
        for run in client.search_runs(homes, "attributes.start_time > 1700000000000")
    }
    places |= {
        m.model_id: m.artifact_location
        for m in mlflow_store.every(client.search_logged_models, homes, "name != 'many'")
    }
    versions = client.search_model_versions("name = 'scorer'") + client.search_model_versions("name = 'copied'")
    places |= {f"{v.name}/{v.version}": client.get_model_version_download_uri(v.name, v.version) for v in versions}
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    found = {owner: mlflow_store.files(fetched(place, folder / owner)) for owner, place in places.items()}
    for files in found.values():
        # The client itself writes it beside what it fetches.
        files.pop("registered_model_meta", None)
    return found


def fetched(place, folder):
    folder.mkdir(parents=True)
    if not mlflow.artifacts.list_artifacts(place):
        return folder
    return Path(mlflow.artifacts.download_artifacts(place, dst_path=str(folder)))


def assert_same(after, before):
    assert after.keys() == before.keys()
    for part in before:
        # Not whole, or pytest would compare megabytes.
        pairs = {key: (after[part].get(key), before[part].get(key)) for key in after[part].keys() | before[part].keys()}
        odd = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        assert not odd, (part, len(odd), list(odd.items())[:3])


@pytest.mark.parametrize("ours", backends()[-1:], indirect=True)
def test_mlflows_own_server_comes_in_whole(ours, theirs, before, toy, tmp_path):
    code, report, talk = run_import(ours, source=theirs.url)
    assert code == 0, (talk, report)
    assert_same(told(ours.url), before[0])
    assert_same(pieces(ours.url), before[1])
    files = bytes_of(ours.url, tmp_path / "after")
    assert_same(files, before[2])
    # What was compared is not little.
    assert report["items"]["run"]["there"] == len(before[0]["runs"]) == RUNS + 8
    assert len(before[0]["logged"]) == LOGGED + 8
    assert len(before[0]["models"]) == RUNS + 4
    odd = sorted(sum(path.endswith(ODD) for path in paths) for paths in files.values())
    # MLflow's client takes %41 for an A.
    assert odd[-2:] == [len(ODD) - 1] * 2, sorted(set().union(*files.values()))
    assert {(len(reads), len(writes)) for reads, writes in before[1]["inputs"].values()} >= {(0, 0), (2, 0), (0, 3)}
    mlflow.set_tracking_uri(ours.url)
    mlflow.set_registry_uri(ours.url)
    features, _ = toy
    for name in ("models:/scorer@champion", "models:/scorer/Production", "models:/copied/1"):
        assert len(mlflow.pyfunc.load_model(name).predict(features)) == len(features)


@pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")
def test_its_postgresql_comes_in_whole_and_once(ours, theirs, before, tmp_path):
    """As MLflow's own server has filled it: with flags that are true or false, and fields that are nothing."""
    flags = ("--artifacts", str(theirs.folder / "artifacts"))
    code, report, talk = run_import(ours, *flags, source=theirs.store)
    assert code == 0, (talk, report)
    assert_same(told(ours.url), before[0])
    assert_same(pieces(ours.url), before[1])
    assert_same(bytes_of(ours.url, tmp_path / "after"), before[2])
    once_more(ours, theirs.store, *flags)


@pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")
def test_a_server_starts_on_the_database_that_mlflow_filled(theirs, before, tmp_path):
    """The tables of both lie side by side."""
    server = launcher.strongback(tmp_path / "ours", extra=("--backend-store-uri", theirs.store, "--serve-artifacts"))
    try:
        assert "does not read what MLflow's server has stored" in server.log.read_text()
        client = MlflowClient(server.url, registry_uri=server.url)
        assert [home.name for home in client.search_experiments(ViewType.ALL)] == ["Default"]
        assert list(client.search_registered_models()) == []
        flags = ("--artifacts", str(theirs.folder / "artifacts"))
        code, report, talk = run_import(server, *flags, source=theirs.store)
        assert code == 0, (talk, report)
        assert_same(told(server.url), before[0])
        # MLflow's server goes on.
        assert_same(pieces(theirs.url), before[1])
        assert server.stop() == 0
    finally:
        server.end()


def once_more(ours, source, *flags):
    """Nothing is new."""
    before = told(ours.url)
    code, report, talk = run_import(ours, *flags, source=source)
    assert code == 0, (talk, report)
    assert all((line["made"], line["changed"]) == (0, 0) for line in report["items"].values())
    assert report["files"]["stored"] == 0
    assert_same(told(ours.url), before)


def broken_off(ours, source, folder, end):
    """Imports, and calls `end` once files have begun to come; the exit code and what was said."""
    command = [str(launcher.binary()), "import", "mlflow", source, "--server", ours.url, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as importing:
        until = time.monotonic() + 30
        # Files come one by one, when the runs are there.
        while not list(folder.glob("**/objects/??/*")) and time.monotonic() < until:
            time.sleep(0.01)
        end()
        _, talk = importing.communicate(timeout=60)
    return importing.returncode, talk


def test_a_server_that_ends_in_the_middle_is_an_error_and_the_rest_comes_later(tmp_path):
    peer = Peer(tmp_path)
    try:
        client = MlflowClient(peer.url)
        home = client.create_experiment("many")
        for number in range(40):
            run = client.create_run(home, run_name=str(number))
            client.log_text(run.info.run_id, "x" * 10_000, "a/file.txt")
        before = told(peer.url)
        with proxy_before(peer) as proxy, launcher.on_store("sqlite", tmp_path / "behind") as ours:
            code, talk = broken_off(ours, proxy.url, tmp_path / "behind", lambda: setattr(proxy, "is_away", True))
            assert code == 4, talk
            assert f"{proxy.url} answered 502" in talk, talk
        with launcher.on_store("sqlite", tmp_path / "ours") as ours:
            code, talk = broken_off(ours, peer.url, tmp_path / "ours", peer.end)
            assert code == 4, talk
            assert f"{peer.url} does not answer any more" in talk, talk
            peer.start()
            code, report, talk = run_import(ours, source=peer.url)
            assert code == 0, (talk, report)
            assert told(ours.url) == before
            assert report["files"]["equal"] == report["files"]["there"] == 40
            once_more(ours, peer.url)
    finally:
        peer.end()


def test_files_on_the_disk_of_a_server_come_too(tmp_path):
    """Of a server that passes no files on, as one with `--default-artifact-root /srv/mlruns`."""
    peer = Peer(tmp_path / "peer", "--default-artifact-root", str(tmp_path / "roots"))
    try:
        client = MlflowClient(peer.url)
        home = client.create_experiment("disk")
        assert client.get_experiment(home).artifact_location.startswith(str(tmp_path / "roots"))
        runs = [client.create_run(home).info.run_id for _ in range(3)]
        folder = tmp_path / "files"
        # MLflow's server takes %41 for an A.
        odd = [name for name in ODD if "%41" not in name]
        for name in odd:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        client.log_artifacts(runs[0], str(folder), "dir")
        client.log_text(runs[1], "deleted", "a.txt")
        client.delete_run(runs[1])
        model = client.create_logged_model(home, "net").model_id
        client.log_model_artifacts(model, str(folder))
        client.finalize_logged_model(model, "READY")
        with launcher.on_store("sqlite", tmp_path / "ours") as ours:
            code, report, talk = run_import(ours, source=peer.url)
            assert code == 0, (talk, report)
            assert report["files"]["equal"] == report["files"]["there"] == 2 * len(odd) + 1
            assert_same(
                {"files": files_here(ours.url, runs[0], model)}, {"files": files_here(peer.url, runs[0], model)}
            )
            code, report, talk = run_import(ours, source=peer.url)
            assert (code, report["files"]["stored"]) == (0, 0), (talk, report)
            # What its disk has no more it lists as empty: that is no success, and none of this machine's paths is read in its place.
            (tmp_path / "roots").rename(tmp_path / "gone")
            code, report, talk = run_import(ours, source=peer.url)
            assert (code, report["files"]["there"], report["files"]["out_of_reach"]) == (1, 0, 4), (talk, report)
    finally:
        peer.end()


def files_here(url, run_id, model_id):
    """Paths and sizes as a server lists them."""
    client = MlflowClient(url)

    def below(lister, owner, path=None):
        for file in lister(owner, path):
            if file.is_dir:
                yield from below(lister, owner, file.path)
            else:
                yield f"{owner}/{file.path}", file.file_size

    return dict(below(client.list_artifacts, run_id)) | dict(below(client.list_logged_model_artifacts, model_id))


def test_a_server_that_asks_for_a_login_is_told_one(tmp_path, monkeypatch):
    password = "a long password"
    secrets = {"MLFLOW_AUTH_ADMIN_PASSWORD": password, "MLFLOW_FLASK_SERVER_SECRET_KEY": "key"}
    peer = Peer(tmp_path, "--app-name", "basic-auth", **secrets)
    try:
        with launcher.on_store("sqlite", tmp_path / "ours") as ours:
            code, report, talk = run_import(ours, source=peer.url)
            assert (code, report) == (3, None), talk
            assert "none is set" in talk
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
            code, report, talk = run_import(ours, source=peer.url)
            assert (code, report) == (3, None), talk
            assert "401" in talk
            assert "wrong" not in talk
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
            client = MlflowClient(peer.url)
            run = client.create_run("0")
            client.log_text(run.info.run_id, "text", "a.txt")
            before = told(peer.url)
            code, report, talk = run_import(ours, source=peer.url)
            assert code == 0, (talk, report)
            assert report["files"]["equal"] == 1
            monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
            # So may the address.
            with_login = peer.url.replace("//", f"//admin:{password.replace(' ', '%20')}@")
            code, report, talk = run_import(ours, source=with_login)
            assert (code, report["items"]["run"]["made"]) == (0, 0), (talk, report)
            assert password not in talk + str(report)
            assert_same(told(ours.url), before)
    finally:
        peer.end()
