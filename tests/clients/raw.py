"""Plain HTTP: exact bytes out, status and body back. The paths are sent as they are, nothing is normalised."""

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import Any

MLFLOW = "/api/2.0/mlflow"
JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    @property
    def error_code(self) -> str | None:
        try:
            return self.json.get("error_code")
        except (ValueError, AttributeError):
            return None

    @property
    def message(self) -> str:
        return self.json.get("message", "")

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.body[:300]!r})"


class Raw:
    def __init__(self, server):
        self.server = server

    def send(self, method: str, path: str, body: bytes | str | None = None, headers: dict | None = None) -> Answer:
        host, port = self.server.address
        connection = http.client.HTTPConnection(host, port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            headers = {"Host": f"{host}:{port}", **(headers or {})}
            if isinstance(body, str):
                body = body.encode()
            if body is not None:
                headers.setdefault("Content-Length", str(len(body)))
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            if body:
                # A server may answer an oversized body before it has read it.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.send(body)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, headers=headers)

    def post(self, path: str, body: Any) -> Answer:
        """Sends ``body`` as JSON; text and bytes go out as they are."""
        if not isinstance(body, bytes | str):
            body = json.dumps(body)
        return self.send("POST", path, body, JSON)


def send_slowly(server, path: str, size: int, sent: int) -> http.client.HTTPConnection:
    """Sends the beginning of a body that is announced to be longer, and leaves the connection open."""
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    for _ in range(sent >> 20):
        connection.send(b"x" * (1 << 20))
    return connection


def there_and_back(server, path: str, size: int) -> None:
    """Puts so many bytes and gets them again, holding none of them."""
    connection = send_slowly(server, path, size, size)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, sum(len(block) for block in iter(lambda: answer.read(1 << 20), b""))) == (200, size)
    connection.close()
