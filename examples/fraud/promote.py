"""Points the alias ``champion`` at the newest version of the model."""

import mlflow

MODEL = "prod.risk.fraud_classifier"

if __name__ == "__main__":
    client = mlflow.MlflowClient(registry_uri="databricks-uc")
    newest = max(int(version.version) for version in client.search_model_versions(f"name='{MODEL}'"))
    client.set_registered_model_alias(MODEL, "champion", newest)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    print(f"{MODEL}@champion is version {champion.version}")
