"""Models whose files were written to harm whoever reads them: ``MLmodel``, ``requirements.txt``, ``python_env.yaml``, ``conda.yaml``.

They are read when a version is registered, when runs are compared, and when a version is served. Whatever they say, nothing of it is
executed or installed, nothing outside of the model is read, nothing hangs, and the answer is an answer: the version is registered
without its signature, the file is named as unreadable, or the endpoint is refused with a status of the caller's.
"""

import http.server
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature

import launcher
from conftest import PEER_URL, forget_mlflow

pytestmark = [pytest.mark.beyond, pytest.mark.skipif(bool(PEER_URL), reason="it is our server that reads them")]

QUICK_S = 10
"""Within which an answer comes that loads no model, also of a server that was not optimised."""

FILES = ("requirements.txt", "python_env.yaml", "conda.yaml")
FLAVOR = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
INPUTS = 'signature:\n  inputs: \'[{"type": "double", "name": "a", "required": true}]\'\n'
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 12)
)


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    """What must never happen: a file that a command would make, and requests to an index of packages."""
    folder = tmp_path_factory.mktemp("trap")
    asked = []

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    index = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=index.serve_forever, daemon=True).start()
    package = folder / "package"
    package.mkdir()
    (package / "setup.py").write_text(
        f"open({str(folder / 'made')!r}, 'w')\nimport setuptools\nsetuptools.setup(name='evil')\n"
    )
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *arguments], cwd=package, check=True)
    yield {"made": folder / "made", "package": package, "index": f"http://127.0.0.1:{index.server_port}/simple"}
    index.shutdown()
    assert not (folder / "made").exists()
    assert asked == []


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    extra = ("--worker-python", sys.executable, "--scoring-seconds", "5")
    with launcher.on_store("sqlite", tmp_path_factory.mktemp("hostile") / "data", extra=extra) as running:
        yield running


@pytest.fixture(autouse=True)
def client_environment(ours, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ours.url)
    mlflow.set_tracking_uri(ours.url)
    yield
    mlflow.set_tracking_uri(None)
    forget_mlflow()


