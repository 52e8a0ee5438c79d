"""Scoring beside `mlflow models serve` and a FastAPI server over ONNX Runtime: one row of 30 features, at 1, 8 and 32 connections.

    $STRONGBACK_VENV/bin/python bench/scoring.py [--binary PATH] [--seconds 5] [--rounds 3]

Needs a release build (`cargo build --workspace --release --locked`). Trains a logistic regression and a boosted model of 200
trees, registers both with a Strongback server of its own, serves the same models by the peers, and calls the compiled
load generator, which asks all of them in turn. Prints a table, and keeps the figures in `bench/results/`. Exit status: 0
measured, 1 a server failed, 2 the machine is too noisy to tell.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import kept
import models
import ours

PEER = """
import sys
import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
name = session.get_inputs()[0].name
app = FastAPI()


@app.post("/invocations")
async def score(request: Request):
    rows = numpy.array((await request.json())["dataframe_split"]["data"], dtype=numpy.float32)
    return {"predictions": session.run(None, {name: rows})[0].tolist()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
"""


def main():
    parser = kept.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,8,32")
    wanted = parser.parse_args()
    bench = kept.Bench(wanted)
    models.quiet()
    # MLflow's scorer starts its web server by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory(prefix="strongback-scoring-") as folder:
        figures = measure(bench, Path(folder), wanted)
    bench.keep("scoring", {"durability": "power", "figures": figures})
    for model, found in figures.items():
        print(f"\n{model}\n{'server':<14}{'connections':>12}{'requests/s':>14}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>9}")
        for one in found:
            print(
                f"{one['server']:<14}{one['connections']:>12}{one['requests_per_second']:>14.1f}"
                f"{one['p50_ms']:>10.2f}{one['p99_ms']:>10.2f}{one['ratio_of_first']:>9.2f}"
            )


def measure(bench: kept.Bench, folder: Path, wanted) -> dict[str, list[dict]]:
    figures = {}
    with ours.Server(bench.binary, folder / "ours") as server:
        rows, fitted = models.train()
        body = folder / "row.json"
        body.write_text(models.body(rows))
        for name, model in fitted.items():
            logged = models.log(server.url, name, model, rows)
            server.run("endpoint", "create", name, "--model", f"{name}/1")
            with ExitStack() as running:
                targets = [
                    server.target("strongback", name),
                    f"mlflow={mlflow_peer(running, folder / name, logged)}/invocations",
                    f"fastapi={fastapi_peer(running, folder, model, rows)}/invocations",
                ]
                options = {name: getattr(wanted, name) for name in ("seconds", "rounds", "connections")}
                figures[name] = bench.score(*targets, body=body, **options)
    return figures


def mlflow_peer(running: ExitStack, saved: Path, logged) -> str:
    """Where `mlflow models serve` answers, as shipped."""
    import mlflow

    mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(saved))
    port = ours.free_port()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        saved,
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    start(running, f"http://127.0.0.1:{port}/ping", command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return f"127.0.0.1:{port}"


def fastapi_peer(running: ExitStack, folder: Path, model, rows) -> str:
    """Where FastAPI over ONNX Runtime answers, written by hand as one would."""
    from skl2onnx import to_onnx

    form, script, port = folder / "peer.onnx", folder / "peer.py", ours.free_port()
    example = rows.head(1).to_numpy(dtype="float32")
    form.write_bytes(to_onnx(model, example, options={id(model): {"zipmap": False}}).SerializeToString())
    script.write_text(PEER)
    start(running, f"http://127.0.0.1:{port}/openapi.json", [sys.executable, script, form, str(port)])
    return f"127.0.0.1:{port}"


def start(running: ExitStack, url: str, command: list, **streams: int) -> None:
    process = subprocess.Popen(command, **streams)
    running.callback(process.wait, 30)
    running.callback(process.terminate)
    ours.wait_for(url, process)


if __name__ == "__main__":
    main()
