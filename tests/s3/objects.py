"""Storing, reading and deleting objects; ranges and conditional requests."""

import base64
import concurrent.futures
import email.header
import hashlib
import os
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError

from harness import MIB, check, equal, fails, is_absent


@check
def an_object_is_returned_unchanged(server):
    for size in (0, 1, 1000, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5 * MIB + 7):
        key, data = server.key(f"{size}"), os.urandom(size)
        put = server.put(key, data)
        equal(put["ETag"], f'"{hashlib.md5(data).hexdigest()}"')
        got = server.get(key)
        equal(got["ContentLength"], size)
        equal(got["ETag"], put["ETag"])
        assert got["Body"].read() == data, f"{size} bytes differ"
        assert abs((datetime.now(timezone.utc) - got["LastModified"]).total_seconds()) < 60


@check
def headers_and_metadata_are_preserved(server):
    key = server.key()
    headers = dict(ContentType="image/jpeg", ContentDisposition='attachment; filename="a b.jpg"', CacheControl="max-age=60",
                   ContentLanguage="de", ContentEncoding="gzip", Metadata={"one": "1", "two-words": "a b"})
    server.put(key, b"x", **headers)
    for got in (server.get(key), server.s3.head_object(Bucket=server.bucket, Key=key)):
        for name, value in headers.items():
            equal(got[name], value)


@check
def an_object_without_a_content_type_has_the_default(server):
    key = server.key()
    status, _, _ = server.request("PUT", server.presign(key, "put_object"), b"x")
    equal(status, 200)
    equal(server.get(key)["ContentType"], "binary/octet-stream")


@check(embedded_only=True)
def unicode_metadata_is_preserved(server):
    key, word = server.key(), "grüße 画像"
    encoded = "=?UTF-8?B?" + base64.b64encode(word.encode()).decode() + "?="
    server.put(key, b"x", Metadata={"word": encoded})
    found = server.get(key)["Metadata"]["word"]
    equal(str(email.header.make_header(email.header.decode_header(found))), word)


@check
def a_copy_has_the_same_bytes_headers_metadata_and_checksum(server):
    for size in (0, 1000, 256 * 1024, MIB + 7):
        key, data = server.key(f"{size} %+ü"), os.urandom(size)
        server.put(key, data, ContentType="image/png", Metadata={"a": "1"}, ChecksumAlgorithm="SHA256")
        copied = server.key("copy")
        source = {"Bucket": server.bucket, "Key": key}
        result = server.s3.copy_object(Bucket=server.bucket, Key=copied, CopySource=source)["CopyObjectResult"]
        equal(result["ETag"], f'"{hashlib.md5(data).hexdigest()}"')
        got = server.get(copied, ChecksumMode="ENABLED")
        equal((got["ContentType"], got["Metadata"], got["ETag"]), ("image/png", {"a": "1"}, result["ETag"]))
        equal(got["ChecksumSHA256"], base64.b64encode(hashlib.sha256(data).digest()).decode())
        assert got["Body"].read() == data, f"{size} bytes differ"
        server.s3.delete_object(Bucket=server.bucket, Key=key)
        equal(server.body(copied), data)


@check
def a_missing_object_cannot_be_copied(server):
    source = {"Bucket": server.bucket, "Key": server.key("nothing")}
    copied = server.key()
    fails(404, "NoSuchKey", server.s3.copy_object, Bucket=server.bucket, Key=copied, CopySource=source)
    is_absent(server, copied)


@check(embedded_only=True)
def a_copy_with_unsupported_options_is_rejected(server):
    key = server.key()
    server.put(key, b"x")
    source = {"Bucket": server.bucket, "Key": key}
    copy = dict(Bucket=server.bucket, Key=server.key(), CopySource=source)
    fails(501, "NotImplemented", server.s3.copy_object, **copy, MetadataDirective="REPLACE", Metadata={"a": "2"})
    fails(501, "NotImplemented", server.s3.copy_object, **copy, CopySourceIfMatch='"0"')
    fails(501, "NotImplemented", server.s3.copy_object, **{**copy, "CopySource": {**source, "VersionId": "1"}})
    fails(404, "NoSuchBucket", server.s3.copy_object, **{**copy, "CopySource": {"Bucket": "another", "Key": key}})
    fails(400, "InvalidRequest", server.s3.copy_object, **{**copy, "Key": key})
    equal(server.body(key), b"x")


