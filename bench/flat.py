"""Whether the memory of the server stays what it is: an hour of everyday work on a store of 100,000 runs.

    $STRONGBACK_VENV/bin/python bench/flat.py [--binary PATH] [--runs 100000] [--minutes 60] [--per-second 20]

The store is imported and the server started anew. Then, for so long, runs are written complete (create, one log-batch of 10
metrics, 10 params and 4 tags, finish) at a steady rate by four clients; after every fourth run its client searches a page of 100 with
a filter and an order, reads a history and a run. Resident and anonymous memory of the server process are read every ten seconds.

Flat means that the largest resident memory of the last sixth is at most a tenth above the largest of the second sixth (the first fills
the caches). The machine need not be quiet: nothing is timed. Every answer has to be 200.

Exit status: 0 measured and flat, 1 something failed or it was not flat.
"""

import http.client
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import kept
import ours
import travel

API = "/api/2.0/mlflow"
CLIENTS = 4
READ_EVERY = 4
SAMPLE_SECONDS = 10
PARTS = 6
GROWTH = 1.1


def main() -> None:
    parser = kept.parser(__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--per-second", type=float, default=20)
    wanted = parser.parse_args()
    if wanted.minutes * 60 < (PARTS + 1) * SAMPLE_SECONDS:
        parser.error(
            f"--minutes {wanted.minutes:g} gives too few samples; at least {(PARTS + 1) * SAMPLE_SECONDS / 60:.2g}"
        )
    # A noisy machine is noisy for times.
    wanted.accept_noise = True
    bench = kept.Bench(wanted)
    with tempfile.TemporaryDirectory(prefix="strongback-flat-") as place:
        folder = Path(place)
        database = travel.fill(folder / "source", wanted.runs)
        with ours.Server(bench.binary, folder / "server") as server:
            travel.import_into(server, database, travel.NO_FILES)
        with ours.Server(bench.binary, folder / "server") as server:
            samples, written = watch(server, wanted.minutes * 60, wanted.per_second)
    parts = [samples[len(samples) * at // PARTS : len(samples) * (at + 1) // PARTS] for at in range(PARTS)]
    largest = [max(one["resident_mib"] for one in part) for part in parts]
    figures = {"runs": wanted.runs, "minutes": wanted.minutes, "runs_written": written, "samples": samples}
    bench.keep("flat", figures | {"largest_resident_mib": largest}, is_timed=False)
    print(f"{written:,} complete runs written within {wanted.minutes:g} minutes, on {wanted.runs:,} stored")
    for at, part in enumerate(parts):
        anonymous = max(one["anonymous_mib"] for one in part)
        print(f"  sixth {at + 1}: largest resident {largest[at]:.1f} MiB, anonymous {anonymous:.1f} MiB")
    if largest[-1] > largest[1] * GROWTH:
        raise SystemExit(f"not flat: {largest[-1]:.1f} MiB in the last sixth, {largest[1]:.1f} MiB in the second")


def watch(server: ours.Server, seconds: float, per_second: float) -> tuple[list[dict], int]:
    experiment = Client(server).post("experiments/create", {"name": "flat"})["experiment_id"]
    over = threading.Event()
    workers = [Worker(server, experiment, over, CLIENTS / per_second) for _ in range(CLIENTS)]
    for worker in workers:
        worker.start()
    samples, began = [], time.monotonic()
    while (at := time.monotonic() - began) < seconds and not any(worker.error for worker in workers):
        samples.append({"at_s": round(at)} | memory(server.process.pid))
        if len(samples) % 30 == 1:
            travel.say(f"after {at / 60:.0f} min: {samples[-1]['resident_mib']:.1f} MiB")
        time.sleep(SAMPLE_SECONDS)
    over.set()
    for worker in workers:
        worker.join()
        if worker.error:
            raise SystemExit(f"a request failed: {worker.error}")
    return samples, sum(worker.written for worker in workers)


def memory(pid: int) -> dict[str, float]:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in text.splitlines()[1:]}
    return {"resident_mib": round(fields["Rss"], 1), "anonymous_mib": round(fields["Anonymous"], 1)}


class Client:
    """One kept connection; any answer but 200 is an error."""

    def __init__(self, server: ours.Server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def post(self, path: str, body: dict) -> dict:
        return self.ask("POST", path, json.dumps(body))

    def ask(self, method: str, path: str, body: str | None = None) -> dict:
        self.connection.request(method, f"{API}/{path}", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


class Worker(threading.Thread):
    """Writes a run every so many seconds, and reads after every fourth."""

    def __init__(self, server: ours.Server, experiment: str, over: threading.Event, every: float):
        super().__init__(daemon=True)
        self.client, self.experiment, self.over, self.every = Client(server), experiment, over, every
        self.written, self.error = 0, None

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self.over.is_set():
                run = self.write()
                self.written += 1
                if self.written % READ_EVERY == 0:
                    self.read(run)
                due = max(due + self.every, time.monotonic() - 1)
                self.over.wait(max(0.0, due - time.monotonic()))
        except (OSError, http.client.HTTPException, KeyError) as error:
            self.error = error

    def write(self) -> str:
        at, now = self.written, int(time.time() * 1000)
        start = {"experiment_id": self.experiment, "start_time": now, "run_name": f"flat-{at}"}
        run = self.client.post("runs/create", start)["run"]["info"]["run_id"]
        batch = {
            "run_id": run,
            "metrics": [
                {"key": f"m{one}", "value": (at * 7 + one) % 100 / 100, "timestamp": now, "step": 0}
                for one in range(10)
            ],
            "params": [{"key": f"p{one}", "value": f"value {(at + one) % 89}"} for one in range(10)],
            "tags": [{"key": f"t{one}", "value": f"value {at % 97}"} for one in range(4)],
        }
        self.client.post("runs/log-batch", batch)
        self.client.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": now + 1})
        return run

    def read(self, run: str) -> None:
        search = {
            "experiment_ids": ["1", self.experiment],
            "filter": f"metrics.metric_3 > {self.written % 100 / 100} AND params.param_1 LIKE 'value %'",
            "order_by": ["metrics.metric_1 DESC"],
            "max_results": 100,
        }
        self.client.post("runs/search", search)
        self.client.ask("GET", f"metrics/get-history?run_id={run}&metric_key=m1")
        self.client.ask("GET", f"runs/get?run_id={run}")


if __name__ == "__main__":
    sys.exit(main())
