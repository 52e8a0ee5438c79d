"""Webhooks by the unchanged client, told to a receiver of this machine that checks what comes as MLflow's users do."""

import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_TIMESTAMP_HEADER,
)
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS

import launcher
from expect import all_pages, refused

# MLflow's server takes no receiver on loopback without settings of its own.
pytestmark = pytest.mark.beyond

SECRET = "größte Verschwiegenheit"
PATIENCE_S = 60


class Receiver:
    """Takes what comes and answers with the next of ``statuses``, then 200."""

    def __init__(self, tls: ssl.SSLContext | None = None):
        self.got, self.statuses, self.changed = [], [], threading.Condition()
        self.open = threading.Event()
        self.open.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.open.wait(PATIENCE_S)
                with receiver.changed:
                    receiver.got.append((dict(self.headers), body, self.headers))
                    status = receiver.statuses.pop(0) if receiver.statuses else 200
                    receiver.changed.notify_all()
                answer = f"answer of {status}".encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()

    def wait(self, count: int) -> list[dict]:
        """The bodies once there are so many; every signature was checked with MLflow's own function."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, PATIENCE_S), f"{len(self.got)} of {count} came"
            for _, body, headers in self.got:
                stamp, delivery = headers[WEBHOOK_TIMESTAMP_HEADER], headers[WEBHOOK_DELIVERY_ID_HEADER]
                assert abs(int(stamp) - time.time()) < 120
                assert headers[WEBHOOK_SIGNATURE_HEADER] == _generate_hmac_signature(SECRET, delivery, stamp, body)
            return [json.loads(body) for _, body, _ in self.got]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.end()


@pytest.fixture(scope="module")
def allowing(server, tmp_path_factory):
    """A server that may send to this machine."""
    extra = ("--webhooks-allow", "127.0.0.1")
    with launcher.on_store(server.backend, tmp_path_factory.mktemp("webhooks") / "data", extra=extra) as running:
        yield running


@pytest.fixture
def client(allowing, client_environment, monkeypatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", allowing.url)
    client = MlflowClient(allowing.url)
    yield client
    for webhook in all_pages(client.list_webhooks, max_results=100):
        client.delete_webhook(webhook.webhook_id)


@pytest.fixture
def strongback(allowing, tmp_path):
    def run(*arguments, code=0):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
        environment["STRONGBACK_URL"] = allowing.url
        command = [str(launcher.binary()), *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done
        return done.stdout

    return run


def test_create_get_list_update_delete(client, receiver):
    made = client.create_webhook(
        "ci",
        receiver.url,
        ["model_version.created", "model_version_alias.created"],
        description="starts the pipeline",
        secret=SECRET,
    )
    found = client.get_webhook(made.webhook_id)
    for webhook in (made, found):
        assert (webhook.name, webhook.url, webhook.description) == ("ci", receiver.url, "starts the pipeline")
        assert [str(event) for event in webhook.events] == ["model_version.created", "model_version_alias.created"]
        assert webhook.status == WebhookStatus.ACTIVE
        assert webhook.secret is None
        assert 0 < webhook.creation_timestamp <= webhook.last_updated_timestamp
    others = [client.create_webhook(f"h{n}", receiver.url, ["prompt.created"]).webhook_id for n in range(4)]
    listed = all_pages(client.list_webhooks, max_results=2)
    assert [webhook.webhook_id for webhook in listed] == [*reversed(others), made.webhook_id]
    changed = client.update_webhook(made.webhook_id, description="", status="DISABLED", events=["prompt_tag.set"])
    assert (changed.name, changed.description, changed.status) == ("ci", None, WebhookStatus.DISABLED)
    assert [str(event) for event in changed.events] == ["prompt_tag.set"]
    client.delete_webhook(made.webhook_id)
    for call in (client.delete_webhook, client.get_webhook, client.test_webhook):
        with refused("RESOURCE_DOES_NOT_EXIST", made.webhook_id):
            call(made.webhook_id)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"name": "a b"}, "webhook name"),
        ({"name": "x" * 64}, "webhook name"),
        ({"url": "http://8.8.8.8/"}, "scheme"),
        ({"url": "https://10.0.0.1/"}, "non-public"),
        ({"url": "https://127.0.0.2/"}, "non-public"),
        ({"url": "https://[::1]/"}, "non-public"),
        ({"url": "https://169.254.169.254/"}, "non-public"),
        ({"url": "https://no-such-host.invalid/"}, "hostname"),
        ({"url": " "}, "url"),
        ({"events": ["budget_policy.exceeded"]}, "gateway"),
    ],
)
def test_refused(client, change, fragment):
    wanted = {"name": "h", "url": "https://127.0.0.1/", "events": ["prompt.created"]} | change
    with refused("INVALID_PARAMETER_VALUE", fragment):
        client.create_webhook(**wanted)


def test_what_happens_is_told(client, receiver, unique):
    events = [f"{entity}.{action}" for entity, action in EVENT_TO_PAYLOAD_CLASS if entity != "budget_policy"]
    client.create_webhook("all", receiver.url, events, secret=SECRET)
    name = unique("told")
    client.create_registered_model(name, tags={"team": "risk"}, description="scores")
    client.create_model_version(name, "s3://bucket/model", tags={"team": "risk"})
    client.set_model_version_tag(name, "1", "k", "v")
    client.delete_model_version_tag(name, "1", "k")
    client.set_registered_model_alias(name, "champion", "1")
    client.delete_registered_model_alias(name, "champion")
    told = {f"{body['entity']}.{body['action']}": body["data"] for body in receiver.wait(6)}
    assert told == {
        "registered_model.created": {"name": name, "tags": {"team": "risk"}, "description": "scores"},
        "model_version.created": {
            "name": name,
            "version": "1",
            "source": "s3://bucket/model",
            "run_id": None,
            "tags": {"team": "risk"},
            "description": None,
        },
        "model_version_tag.set": {"name": name, "version": "1", "key": "k", "value": "v"},
        "model_version_tag.deleted": {"name": name, "version": "1", "key": "k"},
        "model_version_alias.created": {"name": name, "alias": "champion", "version": "1"},
        "model_version_alias.deleted": {"name": name, "alias": "champion"},
    }


def test_prompts_are_told(client, receiver, unique):
    client.create_webhook("prompts", receiver.url, ["prompt.created", "prompt_version.created"], secret=SECRET)
    name = unique("prompt").replace("-", "_")
    client.register_prompt(name, "Hello {{name}}!", tags={"team": "risk"})
    made, version = sorted(receiver.wait(2), key=lambda body: body["entity"])
    assert (made["entity"], made["data"]["name"]) == ("prompt", name)
    assert (version["entity"], version["data"]["template"]) == ("prompt_version", "Hello {{name}}!")
    assert (version["data"]["version"], version["data"]["tags"]) == ("1", {"team": "risk"})


def test_a_test_has_mlflows_example_of_every_event(client, receiver):
    webhook = client.create_webhook("try", receiver.url, ["model_version.created"], secret=SECRET, status="DISABLED")
    assert client.test_webhook(webhook.webhook_id).success
    asked = [WebhookEvent(entity, action) for entity, action in EVENT_TO_PAYLOAD_CLASS if entity != "budget_policy"]
    for event in asked:
        result = client.test_webhook(webhook.webhook_id, event)
        assert (result.success, result.response_status, result.response_body) == (True, 200, "answer of 200")
    bodies = receiver.wait(len(asked) + 1)
    for event, body in zip(asked, bodies[1:], strict=True):
        assert (body["entity"], body["action"]) == (event.entity, event.action)
        assert body["data"] == EVENT_TO_PAYLOAD_CLASS[event.entity, event.action].example()
    receiver.statuses = [500]
    result = client.test_webhook(webhook.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (False, 500, "answer of 500")


def test_failures_are_repeated_and_stand_in_the_log(client, receiver, strongback, unique):
    webhook = client.create_webhook("log", receiver.url, ["registered_model.created"], secret=SECRET)
    receiver.statuses = [503, 200, 400]
    client.create_registered_model(unique("first"))
    receiver.wait(2)
    client.create_registered_model(unique("second"))
    receiver.wait(3)
    assert receiver.got[0][1] == receiver.got[1][1]
    assert receiver.got[0][0]["X-Mlflow-Delivery-Id".lower()] == receiver.got[1][0]["X-Mlflow-Delivery-Id".lower()]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        log = json.loads(strongback("webhook", "deliveries", webhook.webhook_id, "--json"))
        if all(one["state"] != "waiting" for one in log):
            break
        assert time.monotonic() < deadline, log
        time.sleep(0.1)
    shown = [(one["state"], one["attempts"], one["response_status"]) for one in log]
    assert shown == [("failed", 1, 400), ("delivered", 2, 200)]
    assert "400" in strongback("webhook", "deliveries", webhook.webhook_id, "--state", "failed")
    listed = json.loads(strongback("webhook", "list", "--json"))
    assert [one["webhook_id"] for one in listed] == [webhook.webhook_id]
    assert receiver.url in strongback("webhook", "list")
    assert "taken, with status 200" in strongback("webhook", "test", webhook.webhook_id)
    receiver.statuses = [404]
    result = json.loads(
        strongback("webhook", "test", webhook.webhook_id, "--event", "prompt.created", "--json", code=1)
    )
    assert (result["success"], result["response_status"]) == (False, 404)
    strongback("webhook", "test", webhook.webhook_id, "--event", "run.created", code=2)


def test_no_secret_and_no_address_is_in_the_log_of_the_server(client, receiver, allowing, unique):
    address = f"{receiver.url}/token-in-the-address"
    client.create_webhook("quiet", address, ["registered_model.created"], secret=SECRET)
    receiver.statuses = [400]
    client.create_registered_model(unique("quiet"))
    receiver.wait(1)
    deadline = time.monotonic() + PATIENCE_S
    while "not delivered to a webhook" not in (said := allowing.log.read_text()):
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
    assert SECRET not in said
    assert "token-in-the-address" not in said


WAITING = 900


def test_what_waits_in_great_number_comes(client, receiver, unique):
    """A receiver that is slow holds up nobody, and is told of everything once it takes it."""
    name = unique("busy")
    client.create_registered_model(name)
    client.create_webhook("busy", receiver.url, ["model_version_tag.set"], secret=SECRET)
    run = client.create_run("0")
    client.create_model_version(name, f"runs:/{run.info.run_id}/none", run.info.run_id)
    receiver.open.clear()
    began = time.monotonic()
    for at in range(WAITING):
        client.set_model_version_tag(name, "1", f"t{at}", "v")
    assert time.monotonic() - began < PATIENCE_S
    receiver.open.set()
    deadline = time.monotonic() + 2 * PATIENCE_S
    told = set()
    while len(told) < WAITING:
        assert time.monotonic() < deadline, f"{len(told)} of {WAITING} came"
        time.sleep(0.2)
        with receiver.changed:
            told = {json.loads(body)["data"]["key"] for _, body, _ in receiver.got}
    assert told == {f"t{at}" for at in range(WAITING)}


def certificate(folder, host):
    """A certificate of 127.0.0.1, or of another host, that signs itself: two files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{host}.pem", folder / f"{host}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


