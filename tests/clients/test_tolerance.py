"""What callers of another age may send: fields that nobody knows, the other spelling of names, and everything twice."""

import re

import pytest

import launcher
from examples import EVERY, GOV, ONE, M, U
from raw import Raw
from world import World

pytestmark = pytest.mark.beyond

# Their keys are the caller's.
FREE = {"properties", "params", "parameters", "env", "variables"}
# A declaration that runs on machines: what is misspelt in it is told.
STRICT = {f"POST {ONE}/commands"}
# What takes JSON and is left out: each needs a model that runs, a token of one's own, or an object store.
LEFT_OUT = {
    f"POST {ONE}/exchange/take",
    f"POST {ONE}/gate-runs",
    f"POST {ONE}/model/govern",
    f"POST {M}/artifacts/presigned-download-url",
    f"POST {M}/artifacts/presigned-upload-url",
    "POST /api/2.0/fs/files/{path}",
    "POST /api/2.0/token/create",
    "POST /api/2.0/token/delete",
    f"POST {U}/temporary-model-version-credentials",
}
# What proto JSON may spell either way.
PROTO = [(operation, fields) for operation, fields in EVERY if operation.split(" ")[1].startswith(f"{M}/")]

# Of these, MLflow says that a second call finds things as the first one left them.
HARMLESS = re.compile(
    r"/(log-batch|log-metric|log-parameter|log-inputs|outputs|set-tag|set-experiment-tag|update|transition-stage|finalize)$"
    r"|/runs/(delete|restore)$|^(POST|PUT) .*/alias(es/\{alias\})?$|^DELETE .*/registered-models/(alias|delete-tag)$"
    r"|/logged-models/\{model_id\}(/tags|/params)?$"
)


@pytest.fixture(scope="module")
def store(server, tmp_path_factory):
    """A server that also calls webhooks of this machine, with what most of the calls share."""
    place = tmp_path_factory.mktemp("tolerance") / "data"
    with launcher.on_store(server.backend, place, extra=("--webhooks-allow", "127.0.0.1")) as running:
        raw = Raw(running)
        world = World(raw)
        shared = {word: world.get(word) for word in ("catalog", "s", "exp", "run", "logged", "exp_name")}
        yield raw, shared


def world_for(store, operation: str) -> World:
    """One of its own where the shared things would change."""
    raw, shared = store
    changes_them = re.search(r"/(experiments|schemas|catalogs|audit-log|logged-models|runs)/", operation)
    return World(raw, None if changes_them else shared)


def in_body(operation: str, fields: dict) -> tuple[dict, dict]:
    """What stands in the path, and the rest."""
    path = set(re.findall(r"\{(\w+)\}", operation))
    return {k: v for k, v in fields.items() if k in path}, {k: v for k, v in fields.items() if k not in path}


def with_unknown(value):
    if isinstance(value, dict):
        inner = {key: item if key in FREE else with_unknown(item) for key, item in value.items()}
        return inner | {"of_a_later_version": {"a": [1, None]}}
    return [with_unknown(item) for item in value] if isinstance(value, list) else value


def in_camel_case(value):
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda found: found[1].upper(), key): in_camel_case(v) for key, v in value.items()}
    return [in_camel_case(item) for item in value] if isinstance(value, list) else value


def without_own(answer) -> str:
    """An answer without names, ids and times, which are its own."""
    return re.sub(rb"[0-9a-f]{32}|\d{13,}", b"*", answer.body).decode() if answer.body else ""


def test_every_operation_that_takes_json_is_tried(store):
    raw, _ = store
    takes_json = {
        f"{method.upper()} {path}"
        for path, operations in raw.get("/api/openapi.json").json["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert takes_json - {operation for operation, _ in EVERY} == LEFT_OUT


def test_unknown_fields_are_ignored(store):
    wrong = []
    for operation, fields in EVERY:
        if operation in STRICT:
            continue
        world = world_for(store, operation)
        path, body = in_body(operation, world.fill(fields))
        answer = world.send(operation, path | with_unknown(body))
        if answer.status not in (200, 204):
            wrong.append((operation, answer))
    assert wrong == []


def test_names_may_be_spelt_as_proto_json_spells_them(store):
    asked, wrong = 0, []
    for operation, fields in PROTO:
        plain, camel = world_for(store, operation), world_for(store, operation)
        path, body = in_body(operation, camel.fill(fields))
        if in_camel_case(body) == body:
            continue
        expected = plain.send(operation, plain.fill(fields))
        found = camel.send(operation, path | in_camel_case(body))
        asked += 1
        if (found.status, without_own(found)) != (expected.status, without_own(expected)):
            wrong.append((operation, expected, found))
    assert asked > 25
    assert wrong == []


def test_everything_may_be_sent_twice(store):
    compared, wrong = 0, []
    for operation, fields in EVERY:
        world = world_for(store, operation)
        filled = world.fill(fields)
        first = world.send(operation, filled)
        assert first.status in (200, 204), (operation, first)
        before = state(world)
        second = world.send(operation, filled)
        if second.status >= 500:
            wrong.append((operation, second))
        if HARMLESS.search(operation):
            compared += 1
            after = state(world)
            if second.status != first.status or after != before:
                wrong.append((operation, second, [(x, y) for x, y in zip(before, after, strict=True) if x != y]))
    assert compared > 30
    assert wrong == []


def state(world: World) -> list:
    """What can be read of what a call may have changed, without the times at which it was changed last."""
    reads = {
        "exp": (f"GET {M}/experiments/get", "experiment_id"),
        "run": (f"GET {M}/runs/get", "run_id"),
        "dead_run": (f"GET {M}/runs/get", "run_id"),
        "logged": (f"GET {M}/logged-models/{{model_id}}", "model_id"),
        "model": (f"GET {M}/registered-models/get", "name"),
        "gov": (f"GET {GOV}/registered-models/get", "name"),
    }
    found = []
    for word, (operation, field) in reads.items():
        if word in world.known:
            found.append(world.send(operation, {field: world.known[word]}))
    if run := world.known.get("run"):
        found += [world.send(f"GET {M}/metrics/get-history", {"run_id": run, "metric_key": key}) for key in ("m", "b")]
    for word, path in (("model", M), ("gov", GOV)):
        if name := world.known.get(word):
            found.append(world.send(f"GET {path}/model-versions/get", {"name": name, "version": 1}))
    return [re.sub(rb'"last_update\w*":"?\d+"?', b"", answer.body) for answer in found]
