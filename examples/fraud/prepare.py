"""Makes the experiment that the other scripts log to. A team does this once."""

import mlflow

from train import EXPERIMENT

if __name__ == "__main__":
    print(f"experiment {EXPERIMENT} has id {mlflow.create_experiment(EXPERIMENT)}")
