"""What came from what, who decided it when, and which run is best: the command line, asked of runs that mlflow logged."""

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta

import mlflow
import pytest
from mlflow.models import infer_signature

import launcher
from governed import ensure_schema, workspace

pytestmark = pytest.mark.beyond
MODEL = "answers.risk.scorer"
TABLE = "answers.risk.features"


@pytest.fixture(scope="module")
def logged(server, toy, toy_model):
    """Two registered versions from two runs of an experiment, the alias moved from one to the other."""
    mlflow.set_tracking_uri(server.url)
    ensure_schema(server, "answers", "risk")
    w = workspace(server)
    w.api_client.do(
        "POST",
        "/api/2.1/unity-catalog/tables",
        body={"catalog_name": "answers", "schema_name": "risk", "name": "features"},
    )
    features, labels = toy
    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment("/answers/sweep")
    runs = []
    for depth, auc in ((1, 0.81), (2, 0.92), (3, float("nan"))):
        tags = {"dataset_version": "2024-Q4-v2", "feature_store_table": TABLE}
        with mlflow.start_run(experiment_id=experiment, run_name=f"depth-{depth}", tags=tags) as run:
            mlflow.log_param("depth", depth)
            mlflow.log_input(mlflow.data.from_pandas(features, name="toy"), context="train")
            mlflow.log_metric("auc", auc)
            if depth < 3:
                mlflow.sklearn.log_model(
                    toy_model,
                    name="model",
                    registered_model_name=MODEL,
                    signature=infer_signature(features, labels),
                    serialization_format="cloudpickle",
                )
        runs.append(run.info.run_id)
    for version in (1, 2):
        client.set_registered_model_alias(MODEL, "champion", version)
    # It would outlive this module, and win over what the environment of other tests names.
    mlflow.set_tracking_uri(None)
    return runs


def test_lineage_of_a_version_names_its_own_run_data_and_table(ask, logged):
    code, data, _ = ask("lineage", f"models:/{MODEL}@champion", "--up")
    assert code == 0
    lines = data.splitlines()
    assert lines[0] == f"model {MODEL} (models:/{MODEL}@champion)"
    assert "experiment /answers/sweep" in lines[1]
    assert f"version 2, run {logged[1]}" in lines[1]
    below = "\n".join(lines[2:])
    assert "dataset toy" in below
    assert f"table {TABLE}" in below
    assert logged[0] not in data

    code, data, _ = ask("lineage", TABLE, "--json")
    names = {node["name"]: node["kind"] for node in json.loads(data)["nodes"]}
    assert code == 0
    assert (names[MODEL], names["/answers/sweep"]) == ("model", "experiment")

    code, data, _ = ask("lineage", f"runs:/{logged[0]}")
    assert code == 0
    assert f"produces, version 1, run {logged[0]}" in data
    assert logged[1] not in data


def test_lineage_of_a_name_that_is_not_there(ask, logged):
    for wrong, meant in [
        ("answers.risk.scorrer", MODEL),
        ("scorer", MODEL),
        ("/answers/sweeps", "/answers/sweep"),
        ("answers.risk.feature", TABLE),
    ]:
        code, data, talk = ask("lineage", wrong)
        assert (code, data) == (3, ""), talk
        assert f"Did you mean '{meant}'?" in talk
    code, _, talk = ask("lineage", f"models:/{MODEL}@champ")
    assert code == 3
    assert "It has or had: champion." in talk
    code, _, talk = ask("lineage", "nothing.like.this")
    assert code == 3
    assert "Did you mean" not in talk
    assert ask("lineage", TABLE, "--depth", "0")[0] == 2


