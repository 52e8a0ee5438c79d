"""Tables on an object store: the same commands, with moto's S3 server in the place of Amazon's.

What a store without renames has to give is shown: batches land once, versions are read, files are joined and removed, and
after kill -9 all that was acknowledged is there.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

import launcher
from governed import ensure_schema
from s3_server import S3Server
from test_disks import client_of_its_own, score, serve  # noqa: F401 - a fixture

pytestmark = pytest.mark.beyond
BUCKET = "lake"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An S3 server with one bucket; the environment says where it is."""
    server = S3Server(tmp_path / "moto.log")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.start(BUCKET)
    yield server.client
    server.end()


EXTRA = ("--tables-url", f"s3://{BUCKET}/tables", "--artifacts-url", f"s3://{BUCKET}/artifacts")
EXTRA += ("--worker-python", sys.executable)


@pytest.fixture
def start(store, server, tmp_path):
    """Starts a server on the metadata store that is asked for, whose tables lie in the bucket; again on the same data."""
    cluster = os.environ["STRONGBACK_TEST_POSTGRES_URL"] if server.backend == "postgres" else None
    database_url = launcher.create_database(cluster) if cluster else None
    started = []

    def begin():
        started.append(launcher.strongback(tmp_path / "data", database_url=database_url, extra=EXTRA))
        return started[-1]

    yield begin
    for one in started:
        one.end()
    if cluster:
        launcher.drop_database(cluster, database_url)


def strongback(server, *arguments):
    done = subprocess.run(
        [launcher.binary(), *arguments, "--server", server.url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(server, statement):
    return [json.loads(line) for line in strongback(server, "sql", statement, "--format", "json").splitlines()]


def test_tables_live_on_an_object_store(store, start, tmp_path):
    server = start()
    ensure_schema(server, "prod", "risk")
    for number in range(4):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"id,amount\n{number},2.5\n{number + 10},{'x' if number == 3 else 4}\n")
        options = ["--quarantine", "prod.risk.bad"] if number == 3 else []
        strongback(server, "table", "import", str(path), "--name", "prod.risk.t", "--batch-id", f"b{number}", *options)
    strongback(server, "table", "import", str(tmp_path / "0.csv"), "--name", "prod.risk.t", "--batch-id", "b0")
    server.stop(signal.SIGKILL)

    server = start()
    assert rows(server, "SELECT count(*) AS n, sum(id) AS s FROM prod.risk.t") == [{"n": 7, "s": 39}]
    assert rows(server, "SELECT count(*) AS n FROM prod.risk.t VERSION AS OF 2") == [{"n": 4}]
    assert rows(server, "SELECT line, value FROM prod.risk.bad") == [{"line": 3, "value": "x"}]
    strongback(server, "table", "compact", "prod.risk.t")
    before = keys(store)
    strongback(server, "table", "vacuum", "prod.risk.t", "--keep-from", "5")
    assert len(keys(store)) == len(before) - 4, "the four files that were joined"
    assert rows(server, "SELECT count(*) AS n FROM prod.risk.t") == [{"n": 7}]
    assert server.stop() == 0
    assert not (tmp_path / "data" / "tables").exists(), "nothing of a table lies in the data directory"


def put(server, number, rows=2_000):
    """Sends a batch; whether it was acknowledged."""
    body = "id,batch\n" + "".join(f"{row},{number}\n" for row in range(rows))
    request = urllib.request.Request(
        f"{server.url}/api/1.0/tables/prod.risk.t/batches/b{number}?format=csv&create=true",
        body.encode(),
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status == 200
    except OSError:  # The server went away in the middle: nobody knows what became of it.
        return False


def test_batches_that_a_kill_cuts_off_land_once(start):
    """kill -9 at any moment of a commit: what was acknowledged is there once, the rest once or not at all and can be sent again."""
    server = start()
    ensure_schema(server, "prod", "risk")
    sent, landed = 0, set()
    counted = "SELECT batch, count(*) AS n, count(DISTINCT id) AS d FROM prod.risk.t GROUP BY batch ORDER BY batch"
    assert put(server, 0)
    for _ in range(5):
        killer = threading.Timer(random.uniform(0.05, 0.8), server.stop, [signal.SIGKILL])
        killer.start()
        while put(server, sent + 1):
            sent += 1
            landed.add(sent)
        sent += 1
        killer.join()
        server = start()
        found = rows(server, counted)
        assert all((one["n"], one["d"]) == (2_000, 2_000) for one in found), found
        assert landed <= {one["batch"] for one in found} <= set(range(sent + 1)), (landed, found)
    for number in range(sent + 1):
        assert put(server, number), server.log_tail()
    assert rows(server, counted) == [{"batch": number, "n": 2_000, "d": 2_000} for number in range(sent + 1)]
    assert server.stop() == 0


FEATURES = """
version: 1
name: prod.risk.counts
source: prod.risk.rows
timestamp: at
row_key: [id]
pane: 1m
lateness: 5m
features:
  - { name: n, aggregate: count, window: 10m }
  - { name: mean, aggregate: mean, column: a, window: 10m }
"""
MONITOR = """
version: 1
watch: prod.risk.rows
event_time: at
baseline: prod.risk.learned
window: { length: 1h }
lateness: 1h
features: { include: [a, b] }
metrics: [psi]
minimum_rows: 10
"""


@pytest.mark.usefixtures("client_of_its_own")
def test_all_that_makes_tables_makes_them_there(store, start, tmp_path):
    """Features, training sets, what was served, and what was watched: written, killed, and read again."""
    server = start()
    ensure_schema(server, "prod", "risk")
    lines = [f"{row},2026-11-24T00:{row // 60:02}:{row % 60:02}Z,{row % 7},{row % 5},{row % 2}" for row in range(1_800)]
    (tmp_path / "rows.csv").write_text("id,at,a,b,label\n" + "\n".join(lines) + "\n")
    strongback(server, "table", "import", str(tmp_path / "rows.csv"), "--name", "prod.risk.rows")
    (tmp_path / "counts.yaml").write_text(FEATURES)
    strongback(server, "feature-table", "apply", str(tmp_path / "counts.yaml"))
    strongback(server, "feature-table", "materialize", "prod.risk.counts", "--wait")
    of_rows = ["--labels", "prod.risk.rows", "--features", "prod.risk.counts", "--label", "label"]
    strongback(server, "training-set", "create", "prod.risk.learned", *of_rows)
    serve(server)
    for _ in range(3):
        assert score(server, 10)[0] == 200
    strongback(server, "endpoint", "log", "fraud", "--flush")
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    strongback(server, "monitor", "apply", str(tmp_path / "monitor.yaml"))
    strongback(server, "monitor", "run", "prod.risk.rows", "--wait")
    server.stop(signal.SIGKILL)

    server = start()
    strongback(server, "training-set", "rebuild", "prod.risk.learned")
    counted = rows(server, "SELECT count(*) AS n, sum(n) AS counts FROM prod.risk.learned")
    assert counted[0]["n"] == 1_800
    assert counted[0]["counts"] > 0
    assert rows(server, "SELECT count(*) AS n FROM main.default.fraud_payload") == [{"n": 30}]
    figures = "SELECT count(DISTINCT column_name) AS n FROM prod.risk.rows_drift WHERE metric = 'psi'"
    assert rows(server, figures) == [{"n": 2}]
    assert score(server, 10)[0] == 200
    assert server.stop() == 0
    assert not (tmp_path / "data" / "tables").exists(), "nothing of a table lies in the data directory"


def keys(store):
    listed = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [found["Key"] for found in listed if found["Key"].endswith(".parquet") and "_delta_log" not in found["Key"]]
