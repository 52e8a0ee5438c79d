"""Files that clients keep in a bucket themselves, shown by the server: moto's S3 server in the place of Amazon's."""

import contextlib
import http.client
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
from buckets import starting
from conftest import addressing_nothing
from raw import MLFLOW, Raw
from s3_server import S3Server
from test_auth import token_for

pytestmark = pytest.mark.beyond
BUCKET = "mlflow"
ROOT = f"s3://{BUCKET}/prod"
NAMES = ["a.txt", "with space.txt", "100%25.txt", "ü~*[x].txt", "a+b&c=d.txt", "dir/deep/b.bin", "dir/c.txt", "empty"]


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    server = S3Server(tmp_path / "moto.log")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server.start(BUCKET)
    yield server
    server.end()


@pytest.fixture
def start(bucket, tmp_path, monkeypatch):
    with addressing_nothing(monkeypatch), starting("sqlite", tmp_path, monkeypatch, ROOT) as begin:
        yield begin


def fetch(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def file_url(server, run_id, path):
    return f"{server.url}/get-artifact?{urllib.parse.urlencode({'path': path, 'run_uuid': run_id})}"


def listed(server, run_id, path=""):
    answer = Raw(server).get(f"{MLFLOW}/artifacts/list?{urllib.parse.urlencode({'run_id': run_id, 'path': path})}")
    assert answer.status == 200, answer
    return [(f["path"], f["is_dir"], f.get("file_size")) for f in answer.json.get("files", [])]


def log_files(client, run_id, tmp_path):
    folder = tmp_path / "files"
    for name in NAMES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"" if name == "empty" else os.urandom(300) + name.encode())
    client.log_artifacts(run_id, str(folder))
    return folder


def test_a_start_script_with_a_root_in_a_bucket_goes_on(start, bucket, tmp_path):
    server = start("--default-artifact-root", ROOT, "--no-serve-artifacts")
    client = MlflowClient()
    experiment = client.get_experiment(client.create_experiment("direct"))
    assert experiment.artifact_location == f"{ROOT}/{experiment.experiment_id}"
    assert client.get_experiment("0").artifact_location == f"{ROOT}/0", "a new store has all of them there"
    run = client.create_run(experiment.experiment_id)
    run_id = run.info.run_id
    assert run.info.artifact_uri == f"{ROOT}/{experiment.experiment_id}/{run_id}/artifacts"
    folder = log_files(client, run_id, tmp_path)
    stored = {one["Key"] for one in bucket.client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert f"prod/{experiment.experiment_id}/{run_id}/artifacts/a.txt" in stored, "the client wrote there itself"

    # What the server lists is what the client lists there by itself, and what it gives out is what was written.
    for directory in ["", "dir", "dir/deep", "none"]:
        itself = [(f.path, f.is_dir, f.file_size or None) for f in client.list_artifacts(run_id, directory)]
        assert sorted(listed(server, run_id, directory)) == sorted(itself), directory
    for name in NAMES:
        status, headers, body = fetch(file_url(server, run_id, name))
        assert (status, body) == (200, (folder / name).read_bytes()), name
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "attachment" in headers["Content-Disposition"]
    whole = (folder / "a.txt").read_bytes()
    url = file_url(server, run_id, "a.txt")
    status, headers, body = fetch(url, Range="bytes=5-24")
    assert (status, headers["Content-Range"], body) == (206, f"bytes 5-24/{len(whole)}", whole[5:25])
    status, headers, body = fetch(url, method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(whole)), b"")
    assert fetch(url, If_None_Match=headers["ETag"])[0] == 304
    assert fetch(url, Range="bytes=9999-")[0] == 416
    for path, expected in [("none.txt", 404), ("dir", 404), ("dir/../a.txt", 400), ("/etc/passwd", 400)]:
        status, _, body = fetch(file_url(server, run_id, path))
        assert status == expected, (path, status, body)

    # What was sent to the server itself is shown beside it.
    with urllib.request.urlopen(
        urllib.request.Request(
            f"{server.url}{MLFLOW}/upload-artifact?{urllib.parse.urlencode({'run_uuid': run_id, 'path': 'dir/own.txt'})}",
            method="POST",
            data=b"own",
        )
    ) as answer:
        assert answer.status == 200
    assert [path for path, *_ in listed(server, run_id, "dir")] == ["dir/c.txt", "dir/deep", "dir/own.txt"]
    assert sum(path == "dir" for path, *_ in listed(server, run_id)) == 1
    assert fetch(file_url(server, run_id, "dir/own.txt"))[2] == b"own"

    # Another server on the same data finds them as well, wherever new experiments are.
    assert server.stop() == 0
    server = start("--readable-roots", f"gs://elsewhere,{ROOT}")
    assert fetch(file_url(server, run_id, "a.txt"))[2] == whole
    assert MlflowClient().get_experiment("0").artifact_location == f"{ROOT}/0"
    assert (
        MlflowClient()
        .get_experiment(MlflowClient().create_experiment("here"))
        .artifact_location.startswith("mlflow-artifacts:/")
    )