def test_history_of_an_alias(ask, logged):
    code, data, talk = ask("history", f"{MODEL}@champion")
    assert code == 0
    assert f"{MODEL}@champion is version 2 now." in talk
    heading, newest, oldest = data.splitlines()
    assert heading.split() == ["TIME", "(UTC)", "FROM", "TO", "BY", "WHY", "ON"]
    assert re.match(r"\S+ \S+ +1 +2 +local", newest)
    assert re.match(r"\S+ \S+ +- +1 +local", oldest)
    shown = newest[:19]
    today = datetime.now(UTC).date()
    # A time that the table shows can be asked about as it stands there.
    for at in (shown, shown.replace(" ", "T") + "Z", str(today), str(today + timedelta(days=2))):
        code, data, _ = ask("history", f"{MODEL}@champion", "--at", at)
        assert code == 0
        assert f"{MODEL}@champion was version 2 at" in data
    code, data, _ = ask("history", f"{MODEL}@champion", "--at", "2020-02-29")
    assert code == 1
    assert "did not exist yet at 2020-02-29 23:59:59 UTC" in data
    code, data, _ = ask("history", f"{MODEL}@champion", "--at", str(today), "--json")
    answer = json.loads(data)
    assert (code, answer["version_at"], answer["move_at"]["by"], len(answer["moves"])) == (0, 2, "local", 2)


def test_history_that_is_not_there(ask, logged):
    for name, expected, part in [
        (MODEL, 2, f"{MODEL}@champion"),
        (f"{MODEL}@champ", 3, "It has or had: champion."),
        ("answers.risk.scorrer@champion", 3, f"Did you mean '{MODEL}'?"),
    ]:
        code, data, talk = ask("history", name)
        assert (code, data) == (expected, ""), talk
        assert part in talk
    for at in ("yesterday", "2025-02-29", "2026-11-24T25:00", ""):
        code, _, talk = ask("history", f"{MODEL}@champion", f"--at={at}")
        assert (code, "2026-11-24" in talk) == ((2, True) if at else (0, False)), (at, talk)


def test_an_alias_that_is_gone_has_a_history_and_no_lineage(ask, client, unique):
    name = unique("retired")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model")
    client.set_registered_model_alias(name, "champion", "1")
    client.delete_registered_model_alias(name, "champion")
    code, data, talk = ask("history", f"{name}@champion", "--json")
    assert code == 0, talk
    told = json.loads(data)
    assert told.get("current_version") is None
    assert [(move.get("from_version"), move.get("to_version")) for move in told["moves"]] == [(1, None), (None, 1)]
    code, _, talk = ask("lineage", f"models:/{name}@champion")
    assert code == 3, talk
    assert "has no alias 'champion' now" in talk


def test_best_run_for_a_version_of_the_data(ask, logged):
    where = "tags.dataset_version = '2024-Q4-v2'"
    code, data, _ = ask("runs", "best", "--metric", "auc", "--where", where, "--experiment", "/answers/sweep")
    assert code == 0
    heading, best = data.splitlines()
    assert heading.split() == ["RUN", "NAME", "auc", "EXPERIMENT", "PARAMS"]
    assert best.split() == [logged[1], "depth-2", "0.92", "/answers/sweep", "depth=2"]
    code, data, _ = ask("runs", "best", "--metric", "auc", "--min", "-n", "9", "--where", where, "--json")
    assert code == 0
    assert [run["info"]["run_id"] for run in json.loads(data)] == logged[:2]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("--metric", "auk"), 1, "Did you mean 'auc'?"),
        (("--metric", "auc", "--where", "tags.dataset_version = 'none'"), 1, "No run finished and fits"),
        (("--metric", "auc", "--where", "tags.x == 'y'"), 2, "tags.x == 'y'\n"),
        (("--metric", "auc", "--experiment", "/answers/swep"), 3, "Did you mean '/answers/sweep'?"),
        (("--metric", "auc", "-n", "0"), 2, "--limit"),
        ((), 2, "--metric"),
    ],
)
def test_best_run_that_is_not_there(ask, logged, arguments, code, part):
    if arguments and "--experiment" not in arguments:
        arguments = (*arguments, "--experiment", "/answers/sweep")
    answer = ask("runs", "best", *arguments)
    assert answer[:2] == (code, "")
    assert part in answer[2]


def test_a_reader_that_stops_early_is_no_error(server, logged):
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(launcher.binary()), "runs", "best", "--metric", "auc", "--server", server.url]
    with os.fdopen(writer) as nobody:
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
