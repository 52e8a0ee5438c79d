"""Requests that no well-behaved client sends: MLflow's code and status, the field named, never a server error.

``SURFACE`` lists a valid body for each endpoint with the kind of every field; the tests break one thing at a time.
"""

import gzip
import json
import re

import pytest

from governed import ensure_schema
from raw import JSON, MLFLOW

REFUSED = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}
MODELS = f"{MLFLOW}/logged-models"

# Kinds of fields. `!` marks a required one.
TEXT, INTEGER, DOUBLE, TAGS, LIST, OBJECTS = "text", "integer", "double", "tags", "list", "objects"
VERSION = "version"  # text on one face and a number on another: both are taken

# (method, path): {field: (kind, valid value)}; $names are filled in from the server.
SURFACE = {
    ("POST", f"{MLFLOW}/experiments/create"): {
        "name!": (TEXT, "$fresh"),
        "artifact_location": (TEXT, "s3://bucket/x"),
        "tags": (TAGS, [{"key": "a", "value": "b"}]),
    },
    ("POST", f"{MLFLOW}/experiments/search"): {
        "max_results": (INTEGER, 5),
        "filter": (TEXT, "name = 'x'"),
        "page_token": (TEXT, ""),
        "order_by": (LIST, ["name"]),
    },
    ("POST", f"{MLFLOW}/experiments/update"): {"experiment_id!": (TEXT, "$experiment"), "new_name!": (TEXT, "$fresh")},
    ("POST", f"{MLFLOW}/experiments/set-experiment-tag"): {
        "experiment_id!": (TEXT, "$experiment"),
        "key!": (TEXT, "k"),
        "value": (TEXT, "v"),
    },
    ("POST", f"{MLFLOW}/runs/create"): {
        "experiment_id!": (TEXT, "$experiment"),
        "user_id": (TEXT, "ada"),
        "run_name": (TEXT, "name"),
        "start_time": (INTEGER, 1),
        "tags": (TAGS, [{"key": "a", "value": "b"}]),
    },
    ("POST", f"{MLFLOW}/runs/update"): {
        "run_id!": (TEXT, "$run"),
        "end_time": (INTEGER, 5),
        "run_name": (TEXT, "other"),
    },
    ("POST", f"{MLFLOW}/runs/log-metric"): {
        "run_id!": (TEXT, "$run"),
        "key!": (TEXT, "m"),
        "value!": (DOUBLE, 1.5),
        "timestamp!": (INTEGER, 1),
        "step": (INTEGER, 0),
    },
    ("POST", f"{MLFLOW}/runs/log-parameter"): {"run_id!": (TEXT, "$run"), "key!": (TEXT, "p"), "value": (TEXT, "1")},
    ("POST", f"{MLFLOW}/runs/set-tag"): {"run_id!": (TEXT, "$run"), "key!": (TEXT, "t"), "value": (TEXT, "1")},
    ("POST", f"{MLFLOW}/runs/log-batch"): {
        "run_id!": (TEXT, "$run"),
        "metrics": (OBJECTS, [{"key": "b", "value": 1, "timestamp": 1, "step": 0}]),
        "params": (OBJECTS, [{"key": "b", "value": "1"}]),
        "tags": (TAGS, [{"key": "b", "value": "1"}]),
    },
    ("POST", f"{MLFLOW}/runs/search"): {
        "experiment_ids": (LIST, ["$experiment"]),
        "filter": (TEXT, "metrics.m > 1"),
        "max_results": (INTEGER, 5),
        "order_by": (LIST, ["metrics.m"]),
        "page_token": (TEXT, ""),
    },
    ("POST", f"{MLFLOW}/runs/log-inputs"): {
        "run_id!": (TEXT, "$run"),
        "datasets": (OBJECTS, [{"dataset": {"name": "d", "digest": "1", "source_type": "x", "source": "y"}}]),
    },
    ("POST", f"{MLFLOW}/logged-models"): {
        "experiment_id!": (TEXT, "$experiment"),
        "name": (TEXT, "model"),
        "model_type": (TEXT, "x"),
        "source_run_id": (TEXT, "$run"),
        "params": (OBJECTS, [{"key": "a", "value": "b"}]),
        "tags": (TAGS, [{"key": "a", "value": "b"}]),
    },
    ("PATCH", f"{MODELS}/$logged/tags"): {"tags": (TAGS, [{"key": "a", "value": "b"}])},
    ("POST", f"{MODELS}/search"): {
        "experiment_ids!": (LIST, ["$experiment"]),
        "filter": (TEXT, "name = 'x'"),
        "max_results": (INTEGER, 5),
        "order_by": (OBJECTS, [{"field_name": "name"}]),
        "datasets": (OBJECTS, [{"dataset_name": "d", "dataset_digest": "1"}]),
    },
    ("POST", f"{MLFLOW}/registered-models/create"): {
        "name!": (TEXT, "$fresh"),
        "description": (TEXT, "words"),
        "tags": (TAGS, [{"key": "a", "value": "b"}]),
    },
    ("PATCH", f"{MLFLOW}/registered-models/update"): {"name!": (TEXT, "$model"), "description": (TEXT, "words")},
    ("POST", f"{MLFLOW}/registered-models/set-tag"): {
        "name!": (TEXT, "$model"),
        "key!": (TEXT, "k"),
        "value": (TEXT, "v"),
    },
    ("POST", f"{MLFLOW}/registered-models/alias"): {
        "name!": (TEXT, "$model"),
        "alias!": (TEXT, "champion"),
        "version!": (VERSION, "1"),
    },
    ("POST", f"{MLFLOW}/model-versions/create"): {
        "name!": (TEXT, "$model"),
        "source!": (TEXT, "s3://bucket/x"),
        "run_id": (TEXT, "$run"),
        "description": (TEXT, "words"),
        "tags": (TAGS, [{"key": "a", "value": "b"}]),
    },
    ("PATCH", f"{MLFLOW}/model-versions/update"): {
        "name!": (TEXT, "$model"),
        "version!": (VERSION, "1"),
        "description": (TEXT, "words"),
    },
    ("POST", f"{MLFLOW}/model-versions/transition-stage"): {
        "name!": (TEXT, "$model"),
        "version!": (VERSION, "1"),
        "stage!": (TEXT, "Staging"),
    },
}

