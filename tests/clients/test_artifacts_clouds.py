"""Artifacts on Azure and on Google's store: the unchanged client, and what is there to be had in the place of either.

For Azure that is Azurite, Microsoft's own emulator, which looks at signatures. For Google it is moto behind a front that looks at
signatures and conditions as Google's documentation has them (``google_server.py``): the emulator that PyPI has does not speak the
API that is used. What a store of any kind has to do beyond this, ``test_artifacts_s3.py`` shows.
"""

import hashlib
import json
import signal
import subprocess
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
from azure_server import AzureServer
from buckets import PART, PROXY, command, fetch, in_parts, large_file, new_run, ready, refused, starting, until
from google_server import GoogleServer
from governed import ensure_schema
from raw import MLFLOW, Raw, send_slowly

pytestmark = pytest.mark.beyond
PREFIX = "team/prod"
LARGE = 3 * PART + (4 << 20) + 7


class Box:
    """A bucket of a test's own, as the store's side sees it."""

    def __init__(self, cloud, name: str):
        self.cloud, self.name = cloud, name
        self.place = f"{cloud.place(name)}/{PREFIX}"

    def objects(self) -> list[str]:
        """What lies there, but for what says whose it is and that it can be written."""
        found = self.cloud.keys(self.name)
        assert all(key.startswith(f"{PREFIX}/") for key in found), found
        return [key for key in found if not key.endswith((".json", "/probe"))]

    def put(self, key: str, body: bytes) -> None:
        self.cloud.put(self.name, key, body)

    def remove(self, key: str) -> None:
        self.cloud.remove(self.name, key)

    def unfinished(self) -> list[str]:
        return self.cloud.unfinished(self.name)


@pytest.fixture(scope="module", params=[AzureServer, GoogleServer], ids=["azure", "google"])
def cloud(request, server, tmp_path_factory):
    """A store, running. Tests that end it start it again."""
    if server.backend != "sqlite":
        pytest.skip("files lie in the same place with either store")
    running = request.param(tmp_path_factory.mktemp("cloud") / "log")
    try:
        running.start("first")
        yield running
    finally:
        running.end()


@pytest.fixture
def box(cloud, monkeypatch):
    """A bucket; the environment says where it is."""
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    name = f"box{time.time_ns()}"
    cloud.make(name)
    return Box(cloud, name)


@pytest.fixture
def start(box, server, tmp_path, monkeypatch):
    """Starts a server whose artifacts lie in the bucket; again on the same data."""
    with starting(server.backend, tmp_path, monkeypatch, box.place) as begin:
        yield begin


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_live_in_the_store(box, start, tmp_path):
    server = start("--artifacts-destination", box.place)
    client, raw = MlflowClient(), Raw(server)
    run_id, root = new_run(client)
    folder = tmp_path / "sent"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "note.txt").write_text("short")
    (folder / "deep" / "empty.txt").touch()
    large = large_file(folder / "large.bin", LARGE)
    client.log_artifacts(run_id, str(folder))
    client.log_text(run_id, "ä", "deep/ä ö%.txt")
    assert len(box.objects()) == 4
    assert box.unfinished() == []
    assert raw.send("HEAD", f"{PROXY}/artifacts/{root}/large.bin").headers["etag"] == f'"{sha256(large)}"'
    assert {f.path: f.file_size for f in client.list_artifacts(run_id)} == {"deep": None, "large.bin": LARGE}
    assert {f.path for f in client.list_artifacts(run_id, "deep")} == {
        f"deep/{name}.txt" for name in ("note", "empty", "ä ö%")
    }
    back = Path(client.download_artifacts(run_id, "", str(tmp_path)))
    assert sha256(back / "large.bin") == sha256(large)
    assert (back / "deep" / "note.txt").read_text() == "short"
    assert (back / "deep" / "empty.txt").read_bytes() == b""
    assert (back / "deep" / "ä ö%.txt").read_text() == "ä"
    whole = large.read_bytes()
    for first, last in [(0, 0), (PART - 5, PART + 4), ((4 << 20) - 1, 4 << 20), (LARGE - 3, LARGE - 1)]:
        part = raw.get(f"{PROXY}/artifacts/{root}/large.bin", Range=f"bytes={first}-{last}")
        assert (part.status, part.body) == (206, whole[first : last + 1])

    verified = command(start, tmp_path, "artifacts", "verify", "--json")
    assert (verified.returncode, json.loads(verified.stdout)["objects"]) == (0, 4), verified.stderr
    looked = command(start, tmp_path, "doctor", "--json")
    found = {one["check"]: one for one in json.loads(looked.stdout)}
    assert "this data directory's" in found["artifacts"]["what"], found
    client.log_text(run_id, "another", "deep/note.txt")
    assert raw.send("DELETE", f"{PROXY}/artifacts/{root}/large.bin").status == 200
    until(lambda: len(box.objects()) == 3)
    server.stop(signal.SIGKILL)
    # Where they are is known without being told.
    server = start("--log", "info")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/deep/note.txt") == "another"
    objects = [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()]
    assert objects == [], "nothing of a file lies in the data directory"
    assert server.stop() == 0


