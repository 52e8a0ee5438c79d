"""The command line against a running server: what scripts rely on, which is exit codes, clean output and JSON."""

import json
import os
import subprocess

import pytest

import launcher

pytestmark = pytest.mark.beyond

DONE, NO, WRONG_CALL, REFUSED, AWAY = range(5)


@pytest.fixture
def strongback(server, tmp_path):
    """Runs the binary in an empty directory, pointed at the server; ``url=None`` leaves the server unnamed."""

    def run(*arguments, url=server.url, code=DONE, cwd=tmp_path, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STRONGBACK_")} | variables
        if url:
            environment["STRONGBACK_URL"] = url
        command = [str(launcher.binary()), *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
        )
        assert "panicked" not in done.stderr, done.stderr
        assert done.returncode == code, done
        assert "\x1b" not in done.stdout + done.stderr, "colour although nothing here is a terminal"
        return done

    return run


@pytest.fixture
def catalog(strongback, unique):
    name = unique("cli").replace("-", "_")
    strongback("catalog", "create", name)
    return name


def test_talk_is_not_data(strongback, unique):
    name = unique("cli").replace("-", "_")
    done = strongback("catalog", "create", name)
    assert done.stdout == ""
    assert name in done.stderr


def test_json_is_all_there_is(strongback, catalog):
    listed = json.loads(strongback("catalog", "list", "--json").stdout)
    assert catalog in [one["name"] for one in listed]
    made = json.loads(strongback("schema", "create", f"{catalog}.s", "--json").stdout)
    again = json.loads(strongback("schema", "create", f"{catalog}.s", "--if-not-exists", "--json").stdout)
    assert again["schema_id"] == made["schema_id"]
    declare = ("table", "declare", f"{catalog}.s.t", "--if-not-exists", "--json")
    assert json.loads(strongback(*declare).stdout)["table_id"] == json.loads(strongback(*declare).stdout)["table_id"]


def test_wrong_calls(strongback):
    for arguments in (
        ("catalog", "create"),
        ("catalog", "create", "a.b"),
        ("schema", "create", "risk"),
        ("history", "prod.risk.model"),
        ("history", "prod.risk.model@champion", "--at", "yesterday"),
        ("runs", "best", "--metric", "m", "--where", "tags.x ="),
        ("token", "create", "--principal", "a", "--expires-in", "3"),
        ("audit-log", "list", "--action", "nope"),
        ("catalog", "list", "--server", "127.0.0.1:5000"),
        ("lineage", "x", "--data-dir", "ignored-settings-are-refused"),
    ):
        assert strongback(*arguments, code=WRONG_CALL).stdout == "", arguments


def test_errors_speak_of_flags(strongback, tmp_path, catalog):
    strongback("schema", "create", f"{catalog}.s")
    monitor = tmp_path / "monitor.yaml"
    monitor.write_text(
        f"version: 1\nwatch: {catalog}.s.nothing\nbaseline: {catalog}.s.none@1\nwindow: {{ length: 1h }}\n"
    )
    said = strongback("monitor", "apply", monitor, code=REFUSED).stderr
    assert "'yaml'" not in said
    strongback("table", "declare", f"{catalog}.s.both")
    definition = tmp_path / "train.toml"
    definition.write_text('argv = ["true"]\n')
    strongback("command", "declare", f"{catalog}.s.both", "--file", definition)
    said = strongback("owner", "set", f"{catalog}.s.both", "local", code=WRONG_CALL).stderr
    assert "Say which one with --kind." in said
    strongback("owner", "set", f"{catalog}.s.both", "local", "--kind", "command")
    definition.write_text('argv = ["true", "depth={depth}"]\n[params.depth]\n')
    said = strongback("command", "declare", f"{catalog}.s.both", "--file", definition, code=WRONG_CALL).stderr
    assert "STRONGBACK_PARAM_DEPTH" in said


def test_the_audit_log_is_read_where_the_store_is_or_asked_of_a_server(strongback, catalog):
    """Where there is no data directory, the list is the server's, as other commands have it; a proof never is."""
    listed = strongback("audit-log", "list", "--asset", catalog, "--json")
    assert "There is no data directory here; asking the server" in listed.stderr
    assert [one["action"] for one in json.loads(listed.stdout)["events"]] == ["catalog.create"]
    refused = strongback("audit-log", "verify", code=REFUSED)
    assert "STRONGBACK_DATA_DIR" in refused.stderr


def test_refusals(strongback, catalog):
    assert "exists" in strongback("catalog", "create", catalog, code=REFUSED).stderr
    assert "nope" in strongback("lineage", f"{catalog}.s.nope", code=REFUSED).stderr
    assert "nobody-there" in strongback("owner", "set", catalog, "nobody-there", code=REFUSED).stderr


def test_nothing_found_is_an_answer(strongback, experiment_id):
    best = strongback("runs", "best", "--metric", "never logged", "--json", code=NO)
    assert json.loads(best.stdout) == []


def test_history_before_the_first_move(strongback, client, unique):
    name = unique("model")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/x")
    client.set_registered_model_alias(name, "champion", "1")
    assert "did not exist" in strongback("history", f"{name}@champion", "--at", "2020-01-01", code=NO).stdout
    now = json.loads(strongback("history", f"{name}@champion", "--at", "2999-01-01", "--json").stdout)
    assert now["version_at"] == 1


def test_no_server(strongback):
    nobody = f"http://127.0.0.1:{launcher.free_port()}"
    said = strongback("catalog", "list", url=nobody, code=AWAY).stderr
    assert nobody in said
    assert "strongback up" in said


def test_a_token_goes_to_the_server_that_holds_the_store(strongback, server, unique):
    """Wherever that listens: the server says so in its data directory."""
    store = ["--data-dir", server.data_dir]
    if server.database_url:
        store += ["--database-url", server.database_url]
    name = unique("user")
    done = strongback("token", "create", "--principal", name, *store, url=None)
    assert done.stdout.startswith("sbt_")
    assert server.url in done.stderr
    assert name in [one["principal"] for one in json.loads(strongback("token", "list", "--json").stdout)]


def test_a_reader_that_leaves_is_no_failure(strongback, server):
    list_and_leave = f'"{launcher.binary()}" catalog list --json --server {server.url} | true'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", list_and_leave], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_doctor_changes_nothing(strongback, tmp_path, server):
    _, port = server.address
    found = json.loads(strongback("doctor", "--json", "--port", port, url=None).stdout)
    assert {one["check"] for one in found} >= {"disk", "sync", "port", "metadata", "client", "clock"}
    assert "Strongback" in next(one["what"] for one in found if one["check"] == "port")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stores(server, tmp_path):
    """The flags that name the server's own store, and those of an empty one of the same kind."""
    here, there = ["--data-dir", server.data_dir], ["--data-dir", tmp_path / "new"]
    if not server.database_url:
        yield here, there
        return
    cluster = os.environ["STRONGBACK_TEST_POSTGRES_URL"]
    empty = launcher.create_database(cluster)
    yield [*here, "--database-url", server.database_url], [*there, "--database-url", empty]
    launcher.drop_database(cluster, empty)


def test_backup_restore_and_proof(strongback, stores, catalog, tmp_path):
    """A checkpoint that was exported before holds for what was restored, and a forged one does not."""
    here, there = stores
    kept = tmp_path / "kept.json"
    kept.write_text(strongback("audit-log", "export-checkpoint", *here).stdout)
    made = json.loads(strongback("backup", tmp_path / "b", "--json", *here).stdout)
    assert made["path"] == str(tmp_path / "b")
    strongback("backup", tmp_path / "b", *here, code=REFUSED)
    strongback("restore", tmp_path / "nowhere", *there, code=WRONG_CALL)
    strongback("restore", tmp_path / "b", *there)
    verify = ("audit-log", "verify", "--checkpoint", kept)
    assert "\nverified" in strongback(*verify, *there).stdout
    found = json.loads(strongback("audit-log", "list", "--asset", catalog, "--json", *there).stdout)
    assert [event["action"] for event in found["events"]] == ["catalog.create"]
    assert not found["is_cut"]
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"public_key": "00" * 32}))
    assert "NOT verified" in strongback(*verify, *here, code=NO).stdout


