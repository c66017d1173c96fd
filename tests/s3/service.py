"""Bucket operations, unimplemented operations, CORS, and malformed requests."""

import socket
import urllib.parse

from harness import check, equal, fails


@check
def the_bucket_exists(server):
    server.s3.head_bucket(Bucket=server.bucket)
    assert server.bucket in [bucket["Name"] for bucket in server.s3.list_buckets()["Buckets"]]
    assert server.s3.get_bucket_location(Bucket=server.bucket)["LocationConstraint"] in (None, "us-east-1")
    fails(404, None, server.s3.head_bucket, Bucket="no-such-bucket-here")


@check(embedded_only=True)
def no_other_bucket_can_be_created(server):
    fails(409, "BucketAlreadyOwnedByYou", server.s3.create_bucket, Bucket=server.bucket)
    fails(400, "TooManyBuckets", server.s3.create_bucket, Bucket="another-bucket")


@check(embedded_only=True)
def unimplemented_operations_return_501(server):
    key = server.key()
    server.put(key)
    bucket = {"Bucket": server.bucket}
    for call, more in ((server.s3.get_bucket_acl, bucket),
                       (server.s3.create_multipart_upload, dict(bucket, Key=key)), (server.s3.get_object_tagging, dict(bucket, Key=key)),
                       (server.s3.put_object, dict(bucket, Key=key, Tagging="a=b"))):
        fails(501, "NotImplemented", call, **more)


@check(embedded_only=True)
def cors_allows_reads_and_uploads_from_any_origin(server):
    key = server.key()
    server.put(key)
    url = server.presign(key)
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    status, headers, _ = server.request("OPTIONS", url, headers=preflight)
    equal((status, headers["access-control-allow-origin"]), (200, "*"))
    equal((headers["access-control-allow-methods"], headers["access-control-allow-headers"]), ("GET, HEAD, PUT, POST", "*"))
    for method in ("HEAD", "PUT", "POST"):
        equal(server.request("OPTIONS", url, headers=preflight | {"Access-Control-Request-Method": method})[0], 200)
    for method in ("DELETE", "PATCH"):
        equal(server.request("OPTIONS", url, headers=preflight | {"Access-Control-Request-Method": method})[0], 403)
    equal(server.request("OPTIONS", url)[0], 403)
    for target, expected in ((url, 200), (url.replace(urllib.parse.quote(key), "other"), 403)):
        status, headers, _ = server.request("GET", target, headers={"Origin": "https://example.org"})
        equal((status, headers["access-control-allow-origin"], headers["x-content-type-options"]), (expected, "*", "nosniff"))
        for name in ("ETag", "Content-Length", "Content-Range", "Content-Disposition"):
            assert name in headers["access-control-expose-headers"]
    for target, expected in ((server.presign(key, "put_object"), 200), (server.url(key), 403)):
        status, headers, _ = server.request("PUT", target, b"x", {"Origin": "https://example.org"})
        equal((status, headers["access-control-allow-origin"]), (expected, "*"))
        assert "ETag" in headers["access-control-expose-headers"]
    status, headers, _ = server.request("DELETE", server.url(key), headers={"Origin": "https://example.org"})
    assert status == 403 and "access-control-allow-origin" not in headers


@check(embedded_only=True)
def malformed_requests_do_not_crash_the_server(server):
    for wire in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PUT /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b"GET /%00/%00 HTTP/1.1\r\nHost: a\r\n\r\n"):
        with socket.create_connection((server.host, server.port), timeout=10) as connection:
            try:
                connection.sendall(wire)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except OSError:
                pass
    server.s3.head_bucket(Bucket=server.bucket)