def test_parts_become_one_object_and_come_from_the_store(box, start, tmp_path, monkeypatch):
    server = start()
    client = MlflowClient()
    run_id, root = new_run(client)
    sent = large_file(tmp_path / "large.bin")
    in_parts(monkeypatch)
    client.log_artifact(run_id, str(sent))
    assert len(box.objects()) == 1
    assert box.unfinished() == []
    (tmp_path / "back").mkdir()
    back = Path(client.download_artifacts(run_id, "large.bin", str(tmp_path / "back")))
    assert sha256(back) == sha256(sent)

    client.log_text(run_id, "0123456789", "note.txt")
    said = Raw(server).get(f"{PROXY}/presigned/{root}/note.txt").json
    assert said["url"].startswith(f"{box.cloud.url}/"), said
    assert box.cloud.signature in said["url"]
    assert fetch(said["url"]) == (200, b"0123456789")
    assert fetch(said["url"], {"Range": "bytes=2-4"}) == (206, b"234")
    at = f"{MLFLOW}/artifacts/presigned-download-url"
    address = Raw(server).post(at, {"run_id": run_id, "path": "note.txt", "expiration": 3}).json["presigned_url"]
    assert fetch(address)[1] == b"0123456789"
    head, _, query = said["url"].partition("?")
    other = head[: head.index(PREFIX)] + f"{PREFIX}/owner.json"
    assert refusal(f"{other}?{query}") == 403, "the address of one object is good for no other"
    until(lambda: refusal(address) in (400, 403))
    assert server.stop() == 0


def refusal(address) -> int | None:
    """The status by which an address is refused, if it is."""
    try:
        fetch(address)
    except urllib.error.HTTPError as error:
        return error.code
    return None


def test_models_are_registered_and_loaded(box, start, toy, toy_model):
    server = start()
    features, _ = toy
    with mlflow.start_run():
        # What it requires is said, since finding it out takes longer than all else here.
        said = {"registered_model_name": "fraud", "pip_requirements": ["scikit-learn"]}
        info = mlflow.sklearn.log_model(toy_model, name="model", **said)
    assert int(info.registered_model_version) == 1
    loaded = mlflow.pyfunc.load_model("models:/fraud/1")
    assert (loaded.predict(features) == toy_model.predict(features)).all()
    assert box.objects()
    assert server.stop() == 0


def test_what_is_damaged_or_gone_is_told(box, start, tmp_path):
    server = start()
    client = MlflowClient()
    run_id, root = new_run(client)
    keys = {}
    for name in ("other", "gone", "cut", "kept"):
        before = set(box.objects())
        client.log_text(run_id, "0123456789", name)
        (keys[name],) = set(box.objects()) - before
    # What a process stored or hashed itself it does not hash again.
    server.stop(signal.SIGKILL)
    box.put(keys["other"], b"0123456780")
    box.put(keys["cut"], b"01234")
    box.remove(keys["gone"])
    server = start()
    for name, part in [("other", None), ("gone", None), ("cut", None), ("cut", "bytes=2-8"), ("cut", "bytes=7-8")]:
        answer = Raw(server).send("GET", f"{PROXY}/artifacts/{root}/{name}", headers={"Range": part})
        assert (answer.status, answer.error_code) == (410, "RESOURCE_DOES_NOT_EXIST"), answer
        assert f"'{name}'" in answer.message
        with pytest.raises(mlflow.MlflowException):
            client.download_artifacts(run_id, name, str(tmp_path))
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/kept") == "0123456789"
    verified = command(start, tmp_path, "artifacts", "verify", "--json")
    assert verified.returncode == 1, verified
    problems = {damage["problem"].split(":")[0] for damage in json.loads(verified.stdout)["damaged"]}
    assert problems == {"its bytes are others", "its object is gone", "it has 5 bytes, and 10 were stored"}
    # What is gone already is no hindrance to its deletion.
    for name in keys:
        assert Raw(server).send("DELETE", f"{PROXY}/artifacts/{root}/{name}").status == 200
    until(lambda: not box.objects())
    assert server.stop() == 0
    assert "could not be removed" not in server.log.read_text()


