"""A database of MLflow 2.9, filled by its own store, and what its client says of any store; run by its own Python.

old_store.py fill sqlite:///mlflow.db       # files go to ./mlruns
old_store.py tell http://127.0.0.1:5000     # as JSON
"""

import json
import math
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

import mlflow_store

warnings.simplefilter("ignore")


def fill(client: MlflowClient) -> None:
    fraud = client.create_experiment("fraud", tags={"team": "risk", "mlflow.note.content": "a note"})
    gone = client.create_experiment("gone")
    client.set_experiment_tag("0", "of", "the default one")
    parent = client.create_run(fraud, run_name="parent", tags={"mlflow.user": "ada"}, start_time=1_600_000_000_000)
    parent_id = parent.info.run_id
    points = [Metric("loss", 1 / (1 + step), 1_600_000_000_000 + step, step) for step in range(300)]
    points += [Metric("loss", 0.5, 1_600_000_000_000 + 7, 7)]
    odd = (math.nan, math.inf, -math.inf, 0.1)
    points += [Metric("odd", value, 1_600_000_000_100 + at, at - 1) for at, value in enumerate(odd)]
    params = [Param("lr", "0.1"), Param("long", "p" * 5_900), Param("empty", ""), Param("slash/ed", "ä")]
    client.log_batch(parent_id, points, params, [RunTag("grüße", "wie geht's\n?"), RunTag("t" * 250, "v" * 4_900)])
    data = Dataset("day1", "d1", "local", "{}", schema="{}", profile='{"rows": 3}')
    client.log_inputs(parent_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
    client.set_terminated(parent_id, "FAILED", 1_600_000_100_000)
    child = client.create_run(fraud, tags={"mlflow.parentRunId": parent_id}).info.run_id
    client.log_text(child, "flavors: {}\n", "model/MLmodel")
    client.log_text(child, "hello", "model/data/a b/ü.txt")
    client.log_text(child, "none of a model's", "notes.txt")
    deleted = client.create_run(fraud, run_name="deleted").info.run_id
    client.log_param(deleted, "a", "1")
    client.log_text(deleted, "of a deleted run", "left.txt")
    client.delete_run(deleted)
    client.create_run(gone)
    client.delete_experiment(gone)
    client.create_run("0", run_name="of the default one")
    registry(client, child)


def registry(client: MlflowClient, run_id: str) -> None:
    place = client.get_run(run_id).info.artifact_uri
    client.create_registered_model("scorer", {"tier": "1"}, "what it is")
    client.create_registered_model("bare")
    for source in (f"{place}/model", f"runs:/{run_id}/model", f"{place}/model"):
        client.create_model_version("scorer", source, run_id, tags={"by": "hand"}, description=source)
    client.delete_model_version("scorer", "2")
    client.set_registered_model_alias("scorer", "champion", "1")
    client.set_registered_model_alias("scorer", "challenger", "3")
    client.transition_model_version_stage("scorer", "1", "Production")
    client.transition_model_version_stage("scorer", "3", "Archived")
    client.copy_model_version("models:/scorer/1", "copied")


def tell(client: MlflowClient) -> dict:
    told = mlflow_store.told(client)
    runs = client.search_runs(
        [e.experiment_id for e in client.search_experiments(ViewType.ALL)], run_view_type=ViewType.ALL
    )
    # A client is given no files of a run that was deleted.
    living = [run.info for run in runs if run.info.lifecycle_stage == "active"]
    told["files"] = {info.run_id: texts(info.artifact_uri) for info in living}
    versions = [f"{version.name}/{version.version}" for version in client.search_model_versions("")]
    told["files"] |= {at: texts(client.get_model_version_download_uri(*at.split("/"))) for at in versions}
    return told


def texts(place: str) -> dict[str, str]:
    if not get_artifact_repository(place).list_artifacts():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(mlflow.artifacts.download_artifacts(place, dst_path=folder))
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


what, uri = sys.argv[1:]
mlflow.set_tracking_uri(uri)
mlflow.set_registry_uri(uri)
assert mlflow.__version__.startswith("2.9."), mlflow.__version__
if what == "fill":
    fill(MlflowClient())
# Entities in entities are told by their properties.
print(json.dumps(tell(MlflowClient()), default=dict))
