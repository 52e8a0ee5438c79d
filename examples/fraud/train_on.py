"""Trains one model on a training set of the feature store, registers it, and makes it the challenger.

Ordinary MLflow user code. It is run by hand at first, and by a runner when a monitor asks for a fresher model: then the kind of
model is the parameter of a declared command, and the training set is made of all that is labelled by then, but for the evening
that models are judged on.
"""

import argparse
import io
import os
import time

import mlflow
import pandas as pd
import requests
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import data
import land

MODEL = "prod.risk.fraud_scorer"
EXPERIMENT = "/Shared/fraud-detection/loop"
HOUR = ["amount_count_1h", "amount_mean_1h", "amount_std_1h"]
# What the files of these models hold besides plain numbers.
TRUSTED = ["numpy.dtype", "sklearn.tree._tree.Tree"]
COLUMNS = [*data.FEATURES, *HOUR]


def model_of(kind: str):
    """An unfitted model. The first hour of the data has no hour before it: there the median stands in."""
    logistic = LogisticRegression(C=0.01, max_iter=1000)
    if kind == "logistic":
        return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), logistic)
    if kind == "boosted":
        boosted = GradientBoostingClassifier(n_estimators=60, max_depth=3, subsample=0.3, random_state=7)
        return make_pipeline(SimpleImputer(strategy="median"), boosted)
    # Sees nothing but what was paid: a model that nobody should want.
    only_amounts = ColumnTransformer([("amounts", SimpleImputer(strategy="median"), ["Amount", *HOUR])])
    return make_pipeline(only_amounts, StandardScaler(), logistic)


def ask(method: str, path: str, **options) -> requests.Response:
    """A request to the server that the environment names; raises for any answer that is none."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.request(
        method, f"{os.environ['MLFLOW_TRACKING_URI']}/api/1.0/{path}", headers=headers, timeout=600, **options
    )
    if answer.status_code != 200:
        raise SystemExit(f"{method} {path} was answered {answer.status_code}: {answer.text[:500]}")
    return answer


def fresh_set() -> str:
    """A training set of all that is labelled by now and that nobody is judged on; its name."""
    name = f"prod.risk.train_{time.strftime('%Y%m%d_%H%M%S', time.gmtime())}"
    asked = {
        "name": name,
        "labels": "prod.risk.labelled",
        "features": ["prod.risk.amounts"],
        "label": data.TARGET,
        "where": f"NOT ({land.EVENING})",
        "wait_ms": 30_000,
    }
    ask("POST", "training-sets", json=asked)
    return name


def rows_of(training_set: str) -> pd.DataFrame:
    """The rows of a training set, as Parquet over HTTP."""
    answer = ask("GET", f"training-sets/{training_set}/rows", params={"format": "parquet"})
    return pd.read_parquet(io.BytesIO(answer.content))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--training-set", help="its name; if nothing is said, one is made of what is labelled by now"
    )
    arguments.add_argument("--kind", choices=["logistic", "boosted", "amounts"], default="logistic")
    arguments.add_argument("--alias", default="challenger")
    wanted = arguments.parse_args()

    training_set = wanted.training_set or fresh_set()
    rows = rows_of(training_set)
    mlflow.set_registry_uri("databricks-uc")
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=wanted.kind, tags={"team": "risk-ml", "strongback.training_set": training_set}):
        model = model_of(wanted.kind).fit(rows[COLUMNS], rows[data.TARGET])
        mlflow.log_params({"kind": wanted.kind, "rows": len(rows), "frauds": int(rows[data.TARGET].sum())})
        example = rows[COLUMNS].dropna().head()
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=MODEL,
            signature=infer_signature(example, model.predict_proba(example)),
            input_example=example,
            pyfunc_predict_fn="predict_proba",
            skops_trusted_types=TRUSTED,
        )
    client = mlflow.MlflowClient()
    newest = max(int(version.version) for version in client.search_model_versions(f"name='{MODEL}'"))
    client.set_registered_model_alias(MODEL, wanted.alias, newest)
    print(f"{MODEL} version {newest}: {wanted.kind}, {len(rows):,} rows, is the {wanted.alias}")


if __name__ == "__main__":
    main()
