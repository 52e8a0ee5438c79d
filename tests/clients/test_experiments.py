"""Experiments: names, life cycle, tags and their search."""

import uuid
from urllib.parse import urlencode

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from expect import all_pages, names, refused
from raw import MLFLOW


def test_created_experiment_is_found_by_id_and_by_name(client, unique):
    name = unique("/Shared/fraud/features")
    experiment_id = client.create_experiment(name, tags={"team": "risk", "note": "größer"})
    for found in (client.get_experiment(experiment_id), client.get_experiment_by_name(name)):
        assert found.experiment_id == experiment_id
        assert found.name == name
        assert found.lifecycle_stage == "active"
        assert found.tags == {"team": "risk", "note": "größer"}
        assert found.creation_time > 1_600_000_000_000
        assert found.last_update_time >= found.creation_time
        assert found.artifact_location
    assert experiment_id.isdecimal()


def test_default_experiment_exists(client):
    assert client.get_experiment("0").name == "Default"


def test_artifact_location_is_kept(client, unique):
    experiment_id = client.create_experiment(unique("located"), artifact_location="s3://bucket/somewhere")
    assert client.get_experiment(experiment_id).artifact_location == "s3://bucket/somewhere"


def test_unknown_experiments(client, unique):
    assert client.get_experiment_by_name(unique("never")) is None
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_experiment("999999999999999999")
    with refused("INVALID_PARAMETER_VALUE"):
        client.get_experiment("not-a-number")


def test_a_name_is_taken_once_even_by_a_deleted_experiment(client, unique):
    name = unique("taken")
    experiment_id = client.create_experiment(name)
    with refused("RESOURCE_ALREADY_EXISTS", name):
        client.create_experiment(name)
    client.delete_experiment(experiment_id)
    with refused("RESOURCE_ALREADY_EXISTS", name):
        client.create_experiment(name)


def test_rename(client, unique):
    before, after = unique("before"), unique("after")
    experiment_id = client.create_experiment(before)
    client.rename_experiment(experiment_id, after)
    assert client.get_experiment_by_name(after).experiment_id == experiment_id
    assert client.get_experiment_by_name(before) is None
    client.rename_experiment(experiment_id, after)


@pytest.mark.beyond  # the reference answers with its database's own words
def test_rename_to_a_taken_name(client, unique):
    taken = unique("taken")
    client.create_experiment(taken)
    with refused("RESOURCE_ALREADY_EXISTS", taken):
        client.rename_experiment(client.create_experiment(unique("other")), taken)


def test_delete_and_restore(client, unique):
    name = unique("gone")
    experiment_id = client.create_experiment(name)
    run_id = client.create_run(experiment_id).info.run_id
    client.delete_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "deleted"
    assert client.get_experiment_by_name(name).lifecycle_stage == "deleted"
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.delete_experiment(experiment_id)
    with refused("INVALID_PARAMETER_VALUE"):
        client.create_run(experiment_id)
    with refused("INVALID_PARAMETER_VALUE", "must be in the 'active' state"):
        client.set_experiment_tag(experiment_id, "a", "b")
    with refused("INVALID_STATE", "non-active"):
        client.rename_experiment(experiment_id, unique("renamed"))
    client.restore_experiment(experiment_id)
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.restore_experiment(experiment_id)


@pytest.mark.beyond  # the reference says 500, and its client waits minutes before it tells
def test_what_stays_refused_is_no_server_error(raw, client, experiment_id):
    client.delete_experiment(experiment_id)
    answer = raw.post(f"{MLFLOW}/experiments/update", {"experiment_id": experiment_id, "new_name": "x"})
    assert (answer.status, answer.error_code) == (400, "INVALID_STATE"), answer


def test_tags(client, experiment_id):
    client.set_experiment_tag(experiment_id, "stage", "one")
    client.set_experiment_tag(experiment_id, "stage", "two")
    client.set_experiment_tag(experiment_id, "empty", "")
    assert client.get_experiment(experiment_id).tags == {"stage": "two", "empty": ""}
    client.delete_experiment_tag(experiment_id, "stage")
    assert client.get_experiment(experiment_id).tags == {"empty": ""}
    with refused("RESOURCE_DOES_NOT_EXIST", "stage"):
        client.delete_experiment_tag(experiment_id, "stage")


@pytest.mark.parametrize("length", [500, 501])
def test_name_length(client, unique, length):
    name = unique("x" * 400).ljust(length, "y")
    if length <= 500:
        assert client.get_experiment(client.create_experiment(name)).name == name
    else:
        with refused("INVALID_PARAMETER_VALUE", "name"):
            client.create_experiment(name)


