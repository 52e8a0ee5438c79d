"""Azurite, Microsoft's own stand-in for Azure Blob Storage: started for tests, and again on the same files after it was away.

It looks at signatures, of requests and of addresses, as Azure does. ``tools/azurite.sh`` installs it.
"""

import base64
import hashlib
import hmac
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

import launcher

SCRIPT = Path(__file__).parents[2] / "tools/azurite.sh"
ACCOUNT = "devstoreaccount1"
# No secret: Azurite has this one, and its documentation says so.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def installed() -> str:
    """Azurite's program. Without it the tests are skipped, but where they must not be."""
    made = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=300)
    if made.returncode == 3 and "azurite" not in os.environ.get("STRONGBACK_TEST_REQUIRE", ""):
        pytest.skip(f"no Azurite: {made.stderr.strip().splitlines()[-1]}")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def signature() -> str:
    """What lets the tests themselves do anything: a signature of the account, as a query."""
    may = {"sp": "rwdlac", "ss": "b", "srt": "sco", "se": "2099-01-01T00:00:00Z", "sv": "2021-12-02"}
    lines = [ACCOUNT, may["sp"], may["ss"], may["srt"], "", may["se"], "", "", may["sv"], "", ""]
    signed = hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256)
    return urllib.parse.urlencode({**may, "sig": base64.b64encode(signed).decode()})


class AzureServer:
    signature = "sig="

    def __init__(self, log: Path):
        self.log = log
        self.port = launcher.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.program = installed()
        self.process = None

    @property
    def environment(self) -> dict[str, str]:
        """What a server under test is told of it: as of an emulator."""
        return {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": self.url}

    def another_way(self, bucket: str) -> tuple[str, dict[str, str]]:
        """The same as of a store at an address of its own, by a key, where the address has the account."""
        address = {"AZURE_STORAGE_ENDPOINT": f"{self.url}/{ACCOUNT}", "AZURE_ALLOW_HTTP": "true"}
        place = f"abfss://{bucket}@{ACCOUNT}.dfs.core.windows.net"
        return place, {**address, "AZURE_STORAGE_ACCOUNT_KEY": KEY}

    @property
    def wrong_credentials(self) -> dict[str, str]:
        return {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"another").decode()}

    def place(self, bucket: str) -> str:
        return f"az://{bucket}"

    def start(self, bucket: str) -> None:
        """Starts it on what it had, with one more container."""
        where = [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self.port),
            "--location",
            str(self.log.parent / "azurite"),
        ]
        quiet = ["--disableTelemetry", "--silent", "--skipApiVersionCheck"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.program, *where, *quiet], stdout=log, stderr=log)
        for _ in range(200):
            try:
                self.make(bucket)
                return
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def end(self) -> None:
        if self.process:
            self.process.terminate()  # A killed one forgets what it has not written yet.
            self.process.wait(20)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        url = f"{self.url}/{ACCOUNT}/{path}{'&' if '?' in path else '?'}{signature()}"
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def make(self, bucket: str) -> None:
        try:
            self.ask("PUT", f"{bucket}?restype=container")
        except urllib.error.HTTPError as error:
            if error.code != 409:  # It is there.
                raise

    def listed(self, bucket: str, *more: str) -> set[str]:
        found = self.ask("GET", "&".join([f"{bucket}?restype=container&comp=list", *more]))
        return set(re.findall("<Blob><Name>([^<]+)</Name>", found.decode()))

    def keys(self, bucket: str) -> list[str]:
        return sorted(self.listed(bucket))

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.ask("PUT", f"{bucket}/{key}", body, **{"x-ms-blob-type": "BlockBlob"})

    def remove(self, bucket: str, key: str) -> None:
        self.ask("DELETE", f"{bucket}/{key}")

    def unfinished(self, bucket: str) -> list[str]:
        """Uploads in parts that nobody has completed. Azure has no call that gives one up, and forgets it after a week."""
        return sorted(self.listed(bucket, "include=uncommittedblobs") - self.listed(bucket))
