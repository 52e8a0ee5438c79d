"""Metric points: what counts as the same point, which one is the latest, and how a history is read."""

import math
from itertools import pairwise

import pytest
from mlflow.entities import Metric

from raw import MLFLOW

LARGEST = 1.7976931348623157e308


def history(client, run_id, key):
    return [(point.timestamp, point.step, point.value) for point in client.get_metric_history(run_id, key)]


def test_special_values(client, run_id):
    for key, value in {"nan": math.nan, "up": math.inf, "down": -math.inf, "tiny": 5e-324, "third": 1 / 3}.items():
        client.log_metric(run_id, key, value, timestamp=1, step=0)
    metrics = client.get_run(run_id).data.metrics
    assert math.isnan(metrics["nan"])
    assert (metrics["up"], metrics["down"]) == (LARGEST, -LARGEST)
    assert (metrics["tiny"], metrics["third"]) == (5e-324, 1 / 3)
    assert math.isnan(history(client, run_id, "nan")[0][2])
    assert history(client, run_id, "up") == [(1, 0, LARGEST)]


def test_nan_is_text_on_the_wire(raw, run_id):
    body = {"run_id": run_id, "key": "m", "value": "NaN", "timestamp": 5, "step": "3"}
    assert raw.post(f"{MLFLOW}/runs/log-metric", body).status == 200
    assert raw.get(f"{MLFLOW}/runs/get?run_id={run_id}").json["run"]["data"]["metrics"] == [
        {"key": "m", "value": "NaN", "timestamp": 5, "step": 3}
    ]


def test_the_same_point_again_is_no_point(client, run_id):
    point = Metric("m", 0.5, 10, 1)
    client.log_batch(run_id, [point, point])
    client.log_batch(run_id, [point])
    client.log_metric(run_id, "m", 0.5, timestamp=10, step=1)
    assert history(client, run_id, "m") == [(10, 1, 0.5)]


def test_two_values_at_one_moment_are_two_points(client, run_id):
    client.log_batch(run_id, [Metric("m", 0.5, 10, 1), Metric("m", 0.7, 10, 1), Metric("m", 0.6, 10, 1)])
    assert sorted(history(client, run_id, "m")) == [(10, 1, 0.5), (10, 1, 0.6), (10, 1, 0.7)]
    assert client.get_run(run_id).data.metrics["m"] == 0.7


@pytest.mark.parametrize(
    ("points", "latest"),
    [
        ([(1.0, 100, 5), (2.0, 200, 3)], 1.0),  # the step counts first
        ([(1.0, 200, 5), (2.0, 100, 5)], 1.0),  # then the time
        ([(3.0, 100, 5), (2.0, 100, 5)], 3.0),  # then the value
        ([(9.0, 900, -3), (2.0, 100, -2)], 2.0),  # steps may be negative
    ],
)
@pytest.mark.parametrize("one_by_one", [True, False])
def test_latest_is_by_step_time_and_value_not_by_arrival(client, run_id, points, latest, one_by_one):
    metrics = [Metric("m", *point) for point in points]
    if one_by_one:
        for metric in metrics:
            client.log_batch(run_id, [metric])
    else:
        client.log_batch(run_id, metrics)
    assert client.get_run(run_id).data.metrics["m"] == latest


def test_history_is_ordered_by_time_then_step(client, run_id):
    client.log_batch(run_id, [Metric("m", 1, 30, 1), Metric("m", 2, 10, 9), Metric("m", 3, 10, 2)])
    client.log_batch(run_id, [Metric("m", 4, 20, 0)])
    assert history(client, run_id, "m") == [(10, 2, 3.0), (10, 9, 2.0), (20, 0, 4.0), (30, 1, 1.0)]


def test_unknown_key_has_no_history(client, run_id):
    assert history(client, run_id, "never") == []


@pytest.fixture
def long_run(client, run_id):
    """A run with 3,000 points of ``loss``, steps 0 to 2,999."""
    for first in range(0, 3000, 1000):
        client.log_batch(
            run_id, [Metric("loss", 1 / (step + 1), 1000 + step, step) for step in range(first, first + 1000)]
        )
    return run_id


