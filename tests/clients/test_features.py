"""Features computed once: tables that pandas, Polars and DuckDB read, training sets that pandas reads from the server."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient

import launcher
from governed import ensure_schema, workspace

pytestmark = pytest.mark.beyond

CACHE = Path(os.environ.get("STRONGBACK_CACHE") or Path.home() / ".cache" / "strongback")
ULB = CACHE / "datasets" / "creditcard.csv"
ULB_ROWS = 20_000

YAML = """\
version: 1
name: {name}
source: {source}
keys: []
timestamp: event_time
row_key: [id]
pane: 1m
lateness: 5m
features:
  - {{name: amount_count_1h, aggregate: count, window: 1h}}
  - {{name: amount_mean_1h, aggregate: mean, column: Amount, window: 1h}}
  - {{name: amount_std_1h, aggregate: std, column: Amount, window: 1h}}
"""


@pytest.fixture
def schema(server, request):
    name = f"f_{abs(hash(request.node.nodeid)) % 10**10}"
    ensure_schema(server, "prod", name)
    return f"prod.{name}"


def strongback(server, *arguments, code=0):
    """Runs the command line against the server under test, and answers what it wrote."""
    done = subprocess.run(
        [launcher.binary(), *map(str, arguments), "--server", server.url], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def features_of(server, schema, rows, tmp_path):
    """Imports rows, declares global features by minute over them, computes them; answers the two names."""
    source, table = f"{schema}.transactions", f"{schema}.amounts"
    path = tmp_path / "rows.parquet"
    rows.to_parquet(path)
    strongback(server, "table", "import", path, "--name", source)
    definition = tmp_path / "amounts.yaml"
    definition.write_text(YAML.format(name=table, source=source))
    strongback(server, "feature-table", "apply", definition)
    done = json.loads(strongback(server, "feature-table", "materialize", table, "--wait", "--json").stdout)
    assert done["state"] == "succeeded"
    return source, table


def expected(rows):
    """What a row at ``t`` sees: the 60 whole minutes that were over by ``t``."""
    minute = rows["event_time"].astype("int64").to_numpy() // 60_000_000
    order = np.argsort(minute, kind="stable")
    sorted_minutes, amounts = minute[order], rows["Amount"].to_numpy()[order]
    low, high = np.searchsorted(sorted_minutes, minute - 60), np.searchsorted(sorted_minutes, minute)
    windows = [amounts[a:b] for a, b in zip(low, high, strict=True)]
    return pd.DataFrame(
        {
            "amount_count_1h": [len(w) for w in windows],
            "amount_mean_1h": [w.mean() if len(w) else math.nan for w in windows],
            "amount_std_1h": [w.std(ddof=1) if len(w) > 1 else math.nan for w in windows],
        }
    )


def small():
    seconds = [0, 10, 70, 200, 3500, 3660, 3661, 9000]
    at = pd.to_datetime("2013-09-01", utc=True) + pd.to_timedelta(seconds, unit="s")
    return pd.DataFrame(
        {
            "id": range(8),
            "event_time": at.astype("datetime64[us, UTC]"),
            "Amount": [1.0, 2, 4, 8, 16, 32, 64, 128],
            "Class": [0, 0, 1, 0, 0, 1, 0, 1],
        }
    )


def rows_of(server, name, form="parquet"):
    return f"{server.url}/api/1.0/training-sets/{name}/rows?format={form}"


def check(got, rows):
    got = got.sort_values("id").reset_index(drop=True)
    want = expected(rows)
    assert got["id"].tolist() == rows["id"].tolist()
    for column in want:
        np.testing.assert_allclose(got[column].astype(float), want[column].astype(float), rtol=1e-9, err_msg=column)


def test_a_training_set_is_what_pandas_computes(server, schema, tmp_path):
    rows = small()
    source, table = features_of(server, schema, rows, tmp_path)
    name = f"{schema}.day1"
    made = strongback(
        server, "training-set", "create", name, "--labels", source, "--features", table, "--label", "Class", "--json"
    )
    digest = json.loads(made.stdout)["sha256"]
    got = pd.read_parquet(rows_of(server, name))
    check(got, rows)
    assert got["event_time"].is_monotonic_increasing
    pd.testing.assert_frame_equal(pd.read_csv(rows_of(server, name, "csv"))[["id", "Amount"]], got[["id", "Amount"]])
    out = tmp_path / "day1.parquet"
    strongback(server, "training-set", "rows", name, "-o", out)
    pd.testing.assert_frame_equal(pd.read_parquet(out), got)
    strongback(server, "training-set", "rows", name, "-o", out, code=2)

    strongback(server, "training-set", "rebuild", name)
    strongback(server, "training-set", "show", name)
    create = ("training-set", "create", f"{schema}.none", "--labels", source, "--features", table)
    empty = strongback(server, *create, "--where", "Class = 7")
    assert f"none of the 8 rows of {source}@1 fulfils --where 'Class = 7'" in empty.stderr
    repeated = strongback(
        server, "training-set", "create", name, "--labels", source, "--features", table, "--label", "Class", "--json"
    )
    assert json.loads(repeated.stdout)["sha256"] == digest
    assert name in strongback(server, "training-set", "list", schema).stdout
    assert "up to date" in strongback(server, "feature-table", "show", table).stdout
    assert table in strongback(server, "feature-table", "list", schema).stdout


def test_the_exit_code_says_whether_a_set_comes_out_again(server, schema, tmp_path):
    source, table = features_of(server, schema, small(), tmp_path)
    kept = {}
    for name, where in (("early", "id < 5"), ("late", "id < 6")):
        create = ("training-set", "create", f"{schema}.{name}", "--labels", source, "--features", table)
        made = json.loads(strongback(server, *create, "--where", where, "--json").stdout)
        kept[name] = server.data_dir / "tables" / made["training_set_id"]
    # What is kept of one set is changed behind the server's back: another set's rows, and then no rows at all.
    shutil.rmtree(kept["early"])
    shutil.copytree(kept["late"], kept["early"])
    differs = strongback(server, "training-set", "rebuild", f"{schema}.early", code=1)
    assert differs.stdout == "differs\n"
    told = json.loads(strongback(server, "training-set", "rebuild", f"{schema}.early", "--json", code=1).stdout)
    assert told["difference"]["row"] == 6, told
    for file in kept["early"].glob("*.parquet"):
        file.write_bytes(bytes(file.stat().st_size))
    unjudged = strongback(server, "training-set", "rebuild", f"{schema}.early", code=2)
    assert unjudged.stdout == "unjudged\n"
    assert unjudged.stderr
    strongback(server, "training-set", "rebuild", f"{schema}.late")


def test_other_readers_open_the_feature_table(server, schema, tmp_path):
    _, table = features_of(server, schema, small(), tmp_path)
    location = urlsplit(workspace(server).tables.get(table).storage_location)
    found = DeltaTable(unquote(location.path)).to_pyarrow_table().to_pandas().sort_values("event_time")
    assert found["event_time"].is_unique
    at = found[found["event_time"] <= pd.Timestamp("2013-09-01T01:00:00Z")].iloc[-1]
    assert (at["amount_count_1h"], at["amount_mean_1h"]) == (5, 31 / 5)


def test_a_run_says_which_set_it_read(server, schema, tmp_path):
    source, table = features_of(server, schema, small(), tmp_path)
    name = f"{schema}.day1"
    strongback(server, "training-set", "create", name, "--labels", source, "--features", table)
    mlflow.set_experiment(f"experiment of {schema}")
    with mlflow.start_run(tags={"strongback.training_set": name}) as run:
        mlflow.log_metric("rows", len(pd.read_parquet(rows_of(server, name))))
    tags = MlflowClient().get_run(run.info.run_id).data.tags
    assert not [tag for tag in tags if tag.startswith("strongback.warning")]
    lineage = json.loads(strongback(server, "lineage", f"runs:/{run.info.run_id}", "--json").stdout)
    names = {node.get("name") for node in lineage["nodes"]}
    assert {name, table, source} <= names


def test_what_is_wrong_in_a_file_is_told_with_its_place(server, schema, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(YAML.format(name=f"{schema}.x", source=f"{schema}.y").replace("pane: 1m", "pane: 1 minute"))
    assert "line 7" in strongback(server, "feature-table", "apply", path, code=2).stderr


@pytest.mark.skipif(not ULB.exists(), reason="the card data is not in the cache; make demo fetches it")
def test_minutes_of_real_transactions(server, schema, tmp_path):
    rows = pd.read_csv(ULB, usecols=["Time", "Amount", "Class"], nrows=ULB_ROWS)
    at = pd.to_datetime("2013-09-01", utc=True) + pd.to_timedelta(rows["Time"], unit="s")
    rows.insert(0, "id", range(len(rows)))
    rows["event_time"] = at.astype("datetime64[us, UTC]")
    source, table = features_of(server, schema, rows, tmp_path)
    name = f"{schema}.slice"
    strongback(
        server,
        "training-set",
        "create",
        name,
        "--labels",
        source,
        "--features",
        table,
        "--label",
        "Class",
        "--where",
        "Time < 86400",
    )
    got = pd.read_parquet(rows_of(server, name))
    check(got, rows)
    strongback(server, "training-set", "rebuild", name)
