"""Lets the second day happen, or its first hours: every transaction is scored as it comes, and what it adds to the features is published before
later ones need it.

One loop a minute of event time. The transactions of a minute are scored first, each by a request of its own; then the
minute lands in the table and its pane is published; then comes the next minute. Which request had which transaction is
kept in ``requests.csv``: days later, somebody knows which were fraud.
"""

import csv
import http.client
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from urllib.parse import urlsplit

import data
import land

ENDPOINT = "fraud"
CONNECTIONS = 8
HERE = local()


def call(method: str, path: str, body: bytes, kind: str = "application/json") -> tuple[dict, dict]:
    """One request on this thread's connection; what was answered, and its headers. Raises for any but 200."""
    if not hasattr(HERE, "connection"):
        HERE.connection = http.client.HTTPConnection(urlsplit(os.environ["STRONGBACK_URL"]).netloc, timeout=60)
    HERE.connection.request(method, path, body, {"Content-Type": kind})
    answer = HERE.connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{method} {path} was answered {answer.status}: {text.decode(errors='replace')[:500]}")
    return json.loads(text), dict(answer.headers)


def score(row: dict) -> tuple[str, float]:
    """Scores one transaction; the id of the request, and how likely it is fraud."""
    record = {name: row[name] for name in data.FEATURES}
    body = {
        "dataframe_records": [record],
        "event_time": row["event_time"],
        "client_request_id": f"tx-{row['tx_id']}",
    }
    answer, headers = call("POST", f"/serving-endpoints/{ENDPOINT}/invocations", json.dumps(body).encode())
    return headers["x-request-id"], answer["predictions"][0][1]


def publish(minute: str, rows: list[dict]) -> None:
    """The rows of a minute land, and the features that they change are there for the next one."""
    lines = ["tx_id,event_time,Amount", *(f"{row['tx_id']},{row['event_time']},{row['Amount']}" for row in rows)]
    call("PUT", f"/api/1.0/tables/prod.risk.transactions/batches/{minute}", "\n".join(lines).encode(), "text/csv")
    job, _ = call("POST", "/api/1.0/feature-tables/prod.risk.amounts/materialize", b'{"wait_ms": 30000}')
    if job["state"] != "succeeded":
        raise SystemExit(f"the features of {minute} are not there: {job}")


def main():
    day_two = land.to_come().to_dict("records")
    minutes: dict[str, list[dict]] = {}
    for row in day_two:
        minutes.setdefault(row["event_time"][:16].replace(":", "-"), []).append(row)
    start, done = time.perf_counter(), 0
    with Path("requests.csv").open("w", newline="") as file, ThreadPoolExecutor(CONNECTIONS) as pool:
        out = csv.writer(file)
        out.writerow(["request_id", "row", "tx_id", "score", data.TARGET])
        for minute, rows in minutes.items():
            for row, (request_id, fraud) in zip(rows, pool.map(score, rows), strict=True):
                out.writerow([request_id, 0, row["tx_id"], fraud, row[data.TARGET]])
            publish(minute, rows)
            done += len(rows)
            if len(rows) and done % 20_000 < len(rows):
                print(f"{minute.replace('-', ':').replace(':', '-', 2)}  {done:>7,} of {len(day_two):,} scored")
    took = time.perf_counter() - start
    print(f"{done:,} requests and {len(minutes):,} panes in {took:.0f} s: {done / took:,.0f} requests/s, none failed")


if __name__ == "__main__":
    main()
