"""What serving adds to a model: client-side latency less bare ONNX Runtime's for the same model, at half of saturation.

    $STRONGBACK_VENV/bin/python bench/overhead.py [--binary PATH] [--seconds 10] [--rounds 5]

Two servers, payload log in `process` and in `power` mode, each with the logistic regression and the 200 boosted trees. Saturation
is the highest rate that the generator's closed loop reaches, over 32 and 64 connections; then requests are due at half of it,
evenly spaced, and a latency begins when its request was due. In turn with each server the generator runs the very file that the
server answers with (its converted form), by the same library, in its own process, on the same schedule.

The overhead is the latency less what a bare run takes, percentile less percentile. How late the generator sent its requests is
part of the latency and stands beside it, as does the overhead less a bare run that was begun as late. Exit status: 0 measured, 1
something failed or the rate was not reached, 2 the machine is too noisy to tell.

A processor that has nothing to do halts, and on a virtual machine it takes the host to wake it: at half of saturation every
request pays for that several times. `--awake` keeps the processors from halting by processes that compute when nobody else wants to,
for both sides, and shows what is left.
"""

import importlib.util
import tempfile
from contextlib import ExitStack
from pathlib import Path

import kept
import models
import ours

MODES = ("process", "power")
# Of the overhead, milliseconds; in `power` mode the p99 may have what the machine's own fdatasync takes on top.
GOALS = {"process": (0.2, 1.0), "power": (1.0, 1.0)}


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64, help="at which requests are due")
    parser.add_argument("--awake", action="store_true", help="keep the processors from halting")
    parser.add_argument("--saturation-connections", default="32,64")
    wanted = parser.parse_args()
    bench = kept.Bench(wanted)
    models.quiet()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="strongback-overhead-"))
        if wanted.awake:
            stack.enter_context(kept.awake())
        figures = measure(bench, Path(folder), wanted)
    bench.keep("overhead", {"definition": __doc__.split("\n\n")[2], "is_awake": wanted.awake, "figures": figures})
    if wanted.awake:
        print("the processors were kept from halting")
    for one in figures:
        show(one)


def measure(bench: kept.Bench, folder: Path, wanted) -> list[dict]:
    rows, fitted = models.train()
    body = folder / "row.json"
    body.write_text(models.body(rows))
    figures = []
    with ExitStack() as running:
        servers = {
            mode: running.enter_context(ours.Server(bench.binary, folder / mode, "--payload-log", mode))
            for mode in MODES
        }
        for name, model in fitted.items():
            forms = {}
            for mode, server in servers.items():
                models.log(server.url, name, model, rows)
                forms[mode] = converted(server, name)
            timing = {"seconds": wanted.seconds, "rounds": wanted.rounds}
            targets = [server.target(mode, name) for mode, server in servers.items()]
            closed = bench.score(*targets, body=body, connections=wanted.saturation_connections, **timing)
            for mode, server in servers.items():
                saturation = max(one["requests_per_second"] for one in closed if one["server"] == mode)
                asked, bare = bench.score(
                    server.target(mode, name),
                    f"bare=onnx:{forms[mode]}",
                    body=body,
                    rate=saturation / 2,
                    connections=wanted.connections,
                    onnxruntime=library(),
                    sync_in=folder,
                    **timing,
                )
                figures.append(figure(name, mode, saturation, asked, bare))
    return figures


def converted(server: ours.Server, name: str) -> Path:
    """Makes the endpoint; the file that it answers with."""
    forms = lambda: set(server.data.glob("serving/models/*/model.onnx"))  # noqa: E731
    before = forms()
    server.run("endpoint", "create", name, "--model", f"{name}/1")
    made = forms() - before
    if len(made) != 1:
        raise SystemExit(
            f"{name} is not answered by ONNX Runtime in the server: {server.run('endpoint', 'show', name)}"
        )
    return made.pop()


def library() -> Path:
    """ONNX Runtime's library of this Python, which the servers use as well."""
    package = Path(importlib.util.find_spec("onnxruntime").origin).parent
    return sorted(package.glob("capi/libonnxruntime.so.*"))[-1]


def figure(model: str, mode: str, saturation: float, asked: dict, bare: dict) -> dict:
    p50_goal, p99_goal = GOALS[mode]
    if mode == "power":
        p99_goal += asked["sync_cost"]["p99_ms"]
    overhead = {of: asked[f"{of}_ms"] - bare["paced"][f"own_{of}_ms"] for of in ("p50", "p99")}
    return {
        "model": model,
        "mode": mode,
        "saturation_per_second": saturation,
        "rate_per_second": asked["paced"]["rate"],
        "overhead_p50_ms": overhead["p50"],
        "overhead_p99_ms": overhead["p99"],
        "goal_p50_ms": p50_goal,
        "goal_p99_ms": p99_goal,
        "is_reached": overhead["p50"] <= p50_goal and overhead["p99"] <= p99_goal,
        "as_late_p50_ms": asked["p50_ms"] - bare["p50_ms"],
        "as_late_p99_ms": asked["p99_ms"] - bare["p99_ms"],
        "server": asked,
        "bare": bare,
    }


def show(one: dict) -> None:
    asked, bare = one["server"], one["bare"]
    sync = asked["sync_cost"]
    print(
        f"\n{one['model']}, payload log in {one['mode']} mode, {one['rate_per_second']:,.0f} requests/s of "
        f"{one['saturation_per_second']:,.0f}; fdatasync p50 {sync['p50_ms']:.2f} p99 {sync['p99_ms']:.2f} ms"
    )
    print(f"{'ms':<44}{'p50':>9}{'p99':>9}")
    lines = [
        ("client-side, from when it was due", asked["p50_ms"], asked["p99_ms"]),
        ("  of that, sent late by", asked["paced"]["late_p50_ms"], asked["paced"]["late_p99_ms"]),
        ("bare ONNX Runtime", bare["paced"]["own_p50_ms"], bare["paced"]["own_p99_ms"]),
        ("overhead", one["overhead_p50_ms"], one["overhead_p99_ms"]),
        (
            "goal" + (" (p99: 1 ms and an fdatasync)" if one["mode"] == "power" else ""),
            one["goal_p50_ms"],
            one["goal_p99_ms"],
        ),
        ("overhead less a bare run begun as late", one["as_late_p50_ms"], one["as_late_p99_ms"]),
    ]
    for name, p50, p99 in lines:
        print(f"{name:<44}{p50:>9.3f}{p99:>9.3f}")
    rounds = [value for pair in zip(*asked["percentiles_ms"], strict=True) for value in (min(pair), max(pair))]
    print(f"client-side over the rounds: p50 {rounds[0]:.3f}–{rounds[1]:.3f}, p99 {rounds[2]:.3f}–{rounds[3]:.3f}")
    print("reached" if one["is_reached"] else "NOT reached")


if __name__ == "__main__":
    main()
