"""Artifacts through the proxy: up, down, listed, ranged, deleted, and in parts."""

import hashlib
import http.client
import json
import os
import random
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.uri import validate_path_is_safe

import launcher
from raw import MLFLOW, there_and_back

PROXY = "/api/2.0/mlflow-artifacts"


@pytest.fixture
def root(client, run_id) -> str:
    """The proxied path of the run's artifacts, such as ``5/3f…/artifacts``."""
    return client.get_run(run_id).info.artifact_uri.removeprefix("mlflow-artifacts:/")


def listed(client, run_id, path=None):
    # An empty file has no size on the wire.
    return {f.path: "dir" if f.is_dir else f.file_size or 0 for f in client.list_artifacts(run_id, path)}


def test_up_list_and_down(client, run_id, tmp_path):
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "top.txt").write_text("top")
    (source / "deep" / "er" / "ünï cöde & 100%.bin").write_bytes(os.urandom(70_000))
    (source / "deep" / "empty").write_bytes(b"")
    client.log_artifacts(run_id, str(source))
    client.log_artifact(run_id, str(source / "top.txt"), "again")
    assert listed(client, run_id) == {"top.txt": 3, "deep": "dir", "again": "dir"}
    assert listed(client, run_id, "deep") == {"deep/er": "dir", "deep/empty": 0}
    assert listed(client, run_id, "deep/er") == {"deep/er/ünï cöde & 100%.bin": 70_000}
    assert listed(client, run_id, "top.txt") == {}
    assert listed(client, run_id, "nothing/here") == {}
    # As people write where they are.
    for here in (".", "./deep", "deep/."):
        got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=here)
        assert {path.name for path in Path(got).rglob("*")} >= {"empty", "er", "ünï cöde & 100%.bin"}, here
    target = tmp_path / "target"
    target.mkdir()
    client.download_artifacts(run_id, "", str(target))
    for path in source.rglob("*"):
        if path.is_file():
            assert (target / path.relative_to(source)).read_bytes() == path.read_bytes()


def test_overwrite(client, run_id, tmp_path):
    client.log_text(run_id, "long first text", "note.txt")
    client.log_text(run_id, "short", "note.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/note.txt") == "short"
    assert listed(client, run_id) == {"note.txt": 5}


def test_fluent_logging_of_objects(client, experiment_id):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_dict({"a": [1, 2]}, "config.json")
        mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
        figure, axes = pyplot.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plots/line.png")
        pyplot.close(figure)
    run_id = run.info.run_id
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/config.json") == {"a": [1, 2]}
    assert len(client.load_table(experiment_id, "table.json", run_ids=[run_id])) == 2
    assert mlflow.artifacts.load_image(f"runs:/{run_id}/plots/line.png").size > (10, 10)


def test_missing_file(client, raw, run_id, root):
    answer = raw.get(f"{PROXY}/artifacts/{root}/none.txt")
    assert (answer.status, answer.error_code) == (404, "RESOURCE_DOES_NOT_EXIST"), answer
    with pytest.raises(Exception, match=r"none\.txt"):
        client.download_artifacts(run_id, "none.txt")


def put(raw, path, body):
    return raw.send("PUT", f"{PROXY}/artifacts/{path}", body, {"Content-Type": "application/octet-stream"})


def test_bytes_and_headers(raw, root):
    assert put(raw, f"{root}/data.bin", b"0123456789").status == 200
    answer = raw.get(f"{PROXY}/artifacts/{root}/data.bin")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.beyond  # the reference answers the whole file
def test_validators_and_head(raw, root):
    put(raw, f"{root}/data.bin", b"0123456789")
    answer = raw.send("HEAD", f"{PROXY}/artifacts/{root}/data.bin")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "10")
    assert answer.headers["etag"]
    assert answer.headers["last-modified"].endswith("GMT")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=2-5", b"2345"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=0-0", b"0"),
        ("bytes=5-100", b"56789"),
    ],
)
def test_ranges(raw, root, asked, expected):
    put(raw, f"{root}/data.bin", b"0123456789")
    answer = raw.get(f"{PROXY}/artifacts/{root}/data.bin", Range=asked)
    assert (answer.status, answer.body) == (206, expected)
    first = 10 - len(expected) if asked != "bytes=2-5" else 2
    first = 0 if asked == "bytes=0-0" else first
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/10"


