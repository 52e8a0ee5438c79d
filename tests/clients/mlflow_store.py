"""A store of MLflow's own with everything in it that can come along, made by its own client, and what that client says of it."""

import math
import sys
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType

NAN_KEYS = {"odd"}


def fill(uri: str, toy, toy_model, *, artifact_location: str | None = None) -> MlflowClient:
    """Fills a store with runs, models and files."""
    # Not at the top: `told` serves MLflow 2.9 too, in an environment without numpy.
    from mlflow.models import infer_signature

    client = MlflowClient(uri, registry_uri=uri)
    where = {"artifact_location": artifact_location} if artifact_location else {}
    fraud = client.create_experiment("fraud", tags={"team": "risk", "mlflow.note.content": "a note"}, **where)
    gone = client.create_experiment("gone")
    parent = client.create_run(fraud, run_name="parent", tags={"mlflow.user": "ada"}, start_time=1_600_000_000_000)
    parent_id = parent.info.run_id
    points = [Metric("loss", 1 / (1 + step), 1_600_000_000_000 + step, step) for step in range(300)]
    points += [Metric("loss", 0.5, 1_600_000_000_000 + 7, 7)]
    points += [
        Metric("odd", value, 1_600_000_000_100 + at, at - 1)
        for at, value in enumerate((math.nan, math.inf, -math.inf, 0.1))
    ]
    params = [Param("lr", "0.1"), Param("long", "p" * 5_900), Param("empty", ""), Param("slash/ed", "ä")]
    client.log_batch(parent_id, points, params, [RunTag("grüße", "wie geht's\n?"), RunTag("t" * 250, "v" * 4_900)])
    client.set_terminated(parent_id, "FAILED", 1_600_000_100_000)
    child = client.create_run(fraud, tags={"mlflow.parentRunId": parent_id}).info.run_id
    client.log_metric(child, "auc", 0.9, timestamp=1_700_000_000_000, step=3)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    features, labels = toy
    with mlflow.start_run(run_id=child):
        mlflow.log_input(mlflow.data.from_pandas(features, name="toy", targets=None), context="train")
        mlflow.log_input(mlflow.data.from_pandas(features.head(7), name="few"), context="eval")
        mlflow.log_text("hello", "notes/a b/ü.txt")
        mlflow.log_dict({"a": 1}, "config.json")
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            pip_requirements=[],
            registered_model_name="scorer",
            signature=infer_signature(features, labels),
            serialization_format="cloudpickle",
        )
        mlflow.log_metric("val", 0.8, step=1, model_id=info.model_id)
    deleted = client.create_run(fraud, run_name="deleted").info.run_id
    client.log_param(deleted, "a", "1")
    client.delete_run(deleted)
    client.create_run(gone)
    client.delete_experiment(gone)
    client.create_run("0", run_name="of the default one")
    registry(client, child, info.model_id)
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri("")
    return client


def registry(client: MlflowClient, run_id: str, model_id: str) -> None:
    client.update_registered_model("scorer", "what it is")
    client.set_registered_model_tag("scorer", "tier", "1")
    for source, of in ((f"models:/{model_id}", model_id), (f"runs:/{run_id}/model", None)):
        client.create_model_version("scorer", source, run_id, tags={"by": "hand"}, description=source, model_id=of)
    client.delete_model_version("scorer", "2")
    client.set_registered_model_alias("scorer", "champion", "1")
    client.set_registered_model_alias("scorer", "challenger", "3")
    client.transition_model_version_stage("scorer", "1", "Production")
    client.copy_model_version("models:/scorer/1", "copied")


