"""Authentication: signatures and presigned URLs."""

import urllib.parse
from datetime import datetime, timedelta, timezone

import boto3
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config

from harness import MIB, check, equal, fails, is_absent


@check
def a_wrong_secret_key_returns_403(server):
    other = server.client(secret_key="wrong" * 8)
    key = server.key()
    server.put(key)
    fails(403, "SignatureDoesNotMatch", other.get_object, Bucket=server.bucket, Key=key)
    fails(403, "SignatureDoesNotMatch", other.put_object, Bucket=server.bucket, Key=key, Body=b"evil")
    equal(server.request("GET", server.presign(key, client=other))[0], 403)
    equal(server.body(key), b"data")


@check(embedded_only=True)
def a_large_rejected_upload_gets_a_response(server):
    key = server.key()
    bad = server.presign(key, "put_object").replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    for _ in range(10):
        equal(server.request("PUT", bad, b"x" * 3 * MIB)[0], 403)
        fails(400, "KeyTooLongError", server.put, "k" * 1025, b"x" * 3 * MIB)
    is_absent(server, key)


@check
def an_unknown_access_key_returns_403(server):
    fails(403, "InvalidAccessKeyId", server.client(access_key="EKNOBODY").get_object, Bucket=server.bucket, Key="a")


@check
def unsigned_requests_are_rejected(server):
    key = server.key()
    server.put(key)
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
        status, _, _ = server.request(method, server.url(key), b"evil" if method in ("PUT", "POST") else None)
        assert status in (400, 403, 405, 501), (method, status)
    for path in ("/", f"/{server.bucket}", f"/{server.bucket}?list-type=2", f"/{server.bucket}?location"):
        equal(server.request("GET", server.endpoint + path)[0], 403)
    equal(server.body(key), b"data")


@check
def a_presigned_url_needs_no_credentials(server):
    key = server.key("with space+plus&amp=ü.jpg")
    server.put(key, b"image", ContentType="image/png")
    status, headers, body = server.request("GET", server.presign(key))
    equal((status, headers["content-type"], body), (200, "image/png", b"image"))
    equal(headers["accept-ranges"], "bytes")
    equal(server.request("GET", server.presign(key), headers={"Range": "bytes=0-2"})[::2], (206, b"ima"))


@check
def a_presigned_url_is_valid_for_one_method(server):
    key = server.key()
    server.put(key)
    get, head = server.presign(key), server.presign(key, "head_object")
    equal(server.request("HEAD", head)[::2], (200, b""))
    for method, url in (("HEAD", get), ("GET", head), ("DELETE", get)):
        equal(server.request(method, url)[0], 403)
    equal(server.request("PUT", get, b"evil")[0], 403)
    equal(server.body(key), b"data")


@check
def a_presigned_put_stores_an_object(server):
    key = server.key()
    equal(server.request("PUT", server.presign(key, "put_object"), b"uploaded")[0], 200)
    equal(server.body(key), b"uploaded")


@check
def an_altered_presigned_url_returns_403(server):
    key, other = server.key("a"), server.key("b")
    server.put(key), server.put(other)
    url = server.presign(key, ResponseContentType="text/plain")
    altered = {
        "key": url.replace(urllib.parse.quote(key), urllib.parse.quote(other)),
        "lifetime": url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        "type": url.replace("text%2Fplain", "text%2Fhtml"),
        "added": url + "&response-content-disposition=attachment",
        "signature": url[:-1] + ("0" if url[-1] != "0" else "1"),
        "removed": url.replace("response-content-type=text%2Fplain&", ""),
        "no signature": url.split("&X-Amz-Signature")[0],
    }
    equal(server.request("GET", url)[0], 200)
    for name, bad in altered.items():
        assert bad != url, name
        status = server.request("GET", bad)[0]
        # A URL with only some of the signature parameters is also malformed, so 400 is acceptable too.
        assert status == 403 or (name == "no signature" and status == 400), f"{name}: {status}"


def presign_at(server, key, moment, expires):
    """Returns a presigned URL that is signed as if at another time."""
    request = AWSRequest("GET", server.url(key))
    credentials = boto3.Session(server.arguments.access_key, server.arguments.secret_key).get_credentials()
    real = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *args, **more: moment.replace(tzinfo=None)
    try:
        botocore.auth.S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=expires).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = real
    return request.url


@check
def a_presigned_url_expires_after_its_lifetime(server):
    key, now = server.key(), datetime.now(timezone.utc)
    server.put(key)
    for name, moment, expires, status in (
        ("now", now, 60, 200),
        ("a week", now, 604800, 200),
        ("rounded down", now - timedelta(minutes=59), 7200, 200),
        ("a little ahead", now + timedelta(minutes=5), 60, 200),
        ("expired", now - timedelta(seconds=62), 60, 403),
        ("long expired", now - timedelta(days=8), 604800, 403),
    ):
        found = server.request("GET", presign_at(server, key, moment, expires))[0]
        assert found == status, f"{name}: {found}"


@check(embedded_only=True)
def a_presigned_url_with_a_lifetime_over_a_week_or_a_future_date_is_rejected(server):
    key, now = server.key(), datetime.now(timezone.utc)
    server.put(key)
    for moment, expires in ((now, 604801), (now, 4_000_000_000), (now + timedelta(hours=1), 60)):
        equal(server.request("GET", presign_at(server, key, moment, expires))[0], 403)
    plain = presign_at(server, key, now, 60)
    for value in ("-1", "", "x", "99999999999999999999"):
        status = server.request("GET", plain.replace("X-Amz-Expires=60", f"X-Amz-Expires={value}"))[0]
        equal(status, 403)


@check(embedded_only=True)
def signature_version_2_is_rejected(server):
    key = server.key()
    server.put(key)
    old = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1",
                       aws_access_key_id=server.arguments.access_key, aws_secret_access_key=server.arguments.secret_key,
                       config=Config(signature_version="s3", s3={"addressing_style": "path"}))
    url = old.generate_presigned_url("get_object", Params={"Bucket": server.bucket, "Key": key}, ExpiresIn=60)
    assert "Signature=" in url and "X-Amz" not in url
    equal(server.request("GET", url)[0], 400)
    fails(400, "InvalidRequest", old.get_object, Bucket=server.bucket, Key=key)


@check
def response_headers_can_be_overridden(server):
    key = server.key()
    server.put(key, b"x", ContentType="image/png", CacheControl="no-store")
    more = dict(ResponseContentDisposition="attachment; filename=\"b.png\"; filename*=UTF-8''%C3%BC.png",
                ResponseContentType="application/octet-stream", ResponseCacheControl="max-age=9", ResponseContentLanguage="fr")
    got = server.get(key, **more)
    _, headers, _ = server.request("GET", server.presign(key, **more))
    for found in ({k.lower(): v for k, v in got["ResponseMetadata"]["HTTPHeaders"].items()}, headers):
        equal(found["content-disposition"], more["ResponseContentDisposition"])
        equal(found["content-type"], more["ResponseContentType"])
        equal(found["cache-control"], more["ResponseCacheControl"])
        equal(found["content-language"], more["ResponseContentLanguage"])
