"""How long `why` takes on a payload table of a million rows, each a request of its own.

    $STRONGBACK_VENV/bin/python bench/why.py [--binary PATH] [--rows 1000000] [--asked 1000]

Needs a release build. What is asked about has all the parts that an answer can have: features that were looked up in a feature
table beside 30 that came with the request, a model whose run names its training set, a gate report, and the move of the alias that
rested on it. The endpoint is asked until the table has that many rows; then why is asked of requests of random ids, one after the
other over one connection: of those that are in the table, and of those that still wait in the log. There is no peer that answers
this question. Exit status: 0 measured, 1 something failed, 2 the machine is too noisy to tell.
"""

import csv
import datetime
import io
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import kept
import models
import ours

ENDPOINT = "why"
SCHEMA = "bench.why"
MODEL = f"{SCHEMA}.scorer"
LOOKED_UP = ["amount_count", "amount_mean", "amount_std"]
GOAL_P99_MS = 50
# What is known of the past, and how far back.
TRANSACTIONS = 4_000
SPACING_S = 15
FEATURE_TABLE = f"""
version: 1
name: {SCHEMA}.amounts
source: {SCHEMA}.transactions
timestamp: event_time
row_key: [tx_id]
pane: 1m
lateness: 10m
features:
  - {{ name: amount_count, aggregate: count, column: amount, window: 24h }}
  - {{ name: amount_mean, aggregate: mean, column: amount, window: 24h }}
  - {{ name: amount_std, aggregate: std, column: amount, window: 24h }}
"""
GATES = f"""
version: 1
evaluation:
  table: {SCHEMA}.newest
  label: label
  timestamp: event_time
first_champion:
  - {{ metric: roc_auc, at_least: 0.6 }}
  - {{ metric: average_precision, at_least: 0.5 }}
data_drift: {{ columns: [v0, v1, v2], max_psi: 0.25, basis: value }}
compatibility: {{}}
"""


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=1_000)
    parser.add_argument("--fill-seconds", type=float, default=30, help="between two looks at how many rows there are")
    wanted = parser.parse_args()
    bench = kept.Bench(wanted)
    models.quiet()
    with (
        tempfile.TemporaryDirectory(prefix="strongback-why-") as folder,
        ours.Server(bench.binary, Path(folder) / "ours") as server,
    ):
        figures = measure(bench, server, Path(folder), wanted)
    bench.keep("why", {"goal_p99_ms": GOAL_P99_MS, "figures": figures})
    for where, found in figures.items():
        print(
            f"{where:<12} {found['requests']} requests among {found['rows']:,} rows: p50 {found['p50_ms']:.1f} ms, "
            f"p99 {found['p99_ms']:.1f} ms, longest {found['longest_ms']:.1f} ms; goal {GOAL_P99_MS} ms (p99)"
        )


def measure(bench: kept.Bench, server: ours.Server, folder: Path, wanted) -> dict[str, dict[str, object]]:
    body = folder / "row.json"
    serve(server, folder, body)
    rows = 0
    while rows < wanted.rows:
        target = server.target("ours", ENDPOINT)
        bench.score(target, body=body, connections=32, rounds=1, warm_up_seconds=0, seconds=wanted.fill_seconds)
        rows = json.loads(server.run("endpoint", "log", ENDPOINT, "--flush", "--json"))["drained_rows"]
        print(f"{rows:,} rows", file=sys.stderr)
    table = server.log_of(ENDPOINT)["table"]
    listed = server.run("sql", f"SELECT _request_id FROM {table}", "--format", "csv", "--limit", str(rows))
    ids = [line[0] for line in csv.reader(io.StringIO(listed))][1:]
    random.seed(7)
    in_table = why(server, random.sample(ids, wanted.asked), is_waiting=False)
    line = body.read_bytes()
    asked = [server.ask("POST", f"/endpoints/{ENDPOINT}/invocations", line) for _ in range(wanted.asked)]
    in_log = why(server, [answer.getheader("x-request-id") for answer in asked], is_waiting=True)
    return {"in the table": {"rows": rows} | in_table, "in the log": {"rows": rows} | in_log}


