"""``MLFLOW_TRACKING_URI=databricks``: tracking through databricks-sdk instead of http.

Runs, parameters, metrics and searches work; artifacts need an http tracking URI, and whoever stores one is told so
before anything is sent. Governed models are loaded as ever.
"""

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from governed import ensure_schema

pytestmark = pytest.mark.beyond


@pytest.fixture
def databricks(client_environment, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    return MlflowClient("databricks")


def test_runs_are_tracked(databricks, unique):
    experiment = mlflow.set_experiment(f"/Shared/{unique('experiment')}")
    with mlflow.start_run(tags={"team": "risk"}) as run:
        mlflow.log_params({"C": 1.0})
        mlflow.log_metric("auc", 0.9, step=1)
    found = databricks.get_run(run.info.run_id)
    assert (found.data.params, found.data.metrics, found.info.status) == ({"C": "1.0"}, {"auc": 0.9}, "FINISHED")
    searched = databricks.search_runs([experiment.experiment_id], "metrics.auc > 0.5 AND tags.team = 'risk'")
    assert [run.info.run_id for run in searched] == [run.info.run_id]


def test_artifacts_need_an_http_tracking_uri_and_that_is_said(databricks, unique, toy, toy_model):
    mlflow.set_experiment(f"/Shared/{unique('experiment')}")
    for store in (
        lambda: mlflow.log_text("words", "note.txt"),
        lambda: mlflow.sklearn.log_model(toy_model, name="model", pip_requirements=["scikit-learn"]),
    ):
        with mlflow.start_run(), pytest.raises(MlflowException, match="must be a valid http or https URI") as caught:
            store()
        assert "MLFLOW_TRACKING_URI" in str(caught.value)


def test_governed_models_are_loaded(server, client, unique, toy, toy_model, monkeypatch):
    ensure_schema(server, "lab", "models")
    name = f"lab.models.{unique('d').replace('-', '_')}"
    mlflow.set_registry_uri("databricks-uc")
    with mlflow.start_run(experiment_id=client.create_experiment(unique("experiment"))):
        mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(toy[0], toy_model.predict(toy[0])),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    mlflow.set_registry_uri("")
    assert list(mlflow.pyfunc.load_model(f"models:/{name}/1").predict(toy[0])) == list(toy_model.predict(toy[0]))