GOVERNED = {
    ("POST", "/api/2.1/unity-catalog/catalogs"): {"name!": (TEXT, "$word"), "comment": (TEXT, "words")},
    ("POST", "/api/2.1/unity-catalog/schemas"): {
        "name!": (TEXT, "$word"),
        "catalog_name!": (TEXT, "bad_input"),
        "comment": (TEXT, "words"),
    },
    ("PATCH", "/api/2.1/unity-catalog/catalogs/bad_input"): {"comment": (TEXT, "words"), "owner": (TEXT, "local")},
    ("POST", f"{MLFLOW}/unity-catalog/registered-models/create"): {
        "name!": (TEXT, "bad_input.lab.$word"),
        "description": (TEXT, "words"),
    },
}

WRONG = {
    TEXT: [5, True, {"a": 1}, ["x"], "nul\0inside"],
    VERSION: ["many", 1.5, True, {"a": 1}, ["x"], "nul\0inside"],
    INTEGER: ["many", 1.5, True, {}, [1], 2**64, "1e3"],
    DOUBLE: ["many", True, {}, [1], "0x10"],
    LIST: ["x", 5, {"a": 1}, [5], [["x"]], [{}]],
    OBJECTS: ["x", 5, True, {"key": "a"}, ["x"], [5], [[]]],
    TAGS: [
        "x",
        5,
        {"key": "a"},
        ["x"],
        [[]],
        [{"key": 5, "value": "x"}],
        [{"key": "a", "value": {}}],
        [{"key": "a\0", "value": "b"}],
    ],
}


