"""Which run a version says it comes from: the run of its source, in whatever way ordinary clients register it."""

import os
import subprocess
import sys

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature

from expect import refused
from governed import ensure_schema

pytestmark = pytest.mark.beyond

ELSEWHERE = """
import sys
import mlflow
from mlflow import MlflowClient

registry, name, source, *run_ids = sys.argv[1:]
mlflow.set_registry_uri(registry)
for run_id in run_ids:
    print(MlflowClient().create_model_version(name, source, run_id=run_id or None).run_id)
"""


@pytest.fixture(params=["", "databricks-uc"], ids=["plain", "databricks-uc"])
def registry(request, server) -> str:
    ensure_schema(server, "lab", "origins")
    mlflow.set_registry_uri(request.param or server.url)
    return request.param or server.url


@pytest.fixture
def named(unique):
    return lambda stem: f"lab.origins.{unique(stem).replace('-', '_')}"


@pytest.fixture
def logged(registry, experiment_id, toy, toy_model, named):
    """A model that was logged and registered in a run below another run."""
    features, _ = toy
    name = named("nested")
    with (
        mlflow.start_run(experiment_id=experiment_id) as parent,
        mlflow.start_run(experiment_id=experiment_id, nested=True) as child,
    ):
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    return name, info, parent.info.run_id, child.info.run_id


def elsewhere(registry, name, source, run_ids) -> list[str]:
    """Makes versions in another process that names these runs, and answers those that the versions say."""
    command = [sys.executable, "-c", ELSEWHERE, registry, name, source, *run_ids]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-len(run_ids) :]


def test_ordinary_clients_agree_with_the_source(registry, logged, named):
    client = MlflowClient()
    name, info, _, child = logged
    assert client.get_model_version(name, "1").run_id == child
    for uri in (info.model_uri, f"runs:/{child}/model"):
        assert mlflow.register_model(uri, name).run_id == child
    copied = client.copy_model_version(f"models:/{name}/1", named("copy"))
    assert copied.run_id == child
    again = client.copy_model_version(f"models:/{copied.name}/1", named("copy"))
    assert again.run_id == child


def test_another_process_agrees_with_the_source(registry, logged):
    name, info, _, child = logged
    assert elsewhere(registry, name, info.model_uri, ["", child]) == [child, child]


def test_another_run_is_refused(registry, logged):
    name, info, parent, child = logged
    client = MlflowClient()
    before = len(client.search_model_versions(f"name = '{name}'"))
    for source in (info.model_uri, f"runs:/{child}/model"):
        with refused("INVALID_PARAMETER_VALUE", parent, child):
            client.create_model_version(name, source, run_id=parent)
    assert len(client.search_model_versions(f"name = '{name}'")) == before
