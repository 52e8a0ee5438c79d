"""Monitors: figures against numbers that numpy computes from the same rows, alerts, labels, and the days of the card data."""

import json
import math
import subprocess
from datetime import UTC, datetime, timedelta

import mlflow
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import launcher
from governed import ensure_schema

pytestmark = pytest.mark.beyond

START = datetime(2024, 11, 24, tzinfo=UTC)
CARDS = launcher.cache_dir() / "datasets/creditcard.csv"
# As many as a sketch keeps exactly, so that figures can be compared to the last digits.
ROWS = 500
# Day 1 against day 2, as pandas and numpy found with ten quantile bins.
KNOWN = {"V1": 1.57, "V3": 1.43, "V15": 0.40, "V11": 0.31, "V4": 0.19, "Amount": 0.002}


@pytest.fixture
def schema(server, request):
    name = f"m_{abs(hash(request.node.nodeid)) % 10**10}"
    ensure_schema(server, "prod", name)
    return f"prod.{name}"


def strongback(server, *arguments, code=0, timeout=300):
    """Runs the command line against the server under test and answers what it says as JSON."""
    command = [launcher.binary(), *arguments, "--server", server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stderr


def land(server, tmp_path, name, frame):
    path = tmp_path / f"{name}.parquet"
    frame.write_parquet(path)
    return strongback(server, "table", "import", str(path), "--name", name, "--json")


def watch(server, tmp_path, text):
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    return strongback(server, "monitor", "apply", str(path), "--json")


def run(server, name):
    return strongback(server, "monitor", "run", name, "--wait", "--json")["result"]


def ask(server, *words):
    done = subprocess.run(
        [launcher.binary(), "sql", " ".join(words), "--format", "json", "--server", server.url],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def borders(reference, bins=10):
    """Nearest-rank quantiles; a value that fills a bin alone gets one of its own."""
    ordered, edges = np.sort(reference), []
    for cut in range(1, bins):
        value = ordered[math.ceil(cut / bins * len(ordered)) - 1]
        if edges and edges[-1] == value:
            below = np.nextafter(value, -np.inf)
            if len(edges) < 2 or edges[-2] != below:
                edges.insert(-1, below)
        else:
            edges.append(value)
    return np.array(edges)


def psi(reference, current, bins=10):
    edges = borders(reference, bins)
    counts = [
        np.bincount(np.searchsorted(edges, rows, side="left"), minlength=len(edges) + 1)
        for rows in (reference, current)
    ]
    p, q = (np.maximum(count, 0.5) / count.sum() for count in counts)
    kept = (counts[0] + counts[1]) > 0
    return float(np.sum(((p - q) * np.log(p / q))[kept]))


def served(random, hours, rows, shift):
    """Rows of a payload table: a column that moves, one that does not, one that is mostly zero, and scores."""
    frames = []
    for hour in range(hours):
        times = [START + timedelta(hours=hour, seconds=3600 * row / rows) for row in range(rows)]
        frames.append(
            pl.DataFrame(
                {
                    "_request_id": [f"r{hour}-{row}" for row in range(rows)],
                    "_row": pl.Series([0] * rows, dtype=pl.Int32),
                    "_event_time": times,
                    "_model_version": [1 + hour % 2] * rows,
                    "_prediction": random.uniform(size=rows),
                    "moves": random.normal(shift * hour, 1, rows),
                    "stays": random.gamma(2, 1, rows),
                    "mostly_zero": random.poisson(0.2, rows).astype(float),
                }
            )
        )
    return pl.concat(frames)


def test_figures_are_those_of_numpy_and_scikit_learn(server, schema, tmp_path):
    random = np.random.default_rng(7)
    train = pl.DataFrame(
        {
            "moves": random.normal(0, 1, ROWS),
            "stays": random.gamma(2, 1, ROWS),
            "mostly_zero": random.poisson(0.2, ROWS).astype(float),
            "y": (random.uniform(size=ROWS) < 0.1).astype(float),
        }
    )
    rows = served(random, 3, ROWS, 0.8)
    land(server, tmp_path, f"{schema}.train", train)
    land(server, tmp_path, f"{schema}.fraud_payload", rows)
    name = f"{schema}.fraud"
    watched = watch(
        server,
        tmp_path,
        f"""version: 1
watch: {name}
baseline: {schema}.train@1
window: {{ length: 1h }}
prediction: _prediction
labels: {{ lateness: 30d, baseline: y, metrics: [roc_auc, average_precision, accuracy] }}
metrics: [psi, kolmogorov_smirnov]
thresholds: [{{ metric: psi, above: 0.25 }}]
""",
    )
    assert watched["watched_table"] == f"{name}_payload"
    # The labels are there before the first look: all of a window comes at once.
    labels = rows.with_columns(
        label=(pl.col("_prediction") + pl.Series(random.normal(0, 0.3, len(rows))) > 0.6).cast(pl.Float64)
    )
    path = tmp_path / "labels.csv"
    labels.select(request_id="_request_id", label="label").write_csv(path)
    imported = strongback(server, "labels", "import", str(path), "--endpoint", name, "--json")
    assert (imported["rows"], imported["table"]) == (3 * ROWS, f"{name}_labels")
    assert strongback(server, "labels", "import", str(path), "--endpoint", name, "--json")["is_repeat"]
    assert run(server, name) == {"windows": 3, "revised": 0}

    found = {
        (one["window_start"][11:13], one["metric"], one["column_name"]): one["value"]
        for one in ask(
            server,
            "SELECT CAST(window_start AS STRING) AS window_start, metric, column_name, value FROM",
            f"{name}_drift",
        )
    }
    for hour in range(3):
        window = rows.filter(pl.col("_event_time").dt.hour() == hour)
        for column in ("moves", "stays", "mostly_zero"):
            expected = psi(train[column].to_numpy(), window[column].to_numpy())
            assert found[f"{hour:02}", "psi", column] == pytest.approx(expected, rel=1e-9, abs=1e-12), (hour, column)
        if hour > 0:
            expected = psi(rows["_prediction"].to_numpy()[:ROWS], window["_prediction"].to_numpy())
            assert found[f"{hour:02}", "prediction_shift", ""] == pytest.approx(expected, rel=1e-9)
        truth = labels.filter(pl.col("_event_time").dt.hour() == hour)
        label, score = truth["label"].to_numpy(), truth["_prediction"].to_numpy()
        assert found[f"{hour:02}", "roc_auc", ""] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert found[f"{hour:02}", "average_precision", ""] == pytest.approx(
            average_precision_score(label, score), abs=1e-12
        )
        assert found[f"{hour:02}", "accuracy", ""] == pytest.approx(
            float(np.mean((score >= 0.5) == (label == 1))), abs=1e-12
        )
        rate = label.mean() - train["y"].to_numpy().mean()
        assert found[f"{hour:02}", "label_rate", ""] == pytest.approx(rate, abs=1e-12)

    # The same figures are the series of a run, as the mlflow client reads them.
    shown = strongback(server, "monitor", "show", name, "--json")
    client = mlflow.MlflowClient(server.url)
    history = client.get_metric_history(shown["run_id"], "psi/moves")
    assert [point.value for point in history] == [found[f"{hour:02}", "psi", "moves"] for hour in range(3)]
    assert [point.timestamp for point in history] == [
        int((START + timedelta(hours=hour + 1)).timestamp() * 1000) for hour in range(3)
    ]

    standing = strongback(server, "alert", "list", "--monitor", name, "--json")
    assert [(one["metric"], one["column"], one["windows"]) for one in standing] == [("psi", "moves", 2)]
    alert = standing[0]["alert_id"]
    assert strongback(server, "alert", "ack", alert, "--note", "we look", "--json")["state"] == "acknowledged"
    assert strongback(server, "alert", "resolve", alert, "--json")["state"] == "resolved"
    assert strongback(server, "alert", "list", "--monitor", name, "--json") == []


def test_a_mistake_in_the_file_is_told_before_anybody_is_asked(tmp_path):
    path = tmp_path / "monitor.yaml"
    path.write_text("version: 1\nwatch: a.b.c\nbaseline: a.b.t@1\nwindow: { lenght: 1h }\n")
    done = subprocess.run(
        [launcher.binary(), "monitor", "apply", str(path), "--server", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "line 4, column 11" in done.stderr
    assert "did you mean 'length'?" in done.stderr


@pytest.mark.skipif(not CARDS.is_file(), reason="the card data is not cached; `make demo` fetches it")
def test_the_second_day_of_the_card_data_drifts_as_it_is_known_to(server, schema, tmp_path):
    cards = pl.read_csv(CARDS, schema_overrides={"Time": pl.Float64, "Amount": pl.Float64, "Class": pl.Float64})
    cards = cards.with_columns(at=pl.lit(START) + pl.duration(milliseconds=(pl.col("Time") * 1000).cast(pl.Int64)))
    first, second = (cards.filter((pl.col("Time") < 86_400) == is_first) for is_first in (True, False))
    land(server, tmp_path, f"{schema}.day1", first.drop("at"))
    land(server, tmp_path, f"{schema}.tx", cards)
    name = f"{schema}.tx"
    watch(
        server,
        tmp_path,
        f"""version: 1
watch: {name}
baseline: {schema}.day1@1
event_time: at
window: {{ length: 1d }}
features: {{ exclude: [Time, Class] }}
thresholds: [{{ metric: psi, above: 0.2 }}]
""",
    )
    assert run(server, name)["windows"] == 2
    found = ask(
        server,
        "SELECT column_name, value, low, high FROM",
        f"{name}_drift",
        "WHERE metric = 'psi' AND window_start = TIMESTAMP '2024-11-25T00:00:00Z'",
    )
    figures = {one["column_name"]: one for one in found}
    assert len(figures) == 29
    for column, one in figures.items():
        exact = psi(first[column].to_numpy(), second[column].to_numpy())
        # Sketches keep 1,500 values: a rank is off by 0.15 % of the rows, which the interval allows for.
        assert one["value"] == pytest.approx(exact, rel=0.06, abs=0.006), column
        assert one["low"] <= exact <= one["high"], (column, exact, one)
    for column, known in KNOWN.items():
        assert figures[column]["value"] == pytest.approx(known, rel=0.06, abs=0.01), column
    same_day = ask(
        server,
        "SELECT max(value) AS most FROM",
        f"{name}_drift",
        "WHERE metric = 'psi' AND window_start = TIMESTAMP '2024-11-24T00:00:00Z'",
    )
    assert same_day[0]["most"] < 0.01
    drifted = {one["column"] for one in strongback(server, "alert", "list", "--monitor", name, "--json")}
    assert drifted == {column for column, one in figures.items() if one["value"] > 0.2}
    assert {"V1", "V3", "V15", "V11"} <= drifted
