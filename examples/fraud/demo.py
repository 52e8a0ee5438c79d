"""``make demo``: from 284,807 real card transactions to an audited champion, through public interfaces only.

Every step is a script of this folder, which a data scientist could have written, or a ``strongback`` command, which
a person could type. Every figure on the screen is computed while you watch. Nothing is kept in the checkout.

Environment: STRONGBACK_BIN names the binary, STRONGBACK_CACHE the cache folder; STRONGBACK_DEMO_HOURS says how much of the
second day is replayed (2 hours; 24 are all of it); STRONGBACK_DEMO_KEEP=1 leaves the server running at the end. Exit codes: 0 all went well, 1 a step failed, 2 no binary, 3 no data, 130 interrupted.
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
import land
import loop
from console import Console, seconds, typed
from server import Server, ServerError, last_lines

HERE = Path(__file__).resolve().parent
MODEL = "prod.risk.fraud_classifier"
SCORER = "prod.risk.fraud_scorer"
CHECKPOINT = "checkpoint.json"
BEST_RUN = ["runs", "best", "--metric", "val_ap", "--where", "tags.dataset_version = '2024-Q4-v2'"]
PYTHON_FOLDER = Path(sys.executable).parent
STEPS = 25
# The whole second day takes a busy machine an hour.
COMMAND_LIMIT_S = max(600, round(150 * land.hours()))
DATA_DIR = "STRONGBACK_DATA_DIR"


class CommandError(Exception):
    """A command of a step failed."""

    def __init__(self, what: str, stderr: list[str]):
        super().__init__(what)
        self.stderr = stderr


class Demo:
    """The server, the environment that its clients see, and the console."""

    def __init__(self, console: Console, server: Server):
        self.console = console
        self.server = server
        self.environment = client_environment(server)
        # Of the command that ran last.
        self.code = 0

    def python(self, script: str, *arguments: str) -> None:
        """Runs a script of this folder, as a user would. Warnings of the libraries stay in a file."""
        self.run([sys.executable, "-u", str(HERE / script), *arguments], typed(["python", script, *arguments]))

    def strongback(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> float:
        """Runs a ``strongback`` command, data and talk as a person sees them; the seconds it took."""
        return self.run(
            [str(self.server.binary), *arguments], typed(["strongback", *arguments]), talk=True, codes=codes
        )

    def answer(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """What a ``strongback`` command prints, for the next step."""
        command = [str(self.server.binary), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.server.folder, capture_output=True, text=True)
        if done.returncode not in codes:
            what = f"{typed(['strongback', *arguments])} ended with exit code {done.returncode}."
            raise CommandError(what, done.stderr.splitlines())
        return done.stdout

    def require(self, is_so: bool, otherwise: str) -> None:
        """Ends the demo where what it shows did not come about."""
        if not is_so:
            raise CommandError(otherwise, [])

    def strongback_into(self, file: str, *arguments: str) -> None:
        """Runs a ``strongback`` command with its data redirected into a file of the demo's folder."""
        shown = f"{typed(['strongback', *arguments])} > {file}"
        with (self.server.folder / file).open("wb") as stdout:
            self.run([str(self.server.binary), *arguments], shown, stdout=stdout)

    def run(
        self,
        command: list[str],
        shown: str,
        *,
        talk: bool = False,
        stdout=subprocess.PIPE,
        codes: tuple[int, ...] = (0,),
    ) -> float:
        """Runs a command: its stdout as it comes; its stderr too (``talk``) or into a file that is shown if it fails.

        ``codes`` are the exit codes that are no failure: gates end with 1 when they keep a model out.
        """
        self.console.command(shown)
        errors = self.server.folder / f"step-{self.console.number:02}.stderr"
        start = time.perf_counter()
        with errors.open("ab") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT if talk else stderr,
                env=self.environment,
                cwd=self.server.folder,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            limit = threading.Timer(COMMAND_LIMIT_S, process.kill)
            limit.start()
            is_late = False
            try:
                for line in process.stdout or ():
                    self.console.line(line.rstrip())
                code = self.code = process.wait()
                is_late = code == -signal.SIGKILL and limit.finished.is_set()
            finally:
                limit.cancel()
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if is_late:
            raise CommandError(f"{shown} was stopped after its limit of {COMMAND_LIMIT_S} s", last_lines(errors, 15))
        if code not in codes:
            raise CommandError(f"{shown} ended with exit code {code}", last_lines(errors, 15))
        return time.perf_counter() - start