def test_range_beyond_the_end(raw, root):
    put(raw, f"{root}/data.bin", b"0123456789")
    assert raw.get(f"{PROXY}/artifacts/{root}/data.bin", Range="bytes=10-").status == 416


def test_empty_file(client, raw, run_id, root):
    assert put(raw, f"{root}/empty", b"").status == 200
    assert listed(client, run_id) == {"empty": 0}
    answer = raw.get(f"{PROXY}/artifacts/{root}/empty")
    assert (answer.status, answer.body) == (200, b"")


def test_listing_names_are_relative_to_the_folder(raw, root):
    put(raw, f"{root}/folder/a.txt", b"a")
    answer = raw.get(f"{PROXY}/artifacts?path={quote(f'{root}/folder', safe='')}")
    assert answer.json == {"files": [{"path": "a.txt", "is_dir": False, "file_size": 1}]}


def test_delete(client, raw, run_id, root):
    for name in ("tree/a", "tree/b/c", "single"):
        put(raw, f"{root}/{name}", b"x")
    assert raw.send("DELETE", f"{PROXY}/artifacts/{root}/tree").status == 200
    assert listed(client, run_id) == {"single": 1}
    assert raw.send("DELETE", f"{PROXY}/artifacts/{root}/single").status == 200
    assert raw.send("DELETE", f"{PROXY}/artifacts/{root}/single").status == 200
    assert listed(client, run_id) == {}


@pytest.fixture
def large_file(tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(12 * 1024 * 1024 + 17))
    return path


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_twelve_megabytes(client, run_id, large_file, tmp_path):
    client.log_artifact(run_id, str(large_file))
    (tmp_path / "back").mkdir()
    client.download_artifacts(run_id, "large.bin", str(tmp_path / "back"))
    assert digest(tmp_path / "back" / "large.bin") == digest(large_file)


@pytest.mark.beyond  # the reference cannot do it on a local disk
def test_upload_in_parts(client, run_id, large_file, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1024 * 1024))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 * 1024 * 1024))
    client.log_artifact(run_id, str(large_file), "parts")
    assert listed(client, run_id, "parts") == {"parts/large.bin": large_file.stat().st_size}
    (tmp_path / "back").mkdir()
    back = Path(client.download_artifacts(run_id, "parts/large.bin", str(tmp_path / "back")))
    assert digest(back) == digest(large_file)


@pytest.mark.beyond
def test_parts_by_hand_out_of_order_and_aborted(raw, client, run_id, root):
    """Parts may come in any order; the path that the client sends is its own local one, of which the name counts."""
    body = {"path": "/home/ada/secret place/model.bin", "num_parts": 3}
    created = raw.post(f"{PROXY}/mpu/create/{root}/sub", body).json
    parts = []
    for credential in reversed(created["credentials"]):
        number = credential["part_number"]
        path = credential["url"].removeprefix(raw.server.url)
        headers = {h["name"]: h["value"] for h in credential.get("headers", [])} if credential.get("headers") else {}
        answer = raw.send("PUT", path, str(number).encode() * 4, headers)
        assert answer.status == 200, answer
        parts.append({"part_number": number, "etag": answer.headers["etag"], "url": credential["url"]})
    assert listed(client, run_id) == {}
    complete = {
        "path": body["path"],
        "upload_id": created["upload_id"],
        "parts": sorted(parts, key=lambda p: p["part_number"]),
    }
    assert raw.post(f"{PROXY}/mpu/complete/{root}/sub", complete).status == 200
    assert raw.get(f"{PROXY}/artifacts/{root}/sub/model.bin").body == b"111122223333"
    created = raw.post(f"{PROXY}/mpu/create/{root}/sub", {"path": "/x/gone.bin", "num_parts": 1}).json
    abort = {"path": "/x/gone.bin", "upload_id": created["upload_id"]}
    assert raw.post(f"{PROXY}/mpu/abort/{root}/sub", abort).status == 200
    assert listed(client, run_id, "sub") == {"sub/model.bin": 12}
    assert raw.post(f"{PROXY}/mpu/complete/{root}/sub", {**abort, "parts": []}).status in (400, 404)


