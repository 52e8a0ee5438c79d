"""Tables on an object store: the same commands, with moto's S3 server in the place of Amazon's.

What a store without renames has to give is shown: batches land once, versions are read, files are joined and removed, and
after kill -9 all that was acknowledged is there.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import boto3
import pytest

import launcher

pytestmark = pytest.mark.beyond
BUCKET = "lake"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An S3 server with one bucket; the environment says where it is."""
    port = launcher.free_port()
    url = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=log
        )
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    for _ in range(100):
        try:
            client.create_bucket(Bucket=BUCKET)
            break
        except Exception:
            assert process.poll() is None, (tmp_path / "moto.log").read_text()
            time.sleep(0.1)
    yield client
    process.kill()
    process.wait()


def start(tmp_path):
    return launcher.strongback(tmp_path / "data", extra=("--tables-url", f"s3://{BUCKET}/tables"))


def strongback(server, *arguments):
    done = subprocess.run(
        [launcher.binary(), *arguments, "--server", server.url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(server, statement):
    return [json.loads(line) for line in strongback(server, "sql", statement, "--format", "json").splitlines()]


def test_tables_live_on_an_object_store(store, tmp_path):
    server = start(tmp_path)
    strongback(server, "catalog", "create", "prod")
    strongback(server, "schema", "create", "prod.risk")
    for number in range(4):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"id,amount\n{number},2.5\n{number + 10},{'x' if number == 3 else 4}\n")
        options = ["--quarantine", "prod.risk.bad"] if number == 3 else []
        strongback(server, "table", "import", str(path), "--name", "prod.risk.t", "--batch-id", f"b{number}", *options)
    strongback(server, "table", "import", str(tmp_path / "0.csv"), "--name", "prod.risk.t", "--batch-id", "b0")
    server.stop(signal.SIGKILL)

    server = start(tmp_path)
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


def test_batches_that_a_kill_cuts_off_land_once(store, tmp_path):
    """kill -9 at any moment of a commit: what was acknowledged is there once, the rest once or not at all and can be sent again."""
    server = start(tmp_path)
    strongback(server, "catalog", "create", "prod")
    strongback(server, "schema", "create", "prod.risk")
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
        server = start(tmp_path)
        found = rows(server, counted)
        assert all((one["n"], one["d"]) == (2_000, 2_000) for one in found), found
        assert landed <= {one["batch"] for one in found} <= set(range(sent + 1)), (landed, found)
    for number in range(sent + 1):
        assert put(server, number), server.log_tail()
    assert rows(server, counted) == [{"batch": number, "n": 2_000, "d": 2_000} for number in range(sent + 1)]
    assert server.stop() == 0


def keys(store):
    listed = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [found["Key"] for found in listed if found["Key"].endswith(".parquet") and "_delta_log" not in found["Key"]]
