"""The plain registry: models, versions, tags, aliases, stages, search, copies, as ``MlflowClient`` sees them."""

import mlflow
import pytest
from mlflow.models import infer_signature

from expect import all_pages, names, refused
from raw import MLFLOW


@pytest.fixture
def model(client, unique) -> str:
    """A registered model without versions."""
    return client.create_registered_model(unique("model")).name


@pytest.fixture
def source(client, run_id):
    """A source that a version of this run may have."""
    return f"{client.get_run(run_id).info.artifact_uri}/model"


def test_create_and_get(client, unique):
    name = unique("my model.v2 ü")
    created = client.create_registered_model(name, tags={"team": "risk"}, description="scores transactions")
    found = client.get_registered_model(name)
    for model in (created, found):
        assert (model.name, model.description, model.tags) == (name, "scores transactions", {"team": "risk"})
        assert 0 < model.creation_timestamp <= model.last_updated_timestamp
    assert found.latest_versions == []
    assert found.aliases == {}
    with refused("RESOURCE_ALREADY_EXISTS", name):
        client.create_registered_model(name)


@pytest.mark.parametrize("name", ["", "a/b", "a:b"])
def test_refused_names(client, name):
    with refused("INVALID_PARAMETER_VALUE", "name"):
        client.create_registered_model(name)


def test_unknown_models(client, unique):
    name = unique("never")
    for call in (
        lambda: client.get_registered_model(name),
        lambda: client.delete_registered_model(name),
        lambda: client.update_registered_model(name, "d"),
        lambda: client.rename_registered_model(name, unique("other")),
        lambda: client.create_model_version(name, "s3://bucket/model"),
        lambda: client.get_model_version(name, "1"),
        lambda: client.get_latest_versions(name),
        lambda: client.set_registered_model_tag(name, "a", "b"),
        lambda: client.get_model_version_by_alias(name, "champion"),
    ):
        with refused("RESOURCE_DOES_NOT_EXIST", name):
            call()


def test_update_rename_delete(client, model, unique, run_id, source):
    client.create_model_version(model, source, run_id)
    client.set_registered_model_alias(model, "champion", "1")
    assert client.update_registered_model(model, "new words").description == "new words"
    renamed = unique("renamed")
    client.rename_registered_model(model, renamed)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_registered_model(model)
    version = client.get_model_version_by_alias(renamed, "champion")
    assert (version.name, version.version) == (renamed, "1")
    taken = client.create_registered_model(unique("taken")).name
    with refused("RESOURCE_ALREADY_EXISTS", taken):
        client.rename_registered_model(renamed, taken)
    client.delete_registered_model(renamed)
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.delete_registered_model(renamed)
    assert client.search_model_versions(f"name = '{renamed}'") == []
    client.create_registered_model(renamed)  # the name is free again, and starts anew
    assert client.get_registered_model(renamed).aliases == {}


def test_model_tags(client, model):
    client.set_registered_model_tag(model, "a", "1")
    client.set_registered_model_tag(model, "a", "2")
    client.set_registered_model_tag(model, "b", "x" * 5000)
    assert client.get_registered_model(model).tags == {"a": "2", "b": "x" * 5000}
    client.delete_registered_model_tag(model, "a")
    client.delete_registered_model_tag(model, "a")  # no error here, unlike a run's
    assert list(client.get_registered_model(model).tags) == ["b"]


