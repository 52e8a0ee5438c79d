"""The two models that scoring is measured with, trained on the spot: a logistic regression and 200 boosted trees, 30 features each.

As a script it registers one with a server, and writes the body of a request of one row:

    bench/models.py --server http://127.0.0.1:5000 --model lr|gb200 --name NAME --body FILE
"""

import argparse
import json
import os
from pathlib import Path

FEATURES = [f"v{at}" for at in range(30)]
ROWS = 4000


def table():
    """Rows and their labels; the same ones each time."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(ROWS, len(FEATURES))), columns=FEATURES)
    return rows, (rows.v0 + rows.v1 * rows.v2 + random.normal(size=ROWS) > 0).astype(int)


def unfitted(kind):
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "lr":
        return make_pipeline(StandardScaler(), LogisticRegression())
    return GradientBoostingClassifier(n_estimators=200, max_depth=4)


def train(kinds=("lr", "gb200")):
    """The rows, and the models by their names."""
    rows, labels = table()
    return rows, {kind: unfitted(kind).fit(rows, labels) for kind in kinds}


def log(url, name, model, rows, **options):
    """Registers a model with the server under this name; what MLflow says of it. `options` go to `start_run`."""
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(url)
    with mlflow.start_run(**options):
        mlflow.log_params({"kind": type(model).__name__, "rows": len(rows)})
        return mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(rows, model.predict(rows)),
            serialization_format="cloudpickle",
            registered_model_name=name,
        )


def body(rows):
    """A request of the first row."""
    return json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": rows.head(1).values.tolist()}})


def quiet():
    """MLflow's client without its reports, its hints, and warnings about git."""
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", choices=["lr", "gb200"], required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--body", type=Path, required=True)
    wanted = parser.parse_args()
    quiet()
    rows, fitted = train([wanted.model])
    log(wanted.server, wanted.name, fitted[wanted.model], rows)
    wanted.body.write_text(body(rows))


if __name__ == "__main__":
    main()