def client_environment(server: Server) -> dict[str, str]:
    """What a user exports to point unchanged client code at the server, and nothing left over from elsewhere."""
    ours = ("MLFLOW_", "DATABRICKS_", "STRONGBACK_")
    kept = {name: value for name, value in os.environ.items() if name == land.HOURS or not name.startswith(ours)}
    return kept | {
        "MLFLOW_TRACKING_URI": server.url,
        "DATABRICKS_HOST": server.url,
        "DATABRICKS_TOKEN": "local",
        "STRONGBACK_URL": server.url,
        DATA_DIR: str(server.data_dir),
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
    """The steps after the data are there: what a tracking server does, then what comes behind it."""
    spine(demo)
    loop.walk(demo)


def spine(demo: Demo) -> None:
    """From a fresh server to an audited champion."""
    step, console, server = demo.console.step, demo.console, demo.server
    with step("Start the server on a fresh data directory"):
        console.command(typed(["strongback", *server.command()[1:]]))
        console.line(f"answers at {server.url} after {seconds(server.start(demo.environment))}")
    with step("Set up what the team's code refers to: catalog, schema, feature table, experiment"):
        demo.strongback("catalog", "create", "prod")
        demo.strongback("schema", "create", "prod.risk")
        features = ["--location", data.csv_path().as_uri(), "--format", "csv"]
        demo.strongback("table", "declare", "prod.risk.transaction_features", *features)
        demo.python("prepare.py")
    with step("Train two models with the ordinary mlflow client, autolog on"):
        demo.python("train.py")
    with step(f"Register the better one as {MODEL}"):
        demo.python("register.py")
    with step("Make it champion, and keep a checkpoint of the audit log"):
        demo.python("promote.py")
        demo.strongback_into(CHECKPOINT, "audit-log", "export-checkpoint")
    with step("Load the champion by its alias and score day 2"):
        demo.python("score.py")
    with step("Sweep: 200 small runs"):
        demo.python("sweep.py")
    with step("Find the best run for one version of the data"):
        demo.python("search.py")
        console.line(f"answered in {seconds(demo.strongback(*BEST_RUN))}, start of the program included")
    with step("Ask who was champion, since when, and why"):
        demo.strongback("history", f"{MODEL}@champion")
        demo.strongback("history", f"{MODEL}@champion", "--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    with step("Ask what the model was made from"):
        demo.strongback("lineage", MODEL)
    with step("Who did what, and proof that nobody changed what the log said by then"):
        demo.strongback("audit-log", "list", "--asset", MODEL, "--action", "model_version")
        demo.strongback("audit-log", "verify", "--checkpoint", CHECKPOINT)


def summary(demo: Demo) -> None:
    """How long it took, what to open and what to type next; who wants to look is given the server for it."""
    console, server = demo.console, demo.server
    console.heading(f"Done: {console.number} steps in {console.elapsed_s():.0f} s.")
    pages = [f"{server.url}/         what is here: models, aliases, recent runs, the loop"]
    if server.status("/mlflow/") == 200:
        pages.append(f"{server.url}/mlflow/  the MLflow web UI of your own installation, on the same data")
    else:
        pages.append(f"(no MLflow web UI: none was found through {sys.executable}; the server's log says why)")
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
    for names in (["MLFLOW_TRACKING_URI", "DATABRICKS_HOST", "DATABRICKS_TOKEN"], ["STRONGBACK_URL", DATA_DIR]):
        console.line(typed(["export", *(f"{name}={demo.environment[name]}" for name in names)]))
    console.line(f"export PATH={server.binary.parent}:{PYTHON_FOLDER}:$PATH")
    console.line(typed(["strongback", *BEST_RUN]))
    console.line(typed(["strongback", "lineage", f"models:/{MODEL}@champion", "--up"]))
    console.line(typed(["strongback", "gate", "list", "--model", loop.MODEL]))
    console.line(typed(["strongback", "endpoint", "show", "fraud"]))
    console.line(typed(["strongback", "alert", "list", "--all"]))
    console.line(typed(["strongback", "audit-log", "list", "--action", "alias"]))
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
    console.heading("Strongback: card fraud, from real transactions to a model that is watched and replaced")
    console.line("Ordinary client code and typed commands, nothing else. Every figure is computed as you watch.")
    console.line(f"All that is written lies below {data.cache_dir()}.")
    try:
        with console.step("Fetch the data (once; then it is cached)"):
            rows, columns = data.describe(data.fetch())
            console.line(f"{rows:,} transactions × {columns} columns, digest as pinned, in {data.csv_path()}")
        return run_on(console, Server(binary, data.cache_dir() / "demo"))
    except data.Unreachable as problem:
        console.failure(str(problem))
        return data.EXIT_UNREACHABLE
    except data.DownloadError as problem:
        console.failure("pip could not download the data.")
        console.excerpt("Its last lines", list(problem.args[0]))
        return 1
    except data.Corrupt as problem:
        console.failure(f"The data cannot be trusted: {problem}.")
        return 1
    except KeyboardInterrupt:
        console.failure(f"Interrupted in step {console.number}, {console.title!r}.")
        return 130
    except BrokenPipeError:  # whoever read this has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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
        # A second Ctrl-C must not leave a server behind: it stops within its own limit.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not server.keep:
            with contextlib.suppress(ServerError):  # what matters has been said by then
                server.stop()


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):  # they end it as tidily as Ctrl-C
        signal.signal(ending, signal.default_int_handler)
    sys.exit(main())
