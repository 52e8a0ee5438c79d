"""How long MLflow's stores take to come in, and to go out again.

    $STRONGBACK_VENV/bin/python bench/travel.py [--binary PATH] [--runs 100000] [--folder-runs 2000]

Needs a release build. Each run has 10 metrics of 10 points, 10 params and 4 tags.

- `import`: a SQLite database of MLflow with `--runs` runs, into an empty server on this machine, whole: planned, read, stored through
  fdatasync, and at the end made anew from the store and compared by digest. An import that does not end with everything equal ends the
  script. Goal: a minute.
- `export`: all of it back into an empty database that `mlflow db upgrade` made, read back and compared.
- `folder`: a folder `mlruns` with `--folder-runs` runs, into an empty server, and into a database by MLflow's own `mlflow
  migrate-filestore`, in turn. MLflow's has no server on its way and compares counts alone.

Exit status: 0 measured, 1 something failed, 2 the machine is too noisy to tell.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept
import ours

METRICS, POINTS, PARAMS, TAGS = 10, 10, 10, 4
GOAL_SECONDS = 60
# The runs of the database have none.
NO_FILES = "--no-artifacts"
START = 1_700_000_000_000


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--folder-runs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    bench = kept.Bench(wanted)
    with tempfile.TemporaryDirectory(prefix="strongback-travel-") as place:
        folder = Path(place)
        say(f"filling a database with {wanted.runs:,} runs")
        database = fill(folder / "source", wanted.runs)
        figures = {
            "database_bytes": database.stat().st_size,
            "import": [come(bench, database, folder / f"round-{at}") for at in range(wanted.rounds)],
            "export": leave(bench, database, folder),
        }
        if wanted.folder_runs:
            figures["folder"] = folders(bench, folder, wanted)
    runs = wanted.runs
    points = runs * METRICS * POINTS
    bench.keep("travel", {"runs": runs, "points": points, "goal_seconds": GOAL_SECONDS, "figures": figures})
    show(runs, points, figures, wanted.folder_runs)


def say(text: str) -> None:
    print(text, file=sys.stderr)


def show(runs: int, points: int, figures: dict, folder_runs: int) -> None:
    seconds = [one["seconds"] for one in figures["import"]]
    size = figures["database_bytes"] / 2**30
    print(f"import of {runs:,} runs with {points:,} points ({size:.1f} GiB): {spread(seconds)}; goal {GOAL_SECONDS} s")
    print(f"  largest resident memory of the server {max(one['server_mib'] for one in figures['import']):,.0f} MiB")
    print(f"export of the same: {figures['export']['seconds']:.1f} s")
    if folder_runs:
        mine, theirs = figures["folder"]["strongback"], figures["folder"]["mlflow"]
        ratio = median(theirs) / median(mine)
        print(
            f"folder of {folder_runs:,} runs: {spread(mine)}; mlflow migrate-filestore {spread(theirs)}; ratio {ratio:.1f}"
        )


def spread(seconds: list[float]) -> str:
    return f"{median(seconds):.1f} s ({min(seconds):.1f}–{max(seconds):.1f})"


def median(values: list[float]) -> float:
    return kept.percentile(values, 0.5)


def run_id(at: int) -> str:
    return f"{at:032x}"


def points_of(at: int):
    """Key, step, time and value of every point of a run; values as a loss has them, in single precision."""
    for metric in range(METRICS):
        for step in range(POINTS):
            yield f"metric_{metric}", step, START + at * 1_000 + step, ((at * 31 + metric * 7 + step) % 4096) / 4096


def empty(folder: Path) -> Path:
    """An empty database, made by MLflow."""
    folder.mkdir(parents=True)
    path = folder / "mlflow.db"
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{path}"], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return path


def fill(folder: Path, runs: int) -> Path:
    path = empty(folder)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)"
        " VALUES (1, 'bench', 'mlflow-artifacts:/1', 'active', ?, ?)",
        (START, START),
    )
    metric = "(key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
    for at in range(runs):
        run = run_id(at)
        start = START + at * 1_000
        connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?, ?, 'UNKNOWN', '', '', 'bench', 'FINISHED', ?, ?, '', 'active', ?, 1)",
            (run, f"run-{at}", start, start + 1_000, f"mlflow-artifacts:/1/{run}/artifacts"),
        )
        rows = [(key, value, time_ms, run, step) for key, step, time_ms, value in points_of(at)]
        connection.executemany(f"INSERT INTO metrics {metric}", rows)
        connection.executemany(f"INSERT INTO latest_metrics {metric}", rows[POINTS - 1 :: POINTS])
        params = [(f"param_{one}", f"value {at % 97} of {one}", run) for one in range(PARAMS)]
        connection.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
        tags = [("mlflow.runName", f"run-{at}", run), ("mlflow.user", "bench", run)]
        tags += [(f"tag_{one}", f"value {at % 89}", run) for one in range(TAGS - 2)]
        connection.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
    connection.commit()
    connection.close()
    return path


def peak_mib(process: subprocess.Popen) -> float:
    """The largest resident memory that a process had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def import_into(server: ours.Server, source: Path, *options: str) -> dict:
    began = time.monotonic()
    report = json.loads(server.run("import", "mlflow", source, "--json", *options))
    seconds = time.monotonic() - began
    say(f"import: {seconds:.1f} s")
    return {"seconds": seconds, "server_mib": peak_mib(server.process), "points": report["points"]}


