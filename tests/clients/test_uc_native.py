"""``databricks-uc`` through mlflow's newer client, which speaks Unity Catalog's own models (``/api/2.1/unity-catalog``)."""

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry

from expect import all_pages, refused
from governed import ensure_schema, uc_client

pytestmark = pytest.mark.beyond


@pytest.fixture
def registry(server, monkeypatch):
    # mlflow keeps the stores that it made, whichever client they were made for.
    forget = ModelRegistryStoreRegistry._get_store_with_resolved_uri.cache_clear
    forget()
    monkeypatch.setenv("MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY", "true")
    ensure_schema(server, "lab", "models")
    mlflow.set_registry_uri("databricks-uc")
    yield uc_client()
    forget()


@pytest.fixture
def plain(server) -> MlflowClient:
    """The plain face of the same registry."""
    return MlflowClient(server.url, registry_uri=server.url)


@pytest.fixture
def name(unique) -> str:
    return f"lab.models.{unique('n').replace('-', '_')}"


def test_model_life_cycle(registry, plain, name):
    created = registry.create_registered_model(name, tags={"team": "risk"}, description="words")
    assert (created.name, created.description, created.tags) == (name, "words", {"team": "risk"})
    with refused("RESOURCE_ALREADY_EXISTS", name):
        registry.create_registered_model(name)
    registry.set_registered_model_tag(name, "a", "1")
    registry.delete_registered_model_tag(name, "team")
    assert registry.update_registered_model(name, "other words").tags == {"a": "1"}
    # The plain face sees the same.
    assert plain.get_registered_model(name).description == "other words"
    renamed = f"{name}_new"
    registry.rename_registered_model(name, renamed)
    assert registry.get_registered_model(renamed).name == renamed
    registry.delete_registered_model(renamed)
    with refused("RESOURCE_DOES_NOT_EXIST", renamed):
        registry.get_registered_model(renamed)


def test_register_alias_load(registry, plain, name, experiment_id, toy, toy_model):
    features, _ = toy
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_param("C", 1.0)
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    version = registry.get_model_version(name, "1")
    assert (version.name, version.version, version.status) == (name, "1", "READY")
    assert (version.run_id, version.model_id) == (run.info.run_id, info.model_id)
    registry.set_model_version_tag(name, "1", "checked", "yes")
    registry.set_registered_model_alias(name, "champion", "1")
    assert registry.get_model_version_by_alias(name, "champion").tags == {"checked": "yes"}
    assert registry.get_registered_model(name).aliases == {"champion": "1"}
    assert plain.get_model_version_by_alias(name, "champion").run_id == run.info.run_id
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert list(loaded.predict(features)) == list(toy_model.predict(features))
    registry.delete_model_version_tag(name, "1", "checked")
    assert plain.get_model_version(name, "1").tags == {}
    registry.delete_registered_model_alias(name, "champion")
    with refused("RESOURCE_DOES_NOT_EXIST", "champion"):
        registry.get_model_version_by_alias(name, "champion")


def test_lists_continue(registry, plain, name):
    plain.create_registered_model(name)
    for number in range(5):
        plain.create_model_version(name, f"s3://bucket/{number}")
    found = all_pages(registry.search_model_versions, filter_string=f"name='{name}'", max_results=2)
    assert [version.version for version in found] == ["1", "2", "3", "4", "5"]
    assert registry.update_model_version(name, "2", "two").description == "two"
    models = all_pages(registry.search_registered_models, max_results=1)
    assert [model.name for model in models].count(name) == 1


def test_copy(registry, plain, name, experiment_id, toy, toy_model):
    features, _ = toy
    with mlflow.start_run(experiment_id=experiment_id):
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    copied = registry.copy_model_version(f"models:/{name}/1", f"{name}_copy")
    assert (copied.name, copied.version, copied.model_id) == (f"{name}_copy", "1", info.model_id)
    assert plain.get_model_version(f"{name}_copy", "1").source == f"models:/{name}/1"
    registry.delete_registered_model(name)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}_copy/1")
    assert list(loaded.predict(features)) == list(toy_model.predict(features))
