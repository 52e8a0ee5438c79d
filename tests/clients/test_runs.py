"""Runs: creation, parents, params, tags, batches, status and life cycle."""

import time

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag

from expect import refused
from raw import MLFLOW


def test_created_run_says_what_it_was_given(client, experiment_id):
    run = client.create_run(experiment_id, start_time=1_700_000_000_123, tags={"mlflow.user": "ada"}, run_name="first")
    assert run.info.run_id == run.to_dictionary()["info"]["run_id"]
    assert len(run.info.run_id) == 32
    assert run.info.experiment_id == experiment_id
    assert run.info.run_name == "first"
    assert run.info.status == "RUNNING"
    assert run.info.start_time == 1_700_000_000_123
    assert run.info.end_time is None
    assert run.info.lifecycle_stage == "active"
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert run.data.tags["mlflow.runName"] == "first"
    assert client.get_run(run.info.run_id).to_dictionary() == run.to_dictionary()


def test_run_without_a_name_gets_one(client, experiment_id):
    run = client.create_run(experiment_id)
    assert run.info.run_name
    assert run.data.tags["mlflow.runName"] == run.info.run_name


def test_both_names_of_a_run_must_agree(client, experiment_id):
    with refused("INVALID_PARAMETER_VALUE", "name"):
        client.create_run(experiment_id, run_name="a", tags={"mlflow.runName": "b"})


def test_unknown_runs(client, experiment_id):
    unknown = "0" * 32
    with refused("RESOURCE_DOES_NOT_EXIST", unknown):
        client.get_run(unknown)
    with refused("RESOURCE_DOES_NOT_EXIST", unknown):
        client.log_param(unknown, "a", "b")
    with refused("RESOURCE_DOES_NOT_EXIST", unknown):
        client.delete_run(unknown)
    with refused("RESOURCE_DOES_NOT_EXIST", "123456789"):
        client.create_run("123456789")


def test_fluent_run_with_children(server, experiment_id, client):
    with mlflow.start_run(experiment_id=experiment_id, run_name="parent", tags={"team": "risk-ml"}) as parent:
        mlflow.log_params({"depth": 3, "rate": 0.1})
        mlflow.log_metric("auc", 0.91, step=2)
        for index in range(2):
            with mlflow.start_run(experiment_id=experiment_id, nested=True, run_name=f"child-{index}"):
                mlflow.log_metric("auc", index)
    run = client.get_run(parent.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {"depth": "3", "rate": "0.1"}
    assert run.data.metrics == {"auc": 0.91}
    assert run.data.tags["team"] == "risk-ml"
    children = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert {child.info.run_name for child in children} == {"child-0", "child-1"}
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}


def test_failing_block_marks_the_run_failed(client, experiment_id):
    with pytest.raises(ZeroDivisionError), mlflow.start_run(experiment_id=experiment_id) as run:
        raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_param_is_immutable(client, run_id):
    client.log_param(run_id, "depth", 3)
    client.log_param(run_id, "depth", 3)
    with refused("INVALID_PARAMETER_VALUE", "depth", "Changing param values is not allowed"):
        client.log_param(run_id, "depth", 4)
    with refused("INVALID_PARAMETER_VALUE", "depth"):
        client.log_batch(run_id, params=[Param("new", "1"), Param("depth", "4")])
    assert client.get_run(run_id).data.params == {"depth": "3"}


def test_tags_are_set_overwritten_and_deleted(client, run_id):
    client.set_tag(run_id, "a", "1")
    client.set_tag(run_id, "a", "2")
    client.set_tag(run_id, "multi/line key.x", "line one\nline two ✓")
    tags = client.get_run(run_id).data.tags
    assert (tags["a"], tags["multi/line key.x"]) == ("2", "line one\nline two ✓")
    client.delete_tag(run_id, "a")
    assert "a" not in client.get_run(run_id).data.tags
    with refused("RESOURCE_DOES_NOT_EXIST", "a"):
        client.delete_tag(run_id, "a")


def test_renaming_by_tag_and_by_update(client, run_id):
    client.set_tag(run_id, "mlflow.runName", "by tag")
    assert client.get_run(run_id).info.run_name == "by tag"
    client.update_run(run_id, name="by update")
    run = client.get_run(run_id)
    assert (run.info.run_name, run.data.tags["mlflow.runName"]) == ("by update", "by update")


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "SCHEDULED", "RUNNING"])
def test_any_status_may_follow(client, run_id, status):
    client.set_terminated(run_id, "FINISHED", end_time=1_700_000_009_000)
    assert client.get_run(run_id).info.end_time == 1_700_000_009_000
    client.update_run(run_id, status=status)
    assert client.get_run(run_id).info.status == status


def test_batch(client, run_id):
    now = int(time.time() * 1000)
    metrics = [Metric(f"m{i % 10}", i / 7, now, i) for i in range(1000 - 20)]
    client.log_batch(
        run_id, metrics, [Param(f"p{i}", str(i)) for i in range(10)], [RunTag(f"t{i}", "v") for i in range(10)]
    )
    run = client.get_run(run_id)
    assert run.data.params == {f"p{i}": str(i) for i in range(10)}
    assert {f"t{i}" for i in range(10)} <= run.data.tags.keys()
    assert run.data.metrics == {f"m{i}": (970 + i) / 7 for i in range(10)}
    assert len(client.get_metric_history(run_id, "m3")) == 98


