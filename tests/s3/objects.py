"""Storing, reading and deleting objects; ranges and conditional requests."""

import base64
import concurrent.futures
import email.header
import hashlib
import os
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError

from world import MIB, check, equal, fails, is_absent


@check
def an_object_is_returned_as_it_was_stored(world):
    for size in (0, 1, 1000, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5 * MIB + 7):
        key, data = world.key(f"{size}"), os.urandom(size)
        put = world.put(key, data)
        equal(put["ETag"], f'"{hashlib.md5(data).hexdigest()}"')
        got = world.get(key)
        equal(got["ContentLength"], size)
        equal(got["ETag"], put["ETag"])
        assert got["Body"].read() == data, f"{size} bytes differ"
        assert abs((datetime.now(timezone.utc) - got["LastModified"]).total_seconds()) < 60


@check
def headers_and_metadata_are_preserved(world):
    key = world.key()
    given = dict(ContentType="image/jpeg", ContentDisposition='attachment; filename="a b.jpg"', CacheControl="max-age=60",
                 ContentLanguage="de", ContentEncoding="gzip", Metadata={"one": "1", "two-words": "a b"})
    world.put(key, b"x", **given)
    for got in (world.get(key), world.s3.head_object(Bucket=world.bucket, Key=key)):
        for name, value in given.items():
            equal(got[name], value)


@check
def an_object_without_a_type_has_the_default_type(world):
    key = world.key()
    status, _, _ = world.request("PUT", world.presign(key, "put_object"), b"x")
    equal(status, 200)
    equal(world.get(key)["ContentType"], "binary/octet-stream")


@check(ours=True)
def unicode_metadata_is_preserved(world):
    key, word = world.key(), "grüße 画像"
    encoded = "=?UTF-8?B?" + base64.b64encode(word.encode()).decode() + "?="
    world.put(key, b"x", Metadata={"word": encoded})
    found = world.get(key)["Metadata"]["word"]
    equal(str(email.header.make_header(email.header.decode_header(found))), word)


@check
def a_copy_has_the_same_bytes_headers_metadata_and_checksum(world):
    for size in (0, 1000, 256 * 1024, MIB + 7):
        key, data = world.key(f"{size} %+ü"), os.urandom(size)
        world.put(key, data, ContentType="image/png", Metadata={"a": "1"}, ChecksumAlgorithm="SHA256")
        copied = world.key("copy")
        source = {"Bucket": world.bucket, "Key": key}
        result = world.s3.copy_object(Bucket=world.bucket, Key=copied, CopySource=source)["CopyObjectResult"]
        equal(result["ETag"], f'"{hashlib.md5(data).hexdigest()}"')
        got = world.get(copied, ChecksumMode="ENABLED")
        equal((got["ContentType"], got["Metadata"], got["ETag"]), ("image/png", {"a": "1"}, result["ETag"]))
        equal(got["ChecksumSHA256"], base64.b64encode(hashlib.sha256(data).digest()).decode())
        assert got["Body"].read() == data, f"{size} bytes differ"
        world.s3.delete_object(Bucket=world.bucket, Key=key)
        equal(world.body(copied), data)


@check
def a_missing_object_cannot_be_copied(world):
    source = {"Bucket": world.bucket, "Key": world.key("nothing")}
    copied = world.key()
    fails(404, "NoSuchKey", world.s3.copy_object, Bucket=world.bucket, Key=copied, CopySource=source)
    is_absent(world, copied)


@check(ours=True)
def a_copy_with_unsupported_options_is_rejected(world):
    key = world.key()
    world.put(key, b"x")
    source = {"Bucket": world.bucket, "Key": key}
    copy = dict(Bucket=world.bucket, Key=world.key(), CopySource=source)
    fails(501, "NotImplemented", world.s3.copy_object, **copy, MetadataDirective="REPLACE", Metadata={"a": "2"})
    fails(501, "NotImplemented", world.s3.copy_object, **copy, CopySourceIfMatch='"0"')
    fails(501, "NotImplemented", world.s3.copy_object, **{**copy, "CopySource": {**source, "VersionId": "1"}})
    fails(404, "NoSuchBucket", world.s3.copy_object, **{**copy, "CopySource": {"Bucket": "another", "Key": key}})
    fails(400, "InvalidRequest", world.s3.copy_object, **{**copy, "Key": key})
    equal(world.body(key), b"x")


@check
def aws_chunked_is_not_stored_as_an_encoding(world):
    key = world.key()
    world.put(key, b"x" * 100, ChecksumAlgorithm="CRC32")
    assert not world.get(key).get("ContentEncoding"), world.get(key).get("ContentEncoding")


@check
def an_overwrite_replaces_everything(world):
    key = world.key()
    world.put(key, b"first", Metadata={"a": "1"}, ContentType="text/plain")
    world.put(key, b"second version")
    got = world.get(key)
    equal((got["Body"].read(), got["Metadata"]), (b"second version", {}))


@check
def a_running_download_is_not_affected_by_an_overwrite(world):
    key, old = world.key(), os.urandom(16 * MIB)
    world.put(key, old)
    body = world.get(key)["Body"]
    start = body.read(1000)
    world.put(key, b"new")
    assert start + body.read() == old
    equal(world.body(key), b"new")


@check
def a_missing_object_is_404(world):
    fails(404, "NoSuchKey", world.get, world.key())
    is_absent(world, world.key())


