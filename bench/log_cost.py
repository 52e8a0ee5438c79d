"""What the payload log costs: throughput with it against without, a real model computing (200 boosted trees, 30 features).

    $STRONGBACK_VENV/bin/python bench/log_cost.py [--binary PATH] [--unlogged PATH] [--seconds 5] [--rounds 5]

At 64 requests in flight; 1, 8 and 32 are reported too (there one waits for the disk). No setting and no switch keeps a request
out of the log, so the server without it is a build of its own (`bench/unlogged.sh`, made here unless --unlogged names it): the same
code but for the one line that logs. That it logged nothing, and the others everything, is checked by their own figures.
Exit status: 0 measured, 1 something failed, 2 the machine is too noisy to tell.
"""

import json
import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import kept
import models
import ours

MODEL = "gb200"
IN_FLIGHT = 64


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--unlogged", type=Path, help="what bench/unlogged.sh has built before")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", default=f"{IN_FLIGHT},1,8,32")
    wanted = parser.parse_args()
    unlogged = (wanted.unlogged or build(wanted.binary)).absolute()
    bench = kept.Bench(wanted)
    models.quiet()
    with tempfile.TemporaryDirectory(prefix="strongback-log-cost-") as folder:
        figures = measure(bench, unlogged, Path(folder), wanted)
    bench.keep("log-cost", {"definition": __doc__.split("\n\n")[0], "model": MODEL, "figures": figures})
    print(
        f"\n{'requests in flight':>18}  {'payload log':<13}{'requests/s':>12}{'min':>10}{'max':>10}{'p50 ms':>10}{'p99 ms':>10}{'of without':>12}"
    )
    for one in figures:
        print(
            f"{one['connections']:>18}  {one['server']:<13}{one['requests_per_second']:>12,.0f}{min(one['rounds']):>10,.0f}"
            f"{max(one['rounds']):>10,.0f}{one['p50_ms']:>10.2f}{one['p99_ms']:>10.2f}{one['of_without']:>12.1%}"
        )


def build(binary: Path) -> Path:
    """The server without a log, built as the one with it was."""
    profile = "debug" if "debug" in binary.parts else "release"
    environment = os.environ | {"CARGO_TARGET_DIR": str(binary.absolute().parent.parent)}
    command = [kept.HERE / "unlogged.sh", profile]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(1)
    return Path(done.stdout.strip())


def measure(bench: kept.Bench, unlogged: Path, folder: Path, wanted) -> list[dict]:
    rows, fitted = models.train([MODEL])
    body = folder / "row.json"
    body.write_text(models.body(rows))
    with ExitStack() as running:
        servers = {
            "none": ours.Server(unlogged, folder / "none"),
            "process": ours.Server(bench.binary, folder / "process", "--payload-log", "process"),
            "power": ours.Server(bench.binary, folder / "power", "--payload-log", "power"),
        }
        for server in servers.values():
            running.enter_context(server)
            models.log(server.url, MODEL, fitted[MODEL], rows)
            server.run("endpoint", "create", MODEL, "--model", f"{MODEL}/1")
        figures = bench.score(
            *(server.target(mode, MODEL) for mode, server in servers.items()),
            body=body,
            connections=wanted.connections,
            rounds=wanted.rounds,
            seconds=wanted.seconds,
        )
        for mode, server in servers.items():
            check(mode, server, sum(one["requests"] for one in figures if one["server"] == mode))
    return [one | {"of_without": 1 / one["ratio_of_first"]} for one in figures]


def check(mode: str, server: ours.Server, requests: int) -> None:
    """All that was answered is in the log, or nothing is. The warm-up was answered besides."""
    answered = json.loads(server.run("endpoint", "show", MODEL, "--json"))["requests"]
    logged = server.log_of(MODEL)["logged"]
    if answered < requests or logged != (0 if mode == "none" else answered):
        raise SystemExit(
            f"no figures: with the payload log {mode}, of {answered} answered requests {logged} were logged"
        )


if __name__ == "__main__":
    main()
