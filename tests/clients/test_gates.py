"""A governed model: the unchanged clients are told how its alias moves, and see where it points like any other."""

import json
import os
import subprocess

import numpy as np
import onnx
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException
from onnx import TensorProto, helper

import launcher
from governed import ensure_schema, uc_client, workspace

pytestmark = pytest.mark.beyond


@pytest.fixture
def name(server, unique) -> str:
    ensure_schema(server, "lab", "gates")
    return f"lab.gates.{unique('fraud').replace('-', '_')}"


@pytest.fixture
def strongback(server, tmp_path):
    """Runs the binary against the server; answers what it printed."""

    def run(*arguments, code=0):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
        environment["STRONGBACK_URL"] = server.url
        command = [str(launcher.binary()), *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done
        return done.stdout

    return run


def logistic(weights) -> bytes:
    """``sigmoid(x · w)`` as ONNX, written by the onnx package."""
    weights = np.array(weights, dtype=np.float32).reshape(-1, 1)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["score"])],
        "logistic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def register(client: MlflowClient, name: str, experiment_id: str, weights, tmp_path) -> str:
    """A version from a run's artifacts, as any client registers one."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    inputs = [{"name": column, "type": "double", "required": True} for column in ("a", "b")]
    (folder / "MLmodel").write_text(f"flavors: {{}}\nsignature:\n  inputs: '{json.dumps(inputs)}'\n")
    (folder / "model.onnx").write_bytes(logistic(weights))
    run = client.create_run(experiment_id)
    client.log_artifacts(run.info.run_id, str(folder), "model")
    return client.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id).version


def refused(move) -> str:
    with pytest.raises(RestException) as caught:
        move()
    assert caught.value.error_code == "PERMISSION_DENIED"
    return str(caught.value)


def test_the_clients_are_told_how(server, client, strongback, name, experiment_id, tmp_path):
    client.create_registered_model(name)
    first = register(client, name, experiment_id, [1, 1], tmp_path)
    second = register(client, name, experiment_id, [2, 1], tmp_path)
    client.set_registered_model_alias(name, "champion", first)
    strongback("model", "govern", name, "--aliases", "champion")

    said = refused(lambda: client.set_registered_model_alias(name, "champion", second))
    assert f"strongback gate run --model {name} --candidate {second} --config gates.yaml --move champion" in said
    assert "govern" in refused(lambda: client.delete_registered_model_alias(name, "champion"))
    assert "governed" in refused(lambda: uc_client().set_registered_model_alias(name, "champion", second))
    assert "governed" in refused(lambda: client.delete_model_version(name, first))
    assert "governed" in refused(lambda: client.delete_registered_model(name))
    with pytest.raises(Exception, match="governed"):
        workspace(server).registered_models.set_alias(name, "champion", int(second))
    assert client.get_model_version_by_alias(name, "champion").version == first

    # Others are free, and what is governed points where it did.
    client.set_registered_model_alias(name, "challenger", second)
    strongback("promote", name, "challenger", code=3)
    strongback("promote", name, "challenger", "--override", "--reason", "shown to the client")
    assert client.get_model_version_by_alias(name, "champion").version == second
    strongback("rollback", name, "--reason", "it was shown")
    assert client.get_model_version_by_alias(name, "champion").version == first
    strongback("model", "govern", name, "--off")
    client.delete_registered_model(name)


def test_gates_that_cannot_run_a_model_pass_nothing(client, strongback, name, experiment_id, tmp_path):
    client.create_registered_model(name)
    version = register(client, name, experiment_id, [1, 1], tmp_path)
    gates = tmp_path / "gates.yaml"
    gates.write_text(
        f"version: 1\nevaluation:\n  table: {name}_rows\n  label: y\naccuracy:\n  - metric: roc_auc\n    margin: 0\n"
        "first_champion:\n  - metric: roc_auc\n    at_least: 0.5\n"
    )
    # There are no rows to judge it on: nothing is begun, and no report is kept.
    call = ["gate", "run", "--model", name, "--candidate", version, "--config", gates, "--move", "champion"]
    assert strongback(*call, "--json", code=2) == ""
    assert json.loads(strongback("gate", "list", "--model", name, "--json")) == []
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b,y\n" + "".join(f"{row % 7},{row % 5},{row % 2}\n" for row in range(200)))
    strongback("table", "import", rows, "--name", f"{name}_rows")
    printed = strongback(*call, "--json", code=2)
    report = json.loads(printed)
    assert report["verdict"] == "could_not_judge"
    run = client.get_run(report["run_id"])
    assert run.data.tags["strongback.gate_verdict"] == "could_not_judge"
    assert {file.path for file in client.list_artifacts(report["run_id"])} == {"gates.json", "gates.md", "gates.xml"}
    with pytest.raises(RestException):
        client.get_model_version_by_alias(name, "champion")