@pytest.fixture(scope="module")
def known(server):
    """Ids of things that exist, by the names that bodies use."""
    from uuid import uuid4

    from mlflow import MlflowClient

    client = MlflowClient(server.url, registry_uri=server.url)
    experiment_id = client.create_experiment(f"bad-input-{uuid4().hex[:8]}")
    model = client.create_registered_model(f"bad-input-{uuid4().hex[:8]}").name
    client.create_model_version(model, "s3://bucket/x")
    if server.backend != "peer":
        ensure_schema(server, "bad_input", "lab")
    return {
        "$experiment": experiment_id,
        "$run": client.create_run(experiment_id).info.run_id,
        "$model": model,
        "$logged": client.create_logged_model(experiment_id, "known").model_id,
    }


def fill(value, known):
    """Puts the known ids, and names that nobody has used, into a body or a path."""
    from uuid import uuid4

    text = json.dumps(value)
    for name, there in {**known, "$fresh": f"fresh {uuid4().hex}", "$word": f"w{uuid4().hex}"}.items():
        text = text.replace(name, there)
    return json.loads(text)


def send(raw, known, method, path, body):
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return raw.send(method, fill(path, known), data, JSON)


def valid_body(fields, known):
    return {name.rstrip("!"): fill(value, known) for name, (_, value) in fields.items()}


def names(message, field):
    """Whether a message names a field as a field: quoted, with the path to it or within it.

    That the name occurs somewhere says nothing, because messages show what was sent.
    """
    quoted = re.findall(r"'([\w.\[\]\\]+)'", message)
    return any(field in re.split(r"[.\[\]]", path) for path in quoted)


def test_only_a_name_in_its_place_names_a_field():
    assert names("Missing value for required parameter 'tags[0].key'.", "key")
    assert names("Invalid value \"x\" for parameter 'value' supplied", "value")
    assert not names('Invalid value {"key":"m","value":"x"} for parameter \'.\' supplied: no number.', "value")
    assert not names("Invalid value 'x' for parameter 'other_value' supplied", "value")


def check_refused(answer, field=None):
    assert answer.status == 400, answer
    assert answer.error_code in REFUSED, answer
    if field:
        assert names(answer.message, field), answer


def cases(surface, make):
    """A parameter list: one for each endpoint and what ``make`` yields for it."""
    return [
        pytest.param(method, path, *case, id=f"{path.rsplit('mlflow/')[-1]}-{'-'.join(str(c)[:40] for c in case)}")
        for (method, path), fields in surface.items()
        for case in make(fields)
    ]


ALL = {**SURFACE, **GOVERNED}


@pytest.mark.beyond
@pytest.mark.parametrize(("method", "path"), cases(GOVERNED, lambda _: [()]))
def test_governed_bodies_are_valid_to_begin_with(raw, known, method, path):
    assert send(raw, known, method, path, valid_body(GOVERNED[method, path], known)).status == 200


@pytest.mark.parametrize(("method", "path"), cases(SURFACE, lambda _: [()]))
def test_bodies_are_valid_to_begin_with(raw, known, method, path):
    answer = send(raw, known, method, path, valid_body(SURFACE[method, path], known))
    assert answer.status == 200, answer


def required(fields):
    return [(name[:-1],) for name in fields if name.endswith("!")]


@pytest.mark.parametrize(("method", "path", "field"), cases(SURFACE, required))
def test_missing_field(raw, known, method, path, field):
    body = valid_body(SURFACE[method, path], known)
    del body[field]
    check_refused(send(raw, known, method, path, body), field)


@pytest.mark.beyond
@pytest.mark.parametrize(("method", "path", "field"), cases(GOVERNED, required))
def test_missing_governed_field(raw, known, method, path, field):
    body = valid_body(GOVERNED[method, path], known)
    del body[field]
    check_refused(send(raw, known, method, path, body), field)


