"""What code written for MLflow 2.9 does, run by its own Python with the server's address; prints what it got as JSON."""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType

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
client.rename_registered_model(name, f"{name}-2")
client.delete_model_version(f"{name}-2", "1")
client.delete_registered_model(f"{name}-2")

client.delete_run(run_id)
got["deleted"] = len(client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY))
client.restore_run(run_id)
client.delete_experiment(experiment)
got["experiment"] = client.get_experiment(experiment).lifecycle_stage
print(json.dumps(got))
