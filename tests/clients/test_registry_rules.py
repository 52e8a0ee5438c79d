"""What the plain registry answers to each wrong call: MLflow's code and status, and enough words to go on.

Each line was tried against MLflow's own server, which these tests can be pointed at too; where Strongback means to
differ (it refuses what would be an internal error there), the line says ``OURS``.
"""

import json
from urllib.parse import quote

import pytest

from raw import JSON, MLFLOW

REQUIRED = "Missing value for required parameter '{}'"
INVALID, MISSING, TAKEN = (
    ("INVALID_PARAMETER_VALUE", 400),
    ("RESOURCE_DOES_NOT_EXIST", 404),
    ("RESOURCE_ALREADY_EXISTS", 400),
)
OURS = pytest.mark.beyond

NO_MODEL = "Registered Model with name=nope not found"
NO_VERSION = "Model Version (name=M, version=99) not found"

# Method, path below the prefix, fields, what comes back, a part of its message. M stands for a model with one version.
CALLS = [
    ("POST", "registered-models/create", {}, INVALID, REQUIRED.format("name")),
    ("POST", "registered-models/create", {"name": ""}, INVALID, REQUIRED.format("name")),
    ("POST", "registered-models/create", {"name": " "}, INVALID, REQUIRED.format("name")),
    ("POST", "registered-models/create", {"name": 5}, INVALID, "'name'"),
    ("POST", "registered-models/create", {"name": "a/b"}, INVALID, "Names cannot contain '/' or ':'"),
    ("POST", "registered-models/create", {"name": "a:b"}, INVALID, "Names cannot contain '/' or ':'"),
    ("POST", "registered-models/create", {"name": "."}, INVALID, "'.'"),
    ("POST", "registered-models/create", {"name": "M"}, TAKEN, "Registered Model (name=M) already exists."),
    (
        "POST",
        "registered-models/create",
        {"name": "new", "tags": [{"key": "k" * 251, "value": ""}]},
        INVALID,
        "exceeds the maximum length of 250",
    ),
    (
        "POST",
        "registered-models/create",
        {"name": "new", "tags": [{"key": "k", "value": "v" * 100_001}]},
        INVALID,
        "exceeds the maximum length of 100000",
    ),
    (
        "POST",
        "registered-models/create",
        {"name": "new", "tags": [{"key": "a/../b", "value": ""}]},
        INVALID,
        "would resolve to 'b'",
    ),
    ("GET", "registered-models/get", {}, INVALID, REQUIRED.format("name")),
    ("GET", "registered-models/get", {"name": "nope"}, MISSING, NO_MODEL),
    ("POST", "registered-models/rename", {"name": "M"}, INVALID, REQUIRED.format("new_name")),
    ("POST", "registered-models/rename", {"name": "nope", "new_name": "x"}, MISSING, NO_MODEL),
    ("POST", "registered-models/rename", {"name": "M", "new_name": "a/b"}, INVALID, "Names cannot contain"),
    ("PATCH", "registered-models/update", {"name": "nope", "description": "d"}, MISSING, NO_MODEL),
    ("PATCH", "registered-models/update", {"name": "M", "description": 5}, INVALID, "'description'"),
    ("DELETE", "registered-models/delete", {}, INVALID, REQUIRED.format("name")),
    ("DELETE", "registered-models/delete", {"name": "nope"}, MISSING, NO_MODEL),
    ("GET", "registered-models/search", {"max_results": "1001"}, INVALID, "1001"),
    ("GET", "registered-models/search", {"max_results": "many"}, INVALID, "'max_results'"),
    pytest.param("GET", "registered-models/search", {"max_results": "0"}, INVALID, "'max_results'", marks=OURS),
    ("GET", "registered-models/search", {"page_token": "x"}, INVALID, "page"),
    ("GET", "registered-models/search", {"filter": "name"}, INVALID, "Invalid clause(s) in filter string"),
    ("GET", "registered-models/search", {"filter": " "}, INVALID, "Invalid filter ' '"),
    ("GET", "registered-models/search", {"filter": "name = m"}, INVALID, "not quoted"),
    ("GET", "registered-models/search", {"order_by": "color"}, INVALID, "Invalid order by key 'color'"),
    ("GET", "registered-models/search", {"order_by": "name sideways"}, INVALID, "Invalid ordering key"),
    ("GET", "model-versions/search", {"max_results": "200001"}, INVALID, "200001"),
    ("GET", "model-versions/search", {"max_results": "0"}, INVALID, "0"),
    ("GET", "model-versions/search", {"order_by": "color"}, INVALID, "Invalid attribute key 'color'"),
    ("POST", "registered-models/get-latest-versions", {}, INVALID, REQUIRED.format("name")),
    ("POST", "registered-models/get-latest-versions", {"name": "nope"}, MISSING, NO_MODEL),
    (
        "POST",
        "registered-models/get-latest-versions",
        {"name": "M", "stages": ["x"]},
        INVALID,
        "Invalid Model Version stage: x",
    ),
    ("POST", "registered-models/set-tag", {"name": "M", "value": "v"}, INVALID, REQUIRED.format("key")),
    ("POST", "registered-models/set-tag", {"name": "nope", "key": "k", "value": "v"}, MISSING, NO_MODEL),
    ("POST", "registered-models/set-tag", {"name": "M", "key": "a#b", "value": "v"}, INVALID, "may only contain"),
    ("POST", "registered-models/set-tag", {"name": "M", "key": "k", "value": 5}, INVALID, "'value'"),
    ("DELETE", "registered-models/delete-tag", {"name": "M"}, INVALID, REQUIRED.format("key")),
    ("DELETE", "registered-models/delete-tag", {"name": "nope", "key": "k"}, MISSING, NO_MODEL),
    ("POST", "model-versions/create", {"name": "M"}, INVALID, REQUIRED.format("source")),
    ("POST", "model-versions/create", {"name": "nope", "source": "s3://b/x"}, MISSING, NO_MODEL),
    (
        "POST",
        "model-versions/create",
        {"name": "M", "source": "/etc/passwd"},
        INVALID,
        "the run_id request parameter has to be specified",
    ),
    (
        "POST",
        "model-versions/create",
        {"name": "M", "source": "file:///etc/passwd"},
        INVALID,
        "the run_id request parameter has to be specified",
    ),
    ("POST", "model-versions/create", {"name": "M", "source": "a/b"}, INVALID, "Invalid model version source: 'a/b'"),
    ("POST", "model-versions/create", {"name": "M", "source": "word"}, INVALID, "Invalid model version source: 'word'"),
    ("POST", "model-versions/create", {"name": "M", "source": "s3://b/../x"}, INVALID, "Invalid model version source"),
    ("POST", "model-versions/create", {"name": "M", "source": "http://x/y"}, INVALID, "'http'"),
    (
        "POST",
        "model-versions/create",
        {"name": "M", "source": "mlflow-artifacts:/0/%2e%2e/x"},
        INVALID,
        "Invalid model version source",
    ),
    ("POST", "model-versions/create", {"name": "M", "source": "models:/nope/1"}, MISSING, NO_MODEL),
    ("POST", "model-versions/create", {"name": "M", "source": "models:/M/99"}, MISSING, NO_VERSION),
    (
        "POST",
        "model-versions/create",
        {"name": "M", "source": "models:/M@none"},
        INVALID,
        "Registered model alias none not found.",
    ),
    (
        "POST",
        "model-versions/create",
        {"name": "M", "source": "s3://b/x", "model_id": f"m-{'0' * 32}"},
        MISSING,
        f"m-{'0' * 32}",
    ),
    ("GET", "model-versions/get", {"name": "M"}, INVALID, "version"),
    ("GET", "model-versions/get", {"name": "M", "version": "x"}, INVALID, "version"),
    ("GET", "model-versions/get", {"name": "M", "version": "1.5"}, INVALID, "version"),
    ("GET", "model-versions/get", {"name": "M", "version": "99"}, MISSING, NO_VERSION),
    ("GET", "model-versions/get", {"name": "nope", "version": "1"}, MISSING, "nope"),
    pytest.param("GET", "model-versions/get", {"name": "M", "version": "9" * 20}, INVALID, "version", marks=OURS),
    ("GET", "model-versions/get-download-uri", {"name": "M", "version": "99"}, MISSING, NO_VERSION),
    ("PATCH", "model-versions/update", {"name": "M", "version": "99", "description": "d"}, MISSING, NO_VERSION),
    ("POST", "model-versions/set-tag", {"name": "M", "version": "99", "key": "k", "value": "v"}, MISSING, NO_VERSION),
    ("POST", "model-versions/set-tag", {"name": "M", "key": "k", "value": "v"}, INVALID, REQUIRED.format("version")),
    ("DELETE", "model-versions/delete-tag", {"name": "M", "version": "99", "key": "k"}, MISSING, NO_VERSION),
    ("POST", "model-versions/transition-stage", {"name": "M", "version": "1"}, INVALID, REQUIRED.format("stage")),
    (
        "POST",
        "model-versions/transition-stage",
        {"name": "M", "version": "1", "stage": "x", "archive_existing_versions": False},
        INVALID,
        "Invalid Model Version stage: x",
    ),
    (
        "POST",
        "model-versions/transition-stage",
        {"name": "M", "version": "99", "stage": "Staging", "archive_existing_versions": False},
        MISSING,
        NO_VERSION,
    ),
    pytest.param(
        "POST",
        "model-versions/transition-stage",
        {"name": "M", "version": "1", "stage": "Archived", "archive_existing_versions": True},
        INVALID,
        "is not an Active stage",
        marks=OURS,
    ),
    ("DELETE", "model-versions/delete", {"name": "M", "version": "99"}, MISSING, NO_VERSION),
    ("POST", "registered-models/alias", {"name": "M", "version": "1"}, INVALID, REQUIRED.format("alias")),
    ("POST", "registered-models/alias", {"name": "M", "alias": "a"}, INVALID, REQUIRED.format("version")),
    ("POST", "registered-models/alias", {"name": "M", "alias": "a", "version": "99"}, MISSING, NO_VERSION),
    ("POST", "registered-models/alias", {"name": "nope", "alias": "a", "version": "1"}, MISSING, "nope"),
    (
        "POST",
        "registered-models/alias",
        {"name": "M", "alias": "latest", "version": "1"},
        INVALID,
        "'latest' alias name",
    ),
    ("POST", "registered-models/alias", {"name": "M", "alias": "v1", "version": "1"}, INVALID, "'v1'"),
    ("POST", "registered-models/alias", {"name": "M", "alias": "a b", "version": "1"}, INVALID, "a b"),
    ("GET", "registered-models/alias", {"name": "M"}, INVALID, REQUIRED.format("alias")),
    (
        "GET",
        "registered-models/alias",
        {"name": "M", "alias": "none"},
        INVALID,
        "Registered model alias none not found.",
    ),
    ("GET", "registered-models/alias", {"name": "nope", "alias": "a"}, MISSING, NO_MODEL),
    ("DELETE", "registered-models/alias", {"name": "M"}, INVALID, REQUIRED.format("alias")),
    ("DELETE", "registered-models/alias", {"name": "nope", "alias": "a"}, MISSING, NO_MODEL),
]