def test_versions(client, model, run_id, source):
    link = "https://ci.example.com/runs/1"
    first = client.create_model_version(model, source, run_id, {"x": "1"}, link, "one")
    second = client.create_model_version(model, "s3://bucket/elsewhere", run_id)
    assert (first.version, second.version) == ("1", "2")
    found = client.get_model_version(model, "1")
    assert (found.name, found.version, found.source, found.run_id) == (model, "1", source, run_id)
    assert (found.status, found.tags, found.description) == ("READY", {"x": "1"}, "one")
    searched = client.search_model_versions(f"name = '{model}'", order_by=["version_number ASC"])
    assert [version.run_link for version in (first, found, *searched)] == [link, link, link, ""]
    assert client.get_model_version_download_uri(model, "2") == "s3://bucket/elsewhere"
    assert client.update_model_version(model, "1", "uno").description == "uno"
    client.set_model_version_tag(model, "1", "y", "2")
    client.delete_model_version_tag(model, "1", "x")
    assert client.get_model_version(model, "1").tags == {"y": "2"}
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.set_model_version_tag(model, "9", "y", "2")
    client.delete_model_version(model, "1")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.get_model_version(model, "1")
    assert client.create_model_version(model, source, run_id).version == "3"


def test_what_a_version_does_not_have_is_an_empty_text(client, model):
    made = client.create_model_version(model, "s3://bucket/a")
    found = client.search_model_versions(f"name = '{model}'")[0]
    for version in (made, client.get_model_version(model, "1"), found):
        assert (version.description, version.run_id, version.run_link) == ("", "", "")


@pytest.mark.parametrize("place", ["team-a", "", "a/b/c"])
def test_versions_of_runs_whose_experiment_has_a_place_of_its_own(client, model, unique, place):
    location = f"mlflow-artifacts:/{unique(place)}" if place else "mlflow-artifacts:/"
    run = client.create_run(client.create_experiment(unique("placed"), artifact_location=location))
    client.log_text(run.info.run_id, "flavors: {}", "model/MLmodel")
    made = client.create_model_version(model, f"{run.info.artifact_uri}/model", run.info.run_id)
    uri = client.get_model_version_download_uri(model, made.version)
    assert mlflow.artifacts.load_text(f"{uri}/MLmodel") == "flavors: {}"


def test_versions_that_are_alike_in_the_order_go_by_name_and_number(client, unique):
    stem = unique("order")
    for name, versions in (("b", 2), ("a", 1), ("c", 2)):
        client.create_registered_model(f"{stem}-{name}")
        for _ in range(versions):
            client.create_model_version(f"{stem}-{name}", "s3://bucket/x")
    client.set_model_version_tag(f"{stem}-a", "1", "touched", "last")
    found = client.search_model_versions(f"name LIKE '{stem}-%'", order_by=["version_number DESC"])
    assert [f"{v.name[-1]}{v.version}" for v in found] == ["b2", "c2", "a1", "b1", "c1"]
    found = client.search_model_versions(f"name LIKE '{stem}-%'")
    assert found[0].name.endswith("-a")


@pytest.mark.beyond  # numbers are never reused; the reference gives out the highest again
def test_number_of_a_deleted_version_is_not_reused(client, model):
    client.create_model_version(model, "s3://bucket/a")
    client.delete_model_version(model, "1")
    assert client.create_model_version(model, "s3://bucket/b").version == "2"


def test_version_must_be_a_number(raw, model):
    answer = raw.get(f"{MLFLOW}/model-versions/get?name={model}&version=first")
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


@pytest.mark.parametrize(
    "bad",
    [
        "/etc",
        "file:///etc",
        "s3://bucket/../x",
        "mlflow-artifacts:/%2e%2e/x",
        "http://evil/x",
        "models:/",
        "mlflow-artifacts:/0/x",
    ],
)
def test_refused_sources(client, model, run_id, bad):
    with refused("INVALID_PARAMETER_VALUE"):
        client.create_model_version(model, bad, run_id if bad.endswith("0/x") else None)


def test_source_of_a_missing_model(client, model, unique):
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.create_model_version(model, f"models:/{unique('never')}/1")


