"""What several tests say about answers."""

from contextlib import contextmanager

import pytest
from mlflow.exceptions import MlflowException


@contextmanager
def refused(code: str, *fragments: str):
    """The client raises with this MLflow error code, and the message holds every fragment (any case)."""
    with pytest.raises(MlflowException) as caught:
        yield caught
    message = str(caught.value)
    assert caught.value.error_code == code, f"{caught.value.error_code}: {message}"
    for fragment in fragments:
        assert fragment.lower() in message.lower(), message


def names(things) -> list[str]:
    return [thing.name for thing in things]


def all_pages(search, **arguments) -> list:
    """Follows the tokens of a paged search to its end."""
    found, token = [], None
    for _ in range(1000):
        page = search(page_token=token, **arguments)
        found += page
        token = page.token
        if not token:
            return found
    raise AssertionError("the pages never end")