def wrong_values(fields):
    return [(name.rstrip("!"), wrong) for name, (kind, _) in fields.items() for wrong in WRONG[kind]]


@pytest.mark.beyond  # the reference drops or converts most of these without a word
@pytest.mark.parametrize(("method", "path", "field", "wrong"), cases(ALL, wrong_values))
def test_wrong_type(raw, known, method, path, field, wrong):
    body = {**valid_body(ALL[method, path], known), field: wrong}
    check_refused(send(raw, known, method, path, body), field)


DEEP = 10_000
BROKEN = {
    "cut off": b'{"run_id": "x"',
    "one brace": b"{",
    "trailing": b'{"a": 1} x',
    "single quotes": b"{'a': 1}",
    "list": b"[]",
    "list of bodies": b'[{"run_id": "x"}]',
    "text": b'"text"',
    "number": b"5",
    "true": b"true",
    "not a number": b'{"value": NaN, "timestamp": Infinity}',
    "not utf-8": b'{"run_id": "\xff\xfe"}',
    "half a surrogate": b'{"run_id": "\\ud800"}',
    "nul": b'{"run_id": "\0"}',
    "binary": bytes(range(256)),
    "deep list": b'{"tags": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep and open": b"[" * DEEP,
    "huge number": b'{"max_results": 1e999, "start_time": 1e999, "value": 1e999, "name": 1e999, "run_id": 1e999}',
    "long number": b'{"run_id": ' + b"9" * 5000 + b"}",
}


@pytest.mark.beyond  # the reference reads these as an empty object, or fails
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize(("method", "path"), cases(ALL, lambda _: [()]))
def test_broken_body(raw, known, method, path, broken):
    check_refused(send(raw, known, method, path, BROKEN[broken]))