@check
def aws_chunked_is_not_stored_as_content_encoding(server):
    key = server.key()
    server.put(key, b"x" * 100, ChecksumAlgorithm="CRC32")
    assert not server.get(key).get("ContentEncoding"), server.get(key).get("ContentEncoding")


@check
def an_overwrite_replaces_body_and_metadata(server):
    key = server.key()
    server.put(key, b"first", Metadata={"a": "1"}, ContentType="text/plain")
    server.put(key, b"second version")
    got = server.get(key)
    equal((got["Body"].read(), got["Metadata"]), (b"second version", {}))


@check
def a_running_download_is_not_affected_by_an_overwrite(server):
    key, old = server.key(), os.urandom(16 * MIB)
    server.put(key, old)
    body = server.get(key)["Body"]
    start = body.read(1000)
    server.put(key, b"new")
    assert start + body.read() == old
    equal(server.body(key), b"new")


@check
def a_missing_object_returns_404(server):
    fails(404, "NoSuchKey", server.get, server.key())
    is_absent(server, server.key())


@check
def a_missing_bucket_returns_404(server):
    for call in (server.s3.get_object, server.s3.put_object):
        fails(404, "NoSuchBucket", call, Bucket="no-such-bucket-here", Key="a")
    fails(404, "NoSuchBucket", server.s3.list_objects_v2, Bucket="no-such-bucket-here")


