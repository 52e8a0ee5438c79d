"""What the benchmarks in Python have in common: the programs, a quiet machine before and after, and figures that are kept.

What the machine is, what a sync costs on it, and when it is too noisy is found out by `strongback-bench-machine`, as for the
workloads that are compiled. Exit status of every script: 0 measured, 1 something failed, 2 the machine is too noisy to tell.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
# How long the machine is left alone before its noise is measured once more, and how often that is done again where a look finds
# it noisy: one that stays so has been so before.
SETTLE_SECONDS = 20
LOOKS_AFTER = 4
TOO_NOISY = 2


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[round((len(values) - 1) * share)]


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every script has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "strongback"
    made.add_argument(
        "--binary",
        type=Path,
        default=Path(os.environ.get("STRONGBACK_BIN") or release),
        help="the release build of strongback, with the benchmarks' programs beside it [STRONGBACK_BIN]",
    )
    made.add_argument("--accept-noise", action="store_true", help="measure all the same; the result is no figure")
    return made


@contextmanager
def awake() -> Iterator[None]:
    """Keeps the processors from halting: a process each computes when nobody else wants to, and never before anybody."""
    spinners = [subprocess.Popen([sys.executable, "-c", SPIN, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


# In a session of its own: within one, the scheduler shares a processor out by session first.
SPIN = """
import os, sys
os.setsid()
try:
    open("/proc/self/autogroup", "w").write("19")
except OSError:
    pass
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


class Bench:
    """One measurement: where the programs are, and what the machine was before."""

    def __init__(self, wanted: argparse.Namespace):
        self.binary = wanted.binary.absolute()
        self.accept_noise = wanted.accept_noise
        # Of such a build nothing is kept.
        self.is_debug = "debug" in self.binary.parts
        if self.is_debug and not self.accept_noise:
            raise SystemExit(
                f"{self.binary} is no release build; bench/run.sh makes one, and --accept-noise measures all the same"
            )
        self.facts = self._machine()

    def tool(self, name: str) -> Path:
        """One of the benchmarks' programs."""
        return self.binary.parent / name

    @property
    def sync_cost(self) -> dict[str, float]:
        """What one fdatasync cost before anything was measured."""
        return self.facts["sync_cost"]

    def score(self, *targets: str, body: Path, **options: object) -> list[dict]:
        """What the compiled generator finds out; ends the script where it has no figure."""
        command = [self.tool("strongback-bench-scoring"), *targets, "--body", body]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(1)
        return json.loads(done.stdout)

    def keep(self, what: str, document: dict[str, object], is_timed: bool = True) -> None:
        """Keeps figures in `bench/results/`, with what the machine was. Call it before they are printed: where the machine has
        become too noisy meanwhile there are none, unless nothing of them is a time."""
        after = self._after()
        head = self.facts | {"noise_after": after["noise_after"]}
        head["objection"] = (head["objection"] or after["objection"]) if is_timed else None
        if self.is_debug:
            head["objection"] = "the server is a debug build"
        if head["objection"]:
            print(f"NO FIGURES: {head['objection']}, and that was accepted")
        machine, sync = head["machine"], self.sync_cost
        print(
            f"{head['commit']} at {head['taken_at']}, {machine['cores']} cores of {machine['processor']}; load "
            f"{head['noise_before']['load_average']:.2f} before; fdatasync p50 {sync['p50_ms']:.2f} p99 {sync['p99_ms']:.2f} ms"
        )
        if self.is_debug:
            print("nothing is kept of a debug build", file=sys.stderr)
            return
        commit, at = head["commit"].split("-")[0], head["taken_at"].replace(":", "")
        path = RESULTS / f"{at}-{what}-{commit}.json"
        path.write_text(json.dumps(head | document, indent=1) + "\n")
        print(f"kept as bench/results/{path.name}", file=sys.stderr)

    def _after(self) -> dict:
        """The machine's noise once more, and how noisy it was just before; the script ends where it stays too much."""
        if self.accept_noise:
            return self._machine("--after")
        noisy = []
        for _ in range(LOOKS_AFTER - 1):
            time.sleep(SETTLE_SECONDS)
            after = self._machine("--after", "--accept-noise")
            if not after["objection"]:
                return after | {"noisy_before": noisy}
            noisy.append(after["objection"])
        time.sleep(SETTLE_SECONDS)
        return self._machine("--after") | {"noisy_before": noisy}

    def _machine(self, *arguments: str) -> dict:
        command = [self.tool("strongback-bench-machine"), "--folder", tempfile.gettempdir(), *arguments]
        if self.accept_noise:
            command.append("--accept-noise")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=HERE)
        if done.returncode:
            raise SystemExit(TOO_NOISY if done.returncode == TOO_NOISY else 1)
        return json.loads(done.stdout)
