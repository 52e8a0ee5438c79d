"""What the governed tests share: a databricks-sdk client, and a catalog with a schema to register into."""

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def workspace(server, token: str = "any-token") -> WorkspaceClient:
    """The SDK with its retries cut short."""
    config = Config(host=server.url, token=token, auth_type="pat", retry_timeout_seconds=5, http_timeout_seconds=30)
    return WorkspaceClient(config=config)


def ensure_schema(server, catalog: str, schema: str) -> None:
    """Makes catalog and schema where they are not there yet."""
    w = workspace(server)
    if catalog not in [found.name for found in w.catalogs.list()]:
        w.catalogs.create(catalog)
    if schema not in [found.name for found in w.schemas.list(catalog)]:
        w.schemas.create(schema, catalog)


def uc_client() -> MlflowClient:
    """The mlflow client with plain tracking and the ``databricks-uc`` registry."""
    return MlflowClient(registry_uri="databricks-uc")


def remove_model(client: MlflowClient, name: str) -> None:
    """Deletes a registered model and its versions; nothing when there is none."""
    try:
        client.delete_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
