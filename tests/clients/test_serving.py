"""Models behind endpoints, asked by the clients that people have: scores as the original's, whichever way it runs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import cloudpickle
import mlflow
import numpy as np
import pandas as pd
import pytest
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput
from mlflow import MlflowClient
from mlflow.deployments import get_deploy_client
from mlflow.models import infer_signature
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import launcher
from governed import ensure_schema, workspace

pytestmark = pytest.mark.beyond

COLUMNS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def served(server, tmp_path_factory):
    """A server of its own on each store, whose workers use the Python of the tests, with short limits."""
    extra = ("--worker-python", sys.executable, "--scoring-seconds", "2")
    os.environ["SECRET"] = "hush"  # The server has it; a model's process must not.
    with launcher.on_store(server.backend, tmp_path_factory.mktemp("serving") / "data", extra=extra) as running:
        ensure_schema(running, "prod", "risk")
        yield running


@pytest.fixture(autouse=True)
def at_served(served, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.url)
    monkeypatch.setenv("DATABRICKS_HOST", served.url)
    mlflow.set_tracking_uri(served.url)
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(size=(400, 3)), columns=COLUMNS)
    return rows, (rows.a + rows.b / 2 + random.normal(size=400) * 0.3 > 0).astype(int)


def register(name, log, model, rows, **options):
    """Logs a model and registers it; answers the version."""
    mlflow.set_experiment("serving")
    with mlflow.start_run():
        info = log(
            model,
            name="model",
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows.head(5),
            pip_requirements=[],
            **options,
        )
    return int(mlflow.register_model(info.model_uri, name).version)


def strongback(served, *arguments):
    return subprocess.run(
        [launcher.binary(), *arguments, "--server", served.url], capture_output=True, text=True, timeout=300
    )


def endpoint(served, name, model):
    done = strongback(served, "endpoint", "create", name, "--model", model, "--json")
    assert done.returncode == 0, done.stderr + served.log_tail()
    return json.loads(done.stdout)


def post(served, name, body, content_type="application/json", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{served.url}/endpoints/{name}/invocations", data, {"content-type": content_type, **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text, error.headers


def split(rows):
    return {"dataframe_split": {"columns": list(rows.columns), "data": rows.values.tolist()}}


PICKLED = {"serialization_format": "cloudpickle"}
MODELS = {
    "lr": (lambda: make_pipeline(StandardScaler(), LogisticRegression()), mlflow.sklearn, PICKLED),
    "gb": (lambda: GradientBoostingClassifier(n_estimators=20), mlflow.sklearn, PICKLED),
    "rf": (lambda: RandomForestClassifier(n_estimators=20, random_state=1), mlflow.sklearn, PICKLED),
    "xgb": (lambda: XGBClassifier(n_estimators=20), mlflow.xgboost, {}),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_of_python_run_as_onnx_with_proven_parity(served, data, kind):
    rows, labels = data
    make, flavor, options = MODELS[kind]
    model = make().fit(rows, labels)
    register(f"m_{kind}", flavor.log_model, model, rows, **options)
    found = endpoint(served, kind, f"m_{kind}/1")
    report = found["serving"]["report"]
    assert found["serving"]["runtime"] == "onnx", report
    assert report["rows"] >= 1000
    assert report["example_rows"] == 5
    assert report["labels_that_differ"] == 0
    assert report["max_abs_diff"] <= report["tolerance"]
    status, answer, headers = post(served, kind, {**split(rows), "client_request_id": "mine"})
    assert status == 200, answer
    assert answer["predictions"] == model.predict(rows).tolist()
    assert headers["x-client-request-id"] == "mine"
    assert headers["x-request-id"][14] == "7"
    # Through MLflow's and Databricks' clients.
    deployed = get_deploy_client("databricks").predict(endpoint=kind, inputs=split(rows.head(3)))
    assert deployed["predictions"] == model.predict(rows.head(3)).tolist()
    queried = workspace(served).serving_endpoints.query(name=kind, dataframe_records=rows.head(2).to_dict("records"))
    assert queried.predictions == model.predict(rows.head(2)).tolist()
    shown = strongback(served, "endpoint", "show", kind).stdout
    assert "largest difference" in shown
    assert f"on {report['rows']} rows" in shown


def test_the_command_line_asks_by_csv_and_labels_what_was_answered(served, data, tmp_path):
    rows, labels = data
    model = LogisticRegression().fit(rows, labels)
    register("prod.risk.asked", mlflow.sklearn.log_model, model, rows, **PICKLED)
    endpoint(served, "asked", "prod.risk.asked/1")
    path = tmp_path / "rows.csv"
    rows.head(3).to_csv(path, index=False)
    asked = strongback(served, "endpoint", "query", "asked", "--data", str(path), "--json")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["predictions"] == model.predict(rows.head(3)).tolist()
    request = answer["request_id"]
    other = path.rename(tmp_path / "rows.txt")
    refused = strongback(served, "endpoint", "query", "asked", "--data", str(other))
    assert refused.returncode == 2
    assert "--format csv" in refused.stderr
    assert strongback(served, "endpoint", "query", "asked", "--data", str(other), "--format", "csv").returncode == 0

    # Nothing was flushed: the rows wait in the log, and are counted all the same.
    file = tmp_path / "labels.csv"
    unknown = "0199f7c2-7a9a-72a8-9d1e-70d21dbc389e"
    file.write_text(f"request_id,row,label\n{request},0,1\n{request},2,0\n{request},3,0\n{unknown},0,1\n")
    imported = strongback(served, "labels", "import", str(file), "--endpoint", "prod.risk.asked", "--json")
    assert imported.returncode == 0, imported.stderr
    done = json.loads(imported.stdout)
    assert (done["rows"], done["matched"], done["unmatched"]) == (4, 2, 2)
    again = strongback(served, "labels", "import", str(file), "--endpoint", "prod.risk.asked")
    assert "2 belong to a row that is there, 2 to none" in again.stderr
    file.write_text("request_id,row,label\nreq-1,0,1\n")
    wrong = strongback(served, "labels", "import", str(file), "--endpoint", "prod.risk.asked")
    assert wrong.returncode == 2
    assert "'req-1' is no id of a request" in wrong.stderr
    assert strongback(served, "labels", "import", str(file), "--endpoint", "asked", "--batch-id", "").returncode == 2
    named = strongback(served, "table", "show", "prod.risk.asked")
    assert "endpoint show prod.risk.asked" in named.stderr


def test_a_converted_model_that_answers_otherwise_runs_in_python(served):
    """ONNX computes in 32 bits, and this model's answers hang on what those do not have."""
    rows = pd.DataFrame({"a": 1000 + np.arange(-10, 10) * 1e-5})
    model = LogisticRegression().fit(rows, rows.a > 1000)
    model.coef_, model.intercept_ = np.array([[3e4]]), np.array([-3e7])
    assert len(set(model.predict(rows))) == 2
    register("m_fine", mlflow.sklearn.log_model, model, rows, **PICKLED)
    found = endpoint(served, "fine", "m_fine/1")
    assert found["serving"]["runtime"] == "python"
    report = found["serving"]["report"]
    assert report["verdict"] == "python"
    assert report["rows"] >= 1000
    assert report["max_abs_diff"] > report["tolerance"] or report["labels_that_differ"] > 0, report
    assert report["reason"]
    status, answer, _ = post(served, "fine", split(rows))
    assert status == 200, answer
    assert answer["predictions"] == model.predict(rows).tolist()
    shown = strongback(served, "endpoint", "show", "fine").stdout
    assert "python" in shown.lower()
    assert report["reason"][:40] in shown


