"""moto's S3 server in the place of Amazon's: started for a test, and again at the same address after it was away."""

import os
import subprocess
import sys
import time
from pathlib import Path

import boto3

import launcher

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


class S3Server:
    def __init__(self, log: Path):
        self.log = log
        self.port = launcher.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        self.client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)
        self.process = None

    @property
    def environment(self) -> dict[str, str]:
        """What a server under test is told of it."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true"}

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def start(self, bucket: str, **environment: str) -> None:
        """Starts it, empty, with one bucket."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, env={**os.environ, **environment})
        for _ in range(100):
            try:
                self.client.create_bucket(Bucket=bucket)
                return
            except Exception:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
