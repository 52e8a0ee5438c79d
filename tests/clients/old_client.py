"""What code written for MLflow 2.9 does, and what later versions added to it, run by its own Python with the server's address; prints
what it got as JSON."""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

warnings.simplefilter("ignore")
url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
client, got = MlflowClient(), {"version": mlflow.__version__}

experiment = client.create_experiment(name, tags={"team": "risk"})
mlflow.set_experiment(name)
with mlflow.start_run(run_name="old") as run:
    mlflow.log_param("depth", 3)
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_text("hello", "model/a.txt")
run_id = run.info.run_id
client.log_batch(run_id, [Metric("auc", 0.5, 1, 0)], [Param("solver", "sag")], [RunTag("tier", "gold")])
data = Dataset("day1", "d1", "local", "{}")
client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])

found = client.get_run(run_id)
got["params"], got["tier"] = found.data.params, found.data.tags["tier"]
got["metrics"], got["status"] = found.data.metrics, found.info.status
got["dataset"] = found.inputs.dataset_inputs[0].dataset.name
got["history"] = [metric.step for metric in client.get_metric_history(run_id, "loss")]
got["artifacts"] = [file.path for file in client.list_artifacts(run_id, "model")]
with tempfile.TemporaryDirectory() as folder:
    got["text"] = Path(client.download_artifacts(run_id, "model/a.txt", folder)).read_text()
search = {"filter_string": "metrics.loss < 0.5 AND params.depth = '3'", "order_by": ["metrics.loss ASC"]}
got["searched"] = [run.info.run_id for run in client.search_runs([experiment], **search)] == [run_id]

client.create_registered_model(name, {"k": "v"}, "described")
version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run_id, tags={"a": "b"})
got["model_version"], got["ready"] = version.version, version.status
got["stage"] = client.transition_model_version_stage(name, "1", "Production").current_stage
got["latest"] = [version.version for version in client.get_latest_versions(name, ["Production"])]
client.set_registered_model_alias(name, "champion", "1")
got["aliases"] = sorted(client.get_model_version_by_alias(name, "champion").aliases)
got["versions"] = [version.tags for version in client.search_model_versions(f"name = '{name}'")]
got["uri"] = client.get_model_version_download_uri(name, "1").split(":")[0]
copied = client.copy_model_version(f"models:/{name}@champion", f"{name}-copied")
got["copied"] = (copied.version, copied.run_id == run_id)
client.set_registered_model_alias(f"{name}-copied", "champion", "1")
client.set_registered_model_alias(f"{name}-copied", "tried", "1")
client.delete_registered_model_alias(f"{name}-copied", "champion")
got["left"] = client.get_registered_model(f"{name}-copied").aliases
client.delete_registered_model(f"{name}-copied")
client.rename_registered_model(name, f"{name}-2")
client.delete_model_version(f"{name}-2", "1")
client.delete_registered_model(f"{name}-2")


def traces():
    """What a traced function gives, and what becomes of its trace."""

    @mlflow.trace
    def scored(row):
        with mlflow.start_span("inner") as span:
            span.set_inputs({"row": row})
        return row + 1

    result = scored(1)
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()
    try:
        return result, len(client.search_traces([experiment]))
    except MlflowException as error:
        return result, error.error_code


def logged_models():
    """What 3.0 brought: models of their own, with metrics, found by them, read and written by runs, and registered."""
    model = client.create_logged_model(experiment, "trees", run_id, params={"depth": "3"}, model_type="classifier")
    model_id = model.model_id
    client.set_logged_model_tags(model_id, {"tier": "gold", "gone": "soon"})
    client.delete_logged_model_tag(model_id, "gone")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "MLmodel").write_text("flavors: {}\n")
        client.log_model_artifacts(model_id, folder)
        listed = [file.path for file in client.list_logged_model_artifacts(model_id)]
    status = client.finalize_logged_model(model_id, "READY").status
    client.log_metric(run_id, "f1", 0.7, step=1, model_id=model_id, dataset_name="day1", dataset_digest="d1")
    other = client.create_run(experiment).info.run_id
    client.log_inputs(other, [DatasetInput(data)], models=[LoggedModelInput(model_id)])
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=1)])
    read, written = client.get_run(other), client.get_run(run_id)
    found = client.search_logged_models(
        [experiment],
        "metrics.f1 > 0.5 AND params.depth = '3'",
        order_by=[{"field_name": "metrics.f1", "ascending": False}],
    )
    version = client.create_model_version(f"{name}-2", f"models:/{model_id}", run_id, model_id=model_id)
    client.set_registered_model_alias(f"{name}-2", "champion", version.version)
    by_alias = client.get_model_version_by_alias(f"{name}-2", "champion")
    client.delete_registered_model(f"{name}-2")
    told = {
        "listed": listed,
        "status": str(status),
        "tier": client.get_logged_model(model_id).tags["tier"],
        "metrics": [(metric.key, metric.value, metric.dataset_name) for metric in found[0].metrics],
        "found": [one.model_id for one in found] == [model_id],
        "none": len(client.search_logged_models([experiment], "metrics.f1 > 0.9")),
        "read": [one.model_id for one in read.inputs.model_inputs] == [model_id],
        "written": [(one.model_id == model_id, one.step) for one in written.outputs.model_outputs],
        "registered": (
            by_alias.source == f"models:/{model_id}",
            "mlflow.modelVersions" in client.get_logged_model(model_id).tags,
        ),
    }
    client.delete_logged_model(model_id)
    return told


if hasattr(mlflow, "trace"):
    got["traces"] = traces()
if hasattr(client, "create_logged_model"):
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    client.create_registered_model(f"{name}-2")
    got["logged"] = logged_models()

client.delete_run(run_id)
got["deleted"] = len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY))
client.restore_run(run_id)
client.delete_experiment(experiment)
got["experiment"] = client.get_experiment(experiment).lifecycle_stage
print(json.dumps(got))
