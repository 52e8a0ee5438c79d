"""Finds the best run for one version of the data, as docs/guides/best-run.md says it, and takes the time."""

import statistics
import time

import mlflow

from train import EXPERIMENT, TAGS

REPEATS = 20


def best_runs():
    """The five best runs on this version of the data, best first."""
    return mlflow.search_runs(
        experiment_names=[EXPERIMENT],
        filter_string=f"tags.dataset_version = '{TAGS['dataset_version']}' AND metrics.val_auc > 0.9 AND status = 'FINISHED'",
        order_by=["metrics.val_ap DESC"],
        max_results=5,
    )


def main():
    runs = len(mlflow.search_runs(experiment_names=[EXPERIMENT]))
    times_ms = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = best_runs()
        times_ms.append((time.perf_counter() - start) * 1000)
    for _, run in found.iterrows():
        print(f"{run['tags.mlflow.runName']:<20} AP {run['metrics.val_ap']:.4f}   AUC {run['metrics.val_auc']:.4f}")
    print(
        f"search_runs over {runs} runs: median {statistics.median(times_ms):.1f} ms of {REPEATS}, "
        f"slowest {max(times_ms):.1f} ms, as the Python client sees it"
    )


if __name__ == "__main__":
    main()