def test_fluent_splits_large_batches(client, experiment_id):
    params = {f"p{i:03}": i for i in range(250)}
    metrics = {f"m{i:04}": float(i) for i in range(1200)}
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_params(params)
        mlflow.log_metrics(metrics, step=1)
    data = client.get_run(run.info.run_id).data
    assert data.params == {k: str(v) for k, v in params.items()}
    assert data.metrics == metrics


@pytest.mark.parametrize(
    ("metrics", "params", "tags", "fragment"),
    [(1001, 0, 0, "1000"), (0, 101, 0, "100"), (0, 0, 101, "100"), (900, 60, 60, "1000")],
)
def test_batch_limits(raw, client, run_id, metrics, params, tags, fragment):
    body = {
        "run_id": run_id,
        "metrics": [{"key": f"m{i}", "value": 1, "timestamp": 1, "step": 0} for i in range(metrics)],
        "params": [{"key": f"p{i}", "value": "1"} for i in range(params)],
        "tags": [{"key": f"t{i}", "value": "1"} for i in range(tags)],
    }
    answer = raw.post(f"{MLFLOW}/runs/log-batch", body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert "A batch logging request can contain at most" in answer.message or "param" in answer.message
    assert fragment in answer.message
    data = client.get_run(run_id).data
    assert not data.metrics
    assert not data.params


def test_batch_is_all_or_nothing(raw, client, run_id):
    client.log_param(run_id, "fixed", "1")
    body = {
        "run_id": run_id,
        "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
        "params": [{"key": "other", "value": "1"}, {"key": "fixed", "value": "2"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    answer = raw.post(f"{MLFLOW}/runs/log-batch", body)
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    data = client.get_run(run_id).data
    assert (data.metrics, data.params, "t" in data.tags) == ({}, {"fixed": "1"}, False)


def test_batch_refuses_a_param_twice(raw, run_id):
    params = [{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]
    answer = raw.post(f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "params": params})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert "p" in answer.message


def test_batch_takes_the_last_of_a_tag_given_twice(raw, client, run_id):
    tags = [{"key": "t", "value": "1"}, {"key": "t", "value": "2"}]
    assert raw.post(f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "tags": tags}).status == 200
    assert client.get_run(run_id).data.tags["t"] == "2"


def test_long_values_are_cut(client, run_id):
    client.log_param(run_id, "long", "x" * 7000)
    client.set_tag(run_id, "long", "y" * 9000)
    data = client.get_run(run_id).data
    assert data.params["long"] == "x" * 6000
    assert data.tags["long"] == "y" * 8000


@pytest.mark.parametrize("key", ["plain", "a/b", "a.b-c_d:e f", "größe", "x" * 250])
def test_good_keys(client, run_id, key):
    client.log_batch(run_id, [Metric(key, 1.0, 1, 0)], [Param(key, "v")], [RunTag(key, "t")])
    data = client.get_run(run_id).data
    assert (data.metrics[key], data.params[key], data.tags[key]) == (1.0, "v", "t")


@pytest.mark.parametrize(
    "key", ["../up", "/rooted", "a//b", "a/../b", "semi;colon", "tab\tkey", "", "x" * 251, "#hash"]
)
@pytest.mark.parametrize("kind", ["log-parameter", "log-metric"])
def test_bad_keys(raw, run_id, kind, key):
    value = {"value": "1"} if kind == "log-parameter" else {"value": 1, "timestamp": 1}
    answer = raw.post(f"{MLFLOW}/runs/{kind}", {"run_id": run_id, "key": key, **value})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


def test_delete_and_restore(client, experiment_id, run_id):
    client.delete_run(run_id)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment_id]) == []
    for write in (
        lambda: client.log_param(run_id, "p", "1"),
        lambda: client.log_metric(run_id, "m", 1),
        lambda: client.set_tag(run_id, "t", "1"),
        lambda: client.log_batch(run_id, tags=[RunTag("t", "1")]),
        lambda: client.set_terminated(run_id),
    ):
        with refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
            write()
    client.restore_run(run_id)
    client.restore_run(run_id)
    client.log_param(run_id, "p", "1")
    assert client.get_run(run_id).data.params == {"p": "1"}
    assert [run.info.run_id for run in client.search_runs([experiment_id])] == [run_id]


def test_info_carries_both_ids(raw, run_id):
    info = raw.get(f"{MLFLOW}/runs/get?run_id={run_id}").json["run"]["info"]
    assert info["run_id"] == info["run_uuid"] == run_id
    assert raw.get(f"{MLFLOW}/runs/get?run_uuid={run_id}").json["run"]["info"]["run_id"] == run_id


def test_camel_case_numbers_as_text_and_enums_by_number(raw, client, experiment_id):
    answer = raw.post(
        f"{MLFLOW}/runs/create", {"experimentId": experiment_id, "startTime": "1700000000000", "runName": "camel"}
    )
    info = answer.json["run"]["info"]
    assert (info["start_time"], info["run_name"]) == (1_700_000_000_000, "camel")
    answer = raw.post(f"{MLFLOW}/runs/update", {"run_id": info["run_id"], "status": 3, "endTime": "1700000000001"})
    assert answer.json["run_info"]["status"] == "FINISHED"
    run = client.get_run(info["run_id"])
    assert (run.info.status, run.info.end_time) == ("FINISHED", 1_700_000_000_001)


def test_unknown_fields_are_ignored_and_the_ui_path_answers(raw, experiment_id):
    body = {"experiment_id": experiment_id, "a_field_of_next_year": {"x": [1]}}
    answer = raw.post("/ajax-api/2.0/mlflow/runs/create", body)
    assert answer.status == 200, answer
    assert answer.json["run"]["info"]["experiment_id"] == experiment_id
