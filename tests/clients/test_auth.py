"""A server that asks for tokens: what each client sends, who may do what, and what a refusal says."""

import re

import pytest
from databricks.sdk.errors import Unauthenticated
from mlflow import MlflowClient

import launcher
from expect import refused
from governed import workspace
from raw import MLFLOW, Raw

pytestmark = pytest.mark.beyond


def token_for(data_dir, principal: str) -> str:
    """Makes a token by the command line; standard output carries nothing but the token."""
    token = launcher.token(data_dir, principal)
    assert re.fullmatch(r"sbt_[0-9a-f]{64}", token), token
    return token


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with ``--auth tokens`` and the tokens of two ordinary principals: ``(server, {name: token})``."""
    data = tmp_path_factory.mktemp("guarded") / "data"
    data.mkdir()
    tokens = {name: token_for(data, name) for name in ("ada", "bob")}
    server = launcher.strongback(data, extra=("--auth", "tokens"))
    yield server, tokens
    assert server.stop() == 0
    log = server.log.read_text()
    assert not any(token in log for token in tokens.values()), "a token is in the log"


@pytest.fixture
def as_principal(guarded, monkeypatch):
    """Makes a client that brings the principal's token: as a bearer token, or by basic authentication."""
    server, tokens = guarded

    def make(name, basic=False):
        for variable in ("TOKEN", "USERNAME", "PASSWORD"):
            monkeypatch.delenv(f"MLFLOW_TRACKING_{variable}", raising=False)
        if basic:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", tokens[name])
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", tokens[name])
        return MlflowClient(server.url, registry_uri=server.url)

    return make


def test_without_a_token(guarded):
    server, _ = guarded
    raw = Raw(server)
    answer = raw.get(f"{MLFLOW}/experiments/get?experiment_id=0")
    assert (answer.status, answer.error_code) == (401, "UNAUTHENTICATED"), answer
    assert "MLFLOW_TRACKING_TOKEN" in answer.message
    assert answer.headers["www-authenticate"]
    assert raw.get("/health").status == 200
    with refused("UNAUTHENTICATED"):
        MlflowClient(server.url).get_experiment("0")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer sbt_" + "0" * 64,
        "Basic ",
        "Basic !!!",
        "Basic YWRhOndyb25n",
        "Digest x",
        "Bearer x\ty",
    ],
)
def test_wrong_credentials(guarded, header):
    answer = Raw(guarded[0]).get(f"{MLFLOW}/experiments/get?experiment_id=0", Authorization=header)
    assert (answer.status, answer.error_code) == (401, "UNAUTHENTICATED"), answer


@pytest.mark.parametrize("basic", [False, True])
def test_mlflow_client_brings_its_token(as_principal, unique, basic):
    client = as_principal("ada", basic)
    experiment_id = client.create_experiment(unique("guarded"))
    run_id = client.create_run(experiment_id).info.run_id
    client.log_metric(run_id, "m", 1.0)
    client.log_text(run_id, "words", "a.txt")
    assert [f.path for f in client.list_artifacts(run_id)] == ["a.txt"]


def test_token_of_another_user(guarded, monkeypatch):
    server, tokens = guarded
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", tokens["ada"])
    with refused("UNAUTHENTICATED"):
        MlflowClient(server.url).get_experiment("0")


def test_what_belongs_to_somebody_else(as_principal, unique):
    owner = as_principal("ada")
    experiment_id = owner.create_experiment(unique("of ada"))
    run_id = owner.create_run(experiment_id).info.run_id
    model = owner.create_registered_model(unique("of-ada")).name
    other = as_principal("bob")
    for change in (
        lambda: other.delete_experiment(experiment_id),
        lambda: other.rename_experiment(experiment_id, unique("of bob")),
        lambda: other.log_param(run_id, "p", "1"),
        lambda: other.delete_run(run_id),
        lambda: other.delete_registered_model(model),
        lambda: other.create_model_version(model, "s3://bucket/x"),
    ):
        with refused("PERMISSION_DENIED"):
            change()
    owner = as_principal("ada")
    assert owner.get_run(run_id).data.params == {}
    owner.delete_registered_model(model)


def test_databricks_sdk_brings_its_token(guarded):
    server, tokens = guarded
    with pytest.raises(Unauthenticated):
        list(workspace(server).catalogs.list())
    assert "main" in [catalog.name for catalog in workspace(server, tokens["ada"]).catalogs.list()]