@check
def deleting_is_idempotent(server):
    key = server.key()
    server.put(key)
    for _ in range(2):
        equal(server.s3.delete_object(Bucket=server.bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"], 204)
        is_absent(server, key)


@check
def many_objects_are_deleted_in_one_request(server):
    keys = [server.key(f"<&>'\" {n}") for n in range(30)]
    for key in keys[:20]:
        server.put(key)
    response = server.s3.delete_objects(Bucket=server.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    equal(sorted(entry["Key"] for entry in response["Deleted"]), sorted(keys))
    assert "Errors" not in response
    for key in keys:
        is_absent(server, key)


@check
def a_quiet_batch_deletion_returns_no_list(server):
    key = server.key()
    server.put(key)
    response = server.s3.delete_objects(Bucket=server.bucket, Delete={"Quiet": True, "Objects": [{"Key": key}]})
    assert "Deleted" not in response and "Errors" not in response, response
    is_absent(server, key)


@check
def more_than_a_thousand_deletions_in_one_request_are_rejected(server):
    fails(400, None, server.s3.delete_objects, Bucket=server.bucket,
          Delete={"Objects": [{"Key": f"{server.prefix}{n}"} for n in range(1001)]})


@check
def ranges_are_served(server):
    key, data = server.key(), os.urandom(MIB + 123)
    server.put(key, data)
    n = len(data)
    for text, part in (("0-0", data[:1]), ("0-", data), (f"{n-1}-", data[-1:]), ("5-9", data[5:10]), ("-7", data[-7:]),
                       (f"0-{n*2}", data), (f"-{n*2}", data), ("262143-262144", data[262143:262145]),
                       ("200000-800000", data[200000:800001])):
        got = server.get(key, Range=f"bytes={text}")
        equal(got["ResponseMetadata"]["HTTPStatusCode"], 206)
        assert got["Body"].read() == part, text
        start = data.find(part) if len(part) > 4 else None
        if start is not None:
            equal(got["ContentRange"], f"bytes {start}-{start + len(part) - 1}/{n}")


@check
def ranges_beyond_the_end_return_416(server):
    key = server.key()
    server.put(key, b"0123456789")
    for text in ("10-", "10-20", "99999999999-"):
        fails(416, "InvalidRange", server.get, key, Range=f"bytes={text}")
    empty = server.key()
    server.put(empty, b"")
    fails(416, "InvalidRange", server.get, empty, Range="bytes=0-")


@check(embedded_only=True)
def if_range_selects_the_range_or_the_whole_object(server):
    key = server.key()
    tag = server.put(key, b"0123456789")["ETag"]
    url = server.presign(key)
    equal(server.request("GET", url, headers={"Range": "bytes=2-3", "If-Range": tag})[::2], (206, b"23"))
    equal(server.request("GET", url, headers={"Range": "bytes=2-3", "If-Range": '"other"'})[::2], (200, b"0123456789"))


@check(embedded_only=True)
def presigned_urls_accept_every_range_and_condition_that_http_allows(server):
    key = server.key()
    tag = server.put(key, b"0123456789")["ETag"]
    url = server.presign(key)
    for text, status, data in (
            ("items=0-1", 200, b"0123456789"), ("bytes=0-1,5-6", 200, b"0123456789"), ("bytes=5-2", 200, b"0123456789"),
            ("bytes=x", 200, b"0123456789"), ("Bytes=0-3", 206, b"0123"), ("bytes=8-99999999999999999999", 206, b"89"),
            ("bytes=-99999999999999999999", 206, b"0123456789")):
        equal((text, *server.request("GET", url, headers={"Range": text})[::2]), (text, status, data))
    equal(server.request("GET", url, headers={"Range": "bytes=99999999999999999999-"})[0], 416)
    for name, value, status in (
            ("If-Modified-Since", "yesterday", 200), ("If-Unmodified-Since", "yesterday", 200),
            ("If-Modified-Since", "Friday, 31-Dec-49 00:00:00 GMT", 304), ("If-Modified-Since", "Sun Nov  6 08:49:37 1994", 200),
            ("If-Unmodified-Since", "Sun Nov  6 08:49:37 1994", 412),
            ("If-None-Match", f'"x", {tag}', 304), ("If-None-Match", f'W/{tag},"x"', 304), ("If-None-Match", '"x", "y"', 200),
            ("If-None-Match", "*", 304), ("If-Match", f'"x", {tag}', 200), ("If-Match", '"x", "y"', 412)):
        equal((name, value, server.request("GET", url, headers={name: value})[0]), (name, value, status))


@check
def reads_support_conditional_headers(server):
    key = server.key()
    tag = server.put(key)["ETag"]
    modified = server.get(key)["LastModified"]
    before = modified - timedelta(hours=1)
    head = lambda **more: server.s3.head_object(Bucket=server.bucket, Key=key, **more)
    for call in (lambda **more: server.get(key, **more), head):
        call(IfMatch=tag)
        call(IfNoneMatch='"other"')
        call(IfModifiedSince=before)
        call(IfUnmodifiedSince=modified)
        fails(412, None, call, IfMatch='"other"')
        fails(412, None, call, IfUnmodifiedSince=before)
        fails(304, None, call, IfNoneMatch=tag)
        fails(304, None, call, IfModifiedSince=modified)
        # The ETag takes precedence if both are given.
        call(IfMatch=tag, IfUnmodifiedSince=before)
        fails(304, None, call, IfNoneMatch=tag, IfModifiedSince=before)


@check
def a_304_has_the_etag_and_no_body(server):
    key = server.key()
    tag = server.put(key)["ETag"]
    status, headers, body = server.request("GET", server.presign(key), headers={"If-None-Match": tag})
    equal((status, headers.get("etag"), body), (304, tag, b""))


@check
def a_put_can_require_that_the_object_does_not_exist(server):
    key = server.key()
    server.put(key, b"first", IfNoneMatch="*")
    fails(412, "PreconditionFailed", server.put, key, b"second", IfNoneMatch="*")
    equal(server.body(key), b"first")
    server.s3.delete_object(Bucket=server.bucket, Key=key)
    server.put(key, b"third", IfNoneMatch="*")


@check
def a_put_can_require_an_etag(server):
    key = server.key()
    fails((404, 412), None, server.put, key, IfMatch='"0123"')
    tag = server.put(key, b"first")["ETag"]
    tag2 = server.put(key, b"second", IfMatch=tag)["ETag"]
    fails(412, "PreconditionFailed", server.put, key, b"third", IfMatch=tag)
    equal(server.get(key)["ETag"], tag2)


@check
def only_one_of_many_concurrent_conditional_puts_succeeds(server):
    key = server.key()
    def attempt(n):
        try:
            server.put(key, f"{n}".encode() * 1000, IfNoneMatch="*")
            return n
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412), error
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(attempt, range(16)) if n is not None]
    equal(len(winners), 1)
    equal(server.body(key), f"{winners[0]}".encode() * 1000)


@check
def concurrent_puts_of_a_key_never_mix_their_bodies(server):
    key = server.key()
    bodies = [bytes([65 + n]) * (MIB + n) for n in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        puts = [pool.submit(server.put, key, body) for body in bodies]
        while not all(put.done() for put in puts):
            try:
                assert server.body(key) in bodies, "the response mixes two bodies"
            except ClientError as error:
                equal(error.response["Error"]["Code"], "NoSuchKey")
        for put in puts:
            put.result()
    assert server.body(key) in bodies