def test_models_that_are_logged_into_a_bucket(start):
    server = start("--default-artifact-root", ROOT)
    mlflow.set_experiment("models")

    class Twice(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[float]) -> list[float]:
            return [2 * one for one in model_input]

    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(name="twice", python_model=Twice(), registered_model_name="twice")
    assert mlflow.pyfunc.load_model(logged.model_uri).predict([1.0, 4.0]) == [2.0, 8.0]
    assert mlflow.pyfunc.load_model("models:/twice/1").predict([3.0]) == [6.0]
    base = f"{server.url}{MLFLOW}/logged-models/{logged.model_id}/artifacts"
    status, _, body = fetch(f"{base}/directories")
    assert (status, b'"MLmodel"' in body) == (200, True), body
    status, _, body = fetch(f"{base}/files?artifact_file_path=MLmodel")
    assert (status, b"python_function" in body) == (200, True), body


def test_nothing_else_in_a_bucket_is_shown(start, bucket):
    bucket.client.create_bucket(Bucket="secret")
    server = start("--default-artifact-root", ROOT)
    client = MlflowClient()
    theirs = client.create_experiment("theirs")
    victim = client.create_run(theirs).info.run_id
    client.log_text(victim, "hush", "a.txt")
    location = client.get_experiment(theirs).artifact_location
    for name, place in {
        "at theirs": location,
        "at their run": f"{location}/{victim}",
        "at their files": f"{location}/{victim}/artifacts",
        "in another bucket": "s3://secret/prod",
        "beside": f"{ROOT}-x",
        "above": f"s3://{BUCKET}",
    }.items():
        mine = client.create_run(client.create_experiment(name, artifact_location=place)).info.run_id
        for prefix in ["", "prod/", "prod-x/"]:
            for there in ["secret", BUCKET]:
                bucket.client.put_object(Bucket=there, Key=f"{prefix}{mine}/artifacts/a.txt", Body=b"hush")
        assert listed(server, mine) == [], name
        for path in ["a.txt", "artifacts/a.txt", f"{victim}/artifacts/a.txt"]:
            status, _, body = fetch(file_url(server, mine, path))
            assert (status, b"hush" in body) == (404, False), (name, path)


def test_a_bucket_that_is_away_is_named(start, bucket):
    server = start("--default-artifact-root", ROOT)
    client = MlflowClient()
    run_id = client.create_run(client.create_experiment("away")).info.run_id
    client.log_text(run_id, "text", "a.txt")
    bucket.end()
    for url in [f"{server.url}{MLFLOW}/artifacts/list?run_id={run_id}", file_url(server, run_id, "a.txt")]:
        status, _, body = fetch(url)
        assert (status, ROOT.encode() in body) == (503, True), body
    # Nothing of this server's own lies there.
    assert fetch(f"{server.url}/ready")[0] == 200
    bucket.start(BUCKET)
    assert listed(server, run_id) == []
    client.log_text(run_id, "text", "a.txt")
    assert fetch(file_url(server, run_id, "a.txt"))[2] == b"text"