# What the reference refuses as well, and what it stores, deletes or answers with an internal error.
HOSTILE = [
    "../../etc/passwd",
    "a/../../../b",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "..%2f..%2fx",
    "%252e%252e/x",
    "%252e%252e%252fx",
]
HOSTILE += ["a%23b"]
HOSTILE_TO_US = ["..%255cx", "..\\x", "..%5cx", "a%2f%2fb", "C:%5cx", "a%00b", "a%0ab", "%c0%ae%c0%ae/x", "%ff", "./x"]
HOSTILE_TO_US += [
    "..;/x",
    "a/..;v=1/x",
    "..%3B/x",
    "a/..%3bx",
    "%2e%2e%3B",
    "%252e%252e%253Bx/y",
    ".;",
    "..%3F",
    "http%3A..",
]
HOSTILE_TO_US += ["a;", "a%3Fb/c%3F", "file:x", "a/FILE%3Ax", "a/C%253A%252Fx"]
HOSTILE_TO_US += ["x" * 300, "/".join(["d"] * 3000), "%25252525252e%25252525252e/x"]


@pytest.mark.parametrize("path", HOSTILE + [pytest.param(path, marks=pytest.mark.beyond) for path in HOSTILE_TO_US])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_hostile_paths(raw, root, method, path):
    answer = raw.send(method, f"{PROXY}/artifacts/{root}/{path}", b"x" if method == "PUT" else None)
    assert (answer.status, answer.error_code) in {(400, "INVALID_PARAMETER_VALUE"), (414, None)}, answer


def made_names(seed):
    """Names of files and folders, of pieces that mean something to whoever reads an address."""
    choose = random.Random(seed)
    pieces = [
        "..",
        ".",
        ";",
        ";v=1",
        "?",
        ":",
        "http:",
        "file:",
        "C:",
        "%3B",
        "%2e",
        "%253b",
        "%2f",
        "%3a",
        "%20",
        "%",
        "[",
        " ",
    ]
    for _ in range(150):
        parts = [
            "".join(choose.choice([*pieces, "a", "b.txt"]) for _ in range(choose.randint(1, 4)))
            for _ in range(choose.choice([1, 1, 2]))
        ]
        yield "/".join(parts)


def stays(name):
    """Whether MLflow's client asks for what it was told: it sends names as addresses, in which some letters mean something else.
    And it takes a folder with nothing but a file of the folder's own name for that file."""
    parts = name.split("/")
    sent = requests.Request("GET", f"http://h/{name}").prepare().path_url
    return (
        all(validate_path_is_safe(part) == part for part in parts)
        and not any(folder == inside for folder, inside in pairwise(parts))
        and unquote(sent)[1:] == name
        and "?" not in name
    )


@pytest.mark.beyond
def test_names_that_are_taken_are_listed_and_fetched(client, raw, experiment_id, tmp_path):
    """One name that the client refuses would hide all the others of a run."""
    seed = int(os.environ.get("STRONGBACK_TEST_SEED", random.randrange(1 << 32)))
    print(f"again with STRONGBACK_TEST_SEED={seed}")
    runs = {kept: client.create_run(experiment_id).info for kept in (True, False)}
    taken = {kept: set() for kept in runs}
    plain = ["a;b.txt", "a/c:/x", "..a;b/;c", "a/x:y", "why not/[1]; [2].txt"]
    for name in [*plain, *made_names(seed)]:
        kept = not any(refuses(part) for part in name.split("/")) and stays(name)
        root = runs[kept].artifact_uri.removeprefix("mlflow-artifacts:/")
        answer = raw.send("PUT", f"{PROXY}/artifacts/{root}/{quote(name, safe='/')}", name.encode())
        assert answer.status in (200, 400, 409), (name, answer)
        if answer.status == 200:
            taken[kept].add(name)
    assert taken[True].issuperset(plain)
    assert len(taken[False]) > 10
    for kept, run in runs.items():
        shown = {name.split("/")[0] for name in taken[kept]}
        listed_here = {file.path for file in client.list_artifacts(run.run_id)}
        assert listed_here == {validate_path_is_safe(name) for name in shown}
        for folder in {name.split("/")[0] for name in taken[kept] if "/" in name and stays(name.split("/")[0])}:
            client.list_artifacts(run.run_id, folder)
    client.download_artifacts(runs[True].run_id, "", str(tmp_path))
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == taken[True]
    for name in taken[True]:
        assert (tmp_path / name).read_bytes() == name.encode()


def refuses(name):
    """Whether the client refuses to list this name."""
    try:
        validate_path_is_safe(name)
    except (MlflowException, ValueError):
        return True
    return False