@pytest.fixture(scope="module")
def searched(server):
    """Four experiments that share a prefix: ``(prefix, {letter: id})``; ``d`` is deleted."""
    client = MlflowClient(server.url)
    prefix = f"search-{uuid.uuid4().hex[:8]}"
    ids = {}
    for letter, tags in {
        "a": {"team": "risk"},
        "b": {"team": "Risk", "x.y": "1"},
        "c": {},
        "d": {"team": "risk"},
    }.items():
        ids[letter] = client.create_experiment(f"{prefix}-{letter}", tags={**tags, "batch": prefix})
    client.delete_experiment(ids["d"])
    return prefix, ids


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name = '{p}-a'", "a"),
        ("attribute.name = '{p}-a'", "a"),
        ("name != '{p}-a'", "bc"),
        ("name LIKE '{p}-%'", "abc"),
        ("name LIKE '{P}-%'", ""),
        ("name ILIKE '{P}-%'", "abc"),
        ("name LIKE '{p}-_'", "abc"),
        ("tags.team = 'risk'", "a"),
        ("tag.team = 'risk'", "a"),
        ("tags.team != 'risk'", "b"),
        ("tags.team ILIKE 'RISK'", "ab"),
        ("tags.`x.y` = '1'", "b"),
        ("tags.team IS NULL", "c"),
        ("tags.team IS NOT NULL", "ab"),
        ("creation_time > 0", "abc"),
        ("creation_time < 1000", ""),
        ("last_update_time >= 1000 AND tags.team = 'risk'", "a"),
        ("experiment_id = '{a}'", "a"),
        ("experiment_id != '{a}'", "bc"),
        ("experiment_id IN ('{a}', '{c}')", "ac"),
        ("experiment_id NOT IN ('{a}', '{c}')", "b"),
        pytest.param("(tags.team = 'risk' OR tags.`x.y` = '1')", "ab", marks=pytest.mark.beyond),
        pytest.param("NOT tags.team = 'risk'", "bc", marks=pytest.mark.beyond),
        pytest.param("name IN ('{p}-a', \"{p}-c\", '{p}-d')", "ac", marks=pytest.mark.beyond),
        pytest.param("name NOT IN ('{p}-a')", "bc", marks=pytest.mark.beyond),
        pytest.param("tags.team IN ('risk', 'Risk')", "ab", marks=pytest.mark.beyond),
        pytest.param("tags.team NOT IN ('risk')", "b", marks=pytest.mark.beyond),
        pytest.param("last_update_time IS NOT NULL", "abc", marks=pytest.mark.beyond),
        pytest.param("name IS NULL", "", marks=pytest.mark.beyond),
    ],
)
def test_search_filters(client, searched, condition, expected):
    prefix, ids = searched
    condition = condition.format(p=prefix, P=prefix.upper(), **ids)
    found = client.search_experiments(filter_string=f"tags.batch = '{prefix}' AND {condition}", order_by=["name ASC"])
    assert names(found) == [f"{prefix}-{letter}" for letter in expected]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["name"], "abc"),
        (["name DESC"], "cba"),
        (["creation_time DESC"], "cba"),
        (None, "cba"),
        (["experiment_id ASC"], None),
        pytest.param(["tags.team"], "bac", marks=pytest.mark.beyond),
        pytest.param(["tags.team DESC"], "abc", marks=pytest.mark.beyond),
        pytest.param(["tag.`x.y`", "name DESC"], "bca", marks=pytest.mark.beyond),
    ],
)
def test_search_order(client, searched, order, expected):
    prefix, ids = searched
    found = names(client.search_experiments(filter_string=f"tags.batch = '{prefix}'", order_by=order))
    if expected is None:
        expected = sorted("abc", key=lambda letter: int(ids[letter]))
    if order is None:
        # The newest first; those of one millisecond by id.
        assert sorted(found) == [f"{prefix}-{letter}" for letter in "abc"]
    else:
        assert found == [f"{prefix}-{letter}" for letter in expected]


@pytest.mark.parametrize(
    ("view", "expected"), [(ViewType.ACTIVE_ONLY, "abc"), (ViewType.DELETED_ONLY, "d"), (ViewType.ALL, "abcd")]
)
def test_search_view(client, searched, view, expected):
    prefix, _ = searched
    found = client.search_experiments(view_type=view, filter_string=f"tags.batch = '{prefix}'", order_by=["name"])
    assert names(found) == [f"{prefix}-{letter}" for letter in expected]


def test_search_pages(client, searched):
    prefix, _ = searched
    found = all_pages(
        client.search_experiments, max_results=1, filter_string=f"tags.batch = '{prefix}'", order_by=["name"]
    )
    assert names(found) == [f"{prefix}-{letter}" for letter in "abc"]


@pytest.mark.parametrize(
    ("condition", "fragment"),
    [
        ("color = 'red'", "color"),
        ("name > 'a'", ">"),
        ("name = 'a' XOR name = 'b'", "clause"),
        ("name = unquoted", "unquoted"),
        ("creation_time = 'x'", "x"),
        ("attributes.name = 'a'", "attributes"),
        ("tags.team > 'a'", ">"),
        ("metrics.auc > 1", "metrics"),
    ],
)
def test_search_refuses(client, condition, fragment):
    with refused("INVALID_PARAMETER_VALUE", fragment):
        client.search_experiments(filter_string=condition)


@pytest.mark.parametrize("order", ["name UPWARDS", "tags.team UPWARDS", "metrics.auc", "color"])
def test_search_refuses_orders(client, order):
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_experiments(order_by=[order])


@pytest.mark.parametrize("max_results", [0, -1, 50_001])
def test_search_refuses_page_sizes(raw, max_results):
    answer = raw.post(f"{MLFLOW}/experiments/search", {"max_results": max_results})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


def test_search_by_get(raw, searched):
    prefix, ids = searched
    query = urlencode({"max_results": 5, "filter": f"name = '{prefix}-a'"})
    answer = raw.get(f"{MLFLOW}/experiments/search?{query}")
    assert [found["experiment_id"] for found in answer.json["experiments"]] == [ids["a"]]
