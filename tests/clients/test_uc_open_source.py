"""The open-source client of Unity Catalog: its generated REST client, and mlflow's ``uc:`` registry."""

import asyncio

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from unitycatalog.client import (
    ApiClient,
    CatalogsApi,
    Configuration,
    ModelVersionsApi,
    RegisteredModelsApi,
    SchemasApi,
    TablesApi,
)
from unitycatalog.client.exceptions import ApiException
from unitycatalog.client.models import (
    ColumnInfo,
    CreateCatalog,
    CreateModelVersion,
    CreateRegisteredModel,
    CreateSchema,
    CreateTable,
    FinalizeModelVersion,
    UpdateCatalog,
    UpdateModelVersion,
    UpdateRegisteredModel,
    UpdateSchema,
)

from expect import names, refused
from governed import ensure_schema

pytestmark = pytest.mark.beyond


def against(server, conversation):
    """Runs ``conversation(api)`` with a client; its models are strict: a wrong type in an answer raises."""

    async def talk():
        async with ApiClient(Configuration(host=f"{server.url}/api/2.1/unity-catalog")) as api:
            return await conversation(api)

    return asyncio.run(talk())


async def status_of(call) -> int:
    with pytest.raises(ApiException) as caught:
        await call
    return caught.value.status


def test_catalogs_schemas_tables(server, unique):
    name = unique("oss").replace("-", "_")

    async def conversation(api):
        catalogs, schemas, tables = CatalogsApi(api), SchemasApi(api), TablesApi(api)
        made = await catalogs.create_catalog(CreateCatalog(name=name, comment="words", properties={"a": "1"}))
        assert (made.name, made.comment, made.properties) == (name, "words", {"a": "1"})
        assert await status_of(catalogs.create_catalog(CreateCatalog(name=name))) in (400, 409)
        changed = await catalogs.update_catalog(name, UpdateCatalog(comment="other"))
        assert (changed.comment, changed.properties) == ("other", {"a": "1"})
        schema = await schemas.create_schema(CreateSchema(name="risk", catalog_name=name))
        assert schema.full_name == f"{name}.risk"
        renamed = await schemas.update_schema(f"{name}.risk", UpdateSchema(new_name="credit", comment="loans"))
        assert (renamed.full_name, renamed.comment) == (f"{name}.credit", "loans")
        column = ColumnInfo(name="amount", type_name="DOUBLE", type_text="double", position=0, nullable=False)
        table = await tables.create_table(
            CreateTable(
                name="payments",
                catalog_name=name,
                schema_name="credit",
                table_type="EXTERNAL",
                data_source_format="DELTA",
                columns=[column],
                storage_location="s3://bucket/payments",
            )
        )
        assert (table.name, table.columns[0].type_name.value) == ("payments", "DOUBLE")
        found = await tables.get_table(f"{name}.credit.payments")
        assert (found.storage_location, found.table_id) == ("s3://bucket/payments", table.table_id)
        assert names((await tables.list_tables(name, "credit")).tables) == ["payments"]
        assert await status_of(schemas.delete_schema(f"{name}.credit")) == 400
        await tables.delete_table(f"{name}.credit.payments")
        await schemas.delete_schema(f"{name}.credit")
        await catalogs.delete_catalog(name, force=True)
        assert await status_of(catalogs.get_catalog(name)) == 404

    against(server, conversation)


def test_models_and_versions(server, unique):
    ensure_schema(server, "lab", "models")
    name = unique("oss").replace("-", "_")
    full = f"lab.models.{name}"

    async def conversation(api):
        models, versions = RegisteredModelsApi(api), ModelVersionsApi(api)
        new = CreateRegisteredModel(name=name, catalog_name="lab", schema_name="models", comment="words")
        made = await models.create_registered_model(new)
        assert (made.full_name, made.comment) == (full, "words")
        assert await status_of(models.create_registered_model(new)) in (400, 409)
        assert (await models.update_registered_model(full, UpdateRegisteredModel(comment="other"))).comment == "other"
        new = CreateModelVersion(model_name=name, catalog_name="lab", schema_name="models", source="s3://bucket/model")
        version = await versions.create_model_version(new)
        assert (version.version, version.status.value) == (1, "PENDING_REGISTRATION")
        final = await versions.finalize_model_version(full, 1, FinalizeModelVersion(full_name=full, version=1))
        assert final.status.value == "READY"
        described = await versions.update_model_version(full, 1, UpdateModelVersion(comment="first"))
        assert (described.comment, described.source) == ("first", "s3://bucket/model")
        listed = await versions.list_model_versions(full)
        assert [found.version for found in listed.model_versions] == [1]
        renamed = await models.update_registered_model(full, UpdateRegisteredModel(new_name=f"{name}_b"))
        assert renamed.full_name == f"{full}_b"
        await versions.delete_model_version(f"{full}_b", 1)
        assert await status_of(versions.get_model_version(f"{full}_b", 1)) == 404
        await models.delete_registered_model(f"{full}_b")
        assert await status_of(models.get_registered_model(f"{full}_b")) == 404

    against(server, conversation)


def test_uc_registry_reads_and_is_told_how_files_travel(server, unique, experiment_id, toy, toy_model):
    """That client knows files on a shared disk and in clouds, and nothing of the Files API."""
    ensure_schema(server, "lab", "models")
    name = f"lab.models.{unique('uc').replace('-', '_')}"
    mlflow.set_registry_uri(f"uc:{server.url}")
    with mlflow.start_run(experiment_id=experiment_id):
        info = mlflow.sklearn.log_model(
            toy_model,
            name="model",
            signature=infer_signature(toy[0], toy_model.predict(toy[0])),
            pip_requirements=["scikit-learn"],
        )
    with refused("NOT_IMPLEMENTED", "databricks-uc", "DATABRICKS_HOST"):
        mlflow.register_model(info.model_uri, name)
    registry = MlflowClient(registry_uri=f"uc:{server.url}")
    assert registry.get_registered_model(name).name == name
    version = registry.get_model_version(name, "1")
    assert (str(version.version), version.status) == ("1", "PENDING_REGISTRATION")
    with refused("NOT_IMPLEMENTED", "databricks-uc"):
        mlflow.pyfunc.load_model(f"models:/{name}/1")
    # The same with the registry that it was told to use.
    mlflow.set_registry_uri("databricks-uc")
    mlflow.register_model(info.model_uri, name)
    assert list(mlflow.pyfunc.load_model(f"models:/{name}/2").predict(toy[0])) == list(toy_model.predict(toy[0]))