def ask(server, method, path, body=None, within=QUICK_S):
    """Status and body of an answer that comes in time, is no failure of the server, and holds nothing of its machine."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"content-type": "application/json"}, method=method)
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    took = time.monotonic() - began
    assert status < 500, (path, status, text[:2_000])
    assert took < within, (path, took)
    assert "root:x:0" not in text, text[:2_000]
    return status, json.loads(text) if text.startswith("{") else {}


def run_with(server, files):
    """A run with these files in its directory ``model``, which its client noted as a model."""
    client = MlflowClient(server.url)
    noted = json.dumps([{"artifact_path": "model", "utc_time_created": "", "flavors": {}}])
    run = client.create_run("0", tags={"mlflow.log-model.history": noted}).info.run_id
    for name, content in files.items():
        content = content.encode() if isinstance(content, str) else content
        path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/{name}"
        assert ask(server, "PUT", path, content)[0] == 200, name
    return run


def register(server, name, run):
    path = "/api/2.0/mlflow"
    ask(server, "POST", f"{path}/registered-models/create", {"name": name})
    status, made = ask(
        server, "POST", f"{path}/model-versions/create", {"name": name, "source": f"runs:/{run}/model", "run_id": run}
    )
    assert (status, made["model_version"]["status"]) == (200, "READY"), made
    return made["model_version"]["version"]


def serve(server, name, version):
    """What becomes of an endpoint of a version: its state, and why it is not ready."""
    entity = {"entity_name": name, "entity_version": version, "workload_size": "Small", "scale_to_zero_enabled": True}
    body = {"name": name, "config": {"served_entities": [entity]}}
    assert ask(server, "POST", "/api/2.0/serving-endpoints", body)[0] == 200
    until = time.monotonic() + 100
    while time.monotonic() < until:
        _, shown = ask(server, "GET", f"/api/2.0/serving-endpoints/{name}")
        if shown["state"]["config_update"] != "IN_PROGRESS":
            return shown["state"], shown["config"]["served_entities"][0]["state"]["deployment_state_message"]
        time.sleep(0.1)
    raise AssertionError(f"{name} is still being loaded")


def refused(server, name, version):
    """An endpoint of this version is there, says why it cannot answer, and answers so."""
    state, why = serve(server, name, version)
    assert state == {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}, why
    assert len(why) > 20, why
    status, answer = ask(server, "POST", f"/endpoints/{name}/invocations", {"inputs": [[1.0]]})
    assert (status, answer["error_code"]) == (409, "RESOURCE_CONFLICT"), answer
    assert why in answer["message"]
    assert ask(server, "DELETE", f"/api/2.0/serving-endpoints/{name}")[0] == 200


def yaml(command):
    """Texts that no reader of YAML should take at their word."""
    return {
        "aliases": BOMB,
        "itself": "a: &a [*a]\n",
        "call": f"a: !!python/object/apply:os.system ['{command}']\n",
        "name": "a: !!python/name:os.system\n",
        "large": b"#" * (3 << 20),
        "deep lists": "[" * 200_000,
        "deep mappings": "{a: " * 200_000,
        "deep blocks": "\n".join(" " * at + "a:" for at in range(1_000)),
        "many keys": "".join(f"k{at}:\n" for at in range(55_000)),
        "many items": "- \n" * 300_000,
        "many documents": "--- a\n" * 100_000,
        "a long key": "x" * 900_000 + ": 1\n",
        "an open text": 'a: "' + "x" * 900_000,
        "a list": "- a\n- b\n",
        "a number": "5",
        "nothing": "",
        "a tab": "\t\t:\n\t- a",
        "NUL": "a: \0\nb: c\n",
        "no text": b"\xff\xfe\x00a",
    }


MLMODELS = yaml("touch MADE") | {
    "aliases and a flavor": BOMB + FLAVOR,
    "call in a flavor": "flavors:\n  onnx:\n    data: !!python/object/apply:os.system ['touch MADE']\n",
    "call in the signature": "signature: !!python/object/apply:os.system ['touch MADE']\n" + FLAVOR,
    "deep signature": f"signature:\n  inputs: '{'[' * 200_000}'\n{FLAVOR}",
    "odd signature": 'signature: {inputs: \'[{"type": {"a": 1}}]\', outputs: [1], params: {a: b}}\n' + FLAVOR,
    "signature of a number": "signature: 5\n" + FLAVOR,
    "flavors of a list": "flavors: [python_function]\n",
    "flavors of flavors": "flavors: {python_function: {loader_module: {a: b}, env: [c]}}\n",
    "file of the machine": FLAVOR.replace("model.pkl", "/etc/passwd"),
    "file above": FLAVOR.replace("model.pkl", "../../../../../../../etc/passwd"),
}


@pytest.mark.parametrize("kind", MLMODELS)
def test_an_mlmodel_file_is_registered_and_not_served(ours, trap, kind):
    content = MLMODELS[kind]
    if isinstance(content, str):
        content = content.replace("MADE", str(trap["made"]))
    name = "mlmodel-" + kind.replace(" ", "-")
    version = register(ours, name, run_with(ours, {"MLmodel": content, "model.pkl": b"no pickle"}))
    refused(ours, name, version)
    assert not trap["made"].exists()


PATHS = {
    "absolute": "/etc/passwd",
    "above": "../../../../../../../../etc/passwd",
    "above from below": "data/../../../x",
    "encoded": "%2e%2e/%2e%2e/etc/passwd",
    "NUL": '"model.onnx\\0/etc/passwd"',
    "long": "x" * 5_000,
    "long ways": "x/" * 5_000,
    "URL": "file:///etc/passwd",
    "elsewhere": "http://127.0.0.1:9/model.onnx",
    "device": "/dev/zero",
    "home": "~/.ssh/id_rsa",
    "list": "[model.onnx]",
    "number": "5",
    "nothing": '""',
    "itself": ".",
}


@pytest.mark.parametrize("kind", PATHS)
def test_a_path_in_an_mlmodel_file_leads_nowhere(ours, kind):
    mlmodel = f"{INPUTS}flavors:\n  onnx:\n    data: {PATHS[kind]}\n"
    name = "path-" + kind.replace(" ", "-")
    refused(ours, name, register(ours, name, run_with(ours, {"MLmodel": mlmodel})))


def requirements(trap):
    return [
        f"--index-url {trap['index']}",
        f"--extra-index-url {trap['index']}",
        "--trusted-host 127.0.0.1",
        f"-e git+file://{trap['package']}#egg=evil",
        f"evil @ git+file://{trap['package']}",
        f"evil @ file://{trap['package']}",
        str(trap["package"]),
        "../../../../etc/passwd",
        "a; os_name == 'x' or __import__('os')",
        f"$(touch {trap['made']})",
        f"a`touch {trap['made']}`",
        "no such package==0.0.0.0",
    ]


def environments(trap):
    """Files of an environment, by what is wrong with them: for each of the three its text."""
    reaching = ["-r ../../../../../../../../etc/passwd", "-c ../x", "-r /etc/passwd", "-r /dev/zero"]
    found = {
        "options": three(requirements(trap), trap),
        "files of the machine": three(reaching, trap),
    }
    for kind, text in yaml(f"touch {trap['made']}").items():
        found[kind] = (text, text, text)
    odd = ("dependencies: 5", "dependencies: {a: [b]}", "python: [3]\ndependencies: [[a], {pip: 5}, {pip: [[b]]}]")
    for at, text in enumerate(odd):
        found[f"odd {at}"] = (text, text, text)
    found["long lines"] = ("x" * 900_000, "dependencies:\n- " + "x" * 900_000, "dependencies:\n- " + "x" * 900_000)
    found["many lines"] = (
        "a\n" * 400_000,
        "dependencies:\n" + "- a\n" * 200_000,
        "dependencies:\n" + "- a\n" * 200_000,
    )
    return found


def three(lines, trap):
    """The same requirements in each of the three files."""
    listed = "".join(f"- {json.dumps(line)}\n" for line in lines)
    nested = "".join(f"  {line}\n" for line in listed.splitlines())
    conda = f"dependencies:\n- python=3.11\n- pip:\n{nested}"
    python_env = f"python: ../../bin/sh\nbuild_dependencies:\n{listed}dependencies:\n{listed}"
    return "\n".join(lines) + "\n", python_env, f"channels: [{trap['index']}]\n{conda}"


def test_environments_are_compared_and_never_followed(ours, trap):
    plain = run_with(ours, {"requirements.txt": "numpy==2.1.0\n", "python_env.yaml": "python: 3.11.2\n"})
    unreadable = {}
    for kind, texts in environments(trap).items():
        run = run_with(ours, dict(zip(FILES, texts, strict=True)))
        query = urllib.parse.urlencode([("run_id", plain), ("run_id", run)])
        status, answer = ask(ours, "GET", f"/api/1.0/runs/compare?{query}")
        assert status == 200, (kind, answer)
        named = [one.rsplit("/", 1)[-1] for one in answer["environment"].get("unreadable", [])]
        unreadable[kind] = set(named)
        assert not trap["made"].exists(), kind
    assert unreadable["options"] == set()
    yamls = {"python_env.yaml", "conda.yaml"}
    for kind in ("aliases", "itself", "call", "name", "deep lists", "deep mappings", "deep blocks", "many documents"):
        assert unreadable[kind] == yamls, kind
    assert unreadable["large"] == unreadable["no text"] == set(FILES)


KEYS = (
    "flavors",
    "python_function",
    "onnx",
    "sklearn",
    "loader_module",
    "data",
    "env",
    "model_path",
    "signature",
    "inputs",
    "outputs",
)
KEYS += (
    "params",
    "artifact_path",
    "model_uuid",
    "dependencies",
    "pip",
    "python",
    "channels",
    "nobody",
    "__class__",
    "1",
)
SCALARS = (
    "a",
    "5",
    "-1",
    "null",
    "true",
    "2020-01-01",
    "mlflow.sklearn",
    "/etc/passwd",
    "../../etc/passwd",
    "..;/x",
    "file:///etc/passwd",
)
SCALARS += ("numpy==1; x", "-r /etc/passwd", '\'[{"type": "double"}]\'', "'[[[[]]]]'", "'{\"type\": {}}'", "it''s")
ODD_KEYS = ("<<", "? a", '""', "[a]", "{a: b}", "*n0", "!!str a")
ODD = (
    "1e999",
    ".nan",
    "0x7fffffffffffffffff",
    "~",
    '"\\x00"',
    '"\\uD800"',
    "|\n        a\n",
    ">-\n        b\n",
    "%",
    "@a",
    "`a`",
    "- a",
    "{",
    "]",
)
TAGS = (
    "!!python/object/apply:os.system ",
    "!!python/name:os.system ",
    "!!binary ",
    "!!int ",
    "!!set ",
    "!!timestamp ",
    "!a ",
    "!<a> ",
    "! ",
)


def made_yaml(choose):
    """A file of keys, anchors, tags and types that no tool wrote, some of them nearly right, and one in four damaged."""
    anchors = []
    deepest, left = choose.choice([1, 2, 3, 6, 60, 250]), [choose.choice([20, 200, 3_000])]
    oddity = choose.choice([0, 0, 0.02, 0.3])

    def odd():
        return choose.random() < oddity

    def value(depth):
        left[0] -= 1
        before = choose.choice(TAGS) if odd() else ""
        if odd():
            anchors.append(f"n{len(anchors)}")
            before += f"&{anchors[-1]} "
        if odd():
            return f"*{choose.choice([*anchors, 'nobody'])}"
        if depth >= deepest or left[0] <= 0:
            return before + choose.choice(ODD if odd() else SCALARS)
        inner = [value(depth + 1) for _ in range(choose.choice([0, 1, 1, 2, 9]))]
        if choose.random() < 0.5:
            return f"{before}[{', '.join(inner)}]"
        return before + "{" + ", ".join(f"{choose.choice(ODD_KEYS if odd() else KEYS)}: {one}" for one in inner) + "}"

    lines = [f"{choose.choice(KEYS)}: {value(0)}" for _ in range(choose.randint(1, 8))]
    text = choose.choice(["", "---\n"] if oddity < 0.1 else ["%YAML 1.2\n---\n", "\ufeff"]) + "\n".join(lines) + "\n"
    if choose.random() < 0.5:
        text += FLAVOR
    if choose.random() < 0.25:
        at = choose.randrange(len(text))
        text = (
            text[:at] + choose.choice(["", "\0", "\t", '"', "'", "{", "&", "*", "\r", "\u2028", "\n---\n"]) + text[at:]
        )
    return text


def test_files_that_nobody_wrote_are_read_or_named(ours):
    seed = int(os.environ.get("STRONGBACK_TEST_SEED", random.randrange(1 << 32)))
    print(f"again with STRONGBACK_TEST_SEED={seed}")
    choose = random.Random(seed)
    plain = run_with(ours, {"requirements.txt": "numpy==2.1.0\n", "python_env.yaml": "python: 3.11.2\n"})
    unreadable, served = set(), 0
    for at in range(60):
        files = {name: made_yaml(choose) for name in ("MLmodel", *FILES)}
        run = run_with(ours, files)
        query = urllib.parse.urlencode([("run_id", plain), ("run_id", run)])
        status, answer = ask(ours, "GET", f"/api/1.0/runs/compare?{query}")
        assert status == 200, (files, answer)
        named = {one.rsplit("/", 1)[-1] for one in answer["environment"].get("unreadable", [])}
        assert named <= set(FILES), (files, named)
        unreadable |= {(at, one) for one in named}
        name = f"made-{seed}-{at}"
        version = register(ours, name, run)
        status, shown = ask(ours, "GET", f"/api/2.0/mlflow/model-versions/get?name={name}&version={version}")
        assert (status, shown["model_version"]["status"]) == (200, "READY"), (files, shown)
        # Loading takes a process each; what a refusal has to say is checked of a few.
        if at % 20 == 0:
            refused(ours, name, version)
            served += 1
    # Some are read and some are not: a generator of which all come out alike would say nothing.
    assert 0 < len(unreadable) < 120, unreadable
    assert served == 3


def test_a_good_model_with_such_files_is_served_and_nothing_is_installed(ours, trap, toy, toy_model, tmp_path):
    """Whatever the files say, the model is loaded by the Python that is there, or it is said why not."""
    features, labels = toy
    mlflow.sklearn.save_model(
        toy_model,
        tmp_path / "model",
        pip_requirements=[],
        signature=infer_signature(features, labels),
        serialization_format="cloudpickle",
    )
    kinds = environments(trap)
    files = {
        str(path.relative_to(tmp_path / "model")): path for path in (tmp_path / "model").rglob("*") if path.is_file()
    }
    for kind in ("options", "files of the machine", "aliases", "call", "no text"):
        texts = {name: path.read_bytes() for name, path in files.items()}
        texts |= dict(zip(FILES, kinds[kind], strict=True))
        mlmodel = texts["MLmodel"].decode()
        # Without a flavor that can be converted it runs in Python, where MLflow looks at the files.
        texts["MLmodel"] = mlmodel.replace("\n  sklearn:", "\n  other:")
        name = "good-" + kind.replace(" ", "-")
        version = register(ours, name, run_with(ours, texts))
        if kind in ("files of the machine", "no text"):
            # MLflow looks at its requirements, in the sandbox of the model's process, and cannot read what they name, or them.
            refused(ours, name, version)
            continue
        state, why = serve(ours, name, version)
        assert state["ready"] == "READY", (kind, why)
        body = {"dataframe_split": {"columns": list(features.columns), "data": features.head(3).values.tolist()}}
        status, answer = ask(ours, "POST", f"/endpoints/{name}/invocations", body, within=30)
        assert (status, answer["predictions"]) == (200, list(toy_model.predict(features.head(3)))), kind
        assert ask(ours, "DELETE", f"/api/2.0/serving-endpoints/{name}")[0] == 200
        assert not trap["made"].exists(), kind


def test_the_server_is_as_it_was(ours):
    """The last of this file: nothing panicked, and it answers at once."""
    assert ask(ours, "GET", "/health", within=2)[0] == 200
    log = Path(ours.log).read_text(errors="replace")
    assert "panicked" not in log
    assert "ERROR" not in log, [line for line in log.splitlines() if "ERROR" in line][:5]
