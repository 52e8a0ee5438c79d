"""How searches, start and memory grow with the store: 10 thousand, 100 thousand, 1 million runs, as figures and as a plot.

    $STRONGBACK_VENV/bin/python bench/curves.py [--binary PATH] [--sizes 10000 100000 1000000] [--rounds 3]

Each size is a run of `strongback-bench` of its own, on a fresh store: the searches of `README.md`, the same while four clients write,
the start and the resident memory after all of it. MLflow's server is measured beside ours up to `--peer-up-to` runs; above that one
of its searches takes minutes. The plot goes to `docs/curves.svg`; `--draw RESULT…` draws figures that were kept before.

Exit status: 0 measured, 1 something failed, 2 the machine is too noisy to tell.
"""

import json
import subprocess
import sys
from pathlib import Path

import kept

PLOT = kept.HERE.parent / "docs" / "curves.svg"
# How often a size is measured before the machine counts as too noisy.
TRIES = 3
WORKLOADS = ["search", "search-writing", "memory", "start"]
# What is drawn: a panel each, of these figures, with the goals by name of figure and size.
PANELS = {
    "Search, page of 100 (ms)": ["search-100"],
    "Filter and order that disagree (ms)": ["search-disagree"],
    "Search while four clients write, p99 (ms)": ["search-100-writing"],
    "Start to first answer (ms)": ["start"],
    "Resident memory (MiB)": ["memory-resident"],
}
GOALS = {
    ("search-100", 100_000): 5,
    ("search-100", 1_000_000): 20,
    ("start", 100_000): 100,
    ("memory-resident", 100_000): 76.3,
}


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peer-up-to", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draw", type=Path, nargs="+", help="results that were kept; nothing is measured then")
    wanted = parser.parse_args()
    if wanted.draw:
        draw({size: found for one in wanted.draw for size, found in json.loads(one.read_text())["sizes"].items()})
        return
    bench = kept.Bench(wanted)
    sizes = {str(size): measure(bench, size, wanted) for size in wanted.sizes}
    bench.keep("curves", {"sizes": sizes})
    show(sizes)
    draw(sizes)


def measure(bench: kept.Bench, size: int, wanted) -> list[dict]:
    command = [bench.tool("strongback-bench"), *WORKLOADS, "--search-preload", str(size), "--json", "--results", ""]
    command += ["--binary", bench.binary, "--rounds", str(wanted.rounds)]
    command += ["--venv", sys.prefix] + (["--no-peer"] if size > wanted.peer_up_to else [])
    command += ["--accept-noise"] if bench.accept_noise else []
    for _ in range(TRIES):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=kept.HERE)
        if done.returncode != kept.TOO_NOISY:
            break
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)["figures"]


def show(sizes: dict[str, list[dict]]) -> None:
    for size, figures in sizes.items():
        print(f"{int(size):,} runs")
        for figure in figures:
            mine, peer = figure["ours"], figure["peer"]
            beside = f"; MLflow {peer['median']:,.1f}, ratio {figure['ratio']:,.0f}" if peer else ""
            spread = f"{mine['median']:,.1f} {figure['unit']} ({mine['min']:,.1f}–{mine['max']:,.1f})"
            print(f"  {figure['name']}: {spread}{beside}")
            for note in mine["notes"]:
                print(f"      {note}")


def draw(sizes: dict[str, list[dict]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "curves", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    plot, places = pyplot.subplots(1, len(PANELS), figsize=(3.2 * len(PANELS), 3.2))
    for place, (title, names) in zip(places, PANELS.items(), strict=True):
        for side, style in (("ours", "#1f6f4a"), ("peer", "#b0503c")):
            values = dict(points(sizes, names[0], side))
            if values:
                label = "Strongback" if side == "ours" else "MLflow 3.17.2"
                place.plot(list(values), list(values.values()), marker="o", color=style, label=label)
                for at, value in values.items():
                    place.annotate(f"{value:,.3g}", (at, value), textcoords="offset points", xytext=(0, 5), ha="center")
        for (name, size), goal in GOALS.items():
            if name in names:
                place.plot([size], [goal], marker="_", markersize=18, color="#555555", linestyle="", label="goal")
        place.set(title=title, xscale="log", yscale="log", xlabel="runs stored")
        place.margins(0.15)
        place.grid(alpha=0.3)
    lines, labels = places[0].get_legend_handles_labels()
    unique = dict(zip(labels, lines, strict=True))
    plot.legend(unique.values(), unique.keys(), loc="lower center", ncols=len(unique), frameon=False)
    plot.tight_layout(rect=(0, 0.08, 1, 1))
    plot.savefig(PLOT, metadata={"Date": None})
    print(f"drawn as docs/{PLOT.name}", file=sys.stderr)


def points(sizes: dict[str, list[dict]], name: str, side: str):
    for size, figures in sorted(sizes.items(), key=lambda each: int(each[0])):
        for figure in figures:
            if figure["name"] == name and figure[side]:
                yield int(size), figure[side]["median"]


if __name__ == "__main__":
    main()
