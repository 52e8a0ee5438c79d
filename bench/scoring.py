"""Scoring beside `mlflow models serve` and a FastAPI server over ONNX Runtime: one row of 30 features, at 1, 8 and 32 connections.

    CARGO_TARGET_DIR=… STRONGBACK_VENV=… $STRONGBACK_VENV/bin/python bench/scoring.py [--seconds 5] [--rounds 3]

Needs a release build (`cargo build --workspace --release --locked`). Trains a logistic regression and a boosted model of 200
trees, registers both with a Strongback server of its own, serves the same models by the peers, and calls the compiled
load generator, which asks all of them in turn. Prints a table, and keeps the figures in `bench/results/`. Exit status: 0
measured, 1 a server failed, 2 the machine is too noisy to tell.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import kept

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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"the server for {url} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - an address of this script
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer within {seconds} s")


def train():
    import numpy as np
    import pandas as pd
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(4000, 30)), columns=[f"v{at}" for at in range(30)])
    labels = (rows.v0 + rows.v1 * rows.v2 + random.normal(size=4000) > 0).astype(int)
    return rows, {
        "lr": make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels),
        "gb200": GradientBoostingClassifier(n_estimators=200, max_depth=4).fit(rows, labels),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default="5")
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--connections", default="1,8,32")
    parser.add_argument("--accept-noise", action="store_true", help="measure all the same; the result is no figure")
    arguments = parser.parse_args()
    load = kept.require_quiet(arguments.accept_noise)
    sync = kept.sync_cost()
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release"
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"})
    # MLflow's scorer starts its web server by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    figures = {}
    with tempfile.TemporaryDirectory(prefix="strongback-scoring-") as folder:
        figures = session(Path(folder), target, arguments)
    for model, found in figures.items():
        print(f"\n{model}\n{'server':<14}{'connections':>12}{'requests/s':>14}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>9}")
        for one in found:
            print(
                f"{one['server']:<14}{one['connections']:>12}{one['requests_per_second']:>14.1f}"
                f"{one['p50_ms']:>10.2f}{one['p99_ms']:>10.2f}{one['ratio_of_first']:>9.2f}"
            )
    kept.keep("scoring", {"load_before": load, "sync_cost": sync, "durability": "power", "figures": figures})


def session(folder, target, arguments):
    import mlflow
    from mlflow.models import infer_signature
    from skl2onnx import to_onnx

    port = free_port()
    ours = subprocess.Popen(
        [
            target / "strongback",
            "up",
            "--data-dir",
            folder / "data",
            "--port",
            str(port),
            "--worker-python",
            sys.executable,
        ],
        stderr=subprocess.DEVNULL,
    )
    running = [ours]
    try:
        wait_for(f"http://127.0.0.1:{port}/health", ours)
        mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
        rows, models = train()
        body = folder / "row.json"
        body.write_text(
            json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": rows.head(1).values.tolist()}})
        )
        figures = {}
        for name, model in models.items():
            with mlflow.start_run():
                signature = infer_signature(rows, model.predict(rows))
                info = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    signature=signature,
                    serialization_format="cloudpickle",
                    registered_model_name=name,
                )
            created = [
                target / "strongback",
                "endpoint",
                "create",
                name,
                "--model",
                f"{name}/1",
                "--server",
                f"http://127.0.0.1:{port}",
            ]
            subprocess.run(created, check=True)
            saved, form = folder / name, folder / f"{name}.onnx"
            mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(saved))
            form.write_bytes(
                to_onnx(
                    model, rows.head(1).to_numpy(dtype="float32"), options={id(model): {"zipmap": False}}
                ).SerializeToString()
            )
            script = folder / "peer.py"
            script.write_text(PEER)
            mlflow_port, fastapi_port = free_port(), free_port()
            peers = [
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "mlflow",
                        "models",
                        "serve",
                        "-m",
                        str(saved),
                        "-p",
                        str(mlflow_port),
                        "--env-manager",
                        "local",
                    ],
                    stderr=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                ),
                subprocess.Popen([sys.executable, str(script), str(form), str(fastapi_port)]),
            ]
            running += peers
            wait_for(f"http://127.0.0.1:{mlflow_port}/ping", peers[0])
            wait_for(f"http://127.0.0.1:{fastapi_port}/openapi.json", peers[1])
            measured = subprocess.run(
                [
                    target / "strongback-bench-scoring",
                    f"strongback=127.0.0.1:{port}/endpoints/{name}/invocations",
                    f"mlflow=127.0.0.1:{mlflow_port}/invocations",
                    f"fastapi=127.0.0.1:{fastapi_port}/invocations",
                    "--body",
                    body,
                    "--seconds",
                    arguments.seconds,
                    "--rounds",
                    arguments.rounds,
                    "--connections",
                    arguments.connections,
                ],
                check=True,
                capture_output=True,
                text=True,
            )
            figures[name] = json.loads(measured.stdout)
            for peer in peers:
                peer.terminate()
        return figures
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


if __name__ == "__main__":
    main()