def test_aliases(client, model):
    for _ in range(3):
        client.create_model_version(model, "s3://bucket/model")
    client.set_registered_model_alias(model, "champion", "1")
    client.set_registered_model_alias(model, "Challenger_2-b", "2")
    client.set_registered_model_alias(model, "champion", "3")
    assert client.get_registered_model(model).aliases == {"champion": "3", "Challenger_2-b": "2"}
    assert client.get_model_version_by_alias(model, "champion").version == "3"
    assert client.get_model_version(model, "3").aliases == ["champion"]
    assert client.get_model_version(model, "1").aliases == []
    client.delete_registered_model_alias(model, "champion")
    client.delete_registered_model_alias(model, "champion")
    with refused("INVALID_PARAMETER_VALUE", "champion", "not found"):
        client.get_model_version_by_alias(model, "champion")
    with refused("RESOURCE_DOES_NOT_EXIST"):
        client.set_registered_model_alias(model, "champion", "9")
    client.delete_model_version(model, "2")
    assert client.get_registered_model(model).aliases == {}


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V12", "a b", "a/b", "a.b", "", "x" * 256])
def test_refused_aliases(client, model, alias):
    client.create_model_version(model, "s3://bucket/model")
    with refused("INVALID_PARAMETER_VALUE"):
        client.set_registered_model_alias(model, alias, "1")


def test_latest_is_the_highest(client, model):
    for _ in range(2):
        client.create_model_version(model, "s3://bucket/model")
    assert client.get_model_version_by_alias(model, "latest").version == "2"


@pytest.mark.filterwarnings("ignore")
def test_stages(client, model):
    for _ in range(3):
        client.create_model_version(model, "s3://bucket/model")
    assert client.transition_model_version_stage(model, "1", "production").current_stage == "Production"
    client.transition_model_version_stage(model, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(model, "1").current_stage == "Archived"
    client.transition_model_version_stage(model, "3", "Staging")
    latest = {v.current_stage: v.version for v in client.get_latest_versions(model)}
    assert latest == {"Archived": "1", "Production": "2", "Staging": "3"}
    assert [v.version for v in client.get_latest_versions(model, ["PRODUCTION"])] == ["2"]
    with refused("INVALID_PARAMETER_VALUE", "stage"):
        client.transition_model_version_stage(model, "1", "Nowhere")


@pytest.fixture(scope="module")
def searched(server):
    """``(prefix, run id)`` of models ``a`` (2 versions), ``b`` (1) and ``C`` (none)."""
    from uuid import uuid4

    client = mlflow.MlflowClient(server.url)
    prefix = f"found-{uuid4().hex[:8]}"
    run_id = client.create_run(client.create_experiment(prefix)).info.run_id
    for letter, versions, tags in (("a", 2, {"team": "risk"}), ("b", 1, {"team": "growth"}), ("C", 0, {})):
        name = client.create_registered_model(f"{prefix}-{letter}", tags).name
        for number in range(1, versions + 1):
            client.create_model_version(
                name,
                f"s3://bucket/{letter}/{number}",
                run_id if number == 1 else None,
                {"n": str(number), "batch": prefix},
            )
    return prefix, run_id


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name LIKE '{p}%'", "Cab"),
        ("name = '{p}-a'", "a"),
        ("name ILIKE '{P}-A'", "a"),
        ("name LIKE '{p}-_' AND name != '{p}-a'", "Cb"),
        ("name LIKE '{p}%' AND tags.team = 'risk'", "a"),
        ("name LIKE '{p}%' AND tag.team != 'risk'", "b"),
        ("name LIKE '{p}%' AND tags.team LIKE '%r%'", "ab"),
        ("name IN ('{p}-a', '{p}-C')", "Ca"),
    ],
)
def test_search_models(client, searched, condition, expected):
    prefix, _ = searched
    found = client.search_registered_models(condition.format(p=prefix, P=prefix.upper()), order_by=["name ASC"])
    assert names(found) == [f"{prefix}-{letter}" for letter in expected]


