"""The server itself: start, stop, what survives, what it refuses to do, and what it says about itself."""

import json
import os
import signal
import subprocess
import time

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from openapi_spec_validator import OpenAPIV31SpecValidator

import launcher

pytestmark = pytest.mark.beyond


@pytest.fixture
def start():
    """Starts servers that the test stops itself; what a failed test leaves behind is killed."""
    started = []

    def starter(*arguments, **options):
        started.append(launcher.strongback(*arguments, **options))
        return started[-1]

    yield starter
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def refuses(*arguments: str) -> str:
    """Runs the binary, which must end by itself with a failure; returns what it said."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
    done = subprocess.run(
        [str(launcher.binary()), *arguments], env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode in (2, 3, 4), done
    assert "panicked" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def test_health_ready_version_metrics(raw):
    assert raw.get("/health").body.strip() == b"OK"
    assert raw.get("/ready").status == 200
    assert raw.get("/version").body.strip().decode()[0].isdigit()
    metrics = raw.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert b"# TYPE" in metrics.body


def test_page_and_openapi(raw):
    page = raw.get("/")
    assert page.headers["content-type"].startswith("text/html"), page
    assert b"Strongback" in page.body
    assert "post" in raw.get("/api/openapi.json").json["paths"]["/api/2.0/mlflow/runs/create"]


def test_openapi_document_is_valid(raw):
    """By the schema of the standard itself; that every route is in it is tested beside the route table."""
    document = raw.get("/api/openapi.json").json
    assert document["openapi"] == "3.1.0"
    problems = [problem.message for problem in OpenAPIV31SpecValidator(document).iter_errors()]
    assert problems == []


def test_every_answer_has_a_request_id(raw):
    ids = {raw.get(path).headers["x-request-id"] for path in ("/health", "/api/2.0/mlflow/none", "/")}
    assert len(ids) == 3


def test_restart_keeps_everything(start, tmp_path):
    data = tmp_path / "data"
    server = start(data)
    client = MlflowClient(server.url, registry_uri=server.url)
    experiment_id = client.create_experiment("kept")
    run_id = client.create_run(experiment_id, run_name="kept run").info.run_id
    client.log_batch(run_id, [Metric("m", step / 3, step, step) for step in range(500)])
    client.log_text(run_id, "artifact", "a/b.txt")
    client.create_registered_model("kept-model")
    client.create_model_version("kept-model", "s3://bucket/x")
    client.set_registered_model_alias("kept-model", "champion", "1")
    before = client.get_run(run_id).to_dictionary()
    assert server.stop() == 0
    server = start(data)
    client = MlflowClient(server.url, registry_uri=server.url)
    assert client.get_run(run_id).to_dictionary() == before
    assert [(p.step, p.value) for p in client.get_metric_history(run_id, "m")] == [(s, s / 3) for s in range(500)]
    assert [f.path for f in client.list_artifacts(run_id, "a")] == ["a/b.txt"]
    assert client.get_model_version_by_alias("kept-model", "champion").version == "1"
    assert [run.info.run_id for run in client.search_runs([experiment_id], "metrics.m > 100")] == [run_id]
    assert server.stop() == 0


def test_interrupt_ends_it_cleanly_too(start, tmp_path):
    assert start(tmp_path / "data").stop(signal.SIGINT) == 0


def test_second_server_on_the_same_data_is_refused(start, tmp_path):
    server = start(tmp_path / "data")
    said = refuses("up", "--data-dir", str(tmp_path / "data"), "--port", str(launcher.free_port()))
    assert str(tmp_path / "data") in said
    assert server.stop() == 0


def test_taken_port_is_named(server, tmp_path):
    _, port = server.address
    assert str(port) in refuses("up", "--data-dir", str(tmp_path / "data"), "--port", str(port))


def test_refuses_to_leave_loopback_without_authentication(tmp_path):
    arguments = ("--data-dir", str(tmp_path / "data"), "--port", str(launcher.free_port()))
    assert "auth" in refuses("up", "--host", "0.0.0.0", *arguments).lower()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "many"),
        ("--port", "70000"),
        ("--database-url", "mysql://x/y"),
        ("--log-format", "xml"),
        ("--auth", "maybe"),
    ],
)
def test_wrong_settings_are_named(tmp_path, arguments):
    said = refuses("up", "--data-dir", str(tmp_path / "data"), *arguments)
    assert arguments[0].strip("-").split("-")[0] in said.lower()


def test_the_start_script_of_an_mlflow_server_goes_on(start, tmp_path, server):
    """The flags of such a script, on both stores; each that has no effect is told in one line."""
    cluster = os.environ["STRONGBACK_TEST_POSTGRES_URL"] if server.backend == "postgres" else None
    without_effect = [
        "--workers=4",
        "--gunicorn-opts=--timeout 60",
        "--default-artifact-root=./mlruns",
    ]
    flags = [*without_effect, "--serve-artifacts", "--allowed-hosts=ml.example.com:5000"]
    database = launcher.create_database(cluster) if cluster else None
    try:
        if database:
            uri = f"postgresql+psycopg2://{database.split('://', 1)[1]}"
            flags += ["--backend-store-uri", uri, "--registry-store-uri", uri]
        running = start(tmp_path / "data", extra=tuple(flags))
        client = MlflowClient(running.url, registry_uri=running.url)
        run_id = client.create_run("0").info.run_id
        client.log_text(run_id, "artifact", "a.txt")
        client.create_registered_model("m")
        assert running.stop() == 0
        said = running.log.read_text().splitlines()
        for flag in without_effect:
            name = flag.split("=")[0]
            assert len([line for line in said if line.startswith(f"warning: {name} ") and "has no effect" in line]) == 1
        assert (tmp_path / "data" / "metadata.db").exists() == (database is None)
        assert any("does not read" in line for line in said) == (database is not None)
    finally:
        if database:
            launcher.drop_database(cluster, database)


def test_variables_of_an_mlflow_server_are_said_not_to_be_read(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("STRONGBACK_", "MLFLOW_"))}
    environment["MLFLOW_BACKEND_STORE_URI"] = "postgresql://u:hush@h/d"
    command = [str(launcher.binary()), "up", "--data-dir", str(tmp_path / "data"), "--port", str(launcher.free_port())]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=20)
    assert first.startswith("warning: MLFLOW_BACKEND_STORE_URI is set and not read")
    assert "hush" not in first


def test_log_is_json_when_asked(start, tmp_path):
    server = start(tmp_path / "data", extra=("--log-format", "json"))
    MlflowClient(server.url).create_experiment("logged")
    assert server.stop() == 0
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    assert all("level" in json.loads(line) for line in lines)


def test_start_is_quick(start, tmp_path):
    """The figure itself is measured on the release build; this only notices a start that waits for something."""
    data = tmp_path / "data"
    start(data).stop()
    started = time.monotonic()
    server = start(data)
    took = time.monotonic() - started
    assert server.stop() == 0
    assert took < 5