def test_receivers_behind_tls(server, tmp_path, monkeypatch, unique):
    """Told where the certificate is of an authority that the system knows, and of that host; else not, and the log says why."""
    known, foreign, unknown = (tmp_path / name for name in ("known", "foreign", "unknown"))
    receivers = {}
    for folder, host in ((known, "127.0.0.1"), (foreign, "127.0.0.2"), (unknown, "127.0.0.1")):
        folder.mkdir()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(folder, host))
        receivers[folder.name] = Receiver(context)
    authorities = tmp_path / "authorities.pem"
    authorities.write_text((known / "127.0.0.1.pem").read_text() + (foreign / "127.0.0.2.pem").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
    try:
        extra = ("--webhooks-allow", "127.0.0.1")
        with launcher.on_store(server.backend, tmp_path / "data", extra=extra) as running:
            client = MlflowClient(running.url)
            for name, receiver in receivers.items():
                made = client.create_webhook(name, receiver.url, ["registered_model.created"], secret=SECRET)
                result = client.test_webhook(made.webhook_id)
                assert result.success == (name == "known"), (name, result)
                if name != "known":
                    assert "certificate" in result.error_message.lower(), result
            client.create_registered_model(unique("told"))
            receivers["known"].wait(2)
            assert receivers["foreign"].got == receivers["unknown"].got == []
    finally:
        for receiver in receivers.values():
            receiver.end()