@pytest.mark.beyond  # the reference answers 500, or takes infinity
@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("value", "1e400", "beyond the numbers of 64 bits"),
        ("value", "-1e400", "beyond the numbers of 64 bits"),
        ("step", "9" * 400, "beyond the numbers of 64 bits"),
        ("key", '"a\\ud800b"', "half of a character"),
        ("value", "NaN", 'write it as a text: "NaN"'),
        ("value", "Infinity", 'write it as a text: "NaN"'),
        ("value", "-Infinity", 'write it as a text: "NaN"'),
        ("value", "\n NaN", 'write it as a text: "NaN"'),
    ],
)
def test_what_nothing_holds_is_refused_by_its_field(raw, known, field, value, why):
    fields = {"run_id": json.dumps(known["$run"]), "key": '"huge"', "value": "1", "timestamp": "1", field: value}
    body = "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
    answer = raw.post(f"{MLFLOW}/runs/log-metric", body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert f"'{field}'" in answer.message
    assert why in answer.message


@pytest.mark.beyond  # the reference passes over the query
def test_a_query_never_contradicts_the_body(raw, client, experiment_id):
    kept, other = (client.create_run(experiment_id).info.run_id for _ in range(2))
    answer = raw.post(f"{MLFLOW}/runs/delete?run_id={other}", {"run_id": kept})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert "'run_id'" in answer.message
    assert {client.get_run(run).info.lifecycle_stage for run in (kept, other)} == {"active"}
    assert raw.post(f"{MLFLOW}/runs/delete?run_id={kept}", {"run_id": kept}).status == 200
    assert raw.post(f"{MLFLOW}/runs/delete?run_id={other}", {}).status == 200


@pytest.mark.beyond
def test_an_encoded_body_is_named_as_that(raw, unique):
    """MLflow's server passes over the header and says that the JSON is broken."""
    body = gzip.compress(json.dumps({"name": unique("zipped")}).encode())
    headers = {**JSON, "Content-Encoding": "gzip"}
    answer = raw.send("POST", f"{MLFLOW}/experiments/create", body, headers)
    assert (answer.status, answer.error_code) == (415, "BAD_REQUEST"), answer
    assert "gzip" in answer.message
    plain = json.dumps({"name": unique("plain")})
    answer = raw.send("POST", f"{MLFLOW}/experiments/create", plain, {**JSON, "Content-Encoding": "identity"})
    assert answer.status == 200, answer


def test_raw_nan_literal_stores_nothing(raw, known, client):
    body = '{"run_id": "%s", "key": "literal", "value": NaN, "timestamp": 1}' % known["$run"]  # noqa: UP031
    answer = raw.post(f"{MLFLOW}/runs/log-metric", body)
    if raw.server.backend != "peer":
        check_refused(answer)
        assert client.get_metric_history(known["$run"], "literal") == []


@pytest.mark.parametrize("size_mb", [1.4])
def test_large_but_allowed_batch(raw, client, run_id, size_mb):
    body = {
        "run_id": run_id,
        "params": [{"key": f"p{i}", "value": "x" * 6000} for i in range(100)],
        "tags": [{"key": f"t{i}", "value": "y" * 8000} for i in range(100)],
    }
    text = json.dumps(body)
    assert len(text) > size_mb * 1e6
    assert raw.post(f"{MLFLOW}/runs/log-batch", text).status == 200
    assert len(client.get_run(run_id).data.params) == 100


@pytest.mark.beyond
@pytest.mark.parametrize("announced", [True, False])
def test_oversized_body(raw, announced):
    """64 MiB of one text: refused for its length before it is held, whether the length is announced or not."""
    if announced:
        answer = raw.send("POST", f"{MLFLOW}/experiments/create", b'{"name": "' + b"x" * (64 << 20) + b'"}', JSON)
    else:
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        headers = {**JSON, "Transfer-Encoding": "chunked", "Content-Length": None}
        answer = raw.send("POST", f"{MLFLOW}/experiments/create", chunk * 64 + b"0\r\n\r\n", headers)
    assert answer.status in (400, 413), answer
    assert answer.error_code in REFUSED, answer


UNKNOWN_RUN = "f" * 32


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{MLFLOW}/runs/get?run_id={UNKNOWN_RUN}", None),
        ("GET", f"{MLFLOW}/artifacts/list?run_id={UNKNOWN_RUN}", None),
        ("GET", f"{MLFLOW}/experiments/get?experiment_id=987654321", None),
        ("GET", f"{MLFLOW}/experiments/get-by-name?experiment_name=never", None),
        ("GET", f"{MLFLOW}/registered-models/get?name=never", None),
        ("GET", f"{MLFLOW}/model-versions/get?name=never&version=1", None),
        ("GET", f"{MLFLOW}/registered-models/alias?name=never&alias=a", None),
        ("GET", f"{MODELS}/m-{UNKNOWN_RUN}", None),
        ("POST", f"{MLFLOW}/runs/update", {"run_id": UNKNOWN_RUN, "status": "FINISHED"}),
        ("POST", f"{MLFLOW}/runs/delete", {"run_id": UNKNOWN_RUN}),
        ("POST", f"{MLFLOW}/runs/restore", {"run_id": UNKNOWN_RUN}),
        ("POST", f"{MLFLOW}/runs/log-metric", {"run_id": UNKNOWN_RUN, "key": "m", "value": 1, "timestamp": 1}),
        ("POST", f"{MLFLOW}/runs/log-parameter", {"run_id": UNKNOWN_RUN, "key": "m", "value": "1"}),
        ("POST", f"{MLFLOW}/runs/log-batch", {"run_id": UNKNOWN_RUN, "tags": [{"key": "a", "value": "b"}]}),
        ("POST", f"{MLFLOW}/runs/set-tag", {"run_id": UNKNOWN_RUN, "key": "a", "value": "b"}),
        ("POST", f"{MLFLOW}/runs/delete-tag", {"run_id": UNKNOWN_RUN, "key": "a"}),
        ("POST", f"{MLFLOW}/experiments/delete", {"experiment_id": "987654321"}),
        ("POST", f"{MLFLOW}/experiments/update", {"experiment_id": "987654321", "new_name": "x"}),
        ("DELETE", f"{MLFLOW}/registered-models/delete", {"name": "never"}),
        ("DELETE", f"{MLFLOW}/model-versions/delete", {"name": "never", "version": "1"}),
        ("POST", f"{MLFLOW}/registered-models/alias", {"name": "never", "alias": "a", "version": "1"}),
    ],
)
def test_unknown_ids(raw, method, path, body):
    answer = raw.send(method, path, json.dumps(body) if body else None, JSON if body else None)
    assert (answer.status, answer.error_code) == (404, "RESOURCE_DOES_NOT_EXIST"), answer
    assert answer.message


