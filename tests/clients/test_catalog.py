"""Catalogs, schemas and models through databricks-sdk and the open-source Unity Catalog client."""

import asyncio

import pytest
from databricks.sdk.errors import BadRequest, DatabricksError, NotFound
from databricks.sdk.service.catalog import CatalogIsolationMode, EnablePredictiveOptimization
from databricks.sdk.service.ml import ViewType
from mlflow import MlflowClient

from expect import names
from governed import workspace

pytestmark = pytest.mark.beyond


@pytest.fixture
def w(server):
    return workspace(server)


@pytest.fixture
def fresh(unique):
    """Makes catalog names: letters, digits and underscores."""
    return lambda stem: unique(stem).replace("-", "_")


@pytest.fixture
def catalog(w, fresh) -> str:
    return w.catalogs.create(fresh("cat"), comment="for tests", properties={"a": "1"}).name


def refused_by_sdk(*kinds: str):
    """The SDK raises one of these error classes."""
    return pytest.raises(DatabricksError, check=lambda error: type(error).__name__ in kinds)


def test_catalog_life_cycle(w, catalog, fresh):
    found = w.catalogs.get(catalog)
    assert (found.name, found.comment, found.properties) == (catalog, "for tests", {"a": "1"})
    assert found.owner
    assert found.created_at > 1_600_000_000_000
    with refused_by_sdk("ResourceAlreadyExists", "AlreadyExists", "BadRequest"):
        w.catalogs.create(catalog)
    assert catalog in names(w.catalogs.list())
    renamed = fresh("renamed")
    updated = w.catalogs.update(catalog, new_name=renamed, comment="changed", properties={"b": "2"})
    assert (updated.name, updated.comment, updated.properties) == (renamed, "changed", {"b": "2"})
    with pytest.raises(NotFound):
        w.catalogs.get(catalog)
    with pytest.raises(NotFound):
        w.catalogs.update(renamed, owner="nobody@example.com")
    assert w.catalogs.update(renamed, owner="users").owner == "users"
    w.catalogs.delete(renamed, force=True)
    with pytest.raises(NotFound):
        w.catalogs.get(renamed)
    with pytest.raises(NotFound):
        w.catalogs.delete(renamed)


def test_what_is_not_kept_is_refused(w, catalog, fresh):
    def refused(field: str):
        return pytest.raises(BadRequest, match=f"'{field}' is not supported")

    isolated, optimized = CatalogIsolationMode.ISOLATED, EnablePredictiveOptimization.ENABLE
    with refused("isolation_mode"):
        w.catalogs.update(catalog, isolation_mode=isolated)
    with refused("options"):
        w.catalogs.create(fresh("other"), options={"k": "v"})
    with refused("custom_max_retention_hours"):
        w.catalogs.update(catalog, custom_max_retention_hours=24)
    w.schemas.create("risk", catalog)
    with refused("enable_predictive_optimization"):
        w.schemas.update(f"{catalog}.risk", enable_predictive_optimization=optimized)
    with refused("storage_root"):
        w.schemas.create("other", catalog, storage_root="s3://bucket")
    w.registered_models.create(name="m", catalog_name=catalog, schema_name="risk", comment="words")
    with refused("storage_location"):
        w.registered_models.update(f"{catalog}.risk.m", storage_location="s3://bucket")
    # What is so anyway may be asked for.
    w.catalogs.update(catalog, comment="open", isolation_mode=CatalogIsolationMode.OPEN)
    inherit = EnablePredictiveOptimization.INHERIT
    assert w.schemas.update(f"{catalog}.risk", comment="so", enable_predictive_optimization=inherit).comment == "so"
    assert w.registered_models.update(f"{catalog}.risk.m", comment="others").comment == "others"


def test_schema_life_cycle(w, catalog):
    made = w.schemas.create("risk", catalog, comment="fraud")
    assert (made.name, made.catalog_name, made.full_name) == ("risk", catalog, f"{catalog}.risk")
    assert w.schemas.get(f"{catalog}.risk").comment == "fraud"
    with refused_by_sdk("ResourceAlreadyExists", "AlreadyExists", "BadRequest"):
        w.schemas.create("risk", catalog)
    with refused_by_sdk("ResourceAlreadyExists", "AlreadyExists", "BadRequest"):
        w.schemas.create("RISK", catalog)
    assert "risk" in names(w.schemas.list(catalog))
    updated = w.schemas.update(f"{catalog}.risk", new_name="credit", comment="loans")
    assert (updated.full_name, updated.comment) == (f"{catalog}.credit", "loans")
    w.schemas.delete(f"{catalog}.credit")
    with pytest.raises(NotFound):
        w.schemas.get(f"{catalog}.credit")
    with pytest.raises(NotFound):
        w.schemas.create("x", "never_" + catalog)


