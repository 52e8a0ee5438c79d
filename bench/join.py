"""The point-in-time join, Parquet to Parquet: ours beside Polars, DuckDB and pandas, in the same run.

Asked is what was known: for each of the labels the newest row of its key at or before its time. Every contender is a process
of its own, started anew each round; rounds are interleaved; its wall time and its largest resident memory are taken by the
kernel's account. All have to give the same answer (rows, labels without a match, sum of what was joined), or there is no
figure. Exit status: 0 measured, 1 a contender failed or another answer, 2 the machine is too noisy to tell.

    bench/join.py [--binary PATH] [--labels 2000000] [--rows 20000000] [--rounds 3] [--order time|shuffled]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept

KEYS = 1_000_000
SPAN = 10_000_000_000  # microseconds
QUERY = "SELECT l.k, l.ts, r.v FROM l ASOF JOIN r MATCH_CONDITION (l.ts >= r.ts) ON l.k = r.k"


def make(folder: Path, labels: int, rows: int, order: str) -> None:
    """Labels and rows with keys and times that repeat, in the order that is asked for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(7)
    for name, count in (("l", labels), ("r", rows)):
        ts = random.integers(0, SPAN, count, dtype=np.int64)
        if order == "time":
            ts.sort()
        columns = {"k": random.integers(0, KEYS, count, dtype=np.int64), "ts": ts}
        if name == "r":
            # One row a key and time: which of two would be the newest is not asked here.
            columns["v"] = columns["k"] * 31 % 1009 + ts % 997
        pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")


def polars(folder: Path) -> None:
    import polars as pl

    left, right = (pl.scan_parquet(folder / f"{name}.parquet").sort("ts") for name in "lr")
    left.join_asof(right, on="ts", by="k", strategy="backward").collect(engine="streaming").write_parquet(
        folder / "out.parquet"
    )


def duckdb(folder: Path) -> None:
    import duckdb as db

    left, right = (f"'{folder / name}.parquet'" for name in "lr")
    db.sql(
        f"COPY (SELECT l.k, l.ts, r.v FROM {left} l ASOF LEFT JOIN {right} r ON l.k = r.k AND l.ts >= r.ts) "
        f"TO '{folder / 'out.parquet'}' (FORMAT parquet)"
    )


def pandas(folder: Path) -> None:
    import pandas as pd

    left, right = (pd.read_parquet(folder / f"{name}.parquet").sort_values("ts") for name in "lr")
    pd.merge_asof(left, right, on="ts", by="k").to_parquet(folder / "out.parquet")


PEERS = {"polars": polars, "duckdb": duckdb, "pandas": pandas}


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and mebibytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{command[0]} {command[-1]} ended with status {status}")
    return seconds, usage.ru_maxrss / 1024


def answer(folder: Path) -> None:
    """Prints how many rows there are, labels without a match, and the sum of what was joined."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column = pq.read_table(folder / "out.parquet", columns=["v"])["v"]
    print(len(column), column.null_count, pc.sum(pc.cast(column.drop_null(), "int64")))


def main() -> int:
    arguments = kept.parser(__doc__)
    arguments.add_argument("--do", help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--labels", type=int, default=2_000_000)
    arguments.add_argument("--rows", type=int, default=20_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--order", choices=["time", "shuffled"], default="time")
    wanted = arguments.parse_args()
    if wanted.do == "make":
        make(wanted.folder, wanted.labels, wanted.rows, wanted.order)
        return 0
    if wanted.do:
        {**PEERS, "answer": answer}[wanted.do](wanted.folder)
        return 0
    bench = kept.Bench(wanted)
    with tempfile.TemporaryDirectory(prefix="strongback-join-") as name:
        print(f"making {wanted.labels:,} labels and {wanted.rows:,} rows, in {wanted.order} order", file=sys.stderr)
        # By processes of their own, so that this one stays small: the account of a child begins with its parent's memory.
        this = [sys.executable, __file__, "--folder", name, "--do"]
        size = ["--labels", str(wanted.labels), "--rows", str(wanted.rows), "--order", wanted.order]
        subprocess.run([*this, "make", *size], check=True)
        commands = {"ours": [bench.tool("strongback-join"), "--folder", name, "--query", QUERY]}
        commands |= {peer: [*this, peer] for peer in PEERS}
        taken: dict[str, list[tuple[float, float]]] = {contender: [] for contender in commands}
        answers = set()
        for number in range(1, wanted.rounds + 1):
            for contender, command in commands.items():
                taken[contender].append(run(command))
                answers.add(subprocess.run([*this, "answer"], check=True, capture_output=True, text=True).stdout)
                seconds, mebibytes = taken[contender][-1]
                print(f"round {number} {contender:<7} {seconds:6.2f} s {mebibytes:7.0f} MiB", file=sys.stderr)
    if len(answers) != 1:
        print(f"no figures: the answers differ: {sorted(answers)}", file=sys.stderr)
        return 1
    best = min(statistics.median(s for s, _ in taken[peer]) for peer in PEERS)
    ours = statistics.median(s for s, _ in taken["ours"])
    bench.keep(
        f"join-{wanted.order}",
        {
            "order": wanted.order,
            "labels": wanted.labels,
            "rows": wanted.rows,
            "fastest_peer_to_ours": best / ours,
            "seconds_and_mebibytes": taken,
        },
    )
    for contender, rounds in taken.items():
        seconds = [s for s, _ in rounds]
        print(
            f"{contender:<7} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f}–{max(seconds):.2f}), "
            f"{statistics.median(m for _, m in rounds):,.0f} MiB"
        )
    print(f"the fastest peer takes {best / ours:.2f} times as long as ours; order {wanted.order}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