@pytest.mark.parametrize("run_id", ["", "x", "..", "%00", "a%2Fb", "'%20OR%201=1%20--", "%C3%A9", "%FF", "f" * 5000])
def test_run_ids_that_cannot_be(raw, run_id):
    answer = raw.get(f"{MLFLOW}/runs/get?run_id={run_id}")
    assert answer.status in (400, 404), answer
    assert answer.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}, answer


@pytest.mark.beyond
@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{MLFLOW}/experiments/search?max_results=many", "max_results"),
        (f"{MLFLOW}/registered-models/search?max_results=1.5", "max_results"),
        (f"{MLFLOW}/model-versions/search?max_results=%00", "max_results"),
        (f"{MLFLOW}/metrics/get-history?run_id={UNKNOWN_RUN}&metric_key=m&max_results=-", "max_results"),
        (f"{MLFLOW}/experiments/get-by-name?experiment_name=a%00b", "experiment_name"),
        (f"{MLFLOW}/registered-models/get?name=a%00b", "name"),
        (f"{MLFLOW}/registered-models/get?name=%ff%fe", "name"),
        (f"{MLFLOW}/runs/get", "run_id"),
        (f"{MLFLOW}/experiments/get", "experiment_id"),
        ("/api/2.1/unity-catalog/schemas", "catalog_name"),
        ("/api/2.1/unity-catalog/catalogs?max_results=many", "max_results"),
    ],
)
def test_bad_queries(raw, path, field):
    check_refused(raw.get(path), field)


def test_order_by_and_filters_of_any_size(raw, known):
    for condition in (
        "(" * 5000,
        "'" * 5001,
        "metrics.a > 1 AND " * 2000 + "metrics.a > 1 OR",
        "tags.`" + "x" * 100_000,
    ):
        body = {"experiment_ids": [known["$experiment"]], "filter": condition}
        check_refused(raw.post(f"{MLFLOW}/runs/search", body))


@pytest.mark.beyond
def test_unknown_paths_and_methods(raw):
    answer = raw.get("/api/2.0/mlflow/no-such-thing")
    assert (answer.status, answer.error_code) == (404, "ENDPOINT_NOT_FOUND"), answer
    answer = raw.send("PUT", f"{MLFLOW}/runs/create", b"{}", JSON)
    assert answer.status in (404, 405), answer
    assert answer.error_code, answer
    assert raw.get("/api/3.0/mlflow/experiments/get?experiment_id=0").status == 404


@pytest.mark.beyond
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/api/3.0/mlflow/traces/search"),
        ("GET", "/api/2.0/mlflow/traces/x/info"),
        ("POST", "/v1/traces"),
    ],
)
def test_what_is_out_of_scope_says_so(raw, method, path):
    answer = raw.send(method, path, b"{}" if method == "POST" else None, JSON)
    assert (answer.status, answer.error_code) == (501, "NOT_IMPLEMENTED"), answer


def test_server_is_well_after_all_that(raw, client):
    assert raw.get("/health").body.strip() == b"OK"
    assert client.get_experiment("0").name == "Default"