def come(bench: kept.Bench, source: Path, folder: Path) -> dict:
    with ours.Server(bench.binary, folder) as server:
        return import_into(server, source, NO_FILES)


def leave(bench: kept.Bench, source: Path, folder: Path) -> dict:
    target = empty(folder / "target")
    with ours.Server(bench.binary, folder / "leaving") as server:
        import_into(server, source, NO_FILES)
        began = time.monotonic()
        server.run("export", "mlflow", f"sqlite:///{target}", "--json", NO_FILES)
        seconds = time.monotonic() - began
    say(f"export: {seconds:.1f} s")
    return {"seconds": seconds, "bytes": target.stat().st_size}


def folders(bench: kept.Bench, folder: Path, wanted) -> dict[str, list[float]]:
    source = make_folder(folder / "files", wanted.folder_runs)
    found: dict[str, list[float]] = {"strongback": [], "mlflow": []}
    for at in range(wanted.rounds):
        with ours.Server(bench.binary, folder / f"folder-{at}") as server:
            found["strongback"].append(import_into(server, source / "mlruns")["seconds"])
        target = f"sqlite:///{folder}/migrated-{at}.db"
        began = time.monotonic()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "mlflow",
                "migrate-filestore",
                "--source",
                source,
                "--target",
                target,
                "--no-progress",
            ],
            capture_output=True,
            text=True,
        )
        found["mlflow"].append(time.monotonic() - began)
        if done.returncode:
            raise SystemExit(done.stderr[-2_000:])
        say(f"mlflow migrate-filestore: {found['mlflow'][-1]:.1f} s")
    return found


def make_folder(source: Path, runs: int) -> Path:
    """A folder of runs as MLflow's file store writes it."""
    home = source / "mlruns" / "1"
    home.mkdir(parents=True)
    (home / "meta.yaml").write_text(
        f"artifact_location: {home.as_uri()}\ncreation_time: {START}\nexperiment_id: '1'\nlast_update_time: {START}\n"
        "lifecycle_stage: active\nname: bench\n"
    )
    for at in range(runs):
        run = home / run_id(at)
        for name in ("metrics", "params", "tags", "artifacts"):
            (run / name).mkdir(parents=True)
        start = START + at * 1_000
        (run / "meta.yaml").write_text(
            f"artifact_uri: {(run / 'artifacts').as_uri()}\nend_time: {start + 1_000}\nentry_point_name: ''\n"
            f"experiment_id: '1'\nlifecycle_stage: active\nrun_id: {run_id(at)}\nrun_name: run-{at}\nrun_uuid: {run_id(at)}\n"
            f"source_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {start}\nstatus: 3\ntags: []\nuser_id: bench\n"
        )
        lines: dict[str, list[str]] = {}
        for key, step, time_ms, value in points_of(at):
            lines.setdefault(key, []).append(f"{time_ms} {value} {step}\n")
        for key, text in lines.items():
            (run / "metrics" / key).write_text("".join(text))
        for one in range(PARAMS):
            (run / "params" / f"param_{one}").write_text(f"value {at % 97} of {one}")
        (run / "tags" / "mlflow.runName").write_text(f"run-{at}")
        (run / "tags" / "mlflow.user").write_text("bench")
        for one in range(TAGS - 2):
            (run / "tags" / f"tag_{one}").write_text(f"value {at % 89}")
    return source


if __name__ == "__main__":
    main()