def test_erasing_takes_what_was_said_and_the_log_still_verifies(strongback, stores, unique):
    here, _ = stores
    name = unique("erased").replace("-", "_")
    strongback("catalog", "create", name, "--comment", "ana@example.com asked for it")
    erase = ("audit-log", "erase", "--asset", name, "--json")

    def said():
        listed = json.loads(strongback("audit-log", "list", "--asset", name, "--json", *here).stdout)
        return [event.get("detail") for event in listed["events"]]

    assert "ana@example.com" in str(said())
    strongback(*erase, code=WRONG_CALL)
    dry = json.loads(strongback(*erase, "--dry-run").stdout)
    assert (dry["details"], dry["dry_run"], "ana@example.com" in str(said())) == (1, True, True)
    done = json.loads(strongback(*erase, "--reason", "request 4711").stdout)
    assert (done["details"], done["dry_run"], said()) == (1, False, [None])
    assert json.loads(strongback(*erase, "--reason", "request 4711").stdout)["details"] == 0
    assert json.loads(strongback("audit-log", "verify", "--json", *here).stdout)["erased"] >= 1


def test_what_cannot_be_judged_is_not_called_wrong(strongback, stores, tmp_path):
    here, _ = stores
    strongback("audit-log", "verify", "--data-dir", tmp_path / "none", code=REFUSED)
    strongback("audit-log", "verify", "--checkpoint", tmp_path / "none", *here, code=WRONG_CALL)