def test_a_kill_in_the_middle_leaves_nothing(box, start):
    server = start()
    client = MlflowClient()
    run_id, root = new_run(client)
    client.log_text(run_id, "kept", "kept.txt")
    connection = send_slowly(server, f"{PROXY}/artifacts/{root}/half.bin", 5 * PART, 3 * PART)
    until(box.unfinished)
    server.stop(signal.SIGKILL)
    connection.close()
    server = start()
    assert [f.path for f in MlflowClient().list_artifacts(run_id)] == ["kept.txt"]
    if not isinstance(box.cloud, AzureServer):
        until(lambda: not box.unfinished())
    until(lambda: not list((server.data_dir / "artifact-uploads").iterdir()))
    assert len(box.objects()) == 1
    assert server.stop() == 0


def test_a_store_that_is_away_comes_back(box, start):
    server = start()
    client, raw = MlflowClient(), Raw(server)
    run_id, root = new_run(client)
    client.log_text(run_id, "kept", "kept.txt")
    assert ready(server)[0] == 200
    box.cloud.end()
    began = time.monotonic()
    at = f"{PROXY}/artifacts/{root}"
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(raw.send, "PUT", f"{at}/x.txt", b"x"), pool.submit(raw.get, f"{at}/kept.txt")]
    for answer in [one.result() for one in asked]:
        assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE"), answer
        assert f"The object store {box.place} does not answer as it should" in answer.message
    assert time.monotonic() - began < 20
    until(lambda: ready(server)[0] == 503)
    assert "does not answer" in ready(server)[1]
    client.log_param(run_id, "a", "1")
    assert [f.path for f in client.list_artifacts(run_id)] == ["kept.txt"]
    box.cloud.start(box.name)
    until(lambda: ready(server)[0] == 200)
    client.log_text(run_id, "again", "x.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/x.txt") == "again"
    if isinstance(box.cloud, AzureServer):  # moto forgets all that it had.
        assert mlflow.artifacts.load_text(f"runs:/{run_id}/kept.txt") == "kept"
    assert server.stop() == 0


def test_wrong_credentials_and_buckets_are_told(box, start, tmp_path, monkeypatch):
    none = f"{box.cloud.place('none')}/x"
    assert f"There is no object store at {none}" in refused(start, "--artifacts-url", none)
    with monkeypatch.context() as wrong:
        for name, value in box.cloud.wrong_credentials.items():
            wrong.setenv(name, value)
        assert "refuses this server: its credentials are wrong" in refused(start)
    # None of it has bound the store to a place; and what it takes now is taken.
    assert start().stop() == 0
    with pytest.raises(AssertionError, match="belongs to another data directory"):
        launcher.strongback(tmp_path / "second", extra=("--artifacts-url", box.place))


def test_another_way_to_say_it(cloud, box, start, monkeypatch):
    """Azure by an address with the account in it, a key and an endpoint; Google by an account that stands in a variable."""
    for name in cloud.environment:
        monkeypatch.delenv(name)
    place, environment = cloud.another_way(box.name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = start("--artifacts-url", f"{place}/{PREFIX}")
    run_id, root = new_run(MlflowClient())
    MlflowClient().log_text(run_id, "0123456789", "note.txt")
    assert len(box.objects()) == 1
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/note.txt") == "0123456789"
    address = Raw(server).get(f"{PROXY}/presigned/{root}/note.txt").json["url"]
    assert fetch(address) == (200, b"0123456789")
    assert server.stop() == 0


def strongback(server, *arguments):
    done = subprocess.run(
        [launcher.binary(), *arguments, "--server", server.url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tables_live_there(box, start, tmp_path):
    tables = ("--tables-url", f"{box.cloud.place(box.name)}/{PREFIX}/tables")
    server = start(*tables)
    ensure_schema(server, "prod", "risk")
    for number in range(2):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"id,amount\n{number},2.5\n{number + 10},4\n")
        strongback(server, "table", "import", str(path), "--name", "prod.risk.t", "--batch-id", f"b{number}")
    strongback(server, "table", "import", str(tmp_path / "0.csv"), "--name", "prod.risk.t", "--batch-id", "b0")
    server.stop(signal.SIGKILL)

    server = start(*tables)
    counted = strongback(server, "sql", "SELECT count(*) AS n, sum(id) AS s FROM prod.risk.t", "--format", "json")
    assert json.loads(counted) == {"n": 4, "s": 22}
    counted = "SELECT count(*) AS n FROM prod.risk.t VERSION AS OF 1"
    assert json.loads(strongback(server, "sql", counted, "--format", "json")) == {"n": 2}
    strongback(server, "table", "compact", "prod.risk.t")
    before = parquet(box)
    strongback(server, "table", "vacuum", "prod.risk.t", "--keep-from", "3")
    assert len(parquet(box)) == len(before) - 2, "the two files that were joined"
    assert server.stop() == 0
    assert not (tmp_path / "data" / "tables").exists(), "nothing of a table lies in the data directory"


def parquet(box):
    return [found for found in box.objects() if found.endswith(".parquet") and "_delta_log" not in found]
