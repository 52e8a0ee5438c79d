"""Tables that the server keeps are Delta tables, which other tools open where they lie; clients of Unity Catalog see them."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from databricks.sdk.service.catalog import TableType
from deltalake import DeltaTable, write_deltalake

import launcher
from governed import ensure_schema, workspace

pytestmark = pytest.mark.beyond

CSV = "id,Amount,at,who\n1,2.5,2026-11-24T08:00:00Z,Ana\n2,,2026-11-24 09:00:00,\n3,1e3,2026-11-24,Ümit\n"
ROWS = [
    {"id": 1, "Amount": 2.5, "who": "Ana"},
    {"id": 2, "Amount": None, "who": None},
    {"id": 3, "Amount": 1000.0, "who": "Ümit"},
]


@pytest.fixture
def schema(server, request):
    name = f"s_{abs(hash(request.node.nodeid)) % 10**10}"
    ensure_schema(server, "prod", name)
    return f"prod.{name}"


def strongback(server, *arguments, **options):
    """Runs the command line against the server under test."""
    return subprocess.run(
        [launcher.binary(), *arguments, "--server", server.url], capture_output=True, text=True, timeout=60, **options
    )


def imported(server, tmp_path, name, text=CSV, *arguments):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    done = strongback(server, "table", "import", str(path), "--name", name, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def directory(server, name):
    """Where the table lies, as Unity Catalog's client is told."""
    location = urlsplit(workspace(server).tables.get(name).storage_location)
    assert location.scheme == "file"
    return unquote(location.path)


def test_other_readers_open_the_table_at_each_version(server, schema, tmp_path):
    name = f"{schema}.t"
    assert imported(server, tmp_path, name)["version"] == 1
    assert imported(server, tmp_path, name, "id,amount\n4,1\n")["version"] == 2
    path = directory(server, name)

    table = DeltaTable(path)
    assert table.version() == 2
    assert [field.name for field in table.schema().fields] == ["id", "Amount", "at", "who"]
    first = DeltaTable(path, version=1).to_pyarrow_table(columns=["id", "Amount", "who"])
    assert first.sort_by("id").to_pylist() == ROWS

    assert pl.read_delta(path, version=1).sort("id").select("id", "Amount", "who").to_dicts() == ROWS
    assert pl.scan_delta(path).select(pl.len()).collect().item() == 4

    dataset = duckdb.from_arrow(table.to_pyarrow_dataset())
    assert dataset.aggregate("sum(id), count(Amount)").fetchall() == [(10, 3)]
    files = [f"{path}/{file}" for file in DeltaTable(path).to_pyarrow_dataset().files]
    assert len(files) == 2
    assert duckdb.read_parquet(files).aggregate("count(*)").fetchall() == [(4,)]


def test_unity_catalog_clients_see_it(server, schema, tmp_path):
    name = f"{schema}.t"
    imported(server, tmp_path, name)
    w = workspace(server)
    found = w.tables.get(name)
    assert found.table_type == TableType.MANAGED
    assert [(column.name, column.type_text) for column in found.columns] == [
        ("id", "bigint"),
        ("Amount", "double"),
        ("at", "timestamp"),
        ("who", "string"),
    ]
    assert [table.full_name for table in w.tables.list(*schema.split("."))] == [name]
    w.tables.delete(name)
    assert strongback(server, "sql", f"SELECT * FROM {name}").returncode == 3


