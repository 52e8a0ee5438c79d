import mlflow
mlflow.set_registry_uri("databricks-uc")
with mlflow.start_run(
    experiment_id=mlflow.get_experiment_by_name("/Shared/fraud-detection/feature-eng-v3").experiment_id,
    tags={"team": "risk-ml", "dataset_version": "2024-Q4-v2", "feature_store_table": "prod.risk.transaction_features"},
):
    mlflow.log_params(params)
    mlflow.sklearn.log_model(model, artifact_path="model", registered_model_name="prod.risk.fraud_classifier")