def widen(client: MlflowClient) -> None:
    """Adds what is seen less often: models that runs read and measured, names that are unusual, fields that nobody filled."""
    # Not at the top, for the same reason.
    from mlflow.entities import LoggedModelInput, LoggedModelOutput

    home = client.create_experiment("wide", tags={"empty": "", "t" * 250: "v" * 4_900})
    runs = [
        client.create_run(home, run_name=f"run {number}", tags={"n": str(number)}).info.run_id for number in range(3)
    ]
    for run, status in zip(runs, ("FINISHED", "FAILED", "KILLED"), strict=True):
        odd = [Metric("odd", value, at, at - 2) for at, value in enumerate((math.inf, 1e-320, -math.inf, math.nan))]
        metrics = [Metric(key, step / 7, step, step) for key in ("a b", "c/d.e-f:g") for step in range(30)]
        client.log_batch(
            run, metrics + odd, [Param("p", "ö" * 100), Param("nan", "nan")], [RunTag("a b/c:d", "\u2028\t")]
        )
        client.set_terminated(run, status)
    models = []
    for number in range(6):
        params = {"depth": str(number)} if number % 2 else None
        made = client.create_logged_model(home, f"m{number}", runs[0], {"n": "ü"}, params, model_type="tree")
        client.finalize_logged_model(made.model_id, "READY" if number else "FAILED")
        models.append(made.model_id)
    left = client.create_logged_model(home, "pending").model_id
    client.set_logged_model_tags(left, {"later": "yes"})
    client.delete_logged_model(client.create_logged_model(home, "deleted").model_id)
    data = Dataset("day1", "d1", "local", "{}", schema="{}", profile='{"rows": 3}')
    client.log_inputs(
        runs[1],
        [DatasetInput(data, [InputTag("mlflow.data.context", "eval")])],
        [LoggedModelInput(model) for model in models[1:3]],
    )
    client.log_outputs(runs[2], [LoggedModelOutput(model, step) for step, model in enumerate(models[3:6])])
    of = {"dataset_name": "day1", "dataset_digest": "d1", "model_id": models[1]}
    client.log_metric(runs[1], "auc", 0.5, timestamp=1, step=0)
    client.log_metric(runs[1], "auc", 0.75, timestamp=2, step=1, **of)
    # A model without anything, and versions of nothing that is there.
    client.create_registered_model("bare")
    client.create_registered_model("wide name, ü", {"empty": ""})
    client.create_model_version("wide name, ü", "s3://bucket/model")
    client.create_model_version("wide name, ü", f"runs:/{runs[0]}/gone", runs[0], run_link="https://ci/1")
    client.transition_model_version_stage("wide name, ü", "1", "Staging")
    client.transition_model_version_stage("wide name, ü", "2", "Archived")
    client.set_registered_model_alias("wide name, ü", "ci-green", "2")
    client.delete_registered_model(client.create_registered_model("deleted").name)
    client.delete_experiment(client.create_experiment("gone, and nothing in it"))


def every(search, *arguments, **more) -> list:
    """All pages of a search."""
    page = search(*arguments, **more)
    found = list(page)
    while page.token:
        page = search(*arguments, **more, page_token=page.token)
        found += page
    return found


def told(client: MlflowClient) -> dict:
    """What a client is told of a store, without what must differ: places of files, who owns a version."""
    experiments = every(client.search_experiments, ViewType.ALL, max_results=1_000)
    runs = {}
    for home in experiments:
        for run in every(client.search_runs, [home.experiment_id], run_view_type=ViewType.ALL, max_results=1_000):
            whole = run.to_dictionary()
            whole["info"].pop("artifact_uri")
            # Clients of newer servers show both names of it.
            whole["data"]["metrics"] = {k: number(v) for k, v in whole["data"]["metrics"].items()}
            whole["inputs"]["dataset_inputs"].sort(key=str)
            # A search of MLflow's leaves them out.
            whole["inputs"].pop("model_inputs", None)
            history = {key: points(client, run.info.run_id, key) for key in run.data.metrics}
            runs[run.info.run_id] = whole | {"history": history}
    return {
        "experiments": {e.experiment_id: experiment(e) for e in experiments},
        "runs": runs,
        "models": {m.name: model(m) for m in every(client.search_registered_models, max_results=1_000)},
        "versions": {
            f"{v.name}/{v.version}": version(v) for v in every(client.search_model_versions, max_results=1_000)
        },
        "logged": logged(client, [e.experiment_id for e in experiments if e.lifecycle_stage == "active"]),
    }


def number(value: float) -> str:
    """A database has no infinity: MLflow keeps the largest number in its place, and a folder of runs keeps the word."""
    return repr(max(min(value, sys.float_info.max), -sys.float_info.max)) if value == value else "nan"


def points(client: MlflowClient, run_id: str, key: str) -> list:
    return sorted((p.timestamp, p.step, number(p.value)) for p in client.get_metric_history(run_id, key))


def experiment(e) -> tuple:
    times = () if e.experiment_id == "0" else (e.creation_time, e.last_update_time)
    return (e.name, e.lifecycle_stage, dict(e.tags), *times)


def model(m) -> tuple:
    # A store of MLflow's says numbers here, and its server texts.
    aliases = {alias: str(number) for alias, number in m.aliases.items()}
    return (m.description or "", dict(m.tags), aliases, m.creation_timestamp, m.last_updated_timestamp)


def version(v) -> tuple:
    return (
        v.source,
        v.run_id or "",
        v.run_link or "",
        v.description or "",
        v.current_stage,
        v.status,
        dict(v.tags),
        v.creation_timestamp,
        v.last_updated_timestamp,
    )


def logged(client: MlflowClient, experiments: list[str]) -> dict:
    if not hasattr(client, "search_logged_models"):
        return {}
    found = every(client.search_logged_models, experiments, max_results=50)
    return {
        m.model_id: (
            m.experiment_id, m.name, m.model_type or "", m.source_run_id, m.status, dict(m.tags), dict(m.params),
            m.creation_timestamp, m.last_updated_timestamp,
            sorted((x.key, repr(x.value), x.timestamp, x.step, x.dataset_name or "", x.run_id) for x in m.metrics or []),
        )
        for m in found
    }  # fmt: skip


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