def test_parquet_of_pyarrow_lands_with_its_types(server, schema, tmp_path):
    name = f"{schema}.p"
    table = pa.table(
        {
            "small": pa.array([1, None], pa.uint8()),
            "tags": pa.array([["a"], []], pa.list_(pa.string())),
            "place": pa.array([{"x": 1.5}, None], pa.struct([("x", pa.float64())])),
            "word": pa.array(["a", "b"], pa.large_string()).dictionary_encode(),
        }
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    done = strongback(server, "table", "import", str(path), "--name", name, "--json")
    assert done.returncode == 0, done.stderr
    assert DeltaTable(directory(server, name)).to_pyarrow_table().to_pylist() == table.to_pylist()

    pq.write_table(pa.table({"small": pa.array([40_000], pa.int32())}), path)
    refused = strongback(server, "table", "import", str(path), "--name", name)
    assert refused.returncode == 2
    assert "'small'" in refused.stderr


def test_parquet_lands_as_whoever_wrote_it(server, schema, tmp_path):
    """Every codec and form of page that the writers of the field have: none is taken for a damaged or a hostile one."""
    table = pa.table(
        {
            "id": pa.array(range(5_000), pa.int64()),
            "maybe": pa.array([None if row % 3 else row / 7 for row in range(5_000)]),
            "word": pa.array([f"word {row % 11}" for row in range(5_000)]),
            "many": pa.array([[row, None] if row % 2 else [] for row in range(5_000)], pa.list_(pa.int64())),
            "void": pa.array([None] * 5_000, pa.float64()),
        }
    )
    written = {}
    for codec in ("none", "snappy", "gzip", "brotli", "zstd", "lz4"):
        for version in ("1.0", "2.0"):
            path = tmp_path / f"pyarrow-{codec}-{version}.parquet"
            settings = {"data_page_size": 4_096, "use_dictionary": ["word"], "write_page_index": version == "2.0"}
            pq.write_table(table, path, compression=codec, data_page_version=version, row_group_size=2_000, **settings)
            written[path] = len(written)
    for codec in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"):
        path = tmp_path / f"polars-{codec}.parquet"
        pl.from_arrow(table).write_parquet(path, compression=codec, data_page_size=4_096)
        written[path] = len(written)
    for codec in ("uncompressed", "snappy", "gzip", "zstd", "lz4_raw", "brotli"):
        for version in ("V1", "V2"):
            path = tmp_path / f"duckdb-{codec}-{version}.parquet"
            duckdb.sql(f"COPY \"table\" TO '{path}' (FORMAT parquet, COMPRESSION {codec}, PARQUET_VERSION {version})")
            written[path] = len(written)
    name = f"{schema}.w"
    for path, number in written.items():
        done = strongback(server, "table", "import", str(path), "--name", name, "--batch-id", f"b{number}", "--json")
        assert done.returncode == 0, f"{path.name}: {done.stderr}"
    landed = DeltaTable(directory(server, name)).to_pyarrow_table()
    assert landed.num_rows == len(written) * 5_000
    expected = sorted(table.to_pylist(), key=str)
    assert sorted(landed.slice(0, 5_000).to_pylist(), key=str) == expected


def test_the_command_line_answers_in_four_forms(server, schema, tmp_path):
    name = f"{schema}.t"
    imported(server, tmp_path, name)
    query = f"SELECT id, amount FROM {name} ORDER BY id"
    table = strongback(server, "sql", query)
    assert table.stdout.splitlines() == ["id  Amount", "1   2.5", "2   null", "3   1000.0"]
    assert table.stderr == "3 rows\n"
    cut = strongback(server, "sql", query, "--limit", "1")
    assert "there are more" in cut.stderr

    rows = list(csv.DictReader(io.StringIO(strongback(server, "sql", query, "--format", "csv").stdout)))
    assert rows[1] == {"id": "2", "Amount": ""}
    lines = strongback(server, "sql", "-", "--json", input=query).stdout.splitlines()
    assert json.loads(lines[2]) == {"id": 3, "Amount": 1000.0}
    arrow = subprocess.run(
        [launcher.binary(), "sql", query, "--format", "arrow", "--server", server.url], capture_output=True, check=True
    )
    assert pa.ipc.open_stream(arrow.stdout).read_all().column("Amount").to_pylist() == [2.5, None, 1000.0]

    bound = strongback(server, "sql", f"SELECT id FROM {name} WHERE who = $who", "--param", "who=Ana", "--json")
    assert bound.stdout == '{"id":1}\n'
    wrong = strongback(server, "sql", f"SELECT idd FROM {name}")
    assert wrong.returncode == 2
    assert "idd" in wrong.stderr


def test_a_file_lands_once_and_says_so(server, schema, tmp_path):
    name = f"{schema}.t"
    first = imported(server, tmp_path, name)
    again = imported(server, tmp_path, name)
    assert (first["version"], again["version"], again["is_repeat"]) == (1, 1, True)
    path = tmp_path / "bad.csv"
    path.write_text("id,amount\nx,1\n")
    refused = strongback(server, "table", "import", str(path), "--name", name)
    assert refused.returncode == 2
    assert "line 2, column id, 'x': it is no whole number" in refused.stderr
    looked = strongback(server, "table", "import", str(path), "--name", name, "--dry-run")
    assert looked.returncode == 1
    aside = strongback(server, "table", "import", str(path), "--name", name, "--quarantine", f"{schema}.bad", "--json")
    assert json.loads(aside.stdout)["bad_rows"] == 1
    listed = strongback(server, "table", "versions", name)
    assert "append" in listed.stdout
    assert "create" in listed.stdout
    pinned = strongback(server, "table", "pin", name, "--version", "1", "--reason", "audit")
    assert pinned.returncode == 0, pinned.stderr
    cleaned = strongback(server, "table", "vacuum", name, "--keep-from", "1", "--dry-run")
    assert cleaned.returncode == 0, cleaned.stderr
    nameless = strongback(server, "table", "import", str(path), "--name", name, "--batch-id", "")
    assert nameless.returncode == 2
    assert "--batch-id" in nameless.stderr


def test_a_table_is_shown_and_deleted(server, schema, tmp_path):
    name = f"{schema}.t"
    imported(server, tmp_path, name, CSV, "--comment", "what happened")
    assert strongback(server, "table", "pin", name, "--reason", "audit of November").returncode == 0
    shown = strongback(server, "table", "show", name)
    assert shown.returncode == 0, shown.stderr
    for part in ("what happened", "Amount", "double", "audit of November", directory(server, name)):
        assert part in shown.stdout
    said = json.loads(strongback(server, "table", "show", name, "--json").stdout)
    assert (said["newest"]["version"], said["newest"]["rows"]) == (1, 3)
    refused = strongback(server, "table", "delete", name)
    assert refused.returncode == 3
    assert "audit of November" in refused.stderr
    assert "--force" in refused.stderr
    beyond = strongback(server, "table", "vacuum", name, "--keep-from", "9")
    assert beyond.returncode == 2
    assert "for --keep-from:" in beyond.stderr
    assert strongback(server, "table", "delete", name, "--force").returncode == 0
    gone = strongback(server, "table", "show", name)
    assert gone.returncode == 3
    assert "does not exist" in gone.stderr


def test_other_types_are_made_by_a_query(server, schema, tmp_path):
    """What the refusal of a feature table advises: a query makes the column, and its answer is imported."""
    imported(server, tmp_path, f"{schema}.raw", "seconds,card,amount\n1790000000,1.5,2\n1790000060,2.5,3\n")
    declaration = tmp_path / "sums.yaml"

    def declare(source, key):
        declaration.write_text(
            f"version: 1\nname: {schema}.sums\nsource: {schema}.{source}\nkeys: [{key}]\ntimestamp: at\nrow_key: [amount]\npane: 1m\n"
            "features:\n  - {name: n, aggregate: count, window: 5m}\n"
        )
        return strongback(server, "feature-table", "apply", str(declaration))

    query = f"SELECT *, seconds AS at FROM {schema}.raw"
    answer = tmp_path / "rows.csv"
    answer.write_text(strongback(server, "sql", query, "--format", "csv").stdout)
    assert strongback(server, "table", "import", str(answer), "--name", f"{schema}.numbers").returncode == 0
    refused = declare("numbers", "")
    assert refused.returncode == 2
    assert "to_timestamp(COLUMN) AS at" in refused.stderr

    query = f"SELECT *, to_timestamp(seconds) AS at, cast(card AS string) AS key FROM {schema}.raw"
    answer.write_text(strongback(server, "sql", query, "--format", "csv").stdout)
    landed = strongback(server, "table", "import", str(answer), "--name", f"{schema}.rows", "--type", "key:string")
    assert landed.returncode == 0, landed.stderr
    refused = declare("rows", "card")
    assert refused.returncode == 2
    assert "cast(COLUMN AS string) AS key" in refused.stderr
    declared = declare("rows", "key")
    assert declared.returncode == 0, declared.stderr
    shown = strongback(server, "table", "show", f"{schema}.sums")
    assert "by a feature table" in shown.stdout
    assert "aggregate: count" in shown.stdout


def test_a_file_that_was_replaced_takes_its_place_again(server, schema, tmp_path):
    name = f"{schema}.t"
    first, second = "id\n1\n", "id\n2\n"
    assert imported(server, tmp_path, name, first)["version"] == 1
    for text, version in [(second, 2), (first, 3), (second, 4)]:
        done = imported(server, tmp_path, name, text, "--overwrite")
        assert (done["version"], done["is_repeat"]) == (version, False)
        again = imported(server, tmp_path, name, text, "--overwrite")
        assert (again["version"], again["is_repeat"]) == (version, True), "it is what the table has"
        answer = strongback(server, "sql", "--format", "csv", f"SELECT id FROM {name}")
        assert answer.stdout == text


def test_what_another_writer_is_about_to_commit_outlives_a_vacuum(server, schema, tmp_path):
    """Another program has written a file and not committed it yet."""
    name = f"{schema}.t"
    for text, arguments in [("id\n1\n", ()), ("id\n2\n", ("--overwrite",))]:
        imported(server, tmp_path, name, text, *arguments)
    path = Path(directory(server, name))
    with_one_more = tmp_path / "copy"
    shutil.copytree(path, with_one_more)
    write_deltalake(str(with_one_more), pa.table({"id": [3]}), mode="append")
    new = {file.name for file in with_one_more.glob("*.parquet")} - {file.name for file in path.glob("*.parquet")}
    for file in new:
        shutil.copy(with_one_more / file, path / file)
    done = strongback(server, "table", "vacuum", name, "--keep-from", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == 1, "that of the version before"
    commit = "_delta_log/00000000000000000003.json"
    shutil.copy(with_one_more / commit, path / commit)
    assert sorted(DeltaTable(str(path)).to_pyarrow_table()["id"].to_pylist()) == [2, 3]
    # It is a version here before the next one, with its rows.
    assert imported(server, tmp_path, name, "id\n4\n")["version"] == 4
    answer = strongback(server, "sql", "--format", "csv", f"SELECT id FROM {name} ORDER BY id")
    assert answer.stdout == "id\n2\n3\n4\n"
