"""A sweep: 200 small logistic regressions, each a run of its own below one parent run.

Every model is fitted on real transactions (all frauds, a sample of the rest) and judged on the whole late evening of
day one. Half of the runs use the first cut of the data, hours 0-12, half the second, hours 0-18; the tag
``dataset_version`` says which.
"""

import time

import mlflow
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import data
from train import EXPERIMENT

RUNS = 200
LEGITIMATE_SAMPLE = 2_000
CUT_ENDS_S = {"2024-Q4-v1": 12 * 3600, "2024-Q4-v2": 18 * 3600}


def draw(rng):
    """One set of hyperparameters."""
    return {
        "C": float(10 ** rng.uniform(-4, 1)),
        "class_weight": [None, "balanced"][rng.integers(2)],
        "features": int(rng.integers(8, len(data.FEATURES) + 1)),
        "seed": int(rng.integers(2**31)),
    }


def fit_and_judge(train, validation, params):
    """Fits one model on a sample of ``train``; its metrics on all of ``validation``. Both are (features, fraud)."""
    (rows, fraud), (late_rows, late_fraud) = train, validation
    rng = np.random.default_rng(params["seed"])
    columns = rng.choice(rows.shape[1], params["features"], replace=False)
    legitimate = rng.choice(np.flatnonzero(~fraud), LEGITIMATE_SAMPLE, replace=False)
    sample = np.concatenate([legitimate, np.flatnonzero(fraud)])

    scaler = StandardScaler().fit(rows[np.ix_(legitimate, columns)])
    model = LogisticRegression(C=params["C"], class_weight=params["class_weight"], max_iter=500)
    model.fit(scaler.transform(rows[np.ix_(sample, columns)]), fraud[sample])
    scores = model.decision_function(scaler.transform(late_rows[:, columns]))
    return {
        "val_auc": roc_auc_score(late_fraud, scores),
        "val_ap": average_precision_score(late_fraud, scores),
        "train_frauds": int(fraud.sum()),
    }


def arrays(transactions):
    """Features (rows × 29) and fraud (rows, boolean) as arrays."""
    return transactions[data.FEATURES].to_numpy(), transactions[data.TARGET].to_numpy() == 1


def main():
    mlflow.set_experiment(EXPERIMENT)
    transactions = data.load()
    validation = arrays(data.split(transactions).validation)
    cuts = {version: arrays(transactions[transactions["Time"] < end_s]) for version, end_s in CUT_ENDS_S.items()}

    rng, in_mlflow_s, start = np.random.default_rng(7), 0.0, time.perf_counter()
    # Models this small lose more time to waiting threads than they gain from them.
    with threadpool_limits(1), mlflow.start_run(run_name="sweep", tags={"team": "risk-ml"}):
        for number in range(1, RUNS + 1):
            version = list(cuts)[number % len(cuts)]
            params = draw(rng)
            metrics = fit_and_judge(cuts[version], validation, params)
            logging = time.perf_counter()
            tags = {"team": "risk-ml", "dataset_version": version}
            with mlflow.start_run(run_name=f"sweep-{number:03}", nested=True, tags=tags):
                mlflow.log_params(params)
                mlflow.log_metrics(metrics)
            in_mlflow_s += time.perf_counter() - logging
            if number % (RUNS // 4) == 0:
                print(f"{number} of {RUNS} runs after {time.perf_counter() - start:.1f} s")
    print(f"writing them down took {in_mlflow_s / RUNS * 1000:.1f} ms a run, as the Python client sees it")


if __name__ == "__main__":
    main()
