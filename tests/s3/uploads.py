"""Uploads that contradict their headers, are incomplete, or are too large."""

import base64
import hashlib
import http.client
import os
import socket
import time
import urllib.parse
import zlib

from world import MIB, check, equal, fails, is_absent


@check
def correct_checksums_are_accepted(world):
    data = os.urandom(300_000)
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    world.put(world.key(), data, ContentMD5=md5)
    for algorithm, value in (("CRC32", zlib.crc32(data).to_bytes(4, "big")), ("SHA1", hashlib.sha1(data).digest()),
                             ("SHA256", hashlib.sha256(data).digest())):
        name, value = f"Checksum{algorithm}", base64.b64encode(value).decode()
        key = world.key()
        equal(world.put(key, data, **{name: value})[name], value)
        equal(world.get(key, ChecksumMode="ENABLED")[name], value)
        equal(world.s3.head_object(Bucket=world.bucket, Key=key, ChecksumMode="ENABLED")[name], value)
        # Sent as a trailer of a chunked body.
        key = world.key()
        equal(world.put(key, data, ChecksumAlgorithm=algorithm)[name], value)
        equal(world.body(key), data)


@check
def a_wrong_checksum_leaves_the_previous_object(world):
    key = world.key()
    world.put(key, b"before")
    wrong = lambda size: base64.b64encode(b"\1" * size).decode()
    for more in ({"ContentMD5": wrong(16)}, {"ChecksumCRC32": wrong(4)}, {"ChecksumSHA1": wrong(20)},
                 {"ChecksumSHA256": wrong(32)}, {"ChecksumCRC32C": wrong(4)}, {"ChecksumCRC64NVME": wrong(8)}):
        fails(400, None, world.put, key, b"after", **more)
        equal(world.body(key), b"before")
        fresh = world.key()
        fails(400, None, world.put, fresh, b"after", **more)
        is_absent(world, fresh)


@check
def a_malformed_checksum_is_rejected(world):
    for more in ({"ContentMD5": "no"}, {"ChecksumCRC32": "AAAAAAAA"}):
        fails(400, None, world.put, world.key(), b"x", **more)


@check
def a_body_that_differs_from_the_signed_hash_is_rejected(world):
    key = world.key()
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(b"signed").hexdigest(), "Content-Length": "6"}
    status, _, body = world.request("PUT", world.url(key), b"sent!!", world.signed_headers("PUT", key, headers))
    assert status in (400, 403), (status, body)
    is_absent(world, key)


def chunked(world, key, wire, length, trailer="x-amz-checksum-crc32"):
    headers = {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Trailer": trailer,
               "X-Amz-Decoded-Content-Length": str(length), "Content-Encoding": "aws-chunked", "Content-Length": str(len(wire))}
    return world.request("PUT", world.url(key), wire, world.signed_headers("PUT", key, headers))


@check
def a_chunked_body_with_a_trailer_is_accepted(world):
    key, crc = world.key(), base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()
    wire = f"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    equal(chunked(world, key, wire, 11)[0], 200)
    equal(world.body(key), b"hello world")


@check(ours=True)
def an_incomplete_or_invalid_chunked_body_leaves_no_object(world):
    crc = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()
    trailer = f"x-amz-checksum-crc32:{crc}\r\n\r\n"
    for name, wire, length in (
        ("stops after a chunk", "5\r\nhello\r\n", 11),
        ("stops in a chunk", "5\r\nhel", 11),
        ("has no trailer", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 11),
        ("has a wrong trailer", "5\r\nhello\r\n6\r\nWORLD!\r\n0\r\n" + trailer, 11),
        ("is longer than declared", "5\r\nhello\r\n6\r\n world\r\n0\r\n" + trailer, 5),
        ("is shorter than declared", "5\r\nhello\r\n6\r\n world\r\n0\r\n" + trailer, 12),
        ("is not chunked", "hello world", 11),
    ):
        key = world.key()
        status, _, body = chunked(world, key, wire.encode(), length)
        assert status in (400, 403), (name, status, body)
        is_absent(world, key)


@check
def an_interrupted_upload_leaves_no_object(world):
    key, kept = world.key("cut"), world.key("kept")
    world.put(kept, b"before")
    for target in (key, kept):
        headers = world.signed_headers("PUT", target, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", "Content-Length": "2000000"})
        for sent in (0, 1, 999_999, 1_999_999):
            with socket.create_connection((world.host, world.port), timeout=10) as connection:
                head = f"PUT {urllib.parse.urlsplit(world.url(target)).path} HTTP/1.1\r\nHost: {world.netloc}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host")
                connection.sendall(head.encode() + b"\r\n" + b"x" * sent)
                time.sleep(0.05)
    time.sleep(0.5)
    is_absent(world, key)
    equal(world.body(kept), b"before")


@check(ours=True)
def an_upload_without_a_length_is_rejected(world):
    key = world.key()
    headers = world.signed_headers("PUT", key, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    connection = http.client.HTTPConnection(world.host, world.port, timeout=10)
    connection.request("PUT", urllib.parse.urlsplit(world.url(key)).path, iter([b"abc"]), headers, encode_chunked=True)
    equal(connection.getresponse().status, 411)
    is_absent(world, key)


@check(ours=True)
def the_size_of_an_object_is_limited(world):
    fails(400, "EntityTooLarge", world.put, world.key(), b"x" * (64 * MIB + 1))
    key = world.key()
    world.put(key, b"x" * (64 * MIB))
    equal(world.s3.head_object(Bucket=world.bucket, Key=key)["ContentLength"], 64 * MIB)


@check
def the_size_of_metadata_is_limited(world):
    fails(400, "MetadataTooLarge", world.put, world.key(), Metadata={"a": "x" * 2048})
    world.put(world.key(), Metadata={"a": "x" * 2000})
