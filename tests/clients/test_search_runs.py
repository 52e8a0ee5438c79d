"""``search_runs``: every form of filter and order over thirty runs, against the same question asked in Python."""

import math
import random
import sys
from dataclasses import dataclass, field
from uuid import uuid4

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType

from expect import all_pages, refused
from raw import MLFLOW

COUNT = 30
START_MS = 1_700_000_000_000


@dataclass
class Spec:
    """What run ``i`` was given. Missing values are absent keys, as in the store."""

    i: int
    metrics: dict = field(default_factory=dict)
    params: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    datasets: list = field(default_factory=list)
    run_id: str = ""

    name = property(lambda self: f"run-{self.i:02}")
    user = property(lambda self: f"user{self.i % 3}")
    status = property(lambda self: ("FINISHED", "FAILED", "FINISHED", "RUNNING")[self.i % 4])
    start = property(lambda self: START_MS + self.i // 2 * 1000)
    end = property(lambda self: None if self.status == "RUNNING" else self.start + 100 + self.i)
    deleted = property(lambda self: self.i >= 28)

    def auc(self, default=math.nan):
        return self.metrics.get("auc", default)

    def numbers(self, key):
        """All that was logged of a metric but NaN, infinities as they are kept."""
        if key not in self.metrics:
            return []
        largest = sys.float_info.max
        return [max(-largest, min(largest, v)) for v in (99.0, self.metrics[key]) if not math.isnan(v)]

    def least(self, key):
        return min(self.numbers(key), default=None)

    def most(self, key):
        return max(self.numbers(key), default=None)

    def named_min(self):
        """`metrics.loss.min`: a metric of that name goes first."""
        return self.metrics.get("loss.min", self.least("loss"))


def specs() -> list[Spec]:
    made = []
    for i in range(COUNT):
        spec = Spec(i)
        if i % 5 != 4:
            spec.metrics["auc"] = 0.5 + i * 0.015625  # exact in binary
        if i == 3:
            spec.metrics["auc"] = math.nan
        if i == 8:
            spec.metrics["auc"] = math.inf
        spec.metrics["loss"] = 1 / (i + 1)
        spec.metrics["val/f1 score"] = -float(i % 4)
        if i % 10 == 6:
            spec.metrics["loss.min"] = 1000.0 - i
        if i % 11 == 0:
            spec.metrics["nothing"] = math.nan
        spec.params = {"depth": str(i % 12), "model": ("lr", "xgb", "RF")[i % 3]}
        if i % 2 == 0:
            spec.params["lr.rate"] = f"{i / 10:.1f}"
        spec.tags = {"team": ("risk-ml", "Risk-ML", "growth")[i % 3]}
        if 10 <= i < 20:
            spec.tags["dataset_version"] = "2024-Q4-v2"
        if i % 6 == 0:
            spec.tags["discount"] = "50%_off"
        if i % 6 == 1:
            spec.tags["discount"] = "50 is off"
        if i % 7 == 0:
            spec.tags["città"] = "Köln"
        if i % 9 == 0:
            spec.tags["quote"] = "it's"
        if i < 6:
            spec.datasets = [(f"ds{i % 2}", f"digest{i % 3}", ("train", "test")[i % 2])]
        made.append(spec)
    return made


@pytest.fixture(scope="module")
def searched(server):
    """``(client, experiment id, specs with their run ids)``; created in a shuffled order."""
    client = MlflowClient(server.url)
    experiment_id = client.create_experiment(f"search-runs-{uuid4().hex[:8]}")
    all_specs = specs()
    for spec in random.Random(5).sample(all_specs, COUNT):
        run = client.create_run(experiment_id, spec.start, {"mlflow.user": spec.user}, spec.name)
        spec.run_id = run.info.run_id
        # An older, better point of each metric: only the latest may count.
        metrics = [Metric(k, 99.0, 1, 0) for k in spec.metrics] + [Metric(k, v, 2, 1) for k, v in spec.metrics.items()]
        params = [Param(*item) for item in spec.params.items()]
        client.log_batch(spec.run_id, metrics, params, [RunTag(*item) for item in spec.tags.items()])
        inputs = [
            DatasetInput(Dataset(name, digest, "local", "{}"), [InputTag("mlflow.data.context", context)])
            for name, digest, context in spec.datasets
        ]
        if inputs:
            client.log_inputs(spec.run_id, inputs)
        if spec.end is not None:
            client.set_terminated(spec.run_id, spec.status, spec.end)
        if spec.deleted:
            client.delete_run(spec.run_id)
    return client, experiment_id, all_specs


def like(text, pattern):
    """SQL's LIKE for patterns with ``%`` only."""
    parts = pattern.split("%")
    position = 0
    for index, part in enumerate(parts):
        at = text.find(part, position)
        if at < 0 or (index == 0 and at != 0):
            return False
        position = at + len(part)
    return parts[-1] == "" or text.endswith(parts[-1])


FILTERS = [
    # metrics: the latest value counts; a missing one never matches; NaN satisfies only !=
    ("metrics.auc > 0.75", lambda r: r.auc() > 0.75),
    ("metrics.auc >= 0.75", lambda r: r.auc() >= 0.75),
    ("metrics.auc < 0.75", lambda r: r.auc() < 0.75),
    ("metrics.auc <= 0.75", lambda r: r.auc() <= 0.75),
    ("metrics.auc = 0.75", lambda r: r.auc() == 0.75),
    ("metrics.auc != 0.75", lambda r: "auc" in r.metrics and r.auc() != 0.75),
    ("metric.auc > 7.5e-1", lambda r: r.auc() > 0.75),
    ("metrics.auc > .75", lambda r: r.auc() > 0.75),
    ("metrics.auc>0.75", lambda r: r.auc() > 0.75),
    ("  metrics.auc   >\n0.75 ", lambda r: r.auc() > 0.75),
    ("metrics.auc > 1000000", lambda r: r.auc() > 1e6),
    ("metrics.auc > -1", lambda r: r.auc() > -1),
    ("metrics.`auc` < 0.6", lambda r: r.auc() < 0.6),
    ('metrics."auc" < 0.6', lambda r: r.auc() < 0.6),
    ("metrics.`val/f1 score` = -2", lambda r: r.metrics["val/f1 score"] == -2),
    ('metrics."val/f1 score" < -1', lambda r: r.metrics["val/f1 score"] < -1),
    ("metrics.missing > 0", lambda r: False),
    ("metrics.missing != 0", lambda r: False),
    # params are text
    ("params.depth = '3'", lambda r: r.params["depth"] == "3"),
    ('params.depth = "3"', lambda r: r.params["depth"] == "3"),
    ("parameter.depth = '3'", lambda r: r.params["depth"] == "3"),
    ("param.depth = '3'", lambda r: r.params["depth"] == "3"),
    ("parameters.depth != '3'", lambda r: r.params["depth"] != "3"),
    ("params.model = 'lr'", lambda r: r.params["model"] == "lr"),
    ("params.model = 'LR'", lambda r: False),
    ("params.model LIKE '%g%'", lambda r: like(r.params["model"], "%g%")),
    ("params.model LIKE 'r%'", lambda r: False),
    ("params.model ILIKE 'r%'", lambda r: r.params["model"] == "RF"),
    ("params.model ilike '_F'", lambda r: r.params["model"] == "RF"),
    ("params.lr.rate = '0.4'", lambda r: r.params.get("lr.rate") == "0.4"),
    ("params.`lr.rate` = '0.4'", lambda r: r.params.get("lr.rate") == "0.4"),
    ("params.lr.rate != '0.4'", lambda r: r.params.get("lr.rate", "0.4") != "0.4"),
    ("params.`lr.rate` IS NULL", lambda r: "lr.rate" not in r.params),
    ("params.`lr.rate` IS NOT NULL", lambda r: "lr.rate" in r.params),
    # tags
    ("tags.team = 'risk-ml'", lambda r: r.tags["team"] == "risk-ml"),
    ("tag.team ILIKE 'RISK-%'", lambda r: r.tags["team"].lower() == "risk-ml"),
    ("tags.dataset_version = '2024-Q4-v2'", lambda r: "dataset_version" in r.tags),
    ("tags.dataset_version != '2024-Q4-v2'", lambda r: False),
    ("tags.dataset_version IS NULL", lambda r: "dataset_version" not in r.tags),
    ("tags.dataset_version IS NOT NULL", lambda r: "dataset_version" in r.tags),
    ("tags.discount LIKE '50%'", lambda r: "discount" in r.tags),
    ("tags.discount LIKE '50%_off'", lambda r: "discount" in r.tags),
    ("tags.discount = '50%_off'", lambda r: r.tags.get("discount") == "50%_off"),
    ("tags.discount LIKE '%is%'", lambda r: r.tags.get("discount") == "50 is off"),
    ("tags.`città` = 'Köln'", lambda r: "città" in r.tags),
    ("tags.`città` LIKE 'K_ln'", lambda r: "città" in r.tags),
    ('tags.quote = "it\'s"', lambda r: "quote" in r.tags),
    ("tags.mlflow.runName = 'run-07'", lambda r: r.i == 7),
    # attributes
    ("run_name = 'run-11'", lambda r: r.i == 11),
    ("attributes.run_name LIKE 'run-1%'", lambda r: r.name.startswith("run-1")),
    ("attribute.`Run name` = 'run-11'", lambda r: r.i == 11),
    ("attr.status = 'FAILED'", lambda r: r.status == "FAILED"),
    ("run.status != 'FINISHED'", lambda r: r.status != "FINISHED"),
    ("status LIKE 'F%'", lambda r: r.status.startswith("F")),
    ("user_id = 'user1'", lambda r: r.user == "user1"),
    (f"start_time > {START_MS + 5000}", lambda r: r.start > START_MS + 5000),
    (f"attributes.start_time <= {START_MS + 5000}", lambda r: r.start <= START_MS + 5000),
    (f"created = {START_MS + 3000}", lambda r: r.start == START_MS + 3000),
    (f"end_time < {START_MS + 3000}", lambda r: r.end is not None and r.end < START_MS + 3000),
    ("run_id = '{7}'", lambda r: r.i == 7),
    ("run_id != '{7}'", lambda r: r.i != 7),
    ("run_id IN ('{7}', '{9}','{11}')", lambda r: r.i in (7, 9, 11)),
    ("attributes.run_id in ('{7}')", lambda r: r.i == 7),
    ("artifact_uri LIKE '%{7}%'", lambda r: r.i == 7),
    # datasets
    ("dataset.name = 'ds1'", lambda r: r.i in (1, 3, 5)),
    ("datasets.digest = 'digest2'", lambda r: r.i in (2, 5)),
    ("dataset.context = 'train'", lambda r: r.i in (0, 2, 4)),
    ("dataset.name IN ('ds0', 'ds1')", lambda r: r.i < 6),
    ("dataset.name LIKE 'ds%' AND dataset.digest = 'digest0'", lambda r: r.i in (0, 3)),
    # several at once
    ("metrics.auc > 0.6 AND params.model = 'xgb'", lambda r: r.auc() > 0.6 and r.params["model"] == "xgb"),
    ("metrics.auc > 0.6 and metrics.auc < 0.8", lambda r: 0.6 < r.auc() < 0.8),
    (
        "tags.dataset_version = '2024-Q4-v2' AND status = 'FINISHED' AND params.depth != '10' AND metrics.loss < 0.08",
        lambda r: "dataset_version" in r.tags and r.status == "FINISHED" and r.i != 10 and r.metrics["loss"] < 0.08,
    ),
    ("tags.team = 'growth' AND params.`lr.rate` IS NULL", lambda r: r.tags["team"] == "growth" and r.i % 2 == 1),
    ("metrics.auc > 0.75 AND", lambda r: r.auc() > 0.75),
    ("", lambda r: True),
]


# Lists, null tests and attributes that MLflow's grammar does not take.
BEYOND = [
    ("params.model IN ('lr', 'RF')", lambda r: r.params["model"] in ("lr", "RF")),
    ("params.`lr.rate` NOT IN ('0.4')", lambda r: r.params.get("lr.rate", "0.4") != "0.4"),
    ('tags.team IN ("growth")', lambda r: r.tags["team"] == "growth"),
    ("tags.dataset_version NOT IN ('x')", lambda r: "dataset_version" in r.tags),
    ("status IN ('FAILED', 'RUNNING')", lambda r: r.status in ("FAILED", "RUNNING")),
    ("status NOT IN ('FAILED', 'RUNNING')", lambda r: r.status not in ("FAILED", "RUNNING")),
    ("user_id IN ('user1')", lambda r: r.user == "user1"),
    ("run_name IN ('run-07', 'run-08', 'nope')", lambda r: r.i in (7, 8)),
    ("end_time IS NULL", lambda r: r.end is None),
    ("attributes.end_time IS NOT NULL", lambda r: r.end is not None),
    ("status IS NULL", lambda r: False),
    ("metrics.auc IS NULL", lambda r: "auc" not in r.metrics),
    ("metrics.auc IS NOT NULL", lambda r: "auc" in r.metrics),
    ("metrics.nothing IS NOT NULL", lambda r: r.i % 11 == 0),
    ("metrics.`loss.min` IS NOT NULL", lambda r: r.i % 10 == 6),
    ("metrics.loss.min IS NULL", lambda r: False),
    ("dataset.name IS NULL", lambda r: r.i >= 6),
    ("dataset.context IS NOT NULL", lambda r: r.i < 6),
    ("lifecycle_stage = 'active'", lambda r: True),
    ("lifecycle_stage IN ('deleted')", lambda r: False),
    ("experiment_id IS NULL", lambda r: False),
    ("NOT (end_time IS NULL OR metrics.auc IS NULL)", lambda r: r.end is not None and "auc" in r.metrics),
]


@pytest.mark.beyond
@pytest.mark.parametrize(("condition", "holds"), BEYOND, ids=[text for text, _ in BEYOND])
def test_lists_and_null_tests_of_everything(searched, condition, holds):
    client, experiment_id, runs = searched
    found = client.search_runs([experiment_id], condition)
    assert {run.info.run_name for run in found} == {r.name for r in runs if not r.deleted and holds(r)}
    found = client.search_runs([experiment_id], f"experiment_id = '{experiment_id}' AND NOT ({condition})")
    assert {run.info.run_name for run in found} == {r.name for r in runs if not r.deleted and not holds(r)}


@pytest.mark.parametrize(("condition", "holds"), FILTERS, ids=[text for text, _ in FILTERS])
def test_filter(searched, condition, holds):
    client, experiment_id, runs = searched
    for spec in runs:
        condition = condition.replace(f"{{{spec.i}}}", spec.run_id)
    found = client.search_runs([experiment_id], condition)
    expected = [spec for spec in runs if not spec.deleted and holds(spec)]
    assert sorted(run.info.run_name for run in found) == [spec.name for spec in expected]


# What MLflow's grammar does not have.
LOGIC = [
    ("params.model = 'lr' OR params.model = 'RF'", lambda r: r.params["model"] in ("lr", "RF")),
    (
        "metrics.auc > 0.8 OR metrics.auc < 0.6 AND tags.team = 'growth'",
        lambda r: r.auc() > 0.8 or (r.auc() < 0.6 and r.tags["team"] == "growth"),
    ),
    (
        "(metrics.auc > 0.8 OR metrics.auc < 0.6) AND tags.team = 'growth'",
        lambda r: (r.auc() > 0.8 or r.auc() < 0.6) and r.tags["team"] == "growth",
    ),
    # What is missing satisfies no comparison, and so the opposite of each.
    ("NOT params.`lr.rate` = '0.4'", lambda r: r.params.get("lr.rate") != "0.4"),
    ("NOT metrics.auc > 0.75", lambda r: not r.auc() > 0.75),
    ("not (status = 'FINISHED' or run_id = '{7}')", lambda r: r.status != "FINISHED" and r.i != 7),
    ("run_id = '{7}' OR artifact_uri LIKE '%{9}%' OR run_name = 'run-11'", lambda r: r.i in (7, 9, 11)),
    ("dataset.name = 'ds1' OR NOT dataset.name LIKE '%'", lambda r: r.i in (1, 3, 5) or r.i >= 6),
    ("NOT NOT (tags.dataset_version IS NULL)", lambda r: "dataset_version" not in r.tags),
]


@pytest.mark.beyond
@pytest.mark.parametrize(("condition", "holds"), LOGIC, ids=[text for text, _ in LOGIC])
def test_or_not_and_parentheses(searched, condition, holds):
    test_filter(searched, condition, holds)


# What MLflow's grammar does not have either. Of each metric 99.0 was logged first.
AGGREGATES = [
    ("metrics.auc.min < 0.6", lambda r: "auc" in r.metrics and r.least("auc") < 0.6),
    ("metrics.`auc`.max > 1e308", lambda r: r.i == 8),
    ("metrics.`auc`.max = 99", lambda r: "auc" in r.metrics and r.i != 8),
    ("metric.auc.min = 99 AND metrics.auc.last != 99", lambda r: r.i in (3, 8)),
    ("NOT metrics.auc.min < 0.6", lambda r: "auc" not in r.metrics or r.least("auc") >= 0.6),
    ("metrics.`val/f1 score`.min = -2", lambda r: r.least("val/f1 score") == -2),
    ('metrics."val/f1 score".max != 99', lambda r: False),
    ("metrics.loss.min >= 0.5", lambda r: r.named_min() >= 0.5),
    ("metrics.`loss`.min >= 0.5", lambda r: r.least("loss") >= 0.5),
    ("metrics.`loss.min` > 0", lambda r: "loss.min" in r.metrics),
    ("metrics.`loss.min`.max > 99", lambda r: "loss.min" in r.metrics),
    ("metrics.loss.last <= 0.1", lambda r: r.metrics["loss"] <= 0.1),
    ("metrics.`loss`.last <= 0.1", lambda r: r.metrics["loss"] <= 0.1),
    ("metrics.nothing.min = 99", lambda r: "nothing" in r.metrics),
    ("metrics.missing.min != 0", lambda r: False),
    ("metrics.auc.mean > 0", lambda r: False),
    (
        "(metrics.loss.min > 500 OR run_id = '{7}') AND NOT metrics.auc.max > 99",
        lambda r: "loss.min" in r.metrics or r.i == 7,
    ),
]


@pytest.mark.beyond
@pytest.mark.parametrize(("condition", "holds"), AGGREGATES, ids=[text for text, _ in AGGREGATES])
def test_all_values_of_a_metric(searched, condition, holds):
    test_filter(searched, condition, holds)


@pytest.mark.beyond
def test_refused_values_of_a_metric(searched):
    client, experiment_id, _ = searched
    with refused("INVALID_PARAMETER_VALUE", "'min', 'max', 'last'"):
        client.search_runs([experiment_id], "metrics.`auc`.mean > 0")
    with refused("INVALID_PARAMETER_VALUE", "\n  metrics.`auc`.mean > 0\n                ^^^^"):
        client.search_runs([experiment_id], "metrics.`auc`.mean > 0")


def by(value, descending):
    """The rule of every order: numbers, then NaN, then missing, whichever the direction; then newest first, then id."""

    def key(spec):
        v = value(spec)
        if v is None:
            rank, v = 2, 0
        elif isinstance(v, float) and math.isnan(v):
            rank, v = 1, 0
        else:
            rank = 0
        return rank, Reversed(v) if descending else v, -spec.start, spec.run_id

    return key


class Reversed:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return other.value < self.value

    def __eq__(self, other):
        return other.value == self.value

    __hash__ = None


ORDERS = [
    (None, by(lambda r: -r.start, False)),
    (["metrics.auc DESC"], by(lambda r: r.metrics.get("auc"), True)),
    (["metrics.auc ASC"], by(lambda r: r.metrics.get("auc"), False)),
    (["metrics.auc"], by(lambda r: r.metrics.get("auc"), False)),
    (["metrics.`val/f1 score` asc"], by(lambda r: r.metrics["val/f1 score"], False)),
    (["params.depth ASC"], by(lambda r: r.params["depth"], False)),
    (["params.depth desc"], by(lambda r: r.params["depth"], True)),
    (["params.`lr.rate` DESC"], by(lambda r: r.params.get("lr.rate"), True)),
    (["tags.dataset_version ASC"], by(lambda r: r.tags.get("dataset_version"), False)),
    (["start_time ASC"], by(lambda r: r.start, False)),
    (["attributes.end_time DESC"], by(lambda r: r.end, True)),
    (["attribute.run_name DESC"], by(lambda r: r.name, True)),
    (["status ASC", "metrics.loss DESC"], lambda r: (r.status, -r.metrics["loss"])),
    (["params.model", "user_id DESC", "run_id ASC"], lambda r: (r.params["model"], Reversed(r.user), r.run_id)),
]


@pytest.mark.parametrize(("order", "key"), ORDERS, ids=[str(order) for order, _ in ORDERS])
def test_order(searched, order, key):
    client, experiment_id, runs = searched
    found = client.search_runs([experiment_id], order_by=order)
    assert [run.info.run_name for run in found] == [s.name for s in sorted((r for r in runs if not r.deleted), key=key)]


AGGREGATE_ORDERS = [
    (["metrics.auc.min"], by(lambda r: r.least("auc"), False)),
    (["metrics.`auc`.min DESC"], by(lambda r: r.least("auc"), True)),
    (["metrics.`auc`.max DESC"], by(lambda r: r.most("auc"), True)),
    (["metrics.loss.min DESC"], by(lambda r: r.named_min(), True)),
    (["metrics.nothing.max", "metrics.loss.last"], lambda r: ("nothing" not in r.metrics, r.metrics["loss"])),
]


def least_dataset(spec, field):
    return min((dataset[field] for dataset in spec.datasets), default=None)


BEYOND_ORDERS = [
    (["dataset.name"], by(lambda r: least_dataset(r, 0), False)),
    (["datasets.digest DESC"], by(lambda r: least_dataset(r, 1), True)),
    (["dataset.context DESC"], by(lambda r: least_dataset(r, 2), True)),
    (["experiment_id DESC", "metrics.loss"], lambda r: r.metrics["loss"]),
    (["lifecycle_stage", "metrics.loss DESC"], lambda r: -r.metrics["loss"]),
]


@pytest.mark.beyond  # refused by the reference
@pytest.mark.parametrize(("order", "key"), BEYOND_ORDERS, ids=[str(order) for order, _ in BEYOND_ORDERS])
def test_order_by_data_sets_and_what_runs_have_of_their_experiment(searched, order, key):
    client, experiment_id, runs = searched
    found = all_pages(client.search_runs, experiment_ids=[experiment_id], order_by=order, max_results=5)
    assert [run.info.run_name for run in found] == [s.name for s in sorted((r for r in runs if not r.deleted), key=key)]


@pytest.mark.beyond  # refused by the reference
def test_life_cycle_stages_of_all_runs(searched):
    client, experiment_id, runs = searched
    deleted = client.search_runs([experiment_id], "lifecycle_stage = 'deleted'", ViewType.ALL)
    assert {run.info.run_name for run in deleted} == {r.name for r in runs if r.deleted}
    found = client.search_runs([experiment_id], "", ViewType.ALL, order_by=["lifecycle_stage DESC"])
    stages = [run.info.lifecycle_stage for run in found]
    assert stages == sorted(stages, reverse=True)


@pytest.mark.beyond
@pytest.mark.parametrize(("order", "key"), AGGREGATE_ORDERS, ids=[str(order) for order, _ in AGGREGATE_ORDERS])
def test_order_by_all_values_of_a_metric(searched, order, key):
    test_order(searched, order, key)
    client, experiment_id, runs = searched
    found = all_pages(client.search_runs, experiment_ids=[experiment_id], order_by=order, max_results=5)
    assert [run.info.run_name for run in found] == [s.name for s in sorted((r for r in runs if not r.deleted), key=key)]


@pytest.mark.parametrize("page", [1, 7, 28, 29])
def test_pages_join_to_the_whole(searched, page):
    client, experiment_id, runs = searched
    found = all_pages(
        client.search_runs, experiment_ids=[experiment_id], order_by=["metrics.auc DESC"], max_results=page
    )
    expected = sorted((r for r in runs if not r.deleted), key=by(lambda r: r.metrics.get("auc"), True))
    assert [run.info.run_name for run in found] == [spec.name for spec in expected]


@pytest.mark.parametrize(
    ("view", "expected"),
    [(ViewType.ACTIVE_ONLY, 28), (ViewType.DELETED_ONLY, 2), (ViewType.ALL, 30)],
)
def test_view(searched, view, expected):
    client, experiment_id, _ = searched
    assert len(client.search_runs([experiment_id], run_view_type=view)) == expected


def test_several_experiments_and_unknown_ones(searched, unique):
    client, experiment_id, _ = searched
    other = client.create_experiment(unique("other"))
    run_id = client.create_run(other).info.run_id
    assert len(client.search_runs([experiment_id, other])) == 29
    assert [run.info.run_id for run in client.search_runs([other, "987654321987654321"])] == [run_id]
    assert client.search_runs(["987654321987654321"]) == []


def test_callers_read_their_own_writes(client, experiment_id):
    for index in range(25):
        run_id = client.create_run(experiment_id).info.run_id
        client.log_batch(run_id, [Metric("fresh", float(index), 1, 0)], [Param("n", str(index))])
        found = client.search_runs([experiment_id], f"metrics.fresh >= {index} AND params.n = '{index}'")
        assert [run.info.run_id for run in found] == [run_id]
        client.log_metric(run_id, "fresh", -1.0, step=1)
        assert client.search_runs([experiment_id], f"metrics.fresh >= {index}") == []


def test_data_frame(searched):
    _, experiment_id, _ = searched
    frame = mlflow.search_runs([experiment_id], "params.model = 'lr'", order_by=["metrics.loss ASC"])
    assert list(frame["tags.mlflow.runName"][:2]) == ["run-27", "run-24"]
    assert frame["metrics.loss"].is_monotonic_increasing


REFUSED = [
    ("metrics.auc BETWEEN 1 AND 2", ""),
    ("metrics.auc > 0.5; DROP TABLE runs", "filter"),
    ("metrics.auc > 'high'", "numeric"),
    ("metrics.auc LIKE '1%'", ""),
    ("metrics.auc == 1", ""),
    ("metrics.auc <> 1", ""),
    ("params.depth > '3'", ">"),
    ("params.depth = 3", "quote"),
    ("params.depth = three", "three"),
    ("tags.team IN ()", "empty list"),
    ("metrics.auc IN (1, 2)", ""),
    ("start_time IN ('1')", "numeric"),
    ("tags.team IN 'a'", ""),
    ("color = 'red'", "color"),
    ("galaxies.x = '1'", "galaxies"),
    ("start_time > '5'", ""),
    ("status > 'FINISHED'", ""),
    ("0.5 < metrics.auc", ""),
    ("metrics.auc >", ""),
    ("metrics.auc", ""),
    ("'unclosed", ""),
    ("   ", ""),
]


@pytest.mark.parametrize(("condition", "fragment"), REFUSED, ids=[text for text, _ in REFUSED])
def test_refused_filters(searched, condition, fragment):
    client, experiment_id, _ = searched
    with refused("INVALID_PARAMETER_VALUE", fragment):
        client.search_runs([experiment_id], condition)


@pytest.mark.parametrize(
    "order",
    ["metrics.auc UPWARDS", "metrics.auc DESC ASC", "color", "galaxies.x", "", "metrics.auc, params.depth"],
)
def test_refused_orders(searched, order):
    client, experiment_id, _ = searched
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_runs([experiment_id], order_by=[order])


@pytest.mark.beyond  # an internal error in the reference
def test_refused_order_given_twice(searched):
    client, experiment_id, _ = searched
    with refused("INVALID_PARAMETER_VALUE", "auc"):
        client.search_runs([experiment_id], order_by=["metrics.auc", "metrics.auc DESC"])


@pytest.mark.parametrize(
    "body",
    [
        {"max_results": 0},
        {"max_results": -5},
        {"max_results": 50_001},
        {"page_token": "###"},
        {"experiment_ids": ["x"]},
    ],
)
def test_refused_requests(raw, searched, body):
    _, experiment_id, _ = searched
    answer = raw.post(f"{MLFLOW}/runs/search", {"experiment_ids": [experiment_id], **body})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


def test_no_experiments_no_runs(raw):
    assert raw.post(f"{MLFLOW}/runs/search", {}).json == {}
