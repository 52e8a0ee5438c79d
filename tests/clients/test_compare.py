"""Runs that mlflow logged, side by side: on the command line, and by the package for Python."""

import functools
import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow.models import infer_signature

import launcher
import strongback

pytestmark = pytest.mark.beyond
MODEL = "compared"


@pytest.fixture
def compare(ask):
    """``strongback runs compare`` against the server: ``(exit code, data, talk)``."""
    return functools.partial(ask, "runs", "compare")


@pytest.fixture(scope="module")
def logged(server, toy, toy_model):
    """Two runs with a model each, registered, in environments that differ; a third without one."""
    mlflow.set_tracking_uri(server.url)
    features, labels = toy
    client = mlflow.MlflowClient(server.url, registry_uri=server.url)
    experiment = client.create_experiment("compared")
    runs = []
    requirements = (
        ["scikit-learn==1.4.0", "numpy==1.26.4"],
        ["scikit-learn==1.4.0", "numpy==2.1.0", "lightgbm==4.5.0"],
        None,
    )
    for depth, needs in enumerate(requirements, 1):
        with mlflow.start_run(experiment_id=experiment, run_name=f"depth-{depth}", tags={"team": "risk"}) as run:
            mlflow.log_params({"depth": depth, "seed": 7})
            mlflow.log_metrics(
                {"val_auc": round(0.8 + depth / 100, 2), "log_loss": round(0.5 - depth / 100, 2), "psi": depth / 10}
            )
            mlflow.log_input(mlflow.data.from_pandas(features.head(100 * min(depth, 2)), name="toy"), context="train")
            if needs:
                mlflow.sklearn.log_model(
                    toy_model,
                    name="model",
                    pip_requirements=needs,
                    registered_model_name=MODEL,
                    signature=infer_signature(features, labels),
                    serialization_format="cloudpickle",
                )
        runs.append(run.info.run_id)
    client.set_registered_model_alias(MODEL, "champion", 1)
    mlflow.set_tracking_uri(None)
    return runs