@pytest.fixture(scope="module")
def model(server):
    """A model with one version."""
    from uuid import uuid4

    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    name = client.create_registered_model(f"rules-{uuid4().hex[:8]}").name
    client.create_model_version(name, "s3://bucket/model")
    return name


@pytest.mark.parametrize(("method", "path", "fields", "expected", "words"), CALLS)
def test_wrong_calls(raw, model, method, path, fields, expected, words):
    fields = {key: model if value == "M" else value for key, value in fields.items()}
    if "source" in fields:
        fields["source"] = (
            fields["source"].replace("/M", f"/{model}", 1) if "/M" in fields["source"] else fields["source"]
        )
    words = words.replace("=M", f"={model}")
    if method == "GET":
        query = "&".join(f"{key}={quote(value)}" for key, value in fields.items())
        answer = raw.get(f"{MLFLOW}/{path}?{query}")
    else:
        answer = raw.send(method, f"{MLFLOW}/{path}", json.dumps(fields), JSON)
    assert (answer.error_code, answer.status) == expected, answer
    assert words in answer.message, answer


def test_what_is_no_error(raw, model):
    """Repeating a deletion, and changing nothing, are fine; so is a number where a text is expected."""
    for method, path, fields in [
        ("POST", "registered-models/rename", {"name": model, "new_name": model}),
        ("DELETE", "registered-models/delete-tag", {"name": model, "key": "none"}),
        ("DELETE", "model-versions/delete-tag", {"name": model, "version": "1", "key": "none"}),
        ("DELETE", "registered-models/alias", {"name": model, "alias": "none"}),
        ("POST", "registered-models/set-tag", {"name": model, "key": "k"}),
        ("POST", "registered-models/get-latest-versions", {"name": model, "stages": ["none"]}),
    ]:
        answer = raw.send(method, f"{MLFLOW}/{path}", json.dumps(fields), JSON)
        assert answer.status == 200, (path, answer)
