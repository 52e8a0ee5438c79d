"""Trains two fraud models on the first day and lets MLflow write down what happened.

Ordinary MLflow user code. Where the runs go is decided by MLFLOW_TRACKING_URI, and by nothing in this file.
"""

import mlflow
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import data

EXPERIMENT = "/Shared/fraud-detection/feature-eng-v3"
TAGS = {"team": "risk-ml", "dataset_version": "2024-Q4-v2"}

MODELS = {
    "logistic-regression": make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)),
    "xgboost": XGBClassifier(
        n_estimators=200,
        max_depth=5,
        learning_rate=0.1,
        subsample=0.8,
        colsample_bytree=0.5,
        reg_lambda=10,
        random_state=7,
        n_jobs=2,
    ),
}


def main():
    mlflow.set_experiment(EXPERIMENT)
    mlflow.autolog()

    transactions = data.split(data.load())
    train, validation = transactions.train, transactions.validation
    print(f"train on {len(train):,} rows ({train[data.TARGET].sum()} frauds), validate on the next {len(validation):,}")

    for name, model in MODELS.items():
        with mlflow.start_run(run_name=name, tags=TAGS):
            model.fit(train[data.FEATURES], train[data.TARGET])
            scores = model.predict_proba(validation[data.FEATURES])[:, 1]
            auc = roc_auc_score(validation[data.TARGET], scores)
            ap = average_precision_score(validation[data.TARGET], scores)
            mlflow.log_metrics({"val_auc": auc, "val_ap": ap})
        print(f"{name:<20} validation AUC {auc:.4f}   AP (average precision) {ap:.4f}")


if __name__ == "__main__":
    main()