def serve(server: ours.Server, folder: Path, body: Path) -> None:
    """From two files to an endpoint whose champion was judged, and that looks features up."""
    import pandas as pd

    server.run("catalog", "create", "bench")
    server.run("schema", "create", SCHEMA)
    for name, rows in land().items():
        rows.to_csv(folder / f"{name}.csv", index=False)
        server.run("table", "import", folder / f"{name}.csv", "--name", f"{SCHEMA}.{name}")
    (folder / "amounts.yaml").write_text(FEATURE_TABLE)
    server.run("feature-table", "apply", folder / "amounts.yaml")
    server.run("feature-table", "materialize", f"{SCHEMA}.amounts", "--wait")
    sets = ["--labels", f"{SCHEMA}.labelled", "--features", f"{SCHEMA}.amounts", "--label", "label"]
    # After the first quarter each has enough before it. What the model is judged on it has not learned from.
    first, newest = TRANSACTIONS // 4, TRANSACTIONS * 3 // 4
    server.run("training-set", "create", f"{SCHEMA}.train", *sets, "--where", f"tx_id >= {first} AND tx_id < {newest}")
    server.run("training-set", "create", f"{SCHEMA}.newest", *sets, "--where", f"tx_id >= {newest}")
    answer = server.ask("GET", f"/api/1.0/training-sets/{SCHEMA}.train/rows?format=parquet")
    known = pd.read_parquet(io.BytesIO(answer.body))
    rows = known[[*models.FEATURES, *LOOKED_UP]].astype(float)
    model = models.unfitted("lr").fit(rows, known["label"])
    models.log(server.url, MODEL, model, rows, tags={"strongback.training_set": f"{SCHEMA}.train"})
    (folder / "gates.yaml").write_text(GATES)
    server.run("model", "govern", MODEL, "--aliases", "champion")
    judged = ["--candidate", "1", "--config", folder / "gates.yaml", "--move", "champion"]
    server.run("gate", "run", "--model", MODEL, *judged)
    server.run("endpoint", "create", ENDPOINT, "--model", f"{MODEL}@champion")
    body.write_text(models.body(rows[models.FEATURES]))


def land() -> dict[str, object]:
    """What was paid in the hours before now, and what came of it."""
    import numpy as np
    import pandas as pd

    rows, labels = models.table()
    ended = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    behind = np.arange(TRANSACTIONS)[::-1] * SPACING_S
    times = [(ended - datetime.timedelta(seconds=int(each))).strftime("%Y-%m-%dT%H:%M:%SZ") for each in behind]
    base = pd.DataFrame({"tx_id": range(TRANSACTIONS), "event_time": times})
    amounts = np.random.default_rng(1).gamma(2, 40, TRANSACTIONS).round(2)
    return {
        "transactions": base.assign(amount=amounts),
        "labelled": pd.concat([base, rows.head(TRANSACTIONS), labels.head(TRANSACTIONS).rename("label")], axis=1),
    }


def why(server: ours.Server, ids: list[str], is_waiting: bool) -> dict[str, object]:
    taken = []
    for request in ids:
        begun = time.perf_counter()
        answer = server.ask("GET", f"/api/1.0/requests/{request}/why")
        taken.append((time.perf_counter() - begun) * 1e3)
        check(json.loads(answer.body), request, is_waiting)
    return {
        "requests": len(taken),
        "p50_ms": kept.percentile(taken, 0.5),
        "p99_ms": kept.percentile(taken, 0.99),
        "longest_ms": max(taken),
    }


def check(found: dict, request: str, is_waiting: bool) -> None:
    """It is the request that was asked about, and no part of the answer is missing."""
    looked_up = [each["name"] for row in found["rows"] for each in row["inputs"] if each.get("from")]
    is_whole = (
        (found["request_id"], found["is_waiting"]) == (request, is_waiting)
        and found["gate"]["verdict"] == "pass"
        and found["alias_move"]
        and found["run"]["params"]
        and sorted(looked_up) == LOOKED_UP
        and not found.get("hidden")
    )
    if not is_whole:
        raise SystemExit(f"not what was asked for: {json.dumps(found)[:2000]}")


if __name__ == "__main__":
    main()