def test_who_is_nobody_is_shown_nothing(start, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    token = token_for(tmp_path / "data", "alice")
    server = start("--default-artifact-root", ROOT, "--auth", "tokens")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    client = MlflowClient()
    run_id = client.create_run(client.create_experiment("of alice")).info.run_id
    client.log_text(run_id, "hush", "a.txt")
    model = client.create_logged_model(client.get_run(run_id).info.experiment_id, name="hers")
    of_model = f"{server.url}{MLFLOW}/logged-models/{model.model_id}/artifacts"
    urls = [
        f"{server.url}{MLFLOW}/artifacts/list?run_id={run_id}",
        file_url(server, run_id, "a.txt"),
        f"{of_model}/directories",
    ]
    for url in urls:
        assert fetch(url, Authorization=f"Bearer {token}")[0] == 200, url
    for url in [*urls, f"{of_model}/files?artifact_file_path=a.txt", file_url(server, run_id, "none.txt")]:
        for method in ("GET", "HEAD"):
            for headers in ({}, {"Authorization": "Bearer sbt_" + "0" * 64}):
                status, _, body = fetch(url, method=method, **headers)
                assert (status, b"hush" in body) == (401, False), url


def test_ids_that_an_import_brought_lead_nowhere_else(start):
    server = start("--default-artifact-root", ROOT)
    client = MlflowClient()
    home = client.get_experiment(client.create_experiment("theirs"))
    with mlflow.start_run(experiment_id=home.experiment_id):
        model = mlflow.initialize_logged_model(name="theirs")
        client.log_model_artifact(model.model_id, __file__)
    assert fetch(f"{server.url}{MLFLOW}/logged-models/{model.model_id}/artifacts/directories")[2].count(b"path") == 1
    give = "/api/1.0/exchange/give"
    experiments = Raw(server).post(give, {"kind": "experiment"}).json["experiments"]
    [experiment] = [one for one in experiments if one["name"] == "theirs"]
    [run] = Raw(server).post(give, {"kind": "run", "of": home.experiment_id, "max_results": 5}).json["runs"]
    experiment |= {"experiment_id": "77", "name": "mine", "artifact_location": f"{home.artifact_location}/models"}
    run |= {"run_id": model.model_id, "experiment_id": "77"}
    take = {
        "source": "test",
        "experiments": [{"from": "77", "digest": "d" * 64, "item": experiment}],
        "runs": [{"from": model.model_id, "digest": "d" * 64, "item": run}],
    }
    answer = Raw(server).post("/api/1.0/exchange/take", take)
    assert answer.status == 200, answer
    assert Raw(server).get(f"{MLFLOW}/runs/get?run_id={model.model_id}").status == 200, "it came"
    assert listed(server, model.model_id) == []
    assert fetch(file_url(server, model.model_id, Path(__file__).name))[0] == 404


def test_what_lies_in_a_bucket_in_odd_ways(start, bucket):
    server = start("--default-artifact-root", ROOT)
    client = MlflowClient()
    run = client.create_run(client.create_experiment("odd"))
    run_id = run.info.run_id
    root = run.info.artifact_uri.removeprefix(f"s3://{BUCKET}/")

    def put(key, body=b"x"):
        bucket.client.put_object(Bucket=BUCKET, Key=f"{root}/{key}", Body=body)

    # Tools mark directories by empty objects, which are no files.
    put("", b"")
    put("model/", b"")
    put("model/MLmodel")
    put("both")
    put("both/below")
    assert listed(server, run_id) == [("both", False, 1), ("both", True, None), ("model", True, None)]
    assert listed(server, run_id, "model") == [("model/MLmodel", False, 1)]
    assert listed(server, run_id, "both") == [("both/below", False, 1)]
    # Names that say something else in an answer of the store.
    for name in ["NoSuchBucket", "ContainerNotFound", "status code: 416", "Wanted range starting at"]:
        status, _, body = fetch(file_url(server, run_id, name))
        assert status == 404, (name, body)
    # A key that is no path is named, and holds up nothing but the list of its directory.
    put("model//odd")
    answer = Raw(server).get(f"{MLFLOW}/artifacts/list?run_id={run_id}&path=model")
    assert (answer.status, answer.error_code) == (400, "INVALID_STATE"), answer
    assert "key that is no path" in answer.json["message"]
    assert fetch(file_url(server, run_id, "model/MLmodel"))[2] == b"x"


def test_a_file_that_is_replaced_while_it_comes_breaks_off(start, bucket):
    server = start("--default-artifact-root", ROOT)
    client = MlflowClient()
    run = client.create_run(client.create_experiment("replaced"))
    key = f"{run.info.artifact_uri.removeprefix(f's3://{BUCKET}/')}/large"
    bucket.client.put_object(Bucket=BUCKET, Key=key, Body=b"a" * (40 << 20))
    came = bytearray()
    with urllib.request.urlopen(file_url(server, run.info.run_id, "large"), timeout=30) as answer:
        came += answer.read(1 << 20)
        bucket.client.put_object(Bucket=BUCKET, Key=key, Body=b"b" * (40 << 20))
        # It breaks off, of which this client tells nothing but that less came.
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while more := answer.read(1 << 20):
                came += more
    assert 1 << 20 <= len(came) < 40 << 20
    assert b"b" not in came
    status, _, body = fetch(file_url(server, run.info.run_id, "large"))
    assert (status, body == b"b" * (40 << 20)) == (200, True)


@pytest.mark.parametrize("flag", ["--readable-roots", "--default-artifact-root"])
def test_credentials_in_an_address_are_refused_and_not_shown(tmp_path, flag):
    place = "s3://me:hush@bucket/x"
    command = [launcher.binary(), "up", "--port", "0", "--data-dir", str(tmp_path / "data"), flag, place]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert said.returncode == 2, said
    assert "hush" not in said.stdout + said.stderr
