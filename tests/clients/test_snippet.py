"""A data scientist's own snippet, word for word, on the plain registry and on ``databricks-uc``.

Unity Catalog models need a signature, and the client itself refuses one without, before any file is uploaded. The
snippet gives none, so on ``databricks-uc`` it ends with the client's explanation; each remedy is one line, and the
last leaves the snippet as it is.
"""

import functools
from pathlib import Path

import mlflow
import pytest
from mlflow.models import infer_signature

from expect import refused
from governed import ensure_schema, remove_model, uc_client, workspace

SNIPPET = (Path(__file__).parent / "snippet.py").read_text()
SET_REGISTRY = 'mlflow.set_registry_uri("databricks-uc")\n'
LOG_MODEL = 'mlflow.sklearn.log_model(model, artifact_path="model", '
EXPERIMENT = "/Shared/fraud-detection/feature-eng-v3"
MODEL = "prod.risk.fraud_classifier"
PARAMS = {"C": 1.0, "penalty": "l2"}


@pytest.fixture
def experiment_id(client):
    found = client.get_experiment_by_name(EXPERIMENT)
    return found.experiment_id if found else client.create_experiment(EXPERIMENT)


@pytest.fixture
def governed(server):
    """The catalog and schema that set-up makes, and no model of that name."""
    ensure_schema(server, "prod", "risk")
    remove_model(uc_client(), MODEL)


def run_snippet(client, experiment_id, model, text=SNIPPET, **names):
    """Runs the text as a script would and returns the run it made."""
    before = {run.info.run_id for run in client.search_runs([experiment_id])}
    exec(compile(text, "snippet.py", "exec"), {"model": model, "params": PARAMS, **names})  # noqa: S102
    (made,) = [run for run in client.search_runs([experiment_id]) if run.info.run_id not in before]
    return made


def check_run(run):
    assert run.info.status == "FINISHED"
    assert run.data.params == {key: str(value) for key, value in PARAMS.items()}
    assert run.data.tags["team"] == "risk-ml"
    assert run.data.tags["dataset_version"] == "2024-Q4-v2"
    assert run.data.tags["feature_store_table"] == "prod.risk.transaction_features"


def plain(text=SNIPPET):
    assert SET_REGISTRY in text
    return text.replace(SET_REGISTRY, "")


def check_loads(client, version, toy, toy_model):
    """Sets the alias in this registry and loads by it, as a scoring job does."""
    client.set_registered_model_alias(MODEL, "champion", version)
    loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    assert list(loaded.predict(toy[0])) == list(toy_model.predict(toy[0]))


def test_plain_registry(client, experiment_id, toy, toy_model):
    remove_model(client, MODEL)
    run = run_snippet(client, experiment_id, toy_model, plain())
    check_run(run)
    version = client.get_model_version(MODEL, "1")
    assert (version.name, version.status, version.run_id) == (MODEL, "READY", run.info.run_id)
    check_loads(client, "1", toy, toy_model)


@pytest.mark.beyond
def test_unity_catalog_refuses_a_model_without_signature(client, experiment_id, governed, toy_model):
    with refused("INTERNAL_ERROR", "did not contain any signature metadata", "both input and output"):
        run_snippet(client, experiment_id, toy_model)
    # The client had made the registered model before it looked: it stays, empty, and the next attempt uses it.
    assert uc_client().search_model_versions(f"name = '{MODEL}'") == []


REMEDIES = {
    "signature": SNIPPET.replace(LOG_MODEL, LOG_MODEL + "signature=infer_signature(X, model.predict(X)), "),
    "input example": SNIPPET.replace(LOG_MODEL, LOG_MODEL + "input_example=X.head(), "),
    "unchanged": SNIPPET,
}


@pytest.mark.beyond
@pytest.mark.parametrize("remedy", REMEDIES)
def test_unity_catalog(client, experiment_id, governed, toy, toy_model, monkeypatch, remedy):
    features, _ = toy
    if remedy == "unchanged":
        with_example = functools.partial(mlflow.sklearn.log_model, input_example=features.head())
        monkeypatch.setattr(mlflow.sklearn, "log_model", with_example)
    else:
        assert REMEDIES[remedy] != SNIPPET
    run = run_snippet(client, experiment_id, toy_model, REMEDIES[remedy], X=features, infer_signature=infer_signature)
    check_run(run)
    registry = uc_client()
    version = registry.get_model_version(MODEL, "1")
    assert (version.name, version.status, version.run_id) == (MODEL, "READY", run.info.run_id)
    check_loads(registry, "1", toy, toy_model)


@pytest.mark.beyond
def test_both_registries_see_one_model(server, client, experiment_id, governed, toy, toy_model):
    features, _ = toy
    names = {"X": features, "infer_signature": infer_signature}
    governed_run = run_snippet(client, experiment_id, toy_model, REMEDIES["signature"], **names)
    mlflow.set_registry_uri("")
    plain_run = run_snippet(client, experiment_id, toy_model, plain(REMEDIES["signature"]), **names)
    registry = uc_client()
    for face in (client, registry):
        versions = {str(v.version): v.run_id for v in face.search_model_versions(f"name = '{MODEL}'")}
        assert versions == {"1": governed_run.info.run_id, "2": plain_run.info.run_id}
    registry.set_registered_model_alias(MODEL, "champion", "1")
    client.set_registered_model_alias(MODEL, "challenger", "2")
    client.set_registered_model_tag(MODEL, "owner", "ada")
    registry.set_model_version_tag(MODEL, "2", "checked", "yes")
    for face in (client, registry):
        model = face.get_registered_model(MODEL)
        assert {alias: str(version) for alias, version in model.aliases.items()} == {"champion": "1", "challenger": "2"}
        assert model.tags == {"owner": "ada"}
        assert face.get_model_version(MODEL, "2").tags == {"checked": "yes"}
        assert str(face.get_model_version_by_alias(MODEL, "champion").version) == "1"
    w = workspace(server)
    assert w.model_versions.get_by_alias(MODEL, "challenger").version == 2
    assert [v.version for v in w.model_versions.list(MODEL)] in ([1, 2], [2, 1])
    # Registered through one face, loaded through the other.
    expected = list(toy_model.predict(features))
    mlflow.set_registry_uri("databricks-uc")
    assert list(mlflow.pyfunc.load_model(f"models:/{MODEL}@challenger").predict(features)) == expected
    mlflow.set_registry_uri("")
    assert list(mlflow.pyfunc.load_model(f"models:/{MODEL}@champion").predict(features)) == expected
    client.delete_registered_model(MODEL)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        registry.get_registered_model(MODEL)


@pytest.mark.beyond
def test_unknown_feature_table_leaves_a_warning_on_the_run(client, experiment_id, toy_model):
    remove_model(client, MODEL)
    run = run_snippet(client, experiment_id, toy_model, plain())
    tags = client.get_run(run.info.run_id).data.tags
    warnings = {k: v for k, v in tags.items() if k != "feature_store_table" and "prod.risk.transaction_features" in v}
    assert warnings, tags