@pytest.mark.beyond
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "//etc/passwd", "%2fetc/passwd", "C:/x", "c:x", "%43:/x", "~/x/../../y"]
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_hostile_roots(raw, method, path):
    answer = raw.send(method, f"{PROXY}/artifacts/{path}", b"x" if method == "PUT" else None)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


@pytest.mark.parametrize("path", ["../x", "%2e%2e%2fx", "%252e%252e%252fx", "a%2f..%2f..%2fx"])
def test_hostile_listings(raw, run_id, root, path):
    for at in (f"{MLFLOW}/artifacts/list?run_id={run_id}&path={path}", f"{PROXY}/artifacts?path={root}/{path}"):
        answer = raw.get(at)
        assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


@pytest.mark.parametrize("direction", ["upload", "download"])
def test_addresses_in_an_object_store_are_refused(raw, run_id, direction):
    at = f"{MLFLOW}/artifacts/presigned-{direction}-url"
    answer = raw.post(at, {"run_id": run_id, "path": "model.bin", "expiration": 60})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    answer = raw.post(at, {"run_id": "0" * 32, "path": "model.bin"})
    assert (answer.status, answer.error_code) == (404, "RESOURCE_DOES_NOT_EXIST"), answer


@pytest.mark.beyond
def test_memory_does_not_grow_with_the_file(server, tmp_path):
    if server.backend != "sqlite":
        pytest.skip("the disk is that of the data directory, on either store")
    with launcher.on_store("sqlite", tmp_path / "data") as running:
        client = MlflowClient(running.url)
        run = client.create_run("0")
        root = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
        there_and_back(running, f"{PROXY}/artifacts/{root}/first.bin", 1 << 20)
        before = running.peak_mb()
        there_and_back(running, f"{PROXY}/artifacts/{root}/large.bin", 400 << 20)
        assert running.peak_mb() - before < 30


SMALL, LARGE = 11, 3 << 20


def test_bytes_that_are_not_those_that_were_stored_are_not_given(server, tmp_path):
    """By a process that has not hashed them itself; and what is gone is no error that clients repeat."""
    if server.backend != "sqlite":
        pytest.skip("files lie on the same disk with either store")
    data_dir = tmp_path / "data"
    running = launcher.strongback(data_dir)
    files = {
        "small": os.urandom(SMALL),
        "large": os.urandom(LARGE),
        "whole": os.urandom(LARGE),
        "gone": os.urandom(SMALL + 1),
        "cut": os.urandom(SMALL + 2),
    }
    try:
        client = MlflowClient(running.url)
        run_id = client.create_run("0").info.run_id
        root = client.get_run(run_id).info.artifact_uri.removeprefix("mlflow-artifacts:/")
        for name, data in files.items():
            assert fetch(running, "PUT", f"{root}/{name}", data)[0] == 200
        for name, data in files.items():
            assert fetch(running, "GET", f"{root}/{name}") == (200, data)
        assert running.stop() == 0
        for path in data_dir.glob("objects/??/*"):
            data = bytearray(path.read_bytes())
            if bytes(data) == files["gone"]:
                path.unlink()
            elif bytes(data) == files["cut"]:
                path.write_bytes(data[: SMALL // 2])
            elif bytes(data) != files["whole"]:
                data[len(data) // 2] ^= 1
                path.write_bytes(data)
        running = launcher.strongback(data_dir)
        for name in ("small", "gone", "cut"):
            status, said = fetch(running, "GET", f"{root}/{name}")
            assert status == 410, said
            said = json.loads(said)
            assert said["error_code"] == "RESOURCE_DOES_NOT_EXIST"
            assert f"'{name}'" in said["message"]
            assert "strongback artifacts verify" in said["message"]
        with pytest.raises(http.client.IncompleteRead):
            fetch(running, "GET", f"{root}/large")
        assert fetch(running, "GET", f"{root}/whole") == (200, files["whole"])
        with urllib.request.urlopen(f"{running.url}/metrics", timeout=30) as answer:
            assert "strongback_damaged_objects_read_total 3" in answer.read().decode()
        with pytest.raises(mlflow.MlflowException):
            MlflowClient(running.url).download_artifacts(run_id, "large", str(tmp_path))
    finally:
        running.end()


def fetch(server, method, path, data=None):
    """Status and body."""
    request = urllib.request.Request(f"{server.url}{PROXY}/artifacts/{path}", data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/octet-stream")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