@check
def a_missing_bucket_is_404(world):
    for call in (world.s3.get_object, world.s3.put_object):
        fails(404, "NoSuchBucket", call, Bucket="no-such-bucket-here", Key="a")
    fails(404, "NoSuchBucket", world.s3.list_objects_v2, Bucket="no-such-bucket-here")


@check
def deleting_is_idempotent(world):
    key = world.key()
    world.put(key)
    for _ in range(2):
        equal(world.s3.delete_object(Bucket=world.bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"], 204)
        is_absent(world, key)


@check
def many_objects_are_deleted_in_one_request(world):
    keys = [world.key(f"<&>'\" {n}") for n in range(30)]
    for key in keys[:20]:
        world.put(key)
    answer = world.s3.delete_objects(Bucket=world.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    equal(sorted(entry["Key"] for entry in answer["Deleted"]), sorted(keys))
    assert "Errors" not in answer
    for key in keys:
        is_absent(world, key)


@check
def quiet_deletion_of_many_objects_returns_no_list(world):
    key = world.key()
    world.put(key)
    answer = world.s3.delete_objects(Bucket=world.bucket, Delete={"Quiet": True, "Objects": [{"Key": key}]})
    assert "Deleted" not in answer and "Errors" not in answer, answer
    is_absent(world, key)


@check
def more_than_a_thousand_deletions_in_one_request_are_rejected(world):
    fails(400, None, world.s3.delete_objects, Bucket=world.bucket,
          Delete={"Objects": [{"Key": f"{world.prefix}{n}"} for n in range(1001)]})


@check
def ranges_are_served(world):
    key, data = world.key(), os.urandom(MIB + 123)
    world.put(key, data)
    n = len(data)
    for text, part in (("0-0", data[:1]), ("0-", data), (f"{n-1}-", data[-1:]), ("5-9", data[5:10]), ("-7", data[-7:]),
                       (f"0-{n*2}", data), (f"-{n*2}", data), ("262143-262144", data[262143:262145]),
                       ("200000-800000", data[200000:800001])):
        got = world.get(key, Range=f"bytes={text}")
        equal(got["ResponseMetadata"]["HTTPStatusCode"], 206)
        assert got["Body"].read() == part, text
        start = data.find(part) if len(part) > 4 else None
        if start is not None:
            equal(got["ContentRange"], f"bytes {start}-{start + len(part) - 1}/{n}")


@check
def ranges_beyond_the_end_are_416(world):
    key = world.key()
    world.put(key, b"0123456789")
    for text in ("10-", "10-20", "99999999999-"):
        fails(416, "InvalidRange", world.get, key, Range=f"bytes={text}")
    empty = world.key()
    world.put(empty, b"")
    fails(416, "InvalidRange", world.get, empty, Range="bytes=0-")


@check(ours=True)
def if_range_decides_between_a_range_and_the_whole_object(world):
    key = world.key()
    tag = world.put(key, b"0123456789")["ETag"]
    url = world.presign(key)
    equal(world.request("GET", url, headers={"Range": "bytes=2-3", "If-Range": tag})[::2], (206, b"23"))
    equal(world.request("GET", url, headers={"Range": "bytes=2-3", "If-Range": '"other"'})[::2], (200, b"0123456789"))


@check
def reads_support_conditional_headers(world):
    key = world.key()
    tag = world.put(key)["ETag"]
    modified = world.get(key)["LastModified"]
    before = modified - timedelta(hours=1)
    head = lambda **more: world.s3.head_object(Bucket=world.bucket, Key=key, **more)
    for call in (lambda **more: world.get(key, **more), head):
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
def a_304_has_the_etag_and_no_body(world):
    key = world.key()
    tag = world.put(key)["ETag"]
    status, headers, body = world.request("GET", world.presign(key), headers={"If-None-Match": tag})
    equal((status, headers.get("etag"), body), (304, tag, b""))


@check
def a_put_can_require_that_the_object_does_not_exist(world):
    key = world.key()
    world.put(key, b"first", IfNoneMatch="*")
    fails(412, "PreconditionFailed", world.put, key, b"second", IfNoneMatch="*")
    equal(world.body(key), b"first")
    world.s3.delete_object(Bucket=world.bucket, Key=key)
    world.put(key, b"third", IfNoneMatch="*")


@check
def a_put_can_require_a_version(world):
    key = world.key()
    fails((404, 412), None, world.put, key, IfMatch='"0123"')
    tag = world.put(key, b"first")["ETag"]
    tag2 = world.put(key, b"second", IfMatch=tag)["ETag"]
    fails(412, "PreconditionFailed", world.put, key, b"third", IfMatch=tag)
    equal(world.get(key)["ETag"], tag2)


@check
def of_many_concurrent_conditional_puts_one_succeeds(world):
    key = world.key()
    def attempt(n):
        try:
            world.put(key, f"{n}".encode() * 1000, IfNoneMatch="*")
            return n
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412), error
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        winners = [n for n in pool.map(attempt, range(16)) if n is not None]
    equal(len(winners), 1)
    equal(world.body(key), f"{winners[0]}".encode() * 1000)


@check
def concurrent_puts_of_one_key_leave_one_whole_object(world):
    key = world.key()
    bodies = [bytes([65 + n]) * (MIB + n) for n in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        puts = [pool.submit(world.put, key, body) for body in bodies]
        while not all(put.done() for put in puts):
            try:
                assert world.body(key) in bodies, "the response mixes two bodies"
            except ClientError as error:
                equal(error.response["Error"]["Code"], "NoSuchKey")
        for put in puts:
            put.result()
    assert world.body(key) in bodies
