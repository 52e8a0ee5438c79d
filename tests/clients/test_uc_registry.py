"""``databricks-uc``: the governed registry through unchanged mlflow, files included."""

import os
from pathlib import Path

import mlflow
import pytest
from databricks.sdk.config import Config
from mlflow.models import infer_signature

from expect import refused
from governed import ensure_schema, uc_client

pytestmark = pytest.mark.beyond


@pytest.fixture
def registry(server):
    ensure_schema(server, "lab", "models")
    mlflow.set_registry_uri("databricks-uc")
    return uc_client()


@pytest.fixture
def name(unique) -> str:
    return f"lab.models.{unique('m').replace('-', '_')}"


def log_toy(experiment_id, toy, toy_model, **arguments):
    features, _ = toy
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_param("C", 1.0)
        mlflow.log_metric("auc", 0.9)
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            **arguments,
        )
    return run, info


def test_model_life_cycle(registry, name):
    created = registry.create_registered_model(name, tags={"team": "risk"}, description="words")
    assert (created.name, created.description, created.tags) == (name, "words", {"team": "risk"})
    with refused("RESOURCE_ALREADY_EXISTS"):
        registry.create_registered_model(name)
    assert registry.update_registered_model(name, "other words").description == "other words"
    registry.set_registered_model_tag(name, "a", "1")
    registry.delete_registered_model_tag(name, "team")
    found = registry.get_registered_model(name)
    assert (found.description, found.tags, found.aliases) == ("other words", {"a": "1"}, {})
    assert name in [model.name for model in registry.search_registered_models()]
    renamed = f"{name}_new"
    registry.rename_registered_model(name, renamed)
    assert registry.get_registered_model(renamed).name == renamed
    registry.delete_registered_model(renamed)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        registry.get_registered_model(renamed)


@pytest.mark.parametrize("bad", ["just_one", "two.levels", "a.b.c.d"])
def test_three_levels_are_needed(registry, bad):
    # The client raises it anew, with a hint and under its own default code.
    with refused("INTERNAL_ERROR", "INVALID_PARAMETER_VALUE", "three levels"):
        registry.create_registered_model(bad)


def test_catalog_and_schema_are_never_made_by_the_client(registry, unique):
    catalog = unique("never").replace("-", "_")
    with refused("RESOURCE_DOES_NOT_EXIST", catalog):
        registry.create_registered_model(f"{catalog}.models.m")
    with refused("RESOURCE_DOES_NOT_EXIST", catalog):
        registry.create_registered_model(f"lab.{catalog}.m")


def test_register_alias_load(registry, name, experiment_id, toy, toy_model):
    features, _ = toy
    run, info = log_toy(experiment_id, toy, toy_model, registered_model_name=name)
    version = registry.get_model_version(name, "1")
    assert (version.name, str(version.version), version.status) == (name, "1", "READY")
    assert version.run_id == run.info.run_id
    assert {metric.key: metric.value for metric in version.metrics} == {"auc": 0.9}
    assert version.source.endswith(f"/models/{info.model_id}/artifacts")
    registry.set_registered_model_alias(name, "champion", "1")
    assert str(registry.get_model_version_by_alias(name, "champion").version) == "1"
    assert registry.get_model_version(name, "1").aliases == ["champion"]
    expected = list(toy_model.predict(features))
    for uri in (f"models:/{name}@champion", f"models:/{name}/1"):
        assert list(mlflow.pyfunc.load_model(uri).predict(features)) == expected
    registry.delete_registered_model_alias(name, "champion")
    with refused("RESOURCE_DOES_NOT_EXIST", "champion"):
        registry.get_model_version_by_alias(name, "champion")


def test_versions(registry, name, experiment_id, toy, toy_model):
    _, info = log_toy(experiment_id, toy, toy_model)
    for number in ("1", "2"):
        made = mlflow.register_model(info.model_uri, name, tags={"n": number})
        assert (str(made.version), made.status) == (number, "READY")
    found = registry.search_model_versions(f"name = '{name}'")
    assert sorted(str(version.version) for version in found) == ["1", "2"]
    assert registry.update_model_version(name, "1", "uno").description == "uno"
    registry.set_model_version_tag(name, "1", "x", "y")
    registry.delete_model_version_tag(name, "1", "n")
    assert registry.get_model_version(name, "1").tags == {"x": "y"}
    assert registry.get_model_version(name, "2").tags == {"n": "2"}
    assert registry.get_model_version_download_uri(name, "1")
    registry.delete_model_version(name, "1")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        registry.get_model_version(name, "1")
    assert str(mlflow.register_model(info.model_uri, name).version) == "3"


def test_copy_between_stages_of_governance(registry, name, experiment_id, toy, toy_model):
    features, _ = toy
    log_toy(experiment_id, toy, toy_model, registered_model_name=name)
    copy = f"{name}_prod"
    copied = registry.copy_model_version(f"models:/{name}/1", copy)
    assert (copied.name, str(copied.version)) == (copy, "1")
    assert list(mlflow.pyfunc.load_model(f"models:/{copy}/1").predict(features)) == list(toy_model.predict(features))


def test_large_file_goes_up_in_parts(registry, name, experiment_id, toy, toy_model, tmp_path, monkeypatch):
    monkeypatch.setattr(Config, "files_ext_multipart_upload_min_stream_size", 1024 * 1024)
    large = tmp_path / "lookup.bin"
    large.write_bytes(os.urandom(23 * 1024 * 1024 + 5))
    log_toy(experiment_id, toy, toy_model, registered_model_name=name, extra_files=[str(large)])
    local = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path / "back"))
    (found,) = Path(local).rglob("lookup.bin")
    assert found.read_bytes() == large.read_bytes()


def test_signature_with_inputs_alone_is_refused(registry, name, experiment_id, toy, toy_model):
    with mlflow.start_run(experiment_id=experiment_id), refused("INTERNAL_ERROR", "only inputs"):
        mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(toy[0]),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )


def test_unknown_version_and_alias(registry, name):
    registry.create_registered_model(name)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        registry.get_model_version(name, "7")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        registry.set_registered_model_alias(name, "champion", "7")