def lines_of(data: str) -> dict[tuple[str, str], list[str]]:
    """The table by what and key; columns stand apart by two spaces or more."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in data.splitlines()]
    return {(row[0], row[1]): row[2:] for row in rows}


def test_the_table_shows_what_differs_and_which_way(compare, logged):
    code, data, talk = compare(logged[0], logged[1])
    assert code == 0, talk
    rows = lines_of(data)
    assert rows["WHAT", "KEY"] == ["depth-1", "depth-2", "CHANGE"]
    assert rows["run", "id"] == logged[:2]
    assert rows["param", "depth"] == ["1", "2"]
    assert rows["metric", "val_auc"] == ["0.81", "0.82", "+0.01 (+1.2 %) better"]
    assert rows["metric", "log_loss"] == ["0.49", "0.48", "-0.01 (-2.0 %) better"]
    assert rows["metric", "psi"] == ["0.1", "0.2", "+0.1 (+100.0 %)"]
    first, second = rows["data", "toy (train)"]
    assert first != second
    assert rows["package", "numpy"] == ["==1.26.4", "==2.1.0", "changed"]
    assert rows["package", "lightgbm"] == ["-", "==4.5.0", "added"]
    assert ("param", "seed") not in rows
    assert "1 param" in talk
    assert "--all" in talk
    assert "not known of: psi" in talk

    code, data, talk = compare(logged[1], logged[0], "--all", "--lower", "psi")
    rows = lines_of(data)
    assert rows["param", "seed"] == ["7", "7"]
    assert rows["metric", "psi"] == ["0.2", "0.1", "-0.1 (-50.0 %) better"]
    assert rows["package", "lightgbm"] == ["==4.5.0", "-", "removed"]
    assert rows["package", "scikit-learn"] == ["==1.4.0", "==1.4.0"]
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    assert rows["python", "python"] == [python, python]
    assert rows["tag", "team"] == ["risk", "risk"]
    assert not [key for what, key in rows if what == "tag" and key.startswith("mlflow.")]


def test_three_runs_and_versions_for_runs(compare, logged):
    code, data, talk = compare(f"models:/{MODEL}@champion", f"models:/{MODEL}/2", logged[2])
    rows = lines_of(data)
    assert code == 0, talk
    assert rows["run", "id"] == logged
    assert rows["metric", "val_auc"] == ["0.81", "0.82 (+0.01)", "0.83 (+0.02)", "best: depth-3"]
    assert rows["package", "numpy"] == ["==1.26.4", "==2.1.0", "?"]
    assert "The environment of depth-3 is not known" in talk


def test_json_is_what_the_server_answers(compare, logged, raw):
    code, data, _ = compare(logged[0], logged[1], "--json")
    answer = raw.get(f"/api/1.0/runs/compare?run_id={logged[0]}&run_id={logged[1]}")
    assert (code, json.loads(data)) == (0, answer.json)


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ((), 2, "<RUN>"),
        (("{a}",), 2, "values required"),
        (("{a}", "{a}"), 2, "is there already"),
        (("{a}", "f" * 32), 3, "not found"),
        (("{a}", "models:/compared/9"), 3, "no version '9'"),
        (("{a}", "models:/compard/1"), 3, "Did you mean 'compared'?"),
        (("{a}", "{b}", "--higher", "auk"), 2, "for --higher: none of the runs"),
        (("{a}",) * 11, 2, "for RUN: 11 runs were given"),
    ],
)
def test_what_cannot_be_compared(compare, logged, arguments, code, part):
    filled = [argument.format(a=logged[0], b=logged[1]) for argument in arguments]
    answer = compare(*filled)
    assert answer[:2] == (code, ""), answer
    assert part in answer[2]


def test_python(server, client, logged):
    """The server is where mlflow's is; runs are ids or mlflow's own objects."""
    found = strongback.compare_runs(logged[0], client.get_run(logged[1]), lower=["psi"])
    assert [run.run_id for run in found.runs] == logged[:2]
    assert [(row.key, row.values) for row in found.params.rows] == [("depth", ("1", "2"))]
    assert found.params.equal == 1
    metrics = {row.key: row for row in found.metrics.rows}
    assert {key: row.verdict for key, row in metrics.items()} == {
        "val_auc": "better",
        "log_loss": "better",
        "psi": "worse",
    }
    assert math.isclose(metrics["val_auc"].deltas[1], 0.01)
    assert metrics["val_auc"].verdicts[0] is None
    packages = {row.key: row.values for row in found.environment.packages.rows}
    assert packages["numpy"] == ("==1.26.4", "==2.1.0")
    assert [part.digest is not None for parts in found.data.rows[0].values for part in parts] == [True, True]
    shown = repr(found)
    assert "depth-1" in shown.splitlines()[0]
    assert any(line.split()[:2] == ["metric", "val_auc"] and line.endswith("better") for line in shown.splitlines())
    assert "<td>val_auc</td>" in found._repr_html_()
    assert len(strongback.compare_runs(*logged, server=server.url, all=True).params.rows) == 2


def test_python_shows_nothing_as_markup_or_as_a_line_of_its_own(client, logged, experiment_id):
    run = client.create_run(experiment_id, run_name="<script>").info.run_id
    client.set_tag(run, "words", "one\nrun  id  forged <b>")
    for run_id, last in ((logged[0], "a"), (run, "b")):
        client.set_tag(run_id, "long", "x" * 60 + last)
    found = strongback.compare_runs(logged[0], run)
    assert "<script>" not in found._repr_html_()
    assert "<b>" not in found._repr_html_()
    assert not [line for line in repr(found).splitlines() if line.startswith("run  id  forged")]
    # Long values are cut where they do not differ.
    assert next(line.split()[2:] for line in repr(found).splitlines() if " long " in line) == [
        "…xxxxxxxxa",
        "…xxxxxxxxb",
    ]


def test_python_says_what_was_refused(logged, monkeypatch):
    with pytest.raises(strongback.StrongbackError, match="not found") as refused:
        strongback.compare_runs(logged[0], "f" * 32)
    assert (refused.value.code, refused.value.status) == ("RESOURCE_DOES_NOT_EXIST", 404)
    with pytest.raises(TypeError, match="not int"):
        strongback.compare_runs(logged[0], 7)
    nobody = f"http://127.0.0.1:{launcher.free_port()}"
    with pytest.raises(strongback.StrongbackError, match=nobody) as absent:
        strongback.compare_runs(*logged, server=nobody)
    assert absent.value.status is None
    monkeypatch.setenv("STRONGBACK_URL", "mlruns")
    with pytest.raises(strongback.StrongbackError, match="begins with http"):
        strongback.compare_runs(*logged)


def test_python_brings_its_token(tmp_path, monkeypatch):
    data = tmp_path / "data"
    token = launcher.token(data, "ana", "--admin")
    with launcher.on_store("sqlite", data, extra=("--auth", "tokens")) as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        client = mlflow.MlflowClient(running.url)
        runs = [client.create_run("0").info.run_id for _ in range(2)]
        assert [run.user for run in strongback.compare_runs(*runs).runs] != []
        monkeypatch.setenv("STRONGBACK_TOKEN", "wrong")
        with pytest.raises(strongback.StrongbackError) as refused:
            strongback.compare_runs(*runs)
        assert refused.value.status == 401


def test_the_package_is_documented_and_needs_nothing():
    for name in strongback.__all__:
        assert inspect.getdoc(getattr(strongback, name)), name
    root = Path(strongback.__file__).parents[2]
    assert "dependencies = []" in (root / "pyproject.toml").read_text()
    assert (Path(strongback.__file__).parent / "py.typed").exists()
    # On its own, without what the tests have installed.
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(root / 'src')!r}); import strongback",
    ]
    subprocess.run(command, check=True)
