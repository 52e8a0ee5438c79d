"""``mlflow.autolog()`` with scikit-learn and XGBoost, as a data scientist leaves it on."""

import mlflow
import pytest
from mlflow.entities import LoggedModelStatus


@pytest.fixture
def autologging(experiment_id):
    mlflow.set_experiment(experiment_id=experiment_id)
    yield
    mlflow.autolog(disable=True, silent=True)
    mlflow.tracking.fluent._active_experiment_id = None


def only_run(client, experiment_id):
    runs = client.search_runs([experiment_id])
    assert len(runs) == 1
    return runs[0]


def test_sklearn(client, experiment_id, autologging, toy):
    from sklearn.linear_model import LogisticRegression

    features, labels = toy
    mlflow.autolog(silent=True, log_input_examples=True)
    LogisticRegression(C=0.5).fit(features, labels)
    run = only_run(client, experiment_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["C"] == "0.5"
    assert run.data.tags["mlflow.autologging"] == "sklearn"
    assert run.data.tags["estimator_name"] == "LogisticRegression"
    assert 0.5 < run.data.metrics["training_roc_auc"] <= 1
    dataset = run.inputs.dataset_inputs[0]
    assert {tag.key: tag.value for tag in dataset.tags}["mlflow.data.context"] == "train"
    model_id = run.outputs.model_outputs[0].model_id
    model = client.get_logged_model(model_id)
    assert model.status == LoggedModelStatus.READY
    measured = {metric.key: metric for metric in model.metrics}
    assert measured["training_roc_auc"].dataset_name == dataset.dataset.name
    assert measured["training_roc_auc"].dataset_digest == dataset.dataset.digest
    assert "estimator.html" in {f.path for f in client.list_artifacts(run.info.run_id)}
    loaded = mlflow.pyfunc.load_model(f"models:/{model_id}")
    assert len(loaded.predict(features)) == len(features)


def test_xgboost(client, experiment_id, autologging, toy):
    from xgboost import XGBClassifier

    features, labels = toy
    mlflow.autolog(silent=True)
    XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1).fit(
        features, labels, eval_set=[(features, labels)], verbose=False
    )
    run = only_run(client, experiment_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["max_depth"] == "2"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation_0-logloss")][:5] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert any(f.path.startswith("feature_importance") for f in client.list_artifacts(run.info.run_id))
    model_id = run.outputs.model_outputs[0].model_id
    assert client.get_logged_model(model_id).status == LoggedModelStatus.READY
    assert len(mlflow.pyfunc.load_model(f"models:/{model_id}").predict(features)) == len(features)
