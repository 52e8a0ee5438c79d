"""Data sets that runs name as inputs, and logged models as outputs."""

import json

import mlflow
import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

from raw import MLFLOW


def test_pandas_dataset(client, experiment_id, toy):
    features, labels = toy
    frame = features.assign(fraud=labels)
    dataset = mlflow.data.from_pandas(frame, source="s3://bucket/frame.csv", name="transactions", targets="fraud")
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_input(dataset, context="training", tags={"split": "day 1"})
        mlflow.log_input(dataset, context="training")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert len(inputs) == 1
    found = inputs[0].dataset
    assert (found.name, found.digest) == ("transactions", dataset.digest)
    assert json.loads(found.schema)["mlflow_colspec"][0]["name"] == "amount"
    assert json.loads(found.profile) == {"num_rows": 200, "num_elements": 800}
    assert {tag.key: tag.value for tag in inputs[0].tags}["mlflow.data.context"] == "training"
    assert mlflow.data.get_source(inputs[0]).uri == "s3://bucket/frame.csv"


def test_same_dataset_is_not_doubled(client, run_id):
    dataset = DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("mlflow.data.context", "train")])
    other = DatasetInput(Dataset("d", "2", "local", "{}"), [])
    client.log_inputs(run_id, [dataset, other])
    client.log_inputs(run_id, [dataset])
    inputs = client.get_run(run_id).inputs.dataset_inputs
    assert sorted((i.dataset.name, i.dataset.digest) for i in inputs) == [("d", "1"), ("d", "2")]


def test_datasets_of_an_experiment(raw, client, experiment_id, run_id):
    client.log_inputs(
        run_id,
        [DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("mlflow.data.context", "train")])],
    )
    body = {"experiment_ids": [experiment_id]}
    answer = raw.post("/ajax-api/2.0/mlflow/experiments/search-datasets", body)
    assert answer.json["dataset_summaries"] == [
        {"experiment_id": experiment_id, "name": "d", "digest": "1", "context": "train"}
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 501),
        ("digest", "d" * 37),
        ("source", "s" * 65_536),
        pytest.param("name", None, marks=pytest.mark.beyond),
        pytest.param("digest", None, marks=pytest.mark.beyond),
    ],
)
def test_refused_datasets(raw, run_id, field, value):
    dataset = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", field: value}
    dataset = {k: v for k, v in dataset.items() if v is not None}
    answer = raw.post(f"{MLFLOW}/runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset}]})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer
    assert field in answer.message


def test_model_as_input(client, experiment_id, run_id):
    model = client.create_logged_model(experiment_id, name="used")
    client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    assert [i.model_id for i in client.get_run(run_id).inputs.model_inputs] == [model.model_id]
