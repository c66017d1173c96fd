"""The bucket, unimplemented operations, CORS, and malformed requests."""

import socket
import urllib.parse

from world import check, equal, fails


@check
def the_bucket_exists(world):
    world.s3.head_bucket(Bucket=world.bucket)
    assert world.bucket in [bucket["Name"] for bucket in world.s3.list_buckets()["Buckets"]]
    assert world.s3.get_bucket_location(Bucket=world.bucket)["LocationConstraint"] in (None, "us-east-1")
    fails(404, None, world.s3.head_bucket, Bucket="no-such-bucket-here")


@check(ours=True)
def no_other_bucket_can_be_created(world):
    fails(409, "BucketAlreadyOwnedByYou", world.s3.create_bucket, Bucket=world.bucket)
    fails(400, "TooManyBuckets", world.s3.create_bucket, Bucket="another-bucket")


@check(ours=True)
def unimplemented_operations_return_501(world):
    key = world.key()
    world.put(key)
    bucket = {"Bucket": world.bucket}
    for call, more in ((world.s3.get_bucket_acl, bucket),
                       (world.s3.create_multipart_upload, dict(bucket, Key=key)), (world.s3.get_object_tagging, dict(bucket, Key=key)),
                       (world.s3.put_object, dict(bucket, Key=key, Tagging="a=b"))):
        fails(501, "NotImplemented", call, **more)


@check(ours=True)
def form_uploads_are_rejected_without_being_read(world):
    status, _, _ = world.request("POST", f"{world.endpoint}/{world.bucket}", b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"})
    equal(status, 501)


@check(ours=True)
def web_pages_of_any_origin_can_read(world):
    key = world.key()
    world.put(key)
    url = world.presign(key)
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    status, headers, _ = world.request("OPTIONS", url, headers=asked)
    equal((status, headers["access-control-allow-origin"]), (200, "*"))
    assert "GET" in headers["access-control-allow-methods"] and headers["access-control-allow-headers"] == "*"
    for method in ("PUT", "DELETE", "POST"):
        equal(world.request("OPTIONS", url, headers=asked | {"Access-Control-Request-Method": method})[0], 403)
    equal(world.request("OPTIONS", url)[0], 403)
    for target, expected in ((url, 200), (url.replace(urllib.parse.quote(key), "other"), 403)):
        status, headers, _ = world.request("GET", target, headers={"Origin": "https://example.org"})
        equal((status, headers["access-control-allow-origin"], headers["x-content-type-options"]), (expected, "*", "nosniff"))
        for name in ("ETag", "Content-Length", "Content-Range", "Content-Disposition"):
            assert name in headers["access-control-expose-headers"]
    status, headers, _ = world.request("PUT", world.presign(key, "put_object"), b"x", {"Origin": "https://example.org"})
    assert "access-control-allow-origin" not in headers


@check(ours=True)
def malformed_requests_do_no_harm(world):
    for wire in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PUT /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                 b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b"GET /%00/%00 HTTP/1.1\r\nHost: a\r\n\r\n"):
        with socket.create_connection((world.host, world.port), timeout=10) as connection:
            try:
                connection.sendall(wire)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except OSError:
                pass
    world.s3.head_bucket(Bucket=world.bucket)
