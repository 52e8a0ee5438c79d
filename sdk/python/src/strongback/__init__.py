"""What a Strongback server answers, in Python.

Logging and registering go through ``mlflow``, unchanged. This package asks what mlflow's client has no call for::

    import strongback

    strongback.compare_runs(run_a, run_b)

The server is ``STRONGBACK_URL``, else ``MLFLOW_TRACKING_URI``, else ``http://127.0.0.1:5000``; the token is
``STRONGBACK_TOKEN``, else ``MLFLOW_TRACKING_TOKEN``.
"""

from ._client import StrongbackError
from .compare import (
    Comparison,
    DataPart,
    DataRow,
    Environment,
    MetricRow,
    Row,
    RunSide,
    Section,
    compare_runs,
)

__all__ = [
    "Comparison",
    "DataPart",
    "DataRow",
    "Environment",
    "MetricRow",
    "Row",
    "RunSide",
    "Section",
    "StrongbackError",
    "compare_runs",
]
