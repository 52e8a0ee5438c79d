"""PostgreSQL over TLS, by the parameters that its own programs know: what each proves, and what is refused where it is not proved."""

import datetime
import ipaddress
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from mlflow import MlflowClient

import launcher
from conftest import POSTGRES_URL
from raw import MLFLOW, Raw
from test_postgres_away import cluster_of_its_own
from test_server import refuses

pytestmark = [pytest.mark.beyond, pytest.mark.skipif(not POSTGRES_URL, reason="no PostgreSQL")]

HERE = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
ELSEWHERE = [x509.DNSName("db.example.com")]


@pytest.fixture(autouse=True)
def client_environment():
    """No server is shared here, and none is needed for SQLite."""


@dataclass
class Issued:
    """A certificate with its key, in PEM."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)


def issue(name: str, *, by: Issued | None = None, names=(), is_authority=False, held_for_days=1) -> Issued:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(by.certificate.subject if by else subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 9 * day)
        .not_valid_after(now + held_for_days * day)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(made.sign(by.key if by else key, hashes.SHA256()), key)


class Cluster:
    """A PostgreSQL whose certificate a test chooses."""

    def __init__(self, url: str, folder: Path):
        self.url, self.folder = url, folder
        self.authority = issue("authority", is_authority=True)
        self.stranger = issue("stranger", is_authority=True)
        folder.mkdir()
        for name, issued in (("ca", self.authority), ("other", self.stranger)):
            (folder / f"{name}.pem").write_bytes(issued.pem)
        with psycopg.connect(url, autocommit=True) as asking:
            self.data = Path(asking.execute("SHOW data_directory").fetchone()[0])

    def of_server(self, name: str, content: bytes) -> None:
        """Puts a file where the server reads it, as its owner alone may."""
        path = self.data / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        owner = self.data.stat()
        os.chown(path, owner.st_uid, owner.st_gid)

    def loaded(self) -> datetime.datetime:
        """When the server read its files, by a new session, which comes after that with certificates and rules as well."""
        with psycopg.connect(self.url) as asking:
            return asking.execute("SELECT pg_conf_load_time()").fetchone()[0]

    def settle(self, *statements: str) -> None:
        """Runs these, and waits until new sessions know of them."""
        before = self.loaded()
        with psycopg.connect(self.url, autocommit=True) as asking:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                asking.execute(statement)
        deadline = time.monotonic() + 30
        while self.loaded() == before:
            assert time.monotonic() < deadline, "the server does not read its files"
            time.sleep(0.01)

    def present(self, issued: Issued) -> None:
        self.of_server("server.crt", issued.pem)
        self.of_server("server.key", issued.key_pem)
        self.of_server("ca.crt", self.authority.pem)
        self.settle("ALTER SYSTEM SET ssl_ca_file = 'ca.crt'", "ALTER SYSTEM SET ssl = on")

    def database(self, query: str) -> str:
        return f"{launcher.create_database(self.url)}?{query}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with cluster_of_its_own(tmp_path_factory.mktemp("cluster") / "cache") as tool:
        yield Cluster(tool.url, tmp_path_factory.mktemp("certificates") / "here")


@pytest.fixture
def known(cluster):
    """One whose certificate is of the authority and names its host."""
    cluster.present(issue("server", by=cluster.authority, names=HERE))
    return cluster


def opens(database_url: str, data_dir: Path) -> None:
    """A store is made there, which takes a connection that works."""
    command = [str(launcher.binary()), "token", "create", "--principal", "ana", "--database-url", database_url]
    command += ["--data-dir", str(data_dir)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def refused(database_url: str, data_dir: Path) -> str:
    said = refuses("up", "--data-dir", str(data_dir), "--database-url", database_url)
    assert urlsplit(database_url).password not in said
    return said


def test_every_connection_is_encrypted_and_the_server_proved(known, tmp_path):
    url = known.database(f"sslmode=verify-full&sslrootcert={known.folder}/ca.pem&channel_binding=require")
    server = launcher.strongback(tmp_path / "data", database_url=url)
    try:
        client = MlflowClient(server.url)
        run = client.create_run("0")
        client.log_metric(run.info.run_id, "loss", 0.5)
        assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
        assert [found.info.run_id for found in client.search_runs(["0"], "metrics.loss < 1")] == [run.info.run_id]
        with psycopg.connect(known.url) as asking:
            sessions = asking.execute(
                "SELECT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)"
                " WHERE a.application_name = 'strongback'"
            ).fetchall()
        assert sessions
        assert {encrypted for encrypted, _ in sessions} == {True}
        assert {version for _, version in sessions} == {"TLSv1.3"}
        assert server.stop() == 0
    finally:
        server.end()
    # What pg_dump is told is the same.
    command = [str(launcher.binary()), "backup", str(tmp_path / "saved"), "--data-dir", str(tmp_path / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
    done = subprocess.run(
        [*command, "--database-url", url], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_authority_is_refused_and_none_is_asked_for_by_require(known, tmp_path):
    for number, query in enumerate(("sslmode=verify-full", "sslmode=verify-ca", "sslmode=require")):
        url = known.database(f"{query}&sslrootcert={known.folder}/other.pem")
        said = refused(url, tmp_path / f"other-{number}")
        assert "UnknownIssuer" in said, said
        assert "sslrootcert" in said
    said = refused(known.database("sslrootcert=system"), tmp_path / "system")
    assert "UnknownIssuer" in said or "no list of authorities" in said, said
    opens(known.database("sslmode=require"), tmp_path / "any")


def test_the_name_counts_for_verify_full_alone(cluster, tmp_path):
    cluster.present(issue("server", by=cluster.authority, names=ELSEWHERE))
    said = refused(cluster.database(f"sslmode=verify-full&sslrootcert={cluster.folder}/ca.pem"), tmp_path / "full")
    assert "127.0.0.1" in said, said
    assert "db.example.com" in said
    opens(cluster.database(f"sslmode=verify-ca&sslrootcert={cluster.folder}/ca.pem"), tmp_path / "ca")


@pytest.mark.parametrize("is_authority", [True, False])
def test_a_certificate_that_signed_itself_is_known_by_itself(cluster, tmp_path, is_authority):
    own = issue("server", names=HERE, is_authority=is_authority)
    cluster.present(own)
    file = tmp_path / "own.pem"
    file.write_bytes(own.pem)
    opens(cluster.database(f"sslmode=verify-full&sslrootcert={file}"), tmp_path / "data")
    # Nobody is proved by what no longer holds, though the file names it.
    old = issue("server", names=HERE, is_authority=is_authority, held_for_days=-3)
    cluster.present(old)
    file.write_bytes(old.pem)
    assert "expired" in refused(cluster.database(f"sslmode=verify-full&sslrootcert={file}"), tmp_path / "old")
    file.write_bytes(own.pem)
    # Another one with the same name is not the same.
    cluster.present(issue("server", names=HERE, is_authority=is_authority))
    refused(cluster.database(f"sslmode=verify-full&sslrootcert={file}"), tmp_path / "other")


def test_an_authority_that_holds_no_longer_vouches_for_nothing(cluster, tmp_path):
    old = issue("old authority", is_authority=True, held_for_days=-1)
    cluster.present(issue("server", by=old, names=HERE))
    (tmp_path / "old.pem").write_bytes(old.pem)
    said = refused(cluster.database(f"sslmode=verify-full&sslrootcert={tmp_path}/old.pem"), tmp_path / "data")
    assert "UnknownIssuer" in said, said


def test_a_server_in_the_file_vouches_for_no_other(cluster, tmp_path):
    """Whoever has the key of one known server cannot be another one."""
    known = issue("db1", by=cluster.authority, names=ELSEWHERE)
    (tmp_path / "db1.pem").write_bytes(known.pem)
    cluster.present(issue("db2", by=known, names=HERE))
    said = refused(cluster.database(f"sslmode=verify-full&sslrootcert={tmp_path}/db1.pem"), tmp_path / "data")
    assert "UnknownIssuer" in said, said
    # With an authority beside it, as well.
    (tmp_path / "both.pem").write_bytes(known.pem + cluster.authority.pem)
    said = refused(cluster.database(f"sslmode=verify-full&sslrootcert={tmp_path}/both.pem"), tmp_path / "both")
    assert "its certificate" in said or "invalid peer certificate" in said, said


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make such a certificate")
def test_a_certificate_of_the_first_version_is_believed_and_proves_nothing(cluster, tmp_path):
    """As the examples of PostgreSQL's manual make them."""
    (tmp_path / "ca.key").write_bytes(cluster.authority.key_pem)
    (tmp_path / "ca.pem").write_bytes(cluster.authority.pem)
    made = ["openssl", "req", "-new", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr"]
    signed = ["openssl", "x509", "-req", "-in", "server.csr", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key"]
    for command in (made, [*signed, "-CAcreateserial", "-out", "server.crt"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    own = Issued(x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes()), key)
    if own.certificate.version != x509.Version.v1:
        pytest.skip("this openssl makes others")
    cluster.present(own)
    for number, query in enumerate(("", "sslmode=require")):
        opens(cluster.database(query), tmp_path / f"data-{number}")
    said = refused(cluster.database(f"sslmode=verify-full&sslrootcert={cluster.folder}/ca.pem"), tmp_path / "proved")
    assert "version 1" in said, said


def test_what_both_cannot_speak_is_left_where_nothing_was_asked_for(known, tmp_path):
    known.settle(
        "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1'", "ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.1'"
    )
    try:
        opens(known.database("application_name=plain"), tmp_path / "plain")
        refused(known.database("sslmode=require"), tmp_path / "required")
    finally:
        known.settle("ALTER SYSTEM RESET ssl_min_protocol_version", "ALTER SYSTEM RESET ssl_max_protocol_version")


def test_a_file_that_goes_away_for_a_while_is_no_fault_of_callers(known, tmp_path):
    """As while an authority is renewed: callers may try again, and learn nothing of files."""
    file = tmp_path / "ca.pem"
    file.write_bytes((known.folder / "ca.pem").read_bytes())
    server = launcher.strongback(
        tmp_path / "data", database_url=known.database(f"sslmode=verify-full&sslrootcert={file}")
    )
    try:
        raw = Raw(server)
        search = {"max_results": 1}
        assert raw.post(f"{MLFLOW}/experiments/search", search).status == 200
        file.rename(tmp_path / "away.pem")
        known.settle("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongback'")
        answer = raw.post(f"{MLFLOW}/experiments/search", search)
        assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE"), answer
        ready = raw.get("/ready")
        assert ready.status == 503
        for told in (answer.body, ready.body):
            assert b"pem" not in told, told
        assert str(file) in server.log.read_text()
        (tmp_path / "away.pem").rename(file)
        deadline = time.monotonic() + 30
        while raw.post(f"{MLFLOW}/experiments/search", search).status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.stop() == 0
    finally:
        server.end()


def test_a_role_that_needs_a_certificate_shows_its_own(known, tmp_path):
    rules = (known.data / "pg_hba.conf").read_bytes()
    known.of_server("pg_hba.conf", b"hostssl all certified 127.0.0.1/32 cert\n" + rules)
    known.settle("DROP ROLE IF EXISTS certified", "CREATE ROLE certified LOGIN SUPERUSER")
    try:
        for name in ("certified", "somebody"):
            issued = issue(name, by=known.authority)
            (tmp_path / f"{name}.pem").write_bytes(issued.pem)
            (tmp_path / f"{name}.key").write_bytes(issued.key_pem)
            (tmp_path / f"{name}.key").chmod(0o600)

        def url(query):
            parts = urlsplit(known.database(f"sslmode=verify-full&sslrootcert={known.folder}/ca.pem{query}"))
            return urlunsplit(parts._replace(netloc=f"certified:unused@127.0.0.1:{parts.port}"))

        shown = "&sslcert={0}/{1}.pem&sslkey={0}/{2}.key"
        opens(url(shown.format(tmp_path, "certified", "certified")), tmp_path / "right")
        for query in ("", shown.format(tmp_path, "somebody", "somebody")):
            refused(url(query), tmp_path / "wrong")
        said = refused(url(shown.format(tmp_path, "certified", "somebody")), tmp_path / "wrong")
        assert "do not fit" in said, said
        (tmp_path / "certified.key").chmod(0o644)
        said = refused(url(shown.format(tmp_path, "certified", "certified")), tmp_path / "wrong")
        assert "chmod 600" in said, said
        said = refused(url(f"&sslcert={tmp_path}/none.pem&sslkey={tmp_path}/certified.key"), tmp_path / "wrong")
        assert "none.pem" in said, said
    finally:
        known.of_server("pg_hba.conf", rules)
        known.settle()


def test_a_role_that_is_let_in_without_tls_alone_gets_in_where_that_is_allowed(known, tmp_path):
    rules = (known.data / "pg_hba.conf").read_bytes()
    known.of_server(
        "pg_hba.conf", b"hostnossl all plain 127.0.0.1/32 trust\nhostssl all plain 127.0.0.1/32 reject\n" + rules
    )
    known.settle("DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN SUPERUSER")
    try:

        def url(query):
            parts = urlsplit(known.database(query))
            return urlunsplit(parts._replace(netloc=f"plain:unused@127.0.0.1:{parts.port}"))

        refused(url("sslmode=require"), tmp_path / "require")
        opens(url(""), tmp_path / "unsaid")
    finally:
        known.of_server("pg_hba.conf", rules)
        known.settle()


def test_a_server_without_tls_is_refused_unless_that_is_allowed(cluster, tmp_path):
    cluster.settle("ALTER SYSTEM SET ssl = off")
    said = refused(cluster.database("sslmode=require"), tmp_path / "data")
    assert "does not support TLS" in said, said
    opens(cluster.database("sslmode=prefer"), tmp_path / "prefer")


def test_an_import_reads_a_database_over_tls(known):
    """What is there is no store of MLflow's, which is found once the connection stands."""

    def imports(query):
        command = [str(launcher.binary()), "import", "mlflow", known.database(query)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0
        return done.stderr

    assert "UnknownIssuer" in imports(f"sslmode=verify-full&sslrootcert={known.folder}/other.pem")
    said = imports(f"sslmode=verify-full&sslrootcert={known.folder}/ca.pem")
    assert "MLflow" in said, said
    assert "sslmode" not in said
