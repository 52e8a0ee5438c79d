"""A model of code written for MLflow 2.9, logged, registered and loaded by its own Python; prints what it got as JSON."""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema

warnings.simplefilter("ignore")
url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
client, got = MlflowClient(), {}
assert mlflow.__version__.startswith("2.9."), mlflow.__version__


class Scaled(PythonModel):
    def load_context(self, context):
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context, model_input, params=None):
        return (model_input["amount"] * self.factor).tolist()


# Not inferred, which would take scipy.
SIGNATURE = ModelSignature(Schema([ColSpec("double", "amount"), ColSpec("long", "hour")]), Schema([ColSpec("double")]))
rows = pd.DataFrame({"amount": [1.0, 2.5], "hour": [3, 4]})
mlflow.set_experiment(name)
runs = []
with tempfile.TemporaryDirectory() as folder:
    factor = Path(folder, "factor.txt")
    for text in ("2", "3"):
        factor.write_text(text)
        with mlflow.start_run() as run:
            mlflow.log_input(mlflow.data.from_pandas(rows, name="rows"), context="training")
            info = mlflow.pyfunc.log_model(
                "model",
                python_model=Scaled(),
                artifacts={"factor": str(factor)},
                pip_requirements=["cloudpickle"],
                signature=SIGNATURE,
                input_example=rows,
                metadata={"of": "2.9"},
                # The first one is registered by its address.
                registered_model_name=name if text == "3" else None,
            )
            mlflow.log_table(rows, "table.json")
        runs.append(run.info.run_id)
        if text == "2":
            got["registered"] = mlflow.register_model(info.model_uri, name, tags={"by": "hand"}).version
client.transition_model_version_stage(name, "1", "Production")
client.transition_model_version_stage(name, "2", "Staging")
client.set_registered_model_alias(name, "champion", "1")
got["predicted"] = {
    place: mlflow.pyfunc.load_model(place.format(name=name, run=runs[0])).predict(rows)
    for place in (
        "models:/{name}/1",
        "models:/{name}/2",
        "models:/{name}/Production",
        "models:/{name}/Staging",
        "models:/{name}@champion",
        "models:/{name}/latest",
        "runs:/{run}/model",
    )
}
logged = json.loads(client.get_run(runs[0]).data.tags["mlflow.log-model.history"])
got["history"] = [(entry["run_id"] == runs[0], entry["artifact_path"], sorted(entry["flavors"])) for entry in logged]
info = mlflow.models.get_model_info(f"models:/{name}/1")
got["signature"] = [column["name"] for column in info.signature.inputs.to_dict()]
got["metadata"], got["of"] = info.metadata, info.run_id == runs[0]
got["example"] = (
    mlflow.pyfunc.load_model(f"models:/{name}/1")
    .metadata.load_input_example(mlflow.artifacts.download_artifacts(f"models:/{name}/1"))
    .to_dict("list")
)
got["files"] = sorted(file.path for file in client.list_artifacts(runs[0], "model"))
got["dependencies"] = Path(mlflow.pyfunc.get_model_dependencies(f"models:/{name}/1")).read_text()
got["versions"] = [(version.version, version.current_stage, version.run_id == runs[int(version.version) - 1])
                  for version in client.search_model_versions(f"name = '{name}'")]  # fmt: skip
got["rows"] = len(mlflow.load_table("table.json", run_ids=runs))
found = mlflow.search_runs(experiment_names=[name], order_by=["attributes.start_time ASC"])
got["frame"] = (list(found["run_id"]) == runs, set(found["status"]) == {"FINISHED"})
print(json.dumps(got))
