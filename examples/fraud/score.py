"""Loads the champion by its alias and scores the second day, which no model has seen."""

import mlflow
import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

import data

ALARMS = 200  # what the analysts of this example can look at in a day

if __name__ == "__main__":
    mlflow.set_registry_uri("databricks-uc")
    model = mlflow.pyfunc.load_model("models:/prod.risk.fraud_classifier@champion")

    day_two = data.split(data.load()).day_two
    fraud = day_two[data.TARGET].to_numpy()
    scores = model.predict(day_two[data.FEATURES])[:, 1]

    auc, ap = roc_auc_score(fraud, scores), average_precision_score(fraud, scores)
    top = np.argsort(-scores, kind="stable")[:ALARMS]
    print(f"day 2: {len(fraud):,} transactions, {fraud.sum()} frauds   AUC {auc:.4f}   AP {ap:.4f}")
    print(f"the {ALARMS} highest scores hold {fraud[top].sum()} of the {fraud.sum()} frauds")
