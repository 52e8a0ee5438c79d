"""A Strongback server of a benchmark's own: started, asked over HTTP and by its command line, stopped."""

import http.client
import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

# A connection that was not used for so long may have been closed by the server.
IDLE_SECONDS = 5


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, seconds: float = 120) -> None:
    """Waits until somebody answers there; ends the script where the process ends first."""
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


class Server:
    """The server on a data directory of its own, and one connection to it."""

    def __init__(self, binary: Path, folder: Path, *options: str):
        self.binary, self.data, self.log = binary, folder / "data", folder / "log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir(exist_ok=True)
        command = [binary, "up", "--data-dir", self.data, "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--worker-python", sys.executable, *options], stderr=log)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self.used_at = 0.0

    def __enter__(self) -> "Server":
        try:
            wait_for(f"{self.url}/health", self.process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def run(self, *arguments: object) -> str:
        """What a command of the binary prints."""
        command = [self.binary, *map(str, arguments), "--server", self.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{' '.join(map(str, arguments))} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done.stdout

    def ask(self, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
        """An answer, with its `body`, over the one connection; any status but 200 ends the script."""
        if time.monotonic() - self.used_at > IDLE_SECONDS:
            self.connection.close()
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        answer.body = answer.read()
        self.used_at = time.monotonic()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer

    def target(self, name: str, endpoint: str) -> str:
        """An endpoint as the generator takes it."""
        return f"{name}=127.0.0.1:{self.port}/endpoints/{endpoint}/invocations"

    def log_of(self, endpoint: str) -> dict:
        """What the log says of an endpoint: logged, brought into which table, waiting."""
        return json.loads(self.run("endpoint", "log", endpoint, "--json"))
