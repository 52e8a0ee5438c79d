"""``--mlflow-ui``: what is found, what is said when it is not, and that nothing but the pages' files is ever served."""

import sys
from pathlib import Path

import mlflow
import pytest

import launcher
from raw import Raw
from test_server import refuses

pytestmark = pytest.mark.beyond

INSTALLED = Path(mlflow.__file__).parent / "server/js/build"


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a server with the setting, in an environment that the arguments make; returns it and what it said."""
    started = []

    def starter(setting: str, **environment: str):
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        started.append(launcher.strongback(tmp_path / f"data{len(started)}", extra=("--mlflow-ui", setting)))
        return started[-1], started[-1].log.read_text()

    yield starter
    for server in started:
        assert server.stop() == 0


def test_auto_asks_the_active_environment(start):
    server, said = start("auto", VIRTUAL_ENV=sys.prefix)
    assert f"version {mlflow.__version__}, from {INSTALLED}" in said
    assert Raw(server).get("/mlflow/").body == (INSTALLED / "index.html").read_bytes()
    assert Raw(server).get("/mlflow").headers["location"] == "mlflow/"


def test_auto_asks_the_python_of_the_path(start):
    _, said = start("auto", PATH=str(Path(sys.executable).parent))
    assert f"from {INSTALLED}" in said


def test_a_folder_named_mlflow_in_the_working_directory_is_not_taken(start, monkeypatch, tmp_path):
    (tmp_path / "mlflow/server/js/build").mkdir(parents=True)
    (tmp_path / "mlflow/__init__.py").touch()
    (tmp_path / "mlflow/server/js/build/index.html").write_text("planted")
    monkeypatch.chdir(tmp_path)
    _, said = start("auto", VIRTUAL_ENV=sys.prefix)
    assert f"from {INSTALLED}" in said


@pytest.mark.parametrize(
    ("python", "why"),
    [
        (None, "cannot be started"),
        ("#!/bin/sh\nexit 0\n", "has no mlflow"),
        ("#!/bin/sh\nexit 3\n", "exit status: 3"),
        ("#!/bin/sh\necho /nowhere\n", "/nowhere/server/js/build cannot be read"),
    ],
)
def test_auto_without_mlflow_starts_and_says_why(start, tmp_path, python, why):
    binaries = tmp_path / "bin"
    binaries.mkdir()
    if python:
        (binaries / "python3").write_text(python)
        (binaries / "python3").chmod(0o755)
    server, said = start("auto", VIRTUAL_ENV=str(tmp_path), PATH=str(binaries))
    assert why in said
    assert "pip install mlflow" in said
    answer = Raw(server).get("/mlflow/")
    assert (answer.status, answer.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "--mlflow-ui auto" in answer.message


def test_off_is_the_default_and_the_remedy_is_named(server):
    answer = Raw(server).get("/mlflow/")
    assert answer.status == 404
    assert "--mlflow-ui auto" in answer.message


@pytest.mark.parametrize("missing", [True, False])
def test_a_wrong_path_ends_the_start(tmp_path, missing):
    path = tmp_path / "pages"
    if not missing:
        path.mkdir()
    said = refuses(
        "up", "--data-dir", str(tmp_path / "data"), "--port", str(launcher.free_port()), "--mlflow-ui", str(path)
    )
    assert f"--mlflow-ui {path}" in said
    assert ("cannot be read" if missing else "no index.html") in said
    assert "auto" in said


def test_another_version_is_served_with_a_warning(start, tmp_path):
    build = tmp_path / "mlflow/server/js/build"
    build.mkdir(parents=True)
    (build / "index.html").write_text("<title>older</title>")
    (tmp_path / "mlflow/version.py").write_text('VERSION = "2.9.2"\n')
    server, said = start(str(build))
    assert "WARN" in said
    assert "version 2.9.2" in said
    assert Raw(server).get("/mlflow/").body == b"<title>older</title>"


def test_only_files_of_the_pages_are_served(start, tmp_path):
    build = tmp_path / "mlflow/server/js/build"
    (build / "static").mkdir(parents=True)
    (build / "index.html").write_text("index")
    (build / "static/main.js").write_text("code")
    (tmp_path / "mlflow/secret.txt").write_text("secret")
    server, _ = start(str(build))
    raw = Raw(server)
    found = raw.get("/mlflow/static-files/static/main.js")
    assert (found.status, found.body) == (200, b"code")
    assert found.headers["content-type"].startswith("text/javascript")
    # Names below static/ carry a hash of what is in them; the entry page names them, and is asked for each time.
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert raw.get("/mlflow/").headers["cache-control"] == "no-cache"
    assert raw.get("/mlflow/").headers["x-frame-options"] == "SAMEORIGIN"
    up = "../../../../secret.txt"
    for path in (
        up,
        f"static/{up}",
        up.replace(".", "%2e"),
        up.replace("/", "%2f"),
        "..%5c..%5csecret.txt",
        f"/{tmp_path}/mlflow/secret.txt",
        "static",
        "",
        "%00",
        "%ff",
    ):
        answer = raw.get(f"/mlflow/static-files/{path}")
        assert answer.status in (400, 404), (path, answer)
        assert answer.error_code, (path, answer)
        assert b"secret" not in answer.body.replace(path.encode(), b"").replace(b"secret.txt", b""), answer
    # What was not there at the start is not served, wherever it lies.
    (build / "later.txt").write_text("later")
    assert raw.get("/mlflow/static-files/later.txt").status == 404
