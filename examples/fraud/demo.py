"""``make demo``: from 284,807 real card transactions to an audited champion, through public interfaces only.

Every step is a script of this folder, which a data scientist could have written, or a ``strongback`` command, which
a person could type. Every figure on the screen is computed while you watch. Nothing is kept in the checkout.

Environment: STRONGBACK_BIN names the binary, STRONGBACK_CACHE the cache folder; STRONGBACK_DEMO_KEEP=1 leaves the
server running at the end. Exit codes: 0 all went well, 1 a step failed, 2 no binary, 3 no data, 130 interrupted.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import data
from console import Console, seconds, typed
from server import Server, ServerError, last_lines

HERE = Path(__file__).resolve().parent
MODEL = "prod.risk.fraud_classifier"
BEST_RUN = ["runs", "best", "--metric", "val_ap", "--where", "tags.dataset_version = '2024-Q4-v2'"]
PYTHON_FOLDER = Path(sys.executable).parent
STEPS = 12
COMMAND_LIMIT_S = 300


class CommandError(Exception):
    """A command of a step failed."""

    def __init__(self, command: str, code: int, stderr: list[str]):
        super().__init__(f"{command} ended with exit code {code}")
        self.stderr = stderr


class Demo:
    """The server, the environment that its clients see, and the console."""

    def __init__(self, console: Console, server: Server):
        self.console = console
        self.server = server
        self.environment = client_environment(server)

    def python(self, script: str) -> None:
        """Runs a script of this folder, as a user would."""
        self.run([sys.executable, "-u", str(HERE / script)], ["python", script])

    def strongback(self, *arguments: str) -> float:
        """Runs a ``strongback`` command; the seconds it took."""
        return self.run([str(self.server.binary), *arguments], ["strongback", *arguments])

    def run(self, command: list[str], shown: list[str]) -> float:
        """Runs a command: its stdout as it comes, its stderr into a file that is shown if it fails."""
        self.console.command(shown)
        errors = self.server.folder / f"step-{self.console.number:02}.stderr"
        start = time.perf_counter()
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self.environment,
                cwd=self.server.folder,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            limit = threading.Timer(COMMAND_LIMIT_S, process.kill)
            limit.start()
            try:
                for line in process.stdout:
                    self.console.line(line.rstrip())
                code = process.wait()
            finally:
                limit.cancel()
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if code != 0:
            raise CommandError(typed(shown), code, last_lines(errors, 15))
        return time.perf_counter() - start


def client_environment(server: Server) -> dict[str, str]:
    """What a user exports to point unchanged client code at the server, and nothing left over from elsewhere."""
    ours = ("MLFLOW_", "DATABRICKS_", "STRONGBACK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "MLFLOW_TRACKING_URI": server.url,
        "DATABRICKS_HOST": server.url,
        "DATABRICKS_TOKEN": "local",
        "STRONGBACK_URL": server.url,
        "STRONGBACK_DATA_DIR": str(server.data_dir),
        "STRONGBACK_CACHE": str(data.cache_dir()),
        # The MLflow web UI is found through the user's Python, which is the one that runs this.
        "PATH": os.pathsep.join([str(PYTHON_FOLDER), kept.get("PATH", "")]),
        # Quieter, and without the client's own usage reports.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MPLBACKEND": "Agg",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONIOENCODING": "utf-8",
    }


def walk(demo: Demo) -> None:
    """The steps after the data are there."""
    step, console, server = demo.console.step, demo.console, demo.server
    with step("Start the server on a fresh data directory"):
        console.command(["strongback", *server.command()[1:]])
        console.line(f"answers at {server.url} after {seconds(server.start(demo.environment))}")
    with step("Set up the catalog, the schema and the experiment"):
        demo.strongback("catalog", "create", "prod")
        demo.strongback("schema", "create", "prod.risk")
        demo.python("prepare.py")
    with step("Train two models with the ordinary mlflow client, autolog on"):
        demo.python("train.py")
    with step(f"Register the better one as {MODEL}"):
        demo.python("register.py")
    with step("Make it champion"):
        demo.python("promote.py")
    with step("Load the champion by its alias and score day 2"):
        demo.python("score.py")
    with step("Sweep: 200 small runs"):
        demo.python("sweep.py")
    with step("Find the best run for one version of the data"):
        demo.python("search.py")
        console.line(f"answered in {seconds(demo.strongback(*BEST_RUN))}, start of the program included")
    with step("Ask who was champion, since when, and why"):
        demo.strongback("history", f"{MODEL}@champion")
    with step("Ask what the model was made from"):
        demo.strongback("lineage", MODEL)
    with step("Verify the audit log"):
        demo.strongback("audit-log", "verify")


def summary(demo: Demo) -> None:
    """How long it took, what to open and what to type next; who wants to look is given the server for it."""
    console, server = demo.console, demo.server
    console.heading(f"Done: {console.number} steps in {console.elapsed_s():.0f} s.")
    pages = [f"{server.url}/         what is here: models, aliases, recent runs, the loop"]
    if server.status("/mlflow/") == 200:
        pages.append(f"{server.url}/mlflow/  the MLflow web UI of your own installation, on the same data")
    kept = os.environ.get("STRONGBACK_DEMO_KEEP") == "1"
    asked = not kept and sys.stdout.isatty() and sys.stdin.isatty() and "CI" not in os.environ
    if not kept and not asked:
        server.stop()
        console.heading("The server has stopped, its data stay until the next demo. To have it back")
        console.line(f"PATH={PYTHON_FOLDER}:$PATH {typed(server.command())}")
    next_steps(demo, pages)
    if kept:
        server.keep = True
        console.heading(f"The server goes on as process {server.process.pid}; `kill {server.process.pid}` ends it.")
    if asked:
        console.heading("The server goes on until you press Enter.")
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.readline()
        server.stop()


def next_steps(demo: Demo, pages: list[str]) -> None:
    """What to open, and what to type."""
    console, server = demo.console, demo.server
    console.heading("Open")
    for page in pages:
        console.line(page)
    console.heading("Type")
    exports = [
        f"{name}={demo.environment[name]}" for name in ("MLFLOW_TRACKING_URI", "DATABRICKS_HOST", "DATABRICKS_TOKEN")
    ]
    console.line(f"export {' '.join(exports)}")
    console.line(f"export STRONGBACK_URL={server.url} PATH={server.binary.parent}:{PYTHON_FOLDER}:$PATH")
    console.line(typed(["strongback", "history", f"{MODEL}@champion"]))
    console.line(typed(["strongback", *BEST_RUN]))
    console.line("python your_own_training.py")


def find_binary() -> Path | None:
    """``$STRONGBACK_BIN``, else what the build left in the target directory."""
    if chosen := os.environ.get("STRONGBACK_BIN"):
        binary = Path(chosen)
    else:
        binary = Path(os.environ.get("CARGO_TARGET_DIR") or data.cache_dir() / "target") / "debug" / "strongback"
    return binary.resolve() if os.access(binary, os.X_OK) else None


def main() -> int:
    console = Console(STEPS)
    binary = find_binary()
    if binary is None:
        console.failure("The strongback binary is not built: `make build` makes it, STRONGBACK_BIN names another.")
        return 2
    console.heading("Strongback: card fraud, from real transactions to an audited champion")
    try:
        with console.step("Fetch the data (once; then it is cached)"):
            rows, columns = data.describe(data.fetch())
            console.line(f"{rows:,} transactions × {columns} columns, digest as pinned, in {data.csv_path()}")
        return run_on(console, Server(binary, data.cache_dir() / "demo"))
    except data.Unreachable as problem:
        console.failure(str(problem))
        return data.EXIT_UNREACHABLE
    except data.Corrupt as problem:
        console.failure(f"The data cannot be trusted: {problem}.")
        return 1
    except KeyboardInterrupt:
        console.failure(f"Interrupted in step {console.number}, {console.title!r}.")
        return 130


def run_on(console: Console, server: Server) -> int:
    """The demo on one server; whatever happens, no server is left behind unasked."""
    demo = Demo(console, server)
    try:
        walk(demo)
        summary(demo)
        return 0
    except (CommandError, ServerError) as problem:
        console.failure(f"Step {console.number}, {console.title!r}, failed: {problem}.")
        console.excerpt("The last lines it wrote to stderr", getattr(problem, "stderr", []))
        console.excerpt("The last lines of the server's log", server.last_log_lines())
        console.heading(f"All of it is in {server.folder}")
        return 1
    finally:
        if not server.keep:
            with contextlib.suppress(ServerError):  # what matters has been said by then
                server.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as tidily as Ctrl-C
    sys.exit(main())