def test_onnx_models_run_directly(served, data):
    from skl2onnx import to_onnx

    rows, labels = data
    model = LogisticRegression().fit(rows.to_numpy(dtype=np.float32), labels)
    converted = to_onnx(model, rows.to_numpy(dtype=np.float32)[:1], options={"zipmap": False})
    mlflow.set_experiment("serving")
    with mlflow.start_run():
        signature = infer_signature(rows.to_numpy(dtype=np.float32))
        info = mlflow.onnx.log_model(converted, name="model", signature=signature, pip_requirements=[])
    expected = mlflow.pyfunc.load_model(info.model_uri).predict(rows.to_numpy(dtype=np.float32))
    mlflow.register_model(info.model_uri, "m_onnx")
    found = endpoint(served, "direct", "m_onnx")
    assert found["serving"]["runtime"] == "onnx"
    status, answer, _ = post(served, "direct", {"inputs": rows.values.tolist()})
    assert status == 200, answer
    assert answer["predictions"]["label"] == expected["label"].tolist()
    np.testing.assert_allclose(answer["predictions"]["probabilities"], expected["probabilities"], atol=1e-6)


def test_the_signature_is_enforced_with_column_row_expected_and_got(served, data):
    rows, _ = data
    one = rows.head(1)
    assert (
        post(served, "lr", {"dataframe_split": {"columns": ["c", "b", "z", "a"], "data": [[1, 2, "x", 3]]}})[0] == 200
    )
    assert post(served, "lr", b"a,b,c\n1,2,3\n", "text/csv")[0] == 200
    for body, code, words in [
        ({"dataframe_records": [{"a": 1, "b": 2}]}, "INVALID_PARAMETER_VALUE", '"c"'),
        (
            {"dataframe_records": [{"a": 1, "b": 2, "c": "x"}]},
            "BAD_REQUEST",
            "column 'c', row 0: expected double, got \"x\"",
        ),
        ({"dataframe_records": [{"a": 1, "b": 2, "c": None}]}, "BAD_REQUEST", "column 'c', row 0"),
        ({"dataframe_records": [{"a": 1, "b": 2, "c": 1e300}]}, "BAD_REQUEST", "column 'c', row 0"),
        ({"dataframe_records": [{"a": 1, "b": 2, "c": "inf"}]}, "BAD_REQUEST", "no finite number"),
        ({**split(one), "event_time": 1_700_000_000_000_000}, "INVALID_PARAMETER_VALUE", "years 1 to 9999"),
        (b"{", "BAD_REQUEST", "JSON"),
        ([1], "BAD_REQUEST", "list"),
        ({}, "BAD_REQUEST", "exactly one"),
        ({**split(one), "inputs": [1]}, "BAD_REQUEST", "exactly one"),
        (b'{"inputs": ' + b"[" * 5000, "BAD_REQUEST", "JSON"),
    ]:
        status, answer, _ = post(served, "lr", body)
        assert (status, answer["error_code"]) == (400, code), answer
        assert words.casefold() in answer["message"].casefold(), answer
    assert post(served, "lr", b"x", "text/plain")[0] == 415
    assert post(served, "lr", split(one), "application/json; q=1")[0] == 415
    for page, body in [("ping", b"\n"), ("health", b"\n"), ("version", mlflow.__version__.encode())]:
        with urllib.request.urlopen(f"{served.url}/endpoints/lr/{page}") as answer:
            assert answer.read() == body