def test_schema_owner_and_properties(w, catalog):
    w.schemas.create("risk", catalog, properties={"a": "1"})
    full = f"{catalog}.risk"
    assert w.schemas.get(full).properties == {"a": "1"}
    assert w.schemas.update(full, properties={"b": "2"}).properties == {"b": "2"}
    with pytest.raises(NotFound):
        w.schemas.update(full, owner="nobody@example.com")
    changed = w.schemas.update(full, owner="users", comment="theirs")
    assert (changed.owner, changed.comment, changed.properties) == ("users", "theirs", {"b": "2"})
    # A catalog that is renamed takes its schemas along.
    renamed = f"{catalog}_b"
    w.catalogs.update(catalog, new_name=renamed)
    assert w.schemas.get(f"{renamed}.risk").owner == "users"
    with pytest.raises(NotFound):
        w.schemas.get(full)
    # The old name is free.
    assert w.catalogs.create(catalog).name == catalog
    with refused_by_sdk("ResourceAlreadyExists", "AlreadyExists", "BadRequest"):
        w.catalogs.update(renamed, new_name=catalog)


def test_the_case_of_a_name_may_change(w, catalog):
    assert w.catalogs.update(catalog, new_name=catalog.upper()).name == catalog.upper()
    assert w.catalogs.get(catalog).name == catalog.upper()
    with pytest.raises(DatabricksError, match="compare without case"):
        w.catalogs.create(catalog)


def test_names_compare_without_case(w, catalog):
    assert w.catalogs.get(catalog.upper()).name == catalog


def test_full_catalog_is_deleted_by_force_only(w, catalog):
    w.schemas.create("risk", catalog)
    with refused_by_sdk("BadRequest", "InvalidState", "ResourceConflict", "InvalidParameterValue"):
        w.catalogs.delete(catalog)
    w.catalogs.delete(catalog, force=True)
    with pytest.raises(NotFound):
        w.schemas.get(f"{catalog}.risk")


@pytest.mark.parametrize("max_results", [None, 0, 1])
def test_lists_are_whole_whatever_the_page(w, catalog, max_results):
    for name in ("a", "b", "c"):
        w.schemas.create(name, catalog)
    found = names(w.schemas.list(catalog, max_results=max_results))
    assert [name for name in found if name in "abc"] == ["a", "b", "c"]
    assert catalog in names(w.catalogs.list(max_results=max_results))


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a b", "x" * 256])
def test_refused_catalog_names(w, name):
    with refused_by_sdk("BadRequest", "InvalidParameterValue"):
        w.catalogs.create(name)


def test_registered_models(server, w, catalog):
    w.schemas.create("risk", catalog)
    full = f"{catalog}.risk.scorer"
    plain = MlflowClient(server.url, registry_uri=server.url)
    plain.create_registered_model(full, description="words")
    for _ in range(2):
        plain.create_model_version(full, "s3://bucket/model")
    found = w.registered_models.get(full)
    assert (found.full_name, found.name, found.catalog_name, found.schema_name) == (full, "scorer", catalog, "risk")
    assert found.comment == "words"
    listed = w.registered_models.list(catalog_name=catalog, schema_name="risk")
    assert [model.full_name for model in listed] == [full]
    assert full in [model.full_name for model in w.registered_models.list()]
    w.registered_models.set_alias(full, "champion", 2)
    assert plain.get_model_version_by_alias(full, "champion").version == "2"
    with_aliases = w.registered_models.get(full, include_aliases=True)
    assert [(alias.alias_name, alias.version_num) for alias in with_aliases.aliases] == [("champion", 2)]
    assert w.model_versions.get_by_alias(full, "champion").version == 2
    assert sorted(version.version for version in w.model_versions.list(full)) == [1, 2]
    assert w.model_versions.get(full, 1).model_name in ("scorer", full)
    assert w.model_versions.update(full, 1, comment="first").comment == "first"
    w.registered_models.delete_alias(full, "champion")
    with pytest.raises(NotFound):
        w.model_versions.get_by_alias(full, "champion")
    w.model_versions.delete(full, 1)
    with pytest.raises(NotFound):
        w.model_versions.get(full, 1)
    w.registered_models.delete(full)
    with pytest.raises(NotFound):
        w.registered_models.get(full)


