"""One Strongback server on a fresh data directory: started, waited for, stopped.

Every demo has a folder of its own below the cache. A server locks its data directory for as long as it lives; that is
how the next demo tells the folders that are left over, which it removes, from one that somebody is still looking at.
"""

import contextlib
import fcntl
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PREFERRED_PORT = 5000
START_LIMIT_S = 60
STOP_LIMIT_S = 30


class ServerError(Exception):
    """The server did not come up, or did not go down."""


class Server:
    """A ``strongback up`` process, its folder, its log and its address."""

    def __init__(self, binary: Path, below: Path):
        below.mkdir(parents=True, exist_ok=True)
        remove_leftovers(below)
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=below))
        self.data_dir = self.folder / "data"
        self.log = self.folder / "server.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        self.keep = False  # set by who leaves it running at the end

    def command(self) -> list[str]:
        """What starts it, and what starts it again later on the same data."""
        place = ["--data-dir", str(self.data_dir), "--port", str(self.port)]
        return [str(self.binary), "up", *place, "--mlflow-ui", "auto"]

    def start(self, environment: dict[str, str]) -> float:
        """Starts it and waits for its first answer; the seconds that took."""
        start = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,  # so that no strongback.toml of somebody else's applies
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the server in good order
            )
        while (status := self.status("/health")) != 200:
            if self.process.poll() is not None:
                raise ServerError(f"the server ended at once, with exit code {self.process.returncode}")
            if time.perf_counter() - start > START_LIMIT_S:
                answer = f"HTTP {status}" if status else "nothing"
                raise ServerError(f"{self.url}/health answered {answer}, not HTTP 200, for {START_LIMIT_S} s")
            time.sleep(0.005)
        return time.perf_counter() - start

    def status(self, path: str) -> int | None:
        """The HTTP status of a path, or None where nobody answers."""
        try:
            # Asked directly: a proxy that the environment names has no business with a loopback address.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(self.url + path, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return None

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Asks it to end, and insists only when that takes too long."""
        if not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired as slow:
            self.process.kill()
            self.process.wait()
            raise ServerError(f"the server was still there {STOP_LIMIT_S} s after SIGTERM and was killed") from slow
        if self.process.returncode not in (0, -signal.SIGTERM):
            raise ServerError(f"the server ended with exit code {self.process.returncode}")

    def last_log_lines(self, count: int = 15) -> list[str]:
        """The end of its log."""
        return last_lines(self.log, count)


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file, none where there is no file."""
    if not path.exists():
        return []
    return path.read_text(errors="replace").splitlines()[-count:]


def free_port() -> int:
    """5000 where it is free, since that is where people look; else one that the system picks."""
    for port in (PREFERRED_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise ServerError("no free port on 127.0.0.1")


def remove_leftovers(below: Path) -> None:
    """Deletes the folders of earlier demos whose data no server holds."""
    for folder in below.iterdir():
        lock_path = folder / "data" / "lock"
        if not lock_path.exists():
            # Its server never came up, or is about to.
            if time.time() - folder.stat().st_mtime > 2 * START_LIMIT_S:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        with lock_path.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