def test_search_models_orders_and_pages(client, searched):
    prefix, _ = searched
    condition = f"name LIKE '{prefix}%'"
    found = client.search_registered_models(condition, order_by=["name DESC"])
    assert names(found) == [f"{prefix}-{letter}" for letter in "baC"]
    assert names(client.search_registered_models(condition)) == [f"{prefix}-{letter}" for letter in "Cab"]
    found = all_pages(client.search_registered_models, filter_string=condition, max_results=1)
    assert names(found) == [f"{prefix}-{letter}" for letter in "Cab"]
    assert [v.version for v in found[1].latest_versions] == ["2"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("", ["b1", "a2", "a1"]),
        ("name = '{p}-a'", ["a2", "a1"]),
        ("name LIKE '{p}%' AND version_number > 1", ["a2"]),
        ("name = '{p}-a' AND version_number = '1'", ["a1"]),
        ("run_id = '{run}'", ["b1", "a1"]),
        ("run_id IN ('{run}')", ["b1", "a1"]),
        ("source_path LIKE 's3://bucket/a/%'", ["a2", "a1"]),
        ("tags.n = '2'", ["a2"]),
        ("tags.n != '2'", ["b1", "a1"]),
    ],
)
def test_search_versions(client, searched, condition, expected):
    prefix, run_id = searched
    condition = " AND ".join(filter(None, [f"tags.batch = '{prefix}'", condition.format(p=prefix, run=run_id)]))
    found = client.search_model_versions(condition, order_by=["name DESC", "version_number DESC"])
    assert [f"{version.name[-1]}{version.version}" for version in found] == expected


@pytest.mark.parametrize("condition", ["color = 'x'", "name > 'x'", "name = 'a' XOR name = 'b'", "name = 1"])
def test_search_refuses(client, condition):
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_registered_models(condition)
    with refused("INVALID_PARAMETER_VALUE"):
        client.search_model_versions(condition)


@pytest.mark.beyond  # MLflow's grammar has none of these
def test_search_with_or_not_and_parentheses(client, searched):
    prefix, run_id = searched
    for condition, expected in [
        (f"name = '{prefix}-a' OR name = '{prefix}-b'", ["b1", "a2", "a1"]),
        (f"tags.batch = '{prefix}' AND NOT name = '{prefix}-a'", ["b1"]),
        (f"tags.batch = '{prefix}' AND (run_id = '{run_id}' OR tags.n = '2')", ["b1", "a2", "a1"]),
        (f"NOT (NOT name = '{prefix}-a' OR tags.n = '1')", ["a2"]),
    ]:
        found = client.search_model_versions(condition, order_by=["name DESC", "version_number DESC"])
        assert [f"{version.name[-1]}{version.version}" for version in found] == expected, condition
    # The client writes a condition on prompts beside it, without parentheses.
    client.register_prompt(f"{prefix}-p", "Is {{ this }} a fraud?")
    found = client.search_registered_models(f"name = '{prefix}-p' OR name = '{prefix}-a'")
    assert [model.name[-1] for model in found] == ["a"]
    prompts = client.search_prompts(f"name = '{prefix}-a' OR name = '{prefix}-p'")
    assert [prompt.name[-1] for prompt in prompts] == ["p"]
    found = client.search_registered_models(f"name LIKE '{prefix}%' AND (tags.team = 'risk' OR NOT tags.team LIKE '%')")
    assert sorted(model.name[-1] for model in found) == ["C", "a"]


@pytest.mark.beyond  # refused by the reference, some by an internal error
@pytest.mark.parametrize(
    ("condition", "order", "expected"),
    [
        ("tags.team IS NULL", ["name"], "C"),
        ("tags.team IS NOT NULL", ["name"], "ab"),
        ("tags.team IN ('risk', 'x')", ["name"], "a"),
        ("tags.team NOT IN ('risk', 'x')", ["name"], "b"),
        ("description IS NULL", ["name"], "Cab"),
        ("creation_timestamp > 0", ["tags.team"], "baC"),
        ("name LIKE '%'", ["tags.team DESC"], "abC"),
        ("name LIKE '%'", ["description", "name DESC"], "baC"),
    ],
)
def test_search_models_by_everything(client, searched, condition, order, expected):
    prefix, _ = searched
    condition = f"name LIKE '{prefix}-_' AND name != '{prefix}-p' AND {condition}"
    found = all_pages(client.search_registered_models, filter_string=condition, order_by=order, max_results=2)
    assert "".join(model.name[-1] for model in found) == expected