def test_registered_models_change(w, catalog):
    w.schemas.create("risk", catalog)
    full = f"{catalog}.risk.scorer"
    made = w.registered_models.create(name="scorer", catalog_name=catalog, schema_name="risk", comment="words")
    assert (made.full_name, made.comment, made.owner) == (full, "words", "local")
    with refused_by_sdk("ResourceAlreadyExists", "AlreadyExists", "BadRequest"):
        w.registered_models.create(name="SCORER", catalog_name=catalog, schema_name="risk")
    assert w.registered_models.update(full, comment="other").comment == "other"
    assert w.registered_models.update(full, owner="users").owner == "users"
    renamed = w.registered_models.update(full, new_name="ranker")
    assert (renamed.full_name, renamed.comment, renamed.owner) == (f"{catalog}.risk.ranker", "other", "users")
    with pytest.raises(NotFound):
        w.registered_models.get(full)
    with pytest.raises(NotFound):
        w.registered_models.set_alias(renamed.full_name, "champion", 1)
    for page in (None, 0, 1):
        found = w.registered_models.list(catalog_name=catalog, schema_name="risk", max_results=page)
        assert [model.name for model in found] == ["ranker"]
    assert list(w.model_versions.list(renamed.full_name, max_results=0)) == []


def test_open_source_client_lists(server, w, catalog):
    from unitycatalog.client import ApiClient, CatalogsApi, Configuration, RegisteredModelsApi, SchemasApi
    from unitycatalog.client.models import CreateCatalog

    w.schemas.create("risk", catalog)
    w.registered_models.create(name="scorer", catalog_name=catalog, schema_name="risk")

    async def look():
        async with ApiClient(Configuration(host=f"{server.url}/api/2.1/unity-catalog")) as api:
            catalogs = (await CatalogsApi(api).list_catalogs()).catalogs
            schemas = (await SchemasApi(api).list_schemas(catalog_name=catalog)).schemas
            models = (await RegisteredModelsApi(api).list_registered_models(catalog, "risk")).registered_models
            created = await CatalogsApi(api).create_catalog(CreateCatalog(name=f"{catalog}_oss"))
            return names(catalogs), names(schemas), [model.full_name for model in models], created.name

    catalogs, schemas, models, created = asyncio.run(look())
    assert catalog in catalogs
    assert "risk" in schemas
    assert models == [f"{catalog}.risk.scorer"]
    assert created == f"{catalog}_oss"


def test_the_registry_of_a_workspace(server, w, unique, ask):
    """``w.model_registry``, which asks for MLflow's plain models under names of its own."""
    name, other = unique("scorer"), unique("other")
    plain = MlflowClient(server.url, registry_uri=server.url)
    w.model_registry.create_model(name, description="words")
    plain.create_registered_model(other)
    for _ in range(2):
        plain.create_model_version(name, "s3://bucket/model")
    # Page by page, and each once.
    listed = [model.name for model in w.model_registry.list_models(max_results=1)]
    assert len(listed) == len(set(listed))
    assert {name, other} <= set(listed)

    found = w.model_registry.get_model(name).registered_model_databricks
    assert (found.name, found.description, found.permission_level.value) == (name, "words", "CAN_MANAGE")
    assert [version.version for version in found.latest_versions] == ["2"]
    renamed = unique("renamed")
    w.model_registry.rename_model(name, new_name=renamed)
    assert w.model_registry.get_model(renamed).registered_model_databricks.id == found.id
    with pytest.raises(NotFound):
        w.model_registry.get_model(name)

    moved = w.model_registry.transition_stage(renamed, "1", "Production", False).model_version_databricks
    assert (moved.name, moved.version, moved.current_stage) == (renamed, "1", "Production")
    moved = w.model_registry.transition_stage(
        renamed, "2", "production", True, comment="beats the last one"
    ).model_version_databricks
    assert moved.current_stage == "Production"
    code, told, _ = ask("audit-log", "list", "--json")
    assert code == 0
    assert "beats the last one" in told
    assert plain.get_model_version(renamed, "1").current_stage == "Archived"
    assert [version.version for version in w.model_registry.get_latest_versions(renamed, stages=["Production"])] == [
        "2"
    ]
    with refused_by_sdk("BadRequest", "InvalidParameterValue"):
        w.model_registry.transition_stage(renamed, "2", "nowhere", False)
    with pytest.raises(NotFound):
        w.model_registry.transition_stage(renamed, "9", "Staging", False)


def test_experiments_are_listed(server, w, unique):
    client = MlflowClient(server.url)
    alive, dead = client.create_experiment(unique("alive")), client.create_experiment(unique("dead"))
    client.delete_experiment(dead)
    listed = [experiment.experiment_id for experiment in w.experiments.list_experiments(max_results=2)]
    assert len(listed) == len(set(listed))
    assert (alive in listed, dead in listed) == (True, False)
    everything = [found.experiment_id for found in w.experiments.list_experiments(view_type=ViewType.ALL)]
    assert {alive, dead} <= set(everything)
    deleted = [found.experiment_id for found in w.experiments.list_experiments(view_type=ViewType.DELETED_ONLY)]
    assert (alive in deleted, dead in deleted) == (False, True)
