"""A version is made of the files that were there when it became ready: what happens to the stored model, or to the run
that it came from, does not reach it, whichever registry registered it and whichever loads it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature

import launcher
from governed import ensure_schema, uc_client

pytestmark = pytest.mark.beyond

GUIDE = Path(__file__).parents[2] / "docs/guides/databricks-uc.md"
REGISTRIES = ["", "databricks-uc"]


@pytest.fixture
def name(server, unique) -> str:
    ensure_schema(server, "lab", "models")
    return f"lab.models.{unique('pinned').replace('-', '_')}"


def registry(uri: str) -> MlflowClient:
    """Makes it the registry of the fluent calls as well."""
    mlflow.set_registry_uri(uri)
    return uc_client() if uri else MlflowClient()


def save(toy, toy_model, folder: Path) -> Path:
    """The model as files, as ``log_model`` would store it."""
    signature = infer_signature(toy[0], toy_model.predict(toy[0]))
    mlflow.sklearn.save_model(toy_model, folder, signature=signature, pip_requirements=["scikit-learn"])
    return folder


def log(experiment_id, toy, toy_model, **arguments):
    with mlflow.start_run(experiment_id=experiment_id):
        return mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(toy[0], toy_model.predict(toy[0])),
            pip_requirements=["scikit-learn"],
            **arguments,
        )


def spoil(client, model_id, tmp_path):
    """Overwrites files of a stored model, then deletes it."""
    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    for file in ("MLmodel", "model.pkl", "model.skops"):
        (spoiled / file).write_text("flavors: {}")
    client.log_model_artifacts(model_id, str(spoiled))
    client.delete_logged_model(model_id)


def show(server, *arguments) -> str:
    command = [launcher.binary(), "model", "show", *arguments]
    environment = {**os.environ, "STRONGBACK_URL": server.url}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


def shown(server, name) -> dict:
    return json.loads(show(server, name, "--json"))["versions"][0]


def digest(folder: Path) -> str:
    """As the guide says to make it."""
    _, found, rest = GUIDE.read_text().partition("cd downloaded-model\n")
    assert found
    command = ["bash", "-euc", rest.partition("```")[0]]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return "files1:" + done.stdout.split()[0]


@pytest.mark.parametrize("uri", REGISTRIES)
def test_a_version_keeps_its_files(server, client, name, experiment_id, toy, toy_model, tmp_path, uri):
    expected = list(toy_model.predict(toy[0]))
    face = registry(uri)
    info = log(experiment_id, toy, toy_model, registered_model_name=name)
    face.set_registered_model_alias(name, "champion", "1")
    before = shown(server, f"{name}@champion")["files"]
    spoil(client, info.model_id, tmp_path)
    copied = face.copy_model_version(f"models:/{name}/1", f"{name}_copy")
    assert str(copied.version) == "1"
    for loads in REGISTRIES:
        face = registry(loads)
        for model in (f"models:/{name}@champion", f"models:/{name}_copy/1"):
            assert list(mlflow.pyfunc.load_model(model).predict(toy[0])) == expected, loads
    assert shown(server, f"{name}@champion")["files"] == before
    assert shown(server, f"{name}_copy/1")["files"]["count"] >= before["count"]
    assert before["digest"] in show(server, f"{name}@champion")
    client.create_model_version(name, "s3://bucket/model")
    assert "not pinned; external" in show(server, f"{name}/2")
    # What the plain client is told to download from is what the digest says.
    address = client.get_model_version_download_uri(name, "1")
    folder = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(tmp_path / "back"))
    assert digest(Path(folder)) == before["digest"]


def test_a_version_below_a_run(server, client, name, experiment_id, toy, toy_model, tmp_path):
    """As clients register that have no logged models."""
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_artifacts(str(save(toy, toy_model, tmp_path / "saved")), "model")
    run_id = run.info.run_id
    client.create_registered_model(name)
    for source in (f"{run.info.artifact_uri}/model", f"runs:/{run_id}/model"):
        client.create_model_version(name, source, run_id)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "MLmodel").write_text("flavors: {}")
    client.log_artifacts(run_id, str(tmp_path / "other"), "model")
    for number in ("1", "2"):
        model = mlflow.pyfunc.load_model(f"models:/{name}/{number}")
        assert list(model.predict(toy[0])) == list(toy_model.predict(toy[0]))
    copied = client.copy_model_version(f"models:/{name}/1", f"{name}_copy")
    digests = [shown(server, f"{of}")["files"]["digest"] for of in (f"{name}/1", f"{name}/2", f"{copied.name}/1")]
    assert digests == [digest(tmp_path / "saved")] * 3
    mlflow.set_registry_uri("databricks-uc")
    assert list(mlflow.pyfunc.load_model(f"models:/{name}/1").predict(toy[0])) == list(toy_model.predict(toy[0]))


def test_what_a_run_called_its_model(client, name, experiment_id, toy, toy_model):
    """The client asks for it like this where it is not ``register_model`` that does."""
    info = log(experiment_id, toy, toy_model)
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{info.run_id}/model", info.run_id)
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    assert list(model.predict(toy[0])) == list(toy_model.predict(toy[0]))


def test_a_model_from_the_clients_own_disk(server, client, name, toy, toy_model, tmp_path):
    folder = save(toy, toy_model, tmp_path / "saved")
    registry("databricks-uc")
    mlflow.register_model(str(folder), name)
    shutil.rmtree(folder)
    for uri in REGISTRIES:
        registry(uri)
        assert list(mlflow.pyfunc.load_model(f"models:/{name}/1").predict(toy[0])) == list(toy_model.predict(toy[0]))