@pytest.mark.beyond  # refused by the reference, some by an internal error
@pytest.mark.parametrize(
    ("condition", "order", "expected"),
    [
        ("run_id IS NULL", ["name"], ["a2"]),
        ("run_id IS NOT NULL", ["name"], ["a1", "b1"]),
        ("tags.n IN ('1')", ["name DESC"], ["b1", "a1"]),
        ("tags.n NOT IN ('1')", ["name DESC"], ["a2"]),
        ("tags.n IS NULL", ["name"], []),
        ("source_path IN ('s3://bucket/b/1')", ["name"], ["b1"]),
        ("name LIKE '%'", ["tags.n DESC", "name"], ["a2", "a1", "b1"]),
        ("name LIKE '%'", ["run_id", "name"], ["a1", "b1", "a2"]),
        ("name LIKE '%'", ["source_path DESC"], ["b1", "a2", "a1"]),
    ],
)
def test_search_versions_by_everything(client, searched, condition, order, expected):
    prefix, _ = searched
    condition = f"tags.batch = '{prefix}' AND {condition}"
    found = all_pages(client.search_model_versions, filter_string=condition, order_by=order, max_results=2)
    assert [f"{version.name[-1]}{version.version}" for version in found] == expected


@pytest.mark.parametrize(
    ("path", "size"), [("registered-models", 1001), ("model-versions", 200_001), ("model-versions", 0)]
)
def test_search_refuses_page_sizes(raw, path, size):
    answer = raw.get(f"{MLFLOW}/{path}/search?max_results={size}")
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE"), answer


def log_toy(experiment_id, toy, toy_model, **arguments):
    features, _ = toy
    signature = infer_signature(features, toy_model.predict(features))
    with mlflow.start_run(experiment_id=experiment_id):
        return mlflow.sklearn.log_model(
            toy_model, name="model", signature=signature, pip_requirements=["scikit-learn"], **arguments
        )


def test_register_load_and_copy(client, experiment_id, toy, toy_model, unique):
    features, _ = toy
    expected = list(toy_model.predict(features))
    name, copy = unique("registered"), unique("copy")
    info = log_toy(experiment_id, toy, toy_model, registered_model_name=name)
    assert info.registered_model_version == "1"
    version = client.get_model_version(name, "1")
    assert (version.status, version.run_id, version.source) == ("READY", info.run_id, f"models:/{info.model_id}")
    again = mlflow.register_model(info.model_uri, name, tags={"again": "yes"})
    assert (again.version, again.tags) == ("2", {"again": "yes"})
    client.set_registered_model_alias(name, "champion", "1")
    for uri in (f"models:/{name}@champion", f"models:/{name}/2", f"models:/{name}/latest"):
        assert list(mlflow.pyfunc.load_model(uri).predict(features)) == expected
    copied = client.copy_model_version(f"models:/{name}@champion", copy)
    assert (copied.name, copied.version, copied.source) == (copy, "1", f"models:/{name}/1")
    assert list(mlflow.pyfunc.load_model(f"models:/{copy}/1").predict(features)) == expected
    registered = client.get_logged_model(info.model_id).tags["mlflow.modelVersions"]
    assert f'"{name}"' in registered


def test_prompts(client, unique):
    name = unique("prompt")
    mlflow.genai.register_prompt(name, "Is {{amount}} suspicious?", tags={"team": "risk"})
    assert mlflow.genai.load_prompt(f"prompts:/{name}/1").template == "Is {{amount}} suspicious?"
    assert name not in names(client.search_registered_models(f"name = '{name}'"))
