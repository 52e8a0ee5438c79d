"""Artifacts on an object store: the unchanged client, with moto's S3 server in the place of Amazon's."""

import hashlib
import json
import signal
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
from buckets import PART, PROXY, command, fetch, in_parts, large_file, new_run, ready, refused, starting, until
from raw import MLFLOW, Raw, send_slowly, there_and_back
from s3_server import S3Server

pytestmark = pytest.mark.beyond
BUCKET = "artifacts"
PLACE = f"s3://{BUCKET}/team/prod"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An S3 server with one bucket; the environment says where it is."""
    server = S3Server(tmp_path / "moto.log")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.start(BUCKET)
    yield server
    server.end()


@pytest.fixture
def start(store, server, tmp_path, monkeypatch):
    """Starts a server on the metadata store that is asked for, whose artifacts lie in the bucket; again on the same data."""
    with starting(server.backend, tmp_path, monkeypatch, PLACE) as begin:
        yield begin


def keys(store):
    """What lies in the bucket, but for what says whose it is and that it can be written."""
    listed = store.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    found = [one["Key"] for one in listed]
    assert all(key.startswith("team/prod/") for key in found), found
    return [key for key in found if not key.endswith((".json", "/probe"))]


def uploads(store):
    return store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


def test_files_live_in_the_bucket(store, start, tmp_path):
    server = start()
    client, raw = MlflowClient(), Raw(server)
    run_id, root = new_run(client)
    large = large_file(tmp_path / "large.bin")
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    client.log_text(run_id, "short", "deep/note.txt")
    client.log_text(run_id, "", "deep/empty.txt")
    client.log_artifact(run_id, str(large))
    assert len(keys(store)) == 3
    assert uploads(store) == []
    head = raw.send("HEAD", f"{PROXY}/artifacts/{root}/large.bin")
    assert head.headers["etag"] == f'"{digest}"'
    assert {f.path for f in client.list_artifacts(run_id)} == {"deep", "large.bin"}
    back = Path(client.download_artifacts(run_id, "", str(tmp_path)))
    assert hashlib.sha256((back / "large.bin").read_bytes()).hexdigest() == digest
    assert (back / "deep" / "empty.txt").read_bytes() == b""
    part = raw.send("GET", f"{PROXY}/artifacts/{root}/large.bin", headers={"Range": f"bytes={PART - 5}-{PART + 4}"})
    assert (part.status, part.body) == (206, large.read_bytes()[PART - 5 : PART + 5])

    verified = command(start, tmp_path, "artifacts", "verify", "--json")
    assert json.loads(verified.stdout)["objects"] == 3, verified.stderr
    assert verified.returncode == 0
    looked = command(start, tmp_path, "doctor", "--json")
    found = {one["check"]: one for one in json.loads(looked.stdout)}
    assert "this data directory's" in found["artifacts"]["what"], found

    client.log_text(run_id, "another", "deep/note.txt")
    assert raw.send("DELETE", f"{PROXY}/artifacts/{root}/large.bin").status == 200
    until(lambda: len(keys(store)) == 2)
    server.stop(signal.SIGKILL)
    # Where they are is known without being told.
    server = start("--log", "info")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/deep/note.txt") == "another"
    objects = [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()]
    assert objects == [], "nothing of a file lies in the data directory"
    assert server.stop() == 0


def test_memory_does_not_grow_with_the_file(store, start):
    server = start()
    _, root = new_run(MlflowClient())
    there_and_back(server, f"{PROXY}/artifacts/{root}/first.bin", 1 << 20)
    before = server.peak_mb()
    there_and_back(server, f"{PROXY}/artifacts/{root}/large.bin", 160 << 20)
    # Two parts of an upload, and what it takes to send them.
    assert server.peak_mb() - before < 55
    assert server.stop() == 0


def test_damage_in_the_bucket_is_found(store, start, tmp_path):
    server = start()
    client = MlflowClient()
    run_id, _ = new_run(client)
    client.log_text(run_id, "one", "one.txt")
    client.log_text(run_id, "two", "two.txt")
    one, two = keys(store)
    store.client.put_object(Bucket=BUCKET, Key=one, Body=b"own")
    store.client.delete_object(Bucket=BUCKET, Key=two)
    verified = command(start, tmp_path, "artifacts", "verify", "--json")
    assert verified.returncode == 1, verified
    problems = {damage["problem"].split(":")[0] for damage in json.loads(verified.stdout)["damaged"]}
    assert problems == {"its bytes are others", "its object is gone"}
    assert server.stop() == 0


def test_parts_become_one_object(store, start, tmp_path, monkeypatch):
    server = start()
    client = MlflowClient()
    run_id, _ = new_run(client)
    large = large_file(tmp_path / "large.bin")
    in_parts(monkeypatch)
    client.log_artifact(run_id, str(large))
    small = large_file(tmp_path / "one-part.bin", 3 << 20)
    client.log_artifact(run_id, str(small))
    assert len(keys(store)) == 2
    assert uploads(store) == []
    # And down in parts, past the server.
    for name in ("large.bin", "one-part.bin"):
        (tmp_path / "back").mkdir(exist_ok=True)
        back = Path(client.download_artifacts(run_id, name, str(tmp_path / "back")))
        assert back.read_bytes() == (tmp_path / name).read_bytes()
    assert [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()] == []
    assert server.stop() == 0


def test_addresses_are_those_of_the_store(store, start):
    server = start()
    client, raw = MlflowClient(), Raw(server)
    run_id, root = new_run(client)
    client.log_text(run_id, "0123456789", "note.txt")
    answer = raw.get(f"{PROXY}/presigned/{root}/note.txt").json
    assert answer["url"].startswith(store.url), answer
    assert answer["file_size"] == 10
    assert fetch(answer["url"]) == (200, b"0123456789")
    assert fetch(answer["url"], {"Range": "bytes=2-4"}) == (206, b"234")
    at = f"{MLFLOW}/artifacts/presigned-download-url"
    answer = raw.post(at, {"run_id": run_id, "path": "note.txt", "expiration": 60}).json
    assert "X-Amz-Expires=60&" in answer["presigned_url"]
    assert fetch(answer["presigned_url"])[1] == b"0123456789"
    answer = raw.post(at, {"run_id": run_id, "path": "note.txt", "expiration": 604_800}).json
    assert "X-Amz-Expires=900&" in answer["presigned_url"], "a quarter of an hour at most"
    for body, status in [
        ({"run_id": run_id, "path": "note.txt", "expiration": 0}, 400),
        ({"run_id": run_id, "path": "none.txt"}, 404),
        ({"run_id": "0" * 32, "path": "note.txt"}, 404),
        ({"run_id": run_id, "path": "../x"}, 400),
    ]:
        assert raw.post(at, body).status == status, body
    answer = raw.post(f"{MLFLOW}/artifacts/presigned-upload-url", {"run_id": run_id, "path": "note.txt"})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    files_api = f"/WorkspaceInternal/Mlflow/Artifacts/{root.split('/')[0]}/Runs/{run_id}/artifacts/note.txt"
    answer = raw.post("/api/2.0/fs/create-download-url", {"path": files_api})
    assert fetch(answer.json["url"]) == (200, b"0123456789"), answer
    assert answer.json["url"].startswith(store.url)
    assert server.stop() == 0

    server = start("--artifacts-presign", "off")
    raw = Raw(server)
    assert raw.get(f"{PROXY}/presigned/{root}/note.txt").json["url"].startswith(server.url)
    assert raw.post(at, {"run_id": run_id, "path": "note.txt"}).status == 400
    assert server.stop() == 0


def test_models_are_registered_and_loaded(store, start, toy, toy_model):
    server = start()
    features, _ = toy
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(toy_model, name="model", registered_model_name="fraud")
    assert int(info.registered_model_version) == 1
    loaded = mlflow.pyfunc.load_model("models:/fraud/1")
    assert (loaded.predict(features) == toy_model.predict(features)).all()
    assert keys(store)
    assert server.stop() == 0


def test_a_kill_in_the_middle_leaves_nothing(store, start):
    server = start()
    client = MlflowClient()
    run_id, root = new_run(client)
    client.log_text(run_id, "kept", "kept.txt")
    connection = send_slowly(server, f"{PROXY}/artifacts/{root}/half.bin", 5 * PART, 3 * PART)
    until(lambda: uploads(store))
    server.stop(signal.SIGKILL)
    connection.close()
    server = start()
    client = MlflowClient()
    assert [f.path for f in client.list_artifacts(run_id)] == ["kept.txt"]
    until(lambda: not uploads(store))
    assert len(keys(store)) == 1
    # A client that goes away itself.
    connection = send_slowly(server, f"{PROXY}/artifacts/{root}/half.bin", 5 * PART, 3 * PART)
    until(lambda: uploads(store))
    connection.close()
    until(lambda: not uploads(store))
    assert [f.path for f in client.list_artifacts(run_id)] == ["kept.txt"]
    assert server.stop() == 0


def test_a_store_that_is_away_comes_back(store, start):
    server = start()
    client, raw = MlflowClient(), Raw(server)
    run_id, root = new_run(client)
    assert ready(server)[0] == 200
    store.end()
    began = time.monotonic()
    answer = raw.send("PUT", f"{PROXY}/artifacts/{root}/x.txt", b"x")
    assert time.monotonic() - began < 20
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE"), answer
    assert "does not answer as it should" in answer.message
    # What was found a moment ago is answered for a second.
    until(lambda: ready(server)[0] == 503)
    assert "does not answer" in ready(server)[1]
    # Metadata goes on.
    client.log_param(run_id, "a", "1")
    assert client.list_artifacts(run_id) == []
    server.stop(signal.SIGKILL)
    server = start()
    assert ready(server)[0] == 503
    store.start(BUCKET)
    until(lambda: ready(server)[0] == 200)
    client = MlflowClient()
    client.log_text(run_id, "again", "x.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/x.txt") == "again"
    assert server.stop() == 0


def test_wrong_credentials_and_buckets_are_told(store, start, tmp_path):
    assert "There is no object store at s3://none" in refused(start, "--artifacts-url", "s3://none/x")
    store.end()
    assert "does not answer" in refused(start)
    store.start(BUCKET, INITIAL_NO_AUTH_ACTION_COUNT="1")
    assert "refuses this server: its credentials are wrong" in refused(start)
    store.end()
    store.start(BUCKET)
    # None of it has bound the store to a place.
    assert start().stop() == 0


def test_a_place_has_one_store_and_a_store_one_place(store, start, tmp_path):
    server = start()
    run_id, _ = new_run(MlflowClient())
    MlflowClient().log_text(run_id, "kept", "kept.txt")
    assert server.stop() == 0
    said = refused(start, "--artifacts-url", f"s3://{BUCKET}/other")
    assert f"has its artifacts in {PLACE}, and the setting artifacts_url names s3://{BUCKET}/other" in said
    with pytest.raises(AssertionError, match="belongs to another data directory"):
        launcher.strongback(tmp_path / "second", extra=("--artifacts-url", PLACE))

    backup = tmp_path / "backup"
    made = command(start, tmp_path, "backup", str(backup))
    assert made.returncode == 0, made.stderr
    assert f"({PLACE}) and are not part of the backup" in made.stderr
    if start.arguments:
        return
    restored = command(start, tmp_path, "restore", str(backup), data_dir="restored")
    assert "strongback artifacts adopt" in restored.stderr, restored
    with pytest.raises(AssertionError, match="which this data directory has not taken"):
        launcher.strongback(tmp_path / "restored")
    adopted = command(start, tmp_path, "artifacts", "adopt", data_dir="restored")
    assert (adopted.returncode, adopted.stdout.strip()) == (0, PLACE), adopted.stderr
    assert command(start, tmp_path, "artifacts", "verify", data_dir="restored").returncode == 0
    running = launcher.strongback(tmp_path / "restored")
    answer = Raw(running).get(f"/get-artifact?run_id={run_id}&path=kept.txt")
    assert answer.body == b"kept", answer
    assert running.stop() == 0
    assert "belongs to another data directory" in refused(start)


def test_a_store_with_files_on_its_disk_does_not_move(start):
    server = start("--log", "info")
    run_id, _ = new_run(MlflowClient())
    MlflowClient().log_text(run_id, "kept", "kept.txt")
    assert server.stop() == 0
    assert "/objects, and the setting artifacts_url names" in refused(start)


def test_the_flag_of_mlflow_server(store, start):
    server = start("--artifacts-destination", PLACE, "--serve-artifacts")
    run_id, _ = new_run(MlflowClient())
    MlflowClient().log_text(run_id, "kept", "kept.txt")
    assert len(keys(store)) == 1
    assert "taken as --artifacts-url" in server.log.read_text()
    assert server.stop() == 0
