"""Registers the better of the two models as ``prod.risk.fraud_classifier`` in the ``databricks-uc`` registry.

Between the two marks stands a team's existing code, to the letter. What MLflow 3.17 asks for beyond it is given in
the one statement before the first mark; docs/guides/signature.md says why, and how one
writes it in code that may be changed.
"""
# ruff: noqa: E402, I001 - the snippet keeps its own imports and its own line lengths

from functools import partial

import mlflow
import mlflow.sklearn
from mlflow.models import infer_signature

import data
from train import EXPERIMENT, TAGS

best = mlflow.search_runs(
    experiment_names=[EXPERIMENT],
    filter_string=f"tags.dataset_version = '{TAGS['dataset_version']}' AND metrics.val_ap > 0",
    order_by=["metrics.val_ap DESC"],
    max_results=1,
).iloc[0]
params = {key.removeprefix("params."): value for key, value in best.filter(like="params.").dropna().items()}
model = mlflow.pyfunc.load_model(f"runs:/{best.run_id}/model").get_raw_model()
print(f"the better run is {best['tags.mlflow.runName']}, AP {best['metrics.val_ap']:.4f} (run {best.run_id})")

example = data.load()[data.FEATURES].head()
mlflow.sklearn.log_model = partial(
    mlflow.sklearn.log_model,
    signature=infer_signature(example, model.predict_proba(example)),
    pyfunc_predict_fn="predict_proba",
    skops_trusted_types=["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"],
)

# fmt: off
# ---- the snippet, unchanged ----
import mlflow
mlflow.set_registry_uri("databricks-uc")
with mlflow.start_run(
    experiment_id=mlflow.get_experiment_by_name("/Shared/fraud-detection/feature-eng-v3").experiment_id,
    tags={"team": "risk-ml", "dataset_version": "2024-Q4-v2", "feature_store_table": "prod.risk.transaction_features"},
):
    mlflow.log_params(params)
    mlflow.sklearn.log_model(model, artifact_path="model", registered_model_name="prod.risk.fraud_classifier")
# ---- the end of the snippet ----
# fmt: on

# The snippet does not say which rows the model has seen. Said here, it becomes an edge of the model's lineage.
train = data.split(data.load()).train
with mlflow.start_run(run_id=mlflow.last_active_run().info.run_id):
    name = f"card-fraud-{TAGS['dataset_version']}"
    mlflow.log_input(mlflow.data.from_pandas(train, source=str(data.csv_path()), name=name), context="training")

versions = mlflow.MlflowClient().search_model_versions("name='prod.risk.fraud_classifier'")
newest = max(versions, key=lambda version: int(version.version))
print(f"registered {newest.name} version {newest.version} ({newest.status})")
