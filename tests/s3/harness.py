"""The server under test, the registry of checks, and assertions."""

import http.client
import os
import urllib.parse

import boto3
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.exceptions import ClientError

CHECKS = []
MIB = 1024 * 1024


def check(function=None, *, embedded_only=False):
    """Registers a check. The function name, with spaces instead of underscores, is the sentence that the check proves."""
    if function is None:
        return lambda function: check(function, embedded_only=embedded_only)
    CHECKS.append((function.__name__.replace("_", " "), function, embedded_only))
    return function


class Server:
    """Sends requests to the server under test."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.endpoint = arguments.endpoint.rstrip("/")
        url = urllib.parse.urlsplit(self.endpoint)
        self.host, self.port, self.netloc = url.hostname, url.port or 80, url.netloc
        self.bucket = arguments.bucket
        self.prefix = f"check-{os.urandom(4).hex()}/"
        self.s3 = self.client()

    def client(self, access_key=None, secret_key=None, **config):
        config.setdefault("retries", {"total_max_attempts": 1})
        config.setdefault("s3", {"addressing_style": "path"})
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access_key or self.arguments.access_key,
            aws_secret_access_key=secret_key or self.arguments.secret_key,
            config=Config(signature_version="s3v4", **config),
        )

    def key(self, name="object"):
        return f"{self.prefix}{os.urandom(4).hex()}/{name}"

    def put(self, key, body=b"data", **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)

    def body(self, key):
        return self.get(key)["Body"].read()

    def presign(self, key, method="get_object", expires=60, client=None, **more):
        parameters = {"Bucket": self.bucket, "Key": key, **more}
        return (client or self.s3).generate_presigned_url(method, Params=parameters, ExpiresIn=expires)

    def request(self, method, url, body=None, headers=None):
        """Sends a request without signing it; returns the status, the headers (names in lower case) and the body."""
        url = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, url.path + ("?" + url.query if url.query else ""), body, headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def url(self, key):
        return f"{self.endpoint}/{self.bucket}/{urllib.parse.quote(key)}"

    def signed_headers(self, method, key, headers, date=None):
        """Returns the headers with a signature (Signature Version 4) that covers the payload hash in `headers`."""
        request = AWSRequest(method, self.url(key), headers=headers)
        credentials = boto3.Session(self.arguments.access_key, self.arguments.secret_key).get_credentials()
        signer = botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1")
        signer.payload = lambda request: headers["X-Amz-Content-SHA256"]
        signer.add_auth(request)
        return dict(request.headers)


def equal(found, expected):
    assert found == expected, f"found {found!r:.300}, expected {expected!r:.300}"


def fails(status, code, call, *arguments, **more):
    """Asserts that the call fails with one of these statuses and codes. `None` accepts any code, for responses without a body."""
    try:
        call(*arguments, **more)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found in (status if isinstance(status, tuple) else (status,)), f"status {found}, expected {status}"
        if code is not None:
            codes = code if isinstance(code, tuple) else (code,)
            assert error.response["Error"]["Code"] in codes, f"code {error.response['Error']['Code']}, expected {code}"
        return error
    raise AssertionError("the call succeeded")


def is_absent(server, key):
    fails(404, None, server.s3.head_object, Bucket=server.bucket, Key=key)
