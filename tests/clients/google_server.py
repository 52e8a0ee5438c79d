"""moto's S3 server in the place of Google Cloud Storage, behind a front that does what Google's documentation says of its own.

Google's XML API is S3's but for who asks and for conditions. The front lets in whoever has a token that the service account
signed, or an address that it signed (GOOG4-RSA-SHA256), and looks at both signatures; it knows the condition that there is no
object yet (``x-goog-if-generation-match: 0``), and answers 404 where an object to be deleted is not there. The rest is moto's.
So it shows that the client's requests are what the documentation says, and not that Google agrees.
"""

import base64
import hashlib
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.test import run_wsgi_app

from s3_server import S3Server

EMAIL = "strongback@tests.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# By this moto knows a call to be one of S3's.
S3_CALL = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def service_account(path: Path) -> Path:
    """The file of a service account with a key that was made for it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {"type": "service_account", "client_email": EMAIL, "private_key_id": "1", "private_key": pem.decode()}
    path.write_text(json.dumps(account))
    return path


class GoogleServer(S3Server):
    signature = "X-Goog-Signature="

    def __init__(self, log: Path):
        super().__init__(log)
        self.account = service_account(log.with_name("account.json"))

    @property
    def environment(self) -> dict[str, str]:
        named = {"GOOGLE_APPLICATION_CREDENTIALS": str(self.account), "GOOGLE_BASE_URL": self.url}
        return {**named, "GOOGLE_ALLOW_HTTP": "true"}

    @property
    def wrong_credentials(self) -> dict[str, str]:
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(service_account(self.log.with_name("other.json")))}

    def another_way(self, bucket: str) -> tuple[str, dict[str, str]]:
        """The same by an account that stands in a variable, and says itself where the store is."""
        account = {**json.loads(self.account.read_text()), "gcs_base_url": self.url}
        return self.place(bucket), {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account), "GOOGLE_ALLOW_HTTP": "true"}

    @property
    def command(self) -> list[str]:
        return [sys.executable, __file__, str(self.port), str(self.account)]

    def place(self, bucket: str) -> str:
        return f"gs://{bucket}"

    def make(self, bucket: str) -> None:
        self.client.create_bucket(Bucket=bucket)

    def keys(self, bucket: str) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def put(self, bucket: str, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=body)

    def remove(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def unfinished(self, bucket: str) -> list[str]:
        """Uploads in parts that nobody has completed or given up."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


class Front:
    def __init__(self, account: dict):
        self.key = serialization.load_pem_private_key(account["private_key"].encode(), None).public_key()
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start_response):
        by = environ.get("HTTP_AUTHORIZATION", "")
        if not by.startswith("AWS4-"):  # The tests themselves look by S3's API.
            query = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
            if dict(query).get("X-Goog-Signature"):
                failure = self.not_signed(environ, query)
                environ["QUERY_STRING"] = ""
            else:
                failure = self.not_ours(by)
            if failure:
                return answer(start_response, *failure)
            environ["HTTP_AUTHORIZATION"] = S3_CALL
            if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None) == "0":
                environ["HTTP_IF_NONE_MATCH"] = "*"
            if environ["REQUEST_METHOD"] == "DELETE" and not query:
                _, status, _ = run_wsgi_app(self.moto, {**environ, "REQUEST_METHOD": "HEAD"})
                if status.startswith("404"):
                    return answer(start_response, "404 Not Found", "NoSuchKey")
        return self.moto(environ, start_response)

    def is_by_the_account(self, signature: bytes, message: str) -> bool:
        try:
            self.key.verify(signature, message.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def not_ours(self, by: str):
        """Why the bearer of a token is not let in."""
        message, _, signature = by.removeprefix("Bearer ").rpartition(".")
        if not message or not self.is_by_the_account(decoded(signature), message):
            return "401 Unauthorized", "AuthenticationRequired"
        claims = json.loads(decoded(message.split(".")[1]))
        if claims["iss"] != EMAIL or claims["scope"] != SCOPE or not claims["iat"] - 60 < time.time() < claims["exp"]:
            return "401 Unauthorized", "AuthenticationRequired"
        return None

    def not_signed(self, environ, query):
        """Why the address is not one that the service account signed, and that is still good."""
        given = dict(query)
        rest = sorted((name, value) for name, value in query if name != "X-Goog-Signature")
        canonical = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in rest)
        who, scope = given["X-Goog-Credential"].split("/", 1)
        lines = [environ["REQUEST_METHOD"], environ["PATH_INFO"], canonical, "host:storage.googleapis.com", "", "host"]
        request = "\n".join([*lines, "UNSIGNED-PAYLOAD"])
        digest = hashlib.sha256(request.encode()).hexdigest()
        message = "\n".join([given["X-Goog-Algorithm"], given["X-Goog-Date"], scope, digest])
        if who != EMAIL or not self.is_by_the_account(bytes.fromhex(given["X-Goog-Signature"]), message):
            return "403 Forbidden", "SignatureDoesNotMatch"
        made = datetime.strptime(given["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > made + timedelta(seconds=int(given["X-Goog-Expires"])):
            return "400 Bad Request", "ExpiredToken"
        return None


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def answer(start_response, status: str, code: str):
    start_response(status, [("Content-Type", "application/xml")])
    return [f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>".encode()]


if __name__ == "__main__":
    port, account = sys.argv[1:]
    run_simple("127.0.0.1", int(port), Front(json.loads(Path(account).read_text())), threaded=True)
