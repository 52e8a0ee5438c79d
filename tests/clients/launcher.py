"""Starts the server under test, waits until it answers, and stops it the way an operator would.

A ``Server`` is an address plus what is needed to end it. ``strongback`` starts the binary that ``STRONGBACK_BIN`` names;
``peer`` stands for a server that somebody else runs, such as MLflow's own, against which the same tests can be tried.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

START_LIMIT_S = 30
STOP_LIMIT_S = 20


@dataclass
class Server:
    """A running server. ``url`` has no trailing slash."""

    url: str
    backend: str
    data_dir: Path | None = None
    database_url: str | None = None
    process: subprocess.Popen | None = field(default=None, repr=False)
    log: Path | None = None

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname, parts.port

    def stop(self, with_signal: int = signal.SIGTERM) -> int:
        """Ends the process and returns its exit code; a server that does not end in time is a failure."""
        self.process.send_signal(with_signal)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end within {STOP_LIMIT_S} s of signal {with_signal}") from None

    def end(self) -> None:
        """Ends the process if it still runs, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def peak_mb(self) -> int:
        """The most memory that was ever resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) >> 10

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cache_dir() -> Path:
    """``$STRONGBACK_CACHE``, else ``$XDG_CACHE_HOME/strongback``, else ``~/.cache/strongback``."""
    if chosen := os.environ.get("STRONGBACK_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongback"


def binary() -> Path:
    target = os.environ.get("CARGO_TARGET_DIR", str(cache_dir() / "target"))
    path = Path(os.environ.get("STRONGBACK_BIN", f"{target}/debug/strongback"))
    if not path.is_file():
        raise FileNotFoundError(f"no server at {path}: run `make build`, or name one with STRONGBACK_BIN")
    return path


def strongback(
    data_dir: Path,
    *,
    database_url: str | None = None,
    extra: tuple[str, ...] = (),
) -> Server:
    """Starts ``strongback up`` on a free port and returns once ``/health`` answers."""
    port = free_port()
    command = [str(binary()), "up", "--data-dir", str(data_dir), "--port", str(port)]
    if database_url:
        command += ["--database-url", database_url]
    command += extra
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.with_name(f"{data_dir.name}-{port}.log")
    # What is set for the clients under test must not configure the server.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("STRONGBACK_", "MLFLOW_", "DATABRICKS_"))}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    backend = "postgres" if database_url else "sqlite"
    server = Server(f"http://127.0.0.1:{port}", backend, data_dir, database_url, process, log)
    try:
        wait_until_healthy(server)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


@contextmanager
def on_store(backend: str, data_dir: Path, *, extra: tuple[str, ...] = ()) -> Iterator[Server]:
    """A server on a store of its own, of this kind (``sqlite`` or ``postgres``), that must stop cleanly at the end."""
    cluster = os.environ["STRONGBACK_TEST_POSTGRES_URL"] if backend == "postgres" else None
    database_url = create_database(cluster) if cluster else None
    try:
        running = strongback(data_dir, database_url=database_url, extra=extra)
        try:
            yield running
            code = running.stop()
            assert code == 0, f"SIGTERM ended the server with {code}:\n{running.log_tail(200)}"
            assert "panicked" not in running.log.read_text(errors="replace"), running.log_tail(500)
        finally:
            running.end()
    finally:
        if database_url:
            drop_database(cluster, database_url)


def peer(url: str) -> Server:
    return Server(url.rstrip("/"), "peer")


def wait_until_healthy(server: Server, limit_s: float = START_LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise AssertionError(f"the server ended with {server.process.returncode}:\n{server.log_tail()}")
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise AssertionError(f"the server did not answer within {limit_s} s:\n{server.log_tail()}")


def token(data_dir: Path, principal: str, *more: str) -> str:
    """A token of a principal, made on the data directory of a server that does not run."""
    command = [str(binary()), "token", "create", "--principal", principal, "--data-dir", str(data_dir), *more]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done
    return done.stdout.strip()


def create_database(cluster_url: str, *, like: str | None = None) -> str:
    """Makes a database in the cluster, an empty one or a copy of the one with the URL ``like``, and returns its URL."""
    name = f"clients_{uuid.uuid4().hex[:12]}"
    template = f" TEMPLATE {urlsplit(like).path[1:]}" if like else ""
    run_sql(cluster_url, f"CREATE DATABASE {name}{template}")
    parts = urlsplit(cluster_url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def drop_database(cluster_url: str, database_url: str) -> None:
    run_sql(cluster_url, f"DROP DATABASE IF EXISTS {urlsplit(database_url).path[1:]} WITH (FORCE)")


def run_sql(url: str, statement: str) -> None:
    subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url], check=True, stdout=subprocess.PIPE
    )