def test_history_pages(raw, long_run):
    steps, token = [], ""
    for _ in range(10):
        path = f"{MLFLOW}/metrics/get-history?run_id={long_run}&metric_key=loss&max_results=700"
        page = raw.get(path + (f"&page_token={token}" if token else "")).json
        steps += [point["step"] for point in page["metrics"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert steps == list(range(3000))


def test_whole_history(client, long_run):
    points = history(client, long_run, "loss")
    assert points == [(1000 + step, step, 1 / (step + 1)) for step in range(3000)]


@pytest.mark.parametrize("query", ["max_results=0", "page_token=%21%21%21"])
def test_history_refuses(raw, run_id, query):
    answer = raw.get(f"{MLFLOW}/metrics/get-history?run_id={run_id}&metric_key=m&{query}")
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


def bulk(raw, query):
    return raw.get(f"{MLFLOW}/metrics/get-history-bulk-interval?{query}")


def test_bulk_interval_samples_evenly_and_keeps_the_ends(raw, long_run):
    points = bulk(raw, f"run_ids={long_run}&metric_key=loss&max_results=100").json["metrics"]
    steps = [point["step"] for point in points]
    assert {point["run_id"] for point in points} == {long_run}
    assert (steps[0], steps[-1]) == (0, 2999)
    assert steps == sorted(set(steps))
    assert 90 <= len(steps) <= 110
    assert max(b - a for a, b in pairwise(steps)) <= 60
    assert all(point["value"] == 1 / (point["step"] + 1) for point in points)


def test_bulk_interval_of_some_steps_and_runs(raw, client, experiment_id, long_run):
    short = client.create_run(experiment_id).info.run_id
    client.log_batch(short, [Metric("loss", 9.0, 1, step) for step in (0, 105, 500)])
    query = f"run_ids={long_run}&run_ids={short}&metric_key=loss&start_step=100&end_step=110&max_results=2500"
    points = bulk(raw, query).json["metrics"]
    assert [p["step"] for p in points if p["run_id"] == long_run] == list(range(100, 111))
    assert [p["step"] for p in points if p["run_id"] == short] == [105]


def test_bulk_of_the_ui(raw, long_run):
    answer = raw.get(f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={long_run}&metric_key=loss&max_results=10")
    assert [point["step"] for point in answer.json["metrics"]] == list(range(10))
    answer = raw.get(
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={long_run}&metric_key=loss&max_results=10"
    )
    assert answer.json["metrics"][-1]["step"] == 2999


@pytest.mark.parametrize(
    "query",
    [
        "metric_key=loss",
        "run_ids={run}",
        "run_ids={run}&metric_key=loss&start_step=1",
        "run_ids={run}&metric_key=loss&start_step=9&end_step=1",
        "run_ids={run}&metric_key=loss&max_results=2501",
        "metric_key=loss&" + "&".join(f"run_ids={i:032x}" for i in range(101)),
    ],
)
def test_bulk_interval_refuses(raw, run_id, query):
    answer = bulk(raw, query.format(run=run_id))
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", -1),
        ("timestamp", None),
        ("value", None),
        ("value", "many"),
        pytest.param("value", True, marks=pytest.mark.beyond),
        pytest.param("step", 1.5, marks=pytest.mark.beyond),
        ("key", None),
    ],
)
def test_refused_points(raw, client, run_id, field, value):
    body = {"run_id": run_id, "key": "m", "value": 1.0, "timestamp": 1, "step": 0, field: value}
    answer = raw.post(f"{MLFLOW}/runs/log-metric", {k: v for k, v in body.items() if v is not None})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert field in answer.message, answer
    assert client.get_run(run_id).data.metrics == {}


def test_point_of_an_unknown_model(raw, run_id):
    body = {"run_id": run_id, "key": "m", "value": 1.0, "timestamp": 1, "step": 0, "model_id": "m-" + "0" * 32}
    answer = raw.post(f"{MLFLOW}/runs/log-metric", body)
    assert 400 <= answer.status < 500, answer