class Slow(mlflow.pyfunc.PythonModel):
    """Answers, sleeps, dies or raises, as the rows say."""

    def predict(self, context, model_input, params=None):
        import os
        import sys
        import time

        what = model_input["what"].tolist()
        if what[0].startswith("read "):
            import pathlib

            path = what[0].removeprefix("read ")
            try:
                return [str(len(pathlib.Path(path).read_bytes()))]
            except OSError as error:
                return [type(error).__name__]
        if "write" in what:
            import tempfile

            with tempfile.NamedTemporaryFile() as file:
                return [str(file.write(b"here"))]
        if "print" in what:
            for out in (sys.stdout, sys.stderr):
                out.buffer.write(b"caf\xe9 \xff\n" + b"x" * 20_000_000)
                out.buffer.flush()
                print("and on", file=out, flush=True)
        if "sleep" in what:
            time.sleep(60)
        if "die" in what:
            os._exit(3)
        if "raise" in what:
            raise ValueError("no such thing")
        return [os.environ.get("SECRET", "none") if one == "env" else one.upper() for one in what]


def test_a_worker_that_dies_hangs_or_raises_takes_nothing_down(served, monkeypatch):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # The worker cannot import this file.
    rows = pd.DataFrame({"what": ["x"]})
    mlflow.set_experiment("serving")
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model", python_model=Slow(), signature=infer_signature(rows, ["X"]), pip_requirements=[]
        )
    mlflow.register_model(info.model_uri, "m_slow")
    found = endpoint(served, "slow", "m_slow")
    assert found["serving"]["runtime"] == "python"
    ask = lambda what: post(served, "slow", {"dataframe_records": [{"what": what}]})  # noqa: E731
    assert ask("hello")[1] == {"predictions": ["HELLO"]}
    assert ask("env")[1] == {"predictions": ["none"]}
    # The keys, the store and everybody's artifacts, where the kernel can keep it out of them.
    findings = json.loads(subprocess.run([launcher.binary(), "doctor", "--json"], capture_output=True).stdout)
    has_fence = next(one["verdict"] for one in findings if one["check"] == "models").lower() == "good"
    key = Path(served.data_dir, "keys", "checkpoint.pem")
    denied = "PermissionError" if has_fence else str(key.stat().st_size)
    assert ask(f"read {key}")[1] == {"predictions": [denied]}
    assert ask("write")[1] == {"predictions": ["4"]}
    assert ask("read /etc/hostname")[1] != {"predictions": ["PermissionError"]}
    for _ in range(2):
        assert ask("print")[1] == {"predictions": ["PRINT"]}
    status, answer, _ = ask("raise")
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert "no such thing" in answer["message"]
    began = time.monotonic()
    assert ask("sleep")[0] == 504
    assert time.monotonic() - began < 20
    assert ask("again")[1] == {"predictions": ["AGAIN"]}
    status, answer, _ = ask("die")
    assert (status, answer["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert ask("after")[1] == {"predictions": ["AFTER"]}
    # Killed from outside, also its guard: the next request finds another one.
    guard = json.loads(strongback(served, "endpoint", "show", "slow", "--json").stdout)["serving"]["process_id"]
    os.kill(guard, signal.SIGKILL)
    assert ask("killed")[1] == {"predictions": ["KILLED"]}


def test_a_worker_killed_under_load_takes_no_request_with_it(served):
    """The model of the test above, asked by many at once while its process is killed again and again: the request that it
    worked on is asked of the next one."""
    tell = lambda what: json.loads(strongback(served, "endpoint", what, "slow", "--json").stdout)  # noqa: E731
    before, killed = tell("log"), set()
    with asked_by_many(served, 6) as answers:
        while len(killed) < 5:
            # Not before the process that came after the last one has answered.
            until, count = time.monotonic() + 60, len(answers)
            while sum(status == 200 for _, status, _ in answers[count:]) < 20:
                assert time.monotonic() < until, served.log_tail()
                time.sleep(0.05)
            guard = tell("show")["serving"]["process_id"]
            if guard not in killed:
                os.kill(guard, signal.SIGKILL)
                killed.add(guard)
    assert wrong(answers) == []
    assert gained(before, tell("log")) == {"served": len(answers), "logged": len(answers), "unanswered": 0}


def test_a_worker_that_hangs_under_load_takes_no_other_request_with_it(served):
    """The same, and two requests that never end: they are told so, everybody else is answered by the next process."""
    tell = lambda what: json.loads(strongback(served, "endpoint", what, "slow", "--json").stdout)  # noqa: E731
    before = tell("log")
    with asked_by_many(served, 4) as answers:
        for _ in range(2):
            count = len(answers)
            status, answer, _ = post(served, "slow", {"dataframe_records": [{"what": "sleep"}]})
            assert (status, answer["error_code"]) == (504, "DEADLINE_EXCEEDED"), answer
            until = time.monotonic() + 60
            while len(answers) < count + 20:
                assert time.monotonic() < until, served.log_tail()
                time.sleep(0.05)
    assert wrong(answers) == []
    assert gained(before, tell("log")) == {"served": len(answers), "logged": len(answers), "unanswered": 0}


@contextmanager
def asked_by_many(server, callers):
    """The endpoint ``slow`` under load: what was asked, with status and answer, in a list that grows."""
    answers, stop = [], threading.Event()

    def load(at):
        number = 0
        while not stop.is_set():
            number += 1
            said = f"w{at}x{number}"
            try:
                answers.append((said, *post(server, "slow", {"dataframe_records": [{"what": said}]})[:2]))
            except OSError as error:  # Cut off without an answer.
                answers.append((said, None, repr(error)))

    threads = [threading.Thread(target=load, args=(at,)) for at in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wrong(answers):
    """Those that are not what the model makes of it."""
    return [one for one in answers if one[1:] != (200, {"predictions": [one[0].upper()]})]


def gained(before, after):
    return {what: after[what] - before[what] for what in ("served", "logged", "unanswered")}


class Busy(mlflow.pyfunc.PythonModel):
    """Computes for so long, in seconds of processor time, over each piece of rows."""

    def __init__(self, takes):
        self.takes = takes

    def predict(self, context, model_input, params=None):
        import time

        until = time.process_time() + self.takes
        while time.process_time() < until:
            pass
        return model_input["x"].tolist()


def test_a_gate_run_pays_for_the_python_process_that_scores_for_it(served, tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    rows = pd.DataFrame({"x": [0.5]})
    mlflow.set_experiment("serving")
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model", python_model=Busy(0.4), signature=infer_signature(rows, [0.5]), pip_requirements=[]
        )
    name = "main.default.m_busy"
    mlflow.register_model(info.model_uri, name)
    values = [row / 600 for row in range(600)]
    pd.DataFrame({"x": values, "y": [int(x > 0.5) for x in values]}).to_csv(tmp_path / "rows.csv", index=False)
    strongback(served, "table", "import", str(tmp_path / "rows.csv"), "--name", "main.default.busy_rows")
    (tmp_path / "gates.yaml").write_text(
        "version: 1\nevaluation:\n  table: main.default.busy_rows\n  label: y\n"
        "accuracy:\n  - { metric: roc_auc, margin: 0 }\nfirst_champion:\n  - { metric: roc_auc, at_least: 0.9 }\n"
    )
    call = ["gate", "run", "--model", name, "--candidate", "1", "--config", str(tmp_path / "gates.yaml"), "--json"]
    report = json.loads(strongback(served, *call).stdout)
    assert report["verdict"] == "pass", report
    job = json.loads(strongback(served, "job", "show", report["report_id"], "--json").stdout)
    # Three pieces of at most 256 rows, and what loading takes.
    cost = job["cost"]
    assert cost["processor_ms"] >= 1_200, cost
    assert cost["processor_ms"] <= cost["wall_ms"] * os.cpu_count(), cost
    # The load of a latency gate is on such a process as well: no request is answered sooner than it computes.
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model", python_model=Busy(0.004), signature=infer_signature(rows, [0.5]), pip_requirements=[]
        )
    mlflow.register_model(info.model_uri, name)
    with (tmp_path / "gates.yaml").open("a") as file:
        file.write("latency: { p99_ms: 60000, requests: 400, callers: 2, max_noise: 1000 }\n")
    call[call.index("--candidate") + 1] = "2"
    report = json.loads(strongback(served, *call).stdout)
    assert report["verdict"] == "pass", report
    (latency,) = [check for check in report["report"]["checks"] if check["name"] == "latency.p99"]
    assert latency["estimate"]["n"] == 400
    assert latency["estimate"]["value"] >= 4, latency


class Says(mlflow.pyfunc.PythonModel):
    """Its answers tell which model gave them."""

    def __init__(self, said):
        self.said = said

    def predict(self, context, model_input, params=None):
        return [self.said] * len(model_input)


@pytest.mark.parametrize("runtime", ["onnx", "python"])
def test_an_alias_is_followed_with_no_failed_request(served, data, runtime):
    rows, labels = data
    client, name, at = MlflowClient(), f"m_alias_{runtime}", f"follows-{runtime}"
    says = {}
    for version, flip in (("1", labels), ("2", 1 - labels)):
        if runtime == "onnx":
            model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, flip)
            register(name, mlflow.sklearn.log_model, model, rows, **PICKLED)
            says[version] = model.predict(rows.head(2)).tolist()
        else:
            cloudpickle.register_pickle_by_value(sys.modules[__name__])
            mlflow.set_experiment("serving")
            with mlflow.start_run():
                signature = infer_signature(rows, [version])
                logged = mlflow.pyfunc.log_model(
                    name="model", python_model=Says(version), signature=signature, pip_requirements=[]
                )
            mlflow.register_model(logged.model_uri, name)
            says[version] = [version] * 2
    client.set_registered_model_alias(name, "champion", "1")
    found = endpoint(served, at, f"{name}@champion")
    assert found["serving"]["runtime"] == runtime
    answers, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                status, answer, headers = post(served, at, split(rows.head(2)))
                answers.append((status, headers.get("x-model-version"), answer.get("predictions")))
            except OSError as error:  # Cut off without an answer.
                answers.append((None, None, repr(error)))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    processes = {found["serving"].get("process_id")}
    try:
        for version in ("2", "1", "2"):
            client.set_registered_model_alias(name, "champion", version)
            until = time.monotonic() + 90
            while (not answers or answers[-1][1] != version) and time.monotonic() < until:
                time.sleep(0.05)
            assert answers[-1][1] == version
            shown = json.loads(strongback(served, "endpoint", "show", at, "--json").stdout)
            processes.add(shown["serving"].get("process_id"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert {version for _, version, _ in answers} == {"1", "2"}
    assert [one for one in answers if one[2] != says[one[1]]] == [], "each version answered for itself"
    assert shown["config"]["n"] == 4
    assert shown["config"]["created_by"] == "system"
    if runtime == "python":
        # Each configuration had a process of its own, of which the last one is left.
        assert len(processes) == 4
        until = time.monotonic() + 60
        while (left := {one for one in processes if Path(f"/proc/{one}").exists()}) != {shown["serving"]["process_id"]}:
            assert time.monotonic() < until, left
            time.sleep(0.2)


def test_the_databricks_face(served):
    endpoints = workspace(served).serving_endpoints
    entity = ServedEntityInput(
        entity_name="m_lr", entity_version="1", workload_size="Small", scale_to_zero_enabled=True
    )
    made = endpoints.create_and_wait("by-sdk", config=EndpointCoreConfigInput(name="by-sdk", served_entities=[entity]))
    assert made.state.ready.value == "READY"
    assert "by-sdk" in [one.name for one in endpoints.list()]
    assert "by-sdk" in [one["name"] for one in get_deploy_client("databricks").list_endpoints()]
    following = ServedEntityInput(entity_name="m_alias_onnx@champion")
    changed = endpoints.update_config_and_wait("by-sdk", served_entities=[following])
    assert changed.config.served_entities[0].entity_name == "m_alias_onnx"
    endpoints.delete("by-sdk")
    assert post(served, "by-sdk", {})[0] == 404


def test_endpoints_come_back_after_a_kill(served, data, tmp_path_factory):
    rows, _ = data
    before = post(served, "lr", split(rows))[1]
    data_dir = served.data_dir
    served.process.kill()
    served.process.wait()
    again = launcher.strongback(data_dir, database_url=served.database_url, extra=("--worker-python", sys.executable))
    try:
        assert post(again, "lr", split(rows))[1] == before
        until = time.monotonic() + 20
        workers = [
            line
            for line in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
            if str(data_dir) in line and "strongback_worker" in line and "guard" not in line
        ]
        while len(workers) > 1 and time.monotonic() < until:
            time.sleep(0.5)
            workers = [
                line
                for line in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
                if str(data_dir) in line and "strongback_worker" in line and "guard" not in line
            ]
        assert len(workers) <= 1, "a worker outlived its server"
    finally:
        served.process, served.url, served.log = again.process, again.url, again.log
