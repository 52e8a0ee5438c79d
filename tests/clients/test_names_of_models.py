"""One name, one model: what a plain name means once its catalog and schema exist."""

import mlflow
import pytest
from databricks.sdk.errors import NotFound
from mlflow import MlflowClient
from mlflow.models import infer_signature

from expect import names, refused
from governed import ensure_schema, uc_client, workspace

pytestmark = pytest.mark.beyond


def test_a_plain_model_gives_way_to_the_governed_name(server, client, unique, experiment_id, toy, toy_model):
    features, _ = toy
    catalog = unique("late").replace("-", "")
    name, older = f"{catalog}.risk.m", f"main.default.{catalog}~0risk~0m"
    with mlflow.start_run(experiment_id=experiment_id):
        mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    client.set_registered_model_alias(name, "champion", "1")
    assert client.get_model_version_by_alias(name, "champion").name == name
    ensure_schema(server, catalog, "risk")

    governed = uc_client()
    for face in (client, governed):
        with refused("RESOURCE_DOES_NOT_EXIST", older):
            face.get_model_version_by_alias(name, "champion")
        with refused("RESOURCE_DOES_NOT_EXIST", older):
            face.get_registered_model(name)
        assert older in names(face.search_registered_models(max_results=1000))
        assert name not in names(face.search_registered_models(max_results=1000))
        assert face.get_model_version_by_alias(older, "champion").name == older
    with pytest.raises(NotFound, match=older):
        workspace(server).registered_models.get(name)
    # It is loaded by what it is called now, through both registries.
    expected = list(toy_model.predict(features))
    for registry in (server.url, "databricks-uc"):
        mlflow.set_registry_uri(registry)
        assert list(mlflow.pyfunc.load_model(f"models:/{older}@champion").predict(features)) == expected

    governed.create_registered_model(name)
    assert client.get_registered_model(name).aliases == {}
    assert MlflowClient().search_model_versions(f"name = '{name}'") == []
    assert [
        model.full_name for model in workspace(server).registered_models.list(catalog_name=catalog, schema_name="risk")
    ] == [name]
