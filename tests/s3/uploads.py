"""Uploads that contradict their headers, are incomplete, or are too large."""

import base64
import hashlib
import http.client
import os
import socket
import time
import urllib.parse
import zlib

from harness import MIB, check, equal, fails, is_absent


@check
def correct_checksums_are_accepted(server):
    data = os.urandom(300_000)
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    server.put(server.key(), data, ContentMD5=md5)
    for algorithm, value in (("CRC32", zlib.crc32(data).to_bytes(4, "big")), ("SHA1", hashlib.sha1(data).digest()),
                             ("SHA256", hashlib.sha256(data).digest())):
        name, value = f"Checksum{algorithm}", base64.b64encode(value).decode()
        key = server.key()
        equal(server.put(key, data, **{name: value})[name], value)
        equal(server.get(key, ChecksumMode="ENABLED")[name], value)
        equal(server.s3.head_object(Bucket=server.bucket, Key=key, ChecksumMode="ENABLED")[name], value)
        # boto3 sends this checksum as the trailer of a chunked body.
        key = server.key()
        equal(server.put(key, data, ChecksumAlgorithm=algorithm)[name], value)
        equal(server.body(key), data)


@check
def a_wrong_checksum_leaves_the_previous_object(server):
    key = server.key()
    server.put(key, b"before")
    wrong = lambda size: base64.b64encode(b"\1" * size).decode()
    for more in ({"ContentMD5": wrong(16)}, {"ChecksumCRC32": wrong(4)}, {"ChecksumSHA1": wrong(20)},
                 {"ChecksumSHA256": wrong(32)}, {"ChecksumCRC32C": wrong(4)}, {"ChecksumCRC64NVME": wrong(8)}):
        fails(400, None, server.put, key, b"after", **more)
        equal(server.body(key), b"before")
        fresh = server.key()
        fails(400, None, server.put, fresh, b"after", **more)
        is_absent(server, fresh)


@check
def a_malformed_checksum_is_rejected(server):
    for more in ({"ContentMD5": "no"}, {"ChecksumCRC32": "AAAAAAAA"}):
        fails(400, None, server.put, server.key(), b"x", **more)


@check
def a_body_that_differs_from_the_signed_hash_is_rejected(server):
    key = server.key()
    headers = {"X-Amz-Content-SHA256": hashlib.sha256(b"signed").hexdigest(), "Content-Length": "6"}
    status, _, body = server.request("PUT", server.url(key), b"sent!!", server.signed_headers("PUT", key, headers))
    assert status in (400, 403), (status, body)
    is_absent(server, key)


def chunked(server, key, wire, length, trailer="x-amz-checksum-crc32"):
    headers = {"X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "X-Amz-Trailer": trailer,
               "X-Amz-Decoded-Content-Length": str(length), "Content-Encoding": "aws-chunked", "Content-Length": str(len(wire))}
    return server.request("PUT", server.url(key), wire, server.signed_headers("PUT", key, headers))


@check
def a_chunked_body_with_a_trailer_is_accepted(server):
    key, crc = server.key(), base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()
    wire = f"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    equal(chunked(server, key, wire, 11)[0], 200)
    equal(server.body(key), b"hello world")


@check(embedded_only=True)
def an_incomplete_or_invalid_chunked_body_leaves_no_object(server):
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
        key = server.key()
        status, _, body = chunked(server, key, wire.encode(), length)
        assert status in (400, 403), (name, status, body)
        is_absent(server, key)


@check
def an_interrupted_upload_leaves_no_object(server):
    key, existing = server.key("new"), server.key("existing")
    server.put(existing, b"before")
    for target in (key, existing):
        headers = server.signed_headers("PUT", target, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD", "Content-Length": "2000000"})
        for sent in (0, 1, 999_999, 1_999_999):
            with socket.create_connection((server.host, server.port), timeout=10) as connection:
                head = f"PUT {urllib.parse.urlsplit(server.url(target)).path} HTTP/1.1\r\nHost: {server.netloc}\r\n"
                head += "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host")
                connection.sendall(head.encode() + b"\r\n" + b"x" * sent)
                time.sleep(0.05)
    time.sleep(0.5)
    is_absent(server, key)
    equal(server.body(existing), b"before")


@check(embedded_only=True)
def an_upload_without_a_length_is_rejected(server):
    key = server.key()
    headers = server.signed_headers("PUT", key, {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("PUT", urllib.parse.urlsplit(server.url(key)).path, iter([b"abc"]), headers, encode_chunked=True)
    equal(connection.getresponse().status, 411)
    is_absent(server, key)


@check(embedded_only=True)
def the_size_of_an_object_is_limited(server):
    fails(400, "EntityTooLarge", server.put, server.key(), b"x" * (64 * MIB + 1))
    key = server.key()
    server.put(key, b"x" * (64 * MIB))
    equal(server.s3.head_object(Bucket=server.bucket, Key=key)["ContentLength"], 64 * MIB)


@check
def the_size_of_metadata_is_limited(server):
    fails(400, "MetadataTooLarge", server.put, server.key(), Metadata={"a": "x" * 2048})
    server.put(server.key(), Metadata={"a": "x" * 2000})
