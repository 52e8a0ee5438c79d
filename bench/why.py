"""How long `why` takes on a payload table of a million rows, each a request of its own.

    CARGO_TARGET_DIR=… $STRONGBACK_VENV/bin/python bench/why.py [--rows 1000000] [--asked 1000]

Needs a release build. Trains a logistic regression of 30 features, serves it, asks it until the table has that many rows, and
then asks why of requests of random ids, one after the other over one connection: of those that are in the table, and of those
that still wait in the log. There is no peer that answers this question. Exit status: 0 measured, 1 something failed, 2 the
machine is too noisy to tell.
"""

import argparse
import csv
import http.client
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept
import scoring

FILL_SECONDS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=1_000)
    parser.add_argument("--accept-noise", action="store_true", help="measure all the same; the result is no figure")
    arguments = parser.parse_args()
    load = kept.require_quiet(arguments.accept_noise)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"})
    with tempfile.TemporaryDirectory(prefix="strongback-why-") as folder:
        port = scoring.free_port()
        command = [target / "strongback", "up", "--data-dir", f"{folder}/data", "--port", str(port)]
        with Path(folder, "log").open("wb") as log:
            ours = subprocess.Popen([*command, "--worker-python", sys.executable], stderr=log)
        try:
            scoring.wait_for(f"http://127.0.0.1:{port}/health", ours)
            figures = measure(Path(folder), target, port, arguments)
        finally:
            ours.terminate()
            ours.wait(60)
    for where, found in figures.items():
        print(
            f"{where:<12} {found['requests']} requests among {found['rows']:,} rows: p50 {found['p50_ms']:.1f} ms, "
            f"p99 {found['p99_ms']:.1f} ms, longest {found['longest_ms']:.1f} ms"
        )
    kept.keep("why", {"load_before": load, "figures": figures})


class Server:
    """The command line and one connection."""

    def __init__(self, binary: Path, port: int):
        self.binary, self.port = binary, port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def run(self, *arguments: str) -> str:
        command = [self.binary, *arguments, "--server", f"http://127.0.0.1:{self.port}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def ask(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        answer.body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer


def measure(folder: Path, target: Path, port: int, arguments: argparse.Namespace) -> dict[str, dict[str, object]]:
    server = Server(target / "strongback", port)
    body = folder / "row.json"
    serve(server, body)
    rows = 0
    while rows < arguments.rows:
        fill = ["--body", body, "--connections", "32", "--rounds", "1", "--warm-up-seconds", "0"]
        place = f"strongback=127.0.0.1:{port}/endpoints/why/invocations"
        generator = [target / "strongback-bench-scoring", place, *fill, "--seconds", str(FILL_SECONDS)]
        subprocess.run(generator, check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(server.run("endpoint", "log", "why", "--flush", "--json"))["drained_rows"]
        print(f"{rows:,} rows", file=sys.stderr)
    table = json.loads(server.run("endpoint", "log", "why", "--json"))["table"]
    listed = server.run("sql", f"SELECT _request_id FROM {table}", "--format", "csv", "--limit", str(rows))
    ids = [line[0] for line in csv.reader(io.StringIO(listed))][1:]
    random.seed(7)
    in_table = why(server, random.sample(ids, arguments.asked), is_waiting=False)
    line = body.read_bytes()
    asked = [server.ask("POST", "/endpoints/why/invocations", line) for _ in range(arguments.asked)]
    in_log = why(server, [answer.getheader("x-request-id") for answer in asked], is_waiting=True)
    return {"in the table": {"rows": rows} | in_table, "in the log": {"rows": rows} | in_log}


def serve(server: Server, body: Path) -> None:
    import mlflow
    from mlflow.models import infer_signature

    mlflow.set_tracking_uri(f"http://127.0.0.1:{server.port}")
    rows, models = scoring.train()
    model = models["lr"]
    body.write_text(
        json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": rows.head(1).values.tolist()}})
    )
    with mlflow.start_run():
        mlflow.log_params({"kind": "lr", "rows": len(rows)})
        mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(rows, model.predict(rows)),
            serialization_format="cloudpickle",
            registered_model_name="why",
        )
    server.run("endpoint", "create", "why", "--model", "why/1")


def why(server: Server, ids: list[str], is_waiting: bool) -> dict[str, object]:
    taken = []
    for request in ids:
        begun = time.perf_counter()
        answer = server.ask("GET", f"/api/1.0/requests/{request}/why")
        taken.append((time.perf_counter() - begun) * 1e3)
        found = json.loads(answer.body)
        if found["request_id"] != request or found["is_waiting"] != is_waiting:
            raise SystemExit(f"not what was asked for: {answer.body[:300]!r}")
    return {
        "requests": len(taken),
        "p50_ms": kept.percentile(taken, 0.5),
        "p99_ms": kept.percentile(taken, 0.99),
        "longest_ms": max(taken),
    }


if __name__ == "__main__":
    main()
