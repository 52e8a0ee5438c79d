"""Fills an MLflow SQLite store with runs and points given as JSON lines, and prints the experiment's id.

Arguments: database file, experiment name. A line with a name makes a run, complete and finished; every line may carry
metrics, params and tags for its run. Schema and experiment are made by MLflow's own store class; the rows go in
directly, because over HTTP a run takes a tenth of a second. Lines of a series come in ascending order, so the last one
written is the latest.
"""

import json
import sqlite3
import sys

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

INSERT_RUN = (
    "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
    " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id, deleted_time)"
    " VALUES (?, ?, 'UNKNOWN', '', '', '', 'FINISHED', ?, ?, '', 'active', ?, ?, NULL)"
)
INSERT_METRICS = "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
INSERT_LATEST = (
    "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)"
)


def main(database: str, experiment_name: str) -> None:
    store = SqlAlchemyStore(f"sqlite:///{database}", "mlflow-artifacts:/")
    known = store.get_experiment_by_name(experiment_name)
    experiment = known.experiment_id if known else store.create_experiment(experiment_name)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA cache_size = -400000")
    connection.execute("PRAGMA synchronous = OFF")
    for line in sys.stdin:
        entry = json.loads(line)
        run = entry["run_id"]
        if "name" in entry:
            start = entry["start_time"]
            place = f"mlflow-artifacts:/{experiment}/{run}/artifacts"
            connection.execute(INSERT_RUN, (run, entry["name"], start, start + 1000, place, int(experiment)))
            entry.setdefault("tags", []).append({"key": "mlflow.runName", "value": entry["name"]})
        points = [(m["key"], m["value"], m["timestamp"], run, m["step"]) for m in entry.get("metrics", [])]
        connection.executemany(INSERT_METRICS, points)
        connection.executemany(INSERT_LATEST, {point[0]: point for point in points}.values())
        for table in ("params", "tags"):
            pairs = [(pair["key"], pair["value"], run) for pair in entry.get(table, [])]
            connection.executemany(f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", pairs)
    connection.commit()
    connection.close()
    print(experiment)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
