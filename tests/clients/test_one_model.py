"""One model under several faces: what everybody sees, what happens at once, and how a person looks at it."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature

import launcher
from governed import ensure_schema, uc_client, workspace

pytestmark = pytest.mark.beyond


@pytest.fixture
def name(server, unique) -> str:
    ensure_schema(server, "lab", "models")
    return f"lab.models.{unique('one').replace('-', '_')}"


@pytest.fixture
def faces(server):
    """A client of the plain registry and one of ``databricks-uc``."""
    return MlflowClient(server.url, registry_uri=server.url), uc_client()


def register(name, experiment_id, toy, toy_model, registry="databricks-uc"):
    features, _ = toy
    mlflow.set_registry_uri(registry)
    with mlflow.start_run(experiment_id=experiment_id) as run:
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(features, toy_model.predict(features)),
            pip_requirements=["scikit-learn"],
            registered_model_name=name,
        )
    return run.info.run_id, info.model_id


def strongback(server, *arguments):
    """Runs the command line against the server; its standard output."""
    environment = {**os.environ, "STRONGBACK_URL": server.url}
    done = subprocess.run(
        [launcher.binary(), *arguments], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def test_every_face_tells_the_same(server, faces, name, experiment_id, toy, toy_model):
    run_id, model_id = register(name, experiment_id, toy, toy_model)
    plain, governed = faces
    plain.update_registered_model(name, "scores payments")
    governed.update_model_version(name, "1", "first")
    plain.set_model_version_tag(name, "1", "checked", "yes")
    governed.set_registered_model_alias(name, "champion", "1")
    for face in faces:
        version = face.get_model_version_by_alias(name, "champion")
        assert (str(version.version), version.description, version.tags) == ("1", "first", {"checked": "yes"})
        assert (version.run_id, version.aliases) == (run_id, ["champion"])
        assert version.source.endswith(f"{model_id}/artifacts")
        assert face.get_registered_model(name).description == "scores payments"
    assert governed.get_model_version(name, "1").model_id == model_id
    w = workspace(server)
    version = w.model_versions.get(name, 1)
    assert (version.comment, version.run_id, version.status.value) == ("first", run_id, "READY")
    assert w.registered_models.get(name).comment == "scores payments"
    # Deleted on one, gone on all, and the name is free.
    w.registered_models.delete(name)
    for face in faces:
        assert face.search_model_versions(f"name = '{name}'") == []
    governed.create_registered_model(name)
    assert plain.get_registered_model(name).aliases == {}


def test_a_person_looks_at_it(server, faces, name, experiment_id, toy, toy_model):
    run_id, model_id = register(name, experiment_id, toy, toy_model)
    register(name, experiment_id, toy, toy_model, registry=server.url)
    plain, governed = faces
    governed.set_registered_model_alias(name, "champion", "1")
    plain.set_registered_model_alias(name, "champion", "2")
    shown = json.loads(strongback(server, "model", "show", f"{name}/1", "--json"))
    (version,) = shown["versions"]
    assert (version["run_id"], version["model_id"], version["status"]) == (run_id, model_id, "READY")
    inputs = [(field["name"], field["type"], field["required"]) for field in version["signature"]["inputs"]]
    assert inputs == [("amount", "double", True), ("hour", "double", True), ("distance", "double", True)]
    assert [field["type"] for field in version["signature"]["outputs"]] == ["tensor"]
    assert [(move["from_version"], move["to_version"]) for move in shown["moves"][:1]] == [(1, 2)]
    text = strongback(server, "model", "show", f"{name}@champion")
    assert "version 2" in text
    assert "distance" in text
    whole = strongback(server, "model", "show", name)
    assert "VERSION" in whole
    assert run_id in whole
    assert name in strongback(server, "model", "list")


def test_a_model_deleted_with_its_schema_frees_its_name(server, unique, experiment_id, toy, toy_model):
    catalog = unique("gone").replace("-", "_")
    name = f"{catalog}.models.m"
    for _ in range(2):
        ensure_schema(server, catalog, "models")
        register(name, experiment_id, toy, toy_model)
        assert [str(found.version) for found in uc_client().search_model_versions(f"name = '{name}'")] == ["1"]
        workspace(server).catalogs.delete(catalog, force=True)


def test_two_clients_at_once(server, faces, name):
    """Numbers are given once each, aliases end on one version, and every move of them is kept."""
    plain, _ = faces
    plain.create_registered_model(name)

    def make(at):
        if at % 2:
            return int(plain.create_model_version(name, f"s3://bucket/{at}").version)
        w = workspace(server)
        body = {"model_name": name.split(".")[2], "catalog_name": "lab", "schema_name": "models"}
        path = "/api/2.1/unity-catalog/models"
        number = w.api_client.do("POST", f"{path}/versions", body={**body, "source": f"s3://bucket/{at}"})["version"]
        w.api_client.do("PATCH", f"{path}/{name}/versions/{number}/finalize", body={})
        return number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(16))) == list(range(1, 17))
        moves = pool.map(lambda at: faces[at % 2].set_registered_model_alias(name, "champion", str(at + 1)), range(16))
        assert list(moves) == [None] * 16
    ends = {str(face.get_model_version_by_alias(name, "champion").version) for face in faces}
    assert len(ends) == 1
    history = json.loads(strongback(server, "history", f"{name}@champion", "--json"))
    assert [move["n"] for move in history["moves"]] == list(range(16, 0, -1))
    for newer, older in zip(history["moves"], history["moves"][1:], strict=False):
        assert newer["from_version"] == older["to_version"]
    assert {str(history["current_version"])} == ends
