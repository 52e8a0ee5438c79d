"""One request to a server: where it is, with which token, and errors that say what the server said."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Any

DEFAULT_URL = "http://127.0.0.1:5000"
TIMEOUT_S = 120
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class StrongbackError(Exception):
    """What a server refused, or that none answered.

    ``code`` is the server's word, such as ``RESOURCE_DOES_NOT_EXIST``; ``status`` is that of HTTP. Both are empty
    (``""`` and ``None``) where no server answered.
    """

    def __init__(self, message: str, code: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _first(*names: str) -> str | None:
    return next((value for value in map(os.environ.get, names) if value), None)


def server_url(server: str | None) -> str:
    """The address that was given, or that of the environment, without a slash at its end."""
    url = server or _first("STRONGBACK_URL", "MLFLOW_TRACKING_URI") or DEFAULT_URL
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise StrongbackError(
            f"'{url}' is no address of a server: it begins with http:// or https://. Set STRONGBACK_URL or "
            "MLFLOW_TRACKING_URI, or give server='http://…'."
        )
    return url.rstrip("/")


def get(server: str | None, path: str, query: list[tuple[str, str]]) -> Any:
    """Gets JSON."""
    base = server_url(server)
    request = urllib.request.Request(f"{base}{path}?{urllib.parse.urlencode(query)}")
    parts = urllib.parse.urlsplit(base)
    is_loopback = parts.hostname in LOOPBACK
    if token := _first("STRONGBACK_TOKEN", "MLFLOW_TRACKING_TOKEN"):
        if parts.scheme == "http" and not is_loopback:
            warnings.warn("the token goes over the network in the clear; use https://", stacklevel=3)
        request.add_header("Authorization", f"Bearer {token}")
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if is_loopback:
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refused(base, error) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StrongbackError(f"No Strongback server answers at {base}: {reason}.") from error


def _refused(base: str, error: urllib.error.HTTPError) -> StrongbackError:
    with error:
        body = error.read()
    try:
        said = json.loads(body)
        return StrongbackError(said["message"], said["error_code"], error.code)
    except (ValueError, KeyError, TypeError):
        message = f"What answers at {base} is no Strongback server, or one without this call (HTTP {error.code})."
        return StrongbackError(message, status=error.code)
