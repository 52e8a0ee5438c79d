"""Tables on an object store: the same commands, with moto's S3 server in the place of Amazon's.

What a store without renames has to give is shown: batches land once, versions are read, files are joined and removed, and
after kill -9 all that was acknowledged is there.
"""

import json
import signal
import subprocess
import sys
import time

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


def keys(store):
    listed = store.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return [found["Key"] for found in listed if found["Key"].endswith(".parquet") and "_delta_log" not in found["Key"]]
