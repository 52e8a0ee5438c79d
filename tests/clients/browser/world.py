"""Something to look at: experiments, runs with curves and files, and a model with versions and aliases.

Made by the mlflow client as a user would make it. Names that could be taken for markup are among it. A ``World`` is only
looked at; a ``Fleet`` is small and made anew for each test that changes what it finds.
"""

import math
import time
import uuid
from dataclasses import dataclass

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.models import infer_signature

HOSTILE = "<img src=x onerror=alert(1)>"
STEPS = 40


@dataclass
class World:
    experiment: str
    experiment_id: str
    # The run that has everything: params, curves, tags, a dataset, files, a logged model, a version.
    full_run: str
    other_run: str
    hostile_run: str
    logged_model: str
    model: str
    hostile_model: str


@dataclass
class Fleet:
    experiment: str
    experiment_id: str
    # Ids by name: birch, cedar and ash, as they were started.
    runs: dict[str, str]


def make_fleet(client: MlflowClient, name: str) -> Fleet:
    experiment_id = client.create_experiment(name)
    runs = {}
    made = (("birch", "4", 0.9, "red"), ("cedar", "5", 0.7, "blue"), ("ash", "3", 0.8, "red"))
    for day, (run, depth, auc, team) in enumerate(made, -len(made)):
        started = int(time.time() * 1000) + day * 24 * 3600 * 1000
        runs[run] = client.create_run(experiment_id, started, {"team": team}, run).info.run_id
        client.log_batch(runs[run], [Metric("auc", auc, started, 0)], [Param("depth", depth)])
        client.set_terminated(runs[run])
    return Fleet(name, experiment_id, runs)


def make(url: str, toy, toy_model) -> World:
    client = MlflowClient(url, registry_uri=url)
    # A server that somebody else runs keeps what earlier runs of the tests left.
    suffix = uuid.uuid4().hex[:8]
    experiment = f"/Shared/fraud-detection/feature-eng-{suffix}"
    experiment_id = client.create_experiment(experiment)
    model, hostile_model = f"fraud-{suffix}", f"{HOSTILE} {suffix}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", url)
        full_run, logged_model = _trained(experiment_id, "logistic regression", 0, toy, toy_model, model)
        other_run, _ = _trained(experiment_id, "boosted trees", 1, toy, toy_model, model)
    client.update_registered_model(model, description="Scores card transactions")
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_alias(model, "challenger", "2")
    client.create_registered_model(hostile_model)
    hostile_run = client.create_run(experiment_id, run_name=HOSTILE).info.run_id
    client.set_tag(hostile_run, "note", HOSTILE)
    client.log_param(hostile_run, "kind", HOSTILE)
    client.set_terminated(hostile_run)
    failed = client.create_run(experiment_id, run_name="broke off").info.run_id
    client.set_terminated(failed, "FAILED")
    client.create_run(experiment_id, run_name="still running")
    return World(experiment, experiment_id, full_run, other_run, hostile_run, logged_model, model, hostile_model)


def _trained(experiment_id, name, at, toy, toy_model, model) -> tuple[str, str]:
    features, labels = toy
    with mlflow.start_run(experiment_id=experiment_id, run_name=name, description="Notes on **this** run") as run:
        mlflow.log_params({"learning_rate": 0.1 / (at + 1), "depth": at + 3})
        mlflow.set_tags({"team": "risk-ml", "dataset_version": "2024-Q4-v2"})
        dataset = mlflow.data.from_pandas(features.assign(label=labels), name="transactions", targets="label")
        mlflow.log_input(dataset, context="training")
        curve = [
            Metric("loss", math.exp(-step / 10) + at / 20, 1_700_000_000_000 + step, step) for step in range(STEPS)
        ]
        MlflowClient().log_batch(run.info.run_id, curve)
        mlflow.log_metrics({"auc": 0.9123 + at / 50, "rows": 284_807, "smallest": 1.2e-7})
        mlflow.log_text("a word about this run", "notes/readme.txt")
        mlflow.log_dict({"threshold": 0.5}, "report.json")
        logged = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            # Given, for to infer them starts a process that loads the model.
            pip_requirements=["scikit-learn"],
            registered_model_name=model,
        )
    return run.info.run_id, logged.model_id
