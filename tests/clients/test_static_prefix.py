"""A server behind a proxy that passes on the path by which it is reached (``--static-prefix``)."""

import json

import mlflow
import pytest
from mlflow import MlflowClient

import launcher
from conftest import addressing_nothing
from raw import JSON, Raw
from test_server import refuses

pytestmark = pytest.mark.beyond

PREFIXES = ["/mlflow", "/team/tracking"]


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    with addressing_nothing(monkeypatch):
        yield


@pytest.fixture(scope="module", params=PREFIXES)
def below(request, tmp_path_factory):
    """The server, and its prefix."""
    data = tmp_path_factory.mktemp("prefix") / "data"
    with launcher.on_store("sqlite", data, extra=(f"--static-prefix={request.param}",)) as server:
        yield server, request.param


def test_a_client_works_with_the_prefix_and_without(below, tmp_path):
    server, prefix = below
    names = []
    for number, base in enumerate((server.url, server.url + prefix)):
        mlflow.set_tracking_uri(base)
        client = MlflowClient(base, registry_uri=base)
        names.append(client.create_experiment(f"e{number}"))
        run_id = client.create_run(names[-1]).info.run_id
        client.log_metric(run_id, "loss", 0.5)
        (tmp_path / "a.txt").write_text(f"said {number}")
        client.log_artifact(run_id, tmp_path / "a.txt")
        assert [file.path for file in client.list_artifacts(run_id)] == ["a.txt"]
        assert client.download_artifacts(run_id, "a.txt", tmp_path)
        client.create_registered_model(f"m{number}")
    assert {found.experiment_id for found in client.search_experiments()} >= set(names)
    assert {found.name for found in client.search_registered_models()} == {"m0", "m1"}


def test_what_is_answered_is_the_same(below):
    server, prefix = below
    raw = Raw(server)
    for path in ("/health", "/version", "/ready", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
        plain, prefixed = raw.get(path), raw.get(prefix + path)
        assert (plain.status, plain.body) == (prefixed.status, prefixed.body) == (200, plain.body), path
    missing = raw.get(f"{prefix}/api/2.0/mlflow/nothing")
    assert (missing.status, missing.error_code) == (404, "ENDPOINT_NOT_FOUND")
    assert raw.get(prefix + "x/health").status == 404
    assert raw.get(f"{prefix}/../health").status == 404
    for hostile in (f"{prefix}//evil.example/", f"{prefix}/%2e%2e/health", f"{prefix}/\\evil.example"):
        assert raw.get(hostile).status in (400, 404), hostile


def test_the_path_alone_leads_to_the_front_page(below):
    server, prefix = below
    answer = Raw(server).get(prefix)
    assert answer.status == 308
    target = answer.headers["location"]
    # As a browser resolves it: beside the last part of the path.
    if prefix != "/mlflow":
        assert prefix.rsplit("/", 1)[0] + "/" + target == prefix + "/"
    else:
        assert target == "mlflow/"
    page = Raw(server).get(prefix + "/")
    assert page.status == 200
    assert b"Strongback" in page.body
    assert b'href="/' not in page.body
    assert b'action="/' not in page.body


def test_the_document_says_where_the_server_is(below):
    server, prefix = below
    assert "servers" not in Raw(server).get("/api/openapi.json").json
    assert Raw(server).get(f"{prefix}/api/openapi.json").json["servers"] == [{"url": prefix}]


def test_addresses_in_answers_have_the_prefix_of_the_request(below):
    """An upload in parts is told where to send them, and they arrive there."""
    server, prefix = below
    raw = Raw(server)
    run_id = MlflowClient(server.url).create_run("0").info.run_id
    for before in ("", prefix):
        path = f"{before}/api/2.0/mlflow-artifacts/mpu/create/0/{run_id}/artifacts"
        made = raw.post(path, {"path": f"{len(before)}.bin", "num_parts": 1})
        assert made.status == 200, made
        url = made.json["credentials"][0]["url"]
        assert url.startswith(f"{server.url}{before}/"), url
        part = raw.send("PUT", url.removeprefix(server.url), b"abc")
        assert part.status == 200, part
        body = {
            "path": f"{len(before)}.bin",
            "upload_id": made.json["upload_id"],
            "parts": [{"part_number": 1, "etag": part.headers["etag"], "url": url}],
        }
        done = raw.send("POST", path.replace("/create/", "/complete/"), json.dumps(body), JSON)
        assert done.status == 200, done


def test_what_is_no_path_is_refused(tmp_path):
    for wrong in ("/x/", "x", "/api", "/a b", "/../x", "/mlflow/version", "/mlflow/static-files"):
        said = refuses("up", "--data-dir", str(tmp_path / "data"), "--static-prefix", wrong)
        assert "static_prefix" in said
        assert wrong in said
