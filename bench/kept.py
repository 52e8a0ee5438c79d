"""What the benchmarks in Python have in common: a quiet machine before, and figures that are kept with commit and machine."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOAD_MAX = 0.5  # a core
SYNCS = 200
RESULTS = Path(__file__).parent / "results"


def load() -> float:
    """The load average of a minute, a core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def require_quiet(accept_noise: bool) -> float:
    """The load; ends the process with status 2 where it is too high to tell."""
    before = load()
    if before > LOAD_MAX and not accept_noise:
        print(f"the machine is too noisy to tell: load {before:.2f} a core", file=sys.stderr)
        raise SystemExit(2)
    return before


def sync_cost() -> dict[str, float]:
    """What one fdatasync of 4 KiB appended costs here, in milliseconds."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=Path.cwd(), prefix=".sync-") as file:
        for _ in range(SYNCS):
            begun = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1e3)
    return {"p50_ms": percentile(taken, 0.5), "p99_ms": percentile(taken, 0.99)}


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[round((len(values) - 1) * share)]


def machine() -> dict[str, object]:
    """The kind of machine: no host name, no paths."""

    def field(path: str, name: str) -> str:
        with Path(path).open() as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")

    kibibytes = field("/proc/meminfo", "MemTotal").split()[0]
    return {
        "processor": field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(kibibytes) / (1 << 20), 1),
        "kernel": platform.release().split("-")[0],
    }


def keep(what: str, document: dict[str, object]) -> Path:
    """Keeps figures in `bench/results/`, with when, of which commit and on what they were taken, and whether they count."""
    describe = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, cwd=RESULTS, capture_output=True, text=True, check=False).stdout.strip()
    now = time.gmtime()
    head = {
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "commit": commit or "unknown",
        "build": "release",
        "machine": machine(),
        "objection": f"load {document['load_before']:.2f} a core before"
        if document["load_before"] > LOAD_MAX
        else None,
    }
    path = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%SZ', now)}-{what}-{commit.split('-')[0] or 'unknown'}.json"
    path.write_text(json.dumps(head | document, indent=1) + "\n")
    print(f"kept as bench/results/{path.name}", file=sys.stderr)
    return path
