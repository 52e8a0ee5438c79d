"""Endpoints, gates and why on the pages, as a person sees them: from what is served to what it rested on."""

import json
import subprocess
import sys
import urllib.error
import urllib.request

import mlflow
import onnx
import pandas as pd
import pytest
from mlflow.models import infer_signature
from playwright.sync_api import expect

import launcher
from governed import ensure_schema
from raw import Raw
from test_gates import logistic
from world import HOSTILE

pytestmark = pytest.mark.beyond

PAGE_MAX = 150_000
# Until the first byte, by a debug build on a busy machine.
SERVER_TIME_MAX_MS = 1_000
MODEL = "prod.risk.scorer"
REQUESTS = 20


@pytest.fixture(scope="module")
def serving(server, tmp_path_factory):
    """A server on which a model passed its gates and answers, and one that is worse failed them."""
    folder = tmp_path_factory.mktemp("loop")
    extra = ("--worker-python", sys.executable)
    with launcher.on_store(server.backend, folder / "data", extra=extra) as running:
        serve(running, folder)
        yield running


def serve(running, folder):
    def strongback(*arguments, code=0):
        command = [launcher.binary(), *map(str, arguments), "--server", running.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done

    ensure_schema(running, "prod", "risk")
    rows = [(i % 10 / 10, i % 7 / 7) for i in range(400)]
    labels = [int(a + (i % 3) / 3 > 0.8) for i, (a, _) in enumerate(rows)]
    lines = [f"{a},{b},{label}" for (a, b), label in zip(rows, labels, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    strongback("table", "import", folder / "rows.csv", "--name", "prod.risk.rows")
    (folder / "gates.yaml").write_text(
        "version: 1\nevaluation: { table: prod.risk.rows, label: y }\n"
        "accuracy:\n  - { metric: roc_auc, margin: 0 }\nfirst_champion:\n  - { metric: roc_auc, at_least: 0.6 }\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", running.url)
        patch.setenv("DATABRICKS_HOST", running.url)
        patch.setenv("DATABRICKS_TOKEN", "any")
        mlflow.set_tracking_uri(running.url)
        mlflow.set_registry_uri("databricks-uc")
        mlflow.set_experiment("/loop")
        for version, weights in enumerate(([3, 0], [-3, 0]), 1):
            example = pd.DataFrame(rows[:2], columns=["a", "b"])
            with mlflow.start_run(run_name=HOSTILE):
                mlflow.log_params({"weights": weights, "why": HOSTILE})
                mlflow.onnx.log_model(
                    onnx.load_from_string(logistic(weights)),
                    name="model",
                    registered_model_name=MODEL,
                    signature=infer_signature(example, [0.5]),
                    pip_requirements=[],
                )
            gate = ["gate", "run", "--model", MODEL, "--candidate", version, "--config", folder / "gates.yaml"]
            strongback(*gate, "--move", "champion", code=0 if version == 1 else 1)
        mlflow.set_registry_uri(None)
        mlflow.set_tracking_uri(None)
    strongback("endpoint", "create", "score", "--model", f"{MODEL}@champion")


def ask(server, body, client_request_id="tx-1"):
    request = urllib.request.Request(
        f"{server.url}/endpoints/score/invocations",
        json.dumps(body).encode(),
        {"content-type": "application/json", "x-client-request-id": client_request_id},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read()), answer.headers["x-request-id"]


@pytest.fixture(scope="module")
def asked(serving):
    """The id of the newest of some requests, one of which was refused."""
    with pytest.raises(urllib.error.HTTPError):
        ask(serving, {"dataframe_records": [{"a": "x", "b": 1}]})
    return [ask(serving, {"dataframe_records": [{"a": 0.5, "b": 0.25}]}, HOSTILE)[1] for _ in range(REQUESTS)][-1]


def test_the_page_shows_endpoints_and_gates(look, serving, asked):
    tab = look(f"{serving.url}/")
    endpoint = tab.page.locator("#endpoints li")
    expect(endpoint).to_have_count(1)
    for text in ("score", "ready", f"{MODEL} v1 @champion", "ONNX", "a second", "p50", "p99", "1 refused or failed"):
        expect(endpoint).to_contain_text(text)
    assert "requests a second" in endpoint.get_by_role("img").get_attribute("aria-label")
    gates = tab.page.locator("#gates > ul > li")
    expect(gates).to_have_count(2)
    # Newest first: the worse one, which says why it failed.
    expect(gates.first).to_contain_text("failed")
    expect(gates.first).to_contain_text(f"{MODEL} v2 against v1")
    expect(gates.first.locator(".sentence").first).to_contain_text("the interval has to be")
    expect(gates.last).to_contain_text(f"{MODEL} v1 for @champion")
    expect(gates.last.locator(".checks")).to_contain_text("first_champion.roc_auc 0.")
    size, served, _ = tab.reloaded()
    assert size < PAGE_MAX
    assert served < SERVER_TIME_MAX_MS
    assert not tab.complaints()


def test_a_request_leads_to_why(look, serving, asked):
    tab = look(f"{serving.url}/")
    tab.page.locator(f'#endpoints a[title="{asked}"]').click()
    for text in (
        asked,
        "configuration 1",
        "@champion",
        f"{MODEL} version 1",
        "first_champion.roc_auc",
        "strongback why",
    ):
        expect(tab.page.locator("main")).to_contain_text(text)
    expect(tab.page.locator(".answer tbody tr")).to_have_count(2)
    expect(tab.page.locator(".answer")).to_contain_text("0.25")
    # What clients wrote is text.
    expect(tab.page.locator("main")).to_contain_text(HOSTILE)
    assert tab.page.locator("img").count() == 0
    assert not tab.complaints()


def test_a_person_types_the_id(look, serving, asked):
    tab = look(f"{serving.url}/")
    tab.page.get_by_label("Why did a request get its answer?").fill(f" {asked} ")
    tab.page.get_by_role("button", name="Ask").click()
    tab.see("Why this answer?")
    assert tab.page.url == f"{serving.url}/why/{asked}"
    assert not tab.complaints()


def test_an_id_that_means_nothing_is_a_page_for_people(look, serving):
    for typed, status, words in [("nonsense", 400, "is no request id"), ("0" * 32, 404, "No request")]:
        tab = look(f"{serving.url}/why?request_id={typed}")
        tab.see(words)
        assert tab.complaints() == [f"{status} GET /why/{typed}"]
    # A client gets the protocol's error.
    assert Raw(serving).get("/why/nonsense").error_code == "INVALID_PARAMETER_VALUE"
    tab = look(f"{serving.url}/why")
    expect(tab.page.get_by_role("button", name="Ask")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1600])
def test_pages_are_whole_on_a_phone(look, serving, asked, width):
    for path in ("/", f"/why/{asked}"):
        tab = look(serving.url + path, width=width, height=740)
        wide, window = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, path
        assert not tab.complaints()
