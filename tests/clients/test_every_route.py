"""MLflow's own server has a list of what it answers; nothing of it is unknown here."""

import re

import pytest
from mlflow.server import app
from mlflow.server.handlers import get_endpoints

from raw import JSON

pytestmark = pytest.mark.beyond

# A slip in MLflow's own table, its own pages' files, and the page of a query editor.
ELSEWHERE = re.compile(r"/(ajax-)?api/2\.0mlflow/|/static-files/|/build/|/graphql$")

# Beyond classic machine learning, and Databricks' own: what may be said to be no part of this server. Anything else has to work.
LEFT_OUT = re.compile(
    r"/v1/(traces|metrics)$"
    r"|/gateway/"
    r"|/(ajax-)?api/\d\.0/("
    r"endpoints|jobs|permissions"
    r"|mlflow/(assessments|assistant|comments|databricks|datasets|demo|gateway(-proxy)?|genai|get-online-trace-details|get-trace-artifact|guardrails"
    r"|issues|jobs|label-schemas|mcp-servers|prompt-optimization|registry-webhooks|review-queues|runs/create-promptlab-run|scorers?|traces"
    r"|transition-requests|unified-traces|workspaces)"
    r")(/|$)"
)


def routes() -> list[tuple[str, str]]:
    """Method and path of each, with a value in the place of each parameter."""
    listed = {(method, path) for path, _, methods in get_endpoints() for method in methods}
    for rule in app.url_map.iter_rules():
        listed |= {(method, rule.rule) for method in rule.methods - {"HEAD", "OPTIONS"}}
    return sorted((method, re.sub(r"<[^>]*>", "1", path)) for method, path in listed if not ELSEWHERE.search(path))


def test_every_route_of_mlflow_has_an_answer(raw):
    found = routes()
    assert len(found) > 300, "MLflow's own table was not found"
    unknown = []
    for method, path in found:
        answer = raw.send(method, path, *(() if method == "GET" else ("{}", JSON)))
        is_ours = answer.status >= 500 and answer.status != 501
        if answer.status == 405 or answer.error_code == "ENDPOINT_NOT_FOUND" or is_ours:
            unknown.append((method, path, answer))
        if answer.status == 501:
            assert answer.error_code == "NOT_IMPLEMENTED", (method, path, answer)
            assert answer.message.endswith("without."), answer
            assert LEFT_OUT.search(path), (method, path, answer)
    assert unknown == []
