"""A web page must not be able to drive a server on loopback: host, origin and content type are checked."""

import json
from uuid import uuid4

import pytest

from raw import JSON, MLFLOW

CREATE = f"{MLFLOW}/experiments/create"


def body() -> str:
    return json.dumps({"name": f"made by {uuid4().hex}"})


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil.example"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_host_is_refused(raw, host, method):
    if method == "GET":
        answer = raw.send("GET", f"{MLFLOW}/experiments/get?experiment_id=0", headers={"Host": host})
    else:
        answer = raw.send("POST", CREATE, body(), {**JSON, "Host": host})
    assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_loopback_hosts_are_welcome(raw, host):
    _, port = raw.server.address
    answer = raw.send("GET", f"{MLFLOW}/experiments/get?experiment_id=0", headers={"Host": f"{host}:{port}"})
    assert answer.status == 200, answer


@pytest.mark.beyond
@pytest.mark.parametrize("host", [None, "", "a b", "[::1"])
def test_unreadable_hosts(raw, host):
    answer = raw.send("GET", "/health", headers={"Host": host})
    assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost.evil.example", "http://evil.example:5000"]
)
def test_foreign_origin_is_refused(raw, origin):
    answer = raw.send("POST", CREATE, body(), {**JSON, "Origin": origin})
    assert answer.status == 403, answer


@pytest.mark.beyond
@pytest.mark.parametrize("origin", ["null", "file://", "", "chrome-extension://abcdef"])
def test_odd_origins_are_refused(raw, origin):
    answer = raw.send("POST", CREATE, body(), {**JSON, "Origin": origin})
    assert answer.status == 403, answer


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_foreign_origin_cannot_touch_artifacts(raw, method):
    path = "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/f"
    answer = raw.send(method, path, b"x", {"Origin": "http://evil.example"})
    assert answer.status == 403, answer


def test_own_origin_is_welcome(raw):
    answer = raw.send("POST", CREATE, body(), {**JSON, "Origin": raw.server.url})
    assert answer.status == 200, answer


def test_preflight_of_a_foreign_page_allows_nothing(raw):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = raw.send("OPTIONS", CREATE, headers=headers)
    assert answer.headers.get("access-control-allow-origin") not in ("*", "http://evil.example"), answer.headers


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
        None,
    ],
)
def test_only_json_is_taken(raw, content_type):
    answer = raw.send("POST", CREATE, body(), {"Content-Type": content_type})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", pytest.param("Application/JSON", marks=pytest.mark.beyond)],
)
def test_json_with_parameters_is_taken(raw, content_type):
    answer = raw.send("POST", CREATE, body(), {"Content-Type": content_type})
    assert answer.status == 200, answer


@pytest.mark.beyond
@pytest.mark.parametrize(
    "headers",
    [{"X-Long": "x" * 200_000}, {f"X-{i}": "y" for i in range(2000)}, {"Authorization": "Bearer \x7f"}],
    ids=["long", "many", "odd"],
)
def test_headers_without_measure(raw, headers):
    answer = raw.send("GET", "/health", headers=headers)
    assert answer.status < 500, answer


@pytest.mark.beyond
def test_sdk_discovery_is_cheap_and_never_unavailable(raw):
    for _ in range(50):
        assert raw.get("/.well-known/databricks-config").status in (200, 404)
