"""What memory a large file takes on its way: one of 5 GiB up to the server and down again.

    $STRONGBACK_VENV/bin/python bench/large.py [--binary PATH] [--gib 5]

The file goes up by one request, then down by one, and comes back with the same SHA-256; then up once more in parts, as the unchanged mlflow
client of the Python that runs this sends it, and back. Memory of the server process is read every
20 ms; each figure is the most above what it was before. Resident counts pages of files as well; anonymous is the process's own. Goal:
100 MB, each way. The machine need not be quiet: times are told and no figures. It takes four times the file's room on the disk.

Exit status: 0 within the goal, 1 something failed or it took more.
"""

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import flat
import kept
import ours

GOAL_MB = 100
BLOCK = 1 << 20
GIB = 1 << 30


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--gib", type=int, default=5)
    wanted = parser.parse_args()
    # A noisy machine is noisy for times.
    wanted.accept_noise = True
    bench = kept.Bench(wanted)
    with tempfile.TemporaryDirectory(prefix="strongback-large-") as place:
        folder = Path(place)
        source = folder / "source"
        digest = write(source, wanted.gib * GIB)
        with ours.Server(bench.binary, folder / "server") as server:
            path = home(new_run(server))
            idle = flat.memory(server.process.pid)
            up = watched(server, idle, lambda: upload(server, path, source))
            down = watched(server, idle, lambda: download(server, path, folder / "back"))
            same(folder / "back", digest)
            run = new_run(server)
            parts = watched(server, idle, lambda: upload_in_parts(server, run["run_id"], source))
            download(server, home(run), folder / "back")
            same(folder / "back", digest)
    found = {"up": up, "down": down, "up_in_parts": parts}
    bench.keep("large", {"bytes": wanted.gib * GIB, "goal_mb": GOAL_MB} | found, is_timed=False)
    for way, found in (("up", up), ("down", down), ("up in parts", parts)):
        print(
            f"{wanted.gib} GiB {way} in {found['seconds']:.0f} s: at most {found['resident_mb']:.1f} MB resident above idle, "
            f"{found['anonymous_mb']:.1f} MB anonymous; goal {GOAL_MB}"
        )
    if max(way["resident_mb"] for way in (up, down, parts)) > GOAL_MB:
        raise SystemExit(f"more than {GOAL_MB} MB")


def write(path: Path, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(length // BLOCK):
            block = os.urandom(BLOCK)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def same(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise SystemExit("what came back is not what was sent")


def new_run(server: ours.Server) -> dict:
    return flat.Client(server).post("runs/create", {"experiment_id": "0"})["run"]["info"]


def home(run: dict) -> str:
    """Where the file lies: in the artifacts of a run, by its own name."""
    place = run["artifact_uri"].removeprefix("mlflow-artifacts:/").lstrip("/")
    return f"/api/2.0/mlflow-artifacts/artifacts/{place}/source"


def upload_in_parts(server: ours.Server, run_id: str, source: Path) -> None:
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.port}",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    code = "import sys, mlflow; mlflow.MlflowClient().log_artifact(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, run_id, str(source)], env=environment, check=True)


def connect(server: ours.Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=600, blocksize=BLOCK)


def upload(server: ours.Server, path: str, source: Path) -> None:
    connection = connect(server)
    with source.open("rb") as file:
        connection.request("PUT", path, file, {"Content-Length": str(source.stat().st_size)})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"the upload was answered with {answer.status}: {answer.read()[:300]!r}")


def download(server: ours.Server, path: str, back: Path) -> None:
    connection = connect(server)
    connection.request("GET", path)
    answer = connection.getresponse()
    with back.open("wb") as file:
        while block := answer.read(BLOCK):
            file.write(block)


def watched(server: ours.Server, idle: dict[str, float], work) -> dict[str, float]:
    """How long it took, and the most memory above that of the idle server, before it had any file, in MB."""
    most, over = {}, threading.Event()

    def watch():
        while not over.is_set():
            for name, mib in flat.memory(server.process.pid).items():
                most[name] = max(most.get(name, 0.0), mib)
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        work()
    finally:
        seconds = time.monotonic() - began
        over.set()
        watcher.join()
    above = {name.replace("_mib", "_mb"): round((most[name] - idle[name]) * 1.048576, 1) for name in idle}
    return {"seconds": round(seconds, 1)} | above


if __name__ == "__main__":
    sys.exit(main())
