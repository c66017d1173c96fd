"""Object keys, including hostile ones, and listings."""

import concurrent.futures
import hashlib
import os

from harness import check, equal, fails, is_absent

HOSTILE = ["../x", "../../../../etc/passwd", "a/../b", "./a", "a/./b", "/a", "//a", "a//b", "a/", "..", ".", "%2e%2e%2f", "%00",
           "a%2Fb", "a b", "a+b", "a&b=c?d#e", "\\..\\a", "C:\\a", "~", "incoming/0123", "lock", "credentials.json", "buckets/images/00",
           "ünï/画像/🖼", "e\u0301", "\u00e9", "a\tb", "<script>", "'\";--", "$(id)", "-rf", "con", "a" * 900, "x/" * 400]


@check(embedded_only=True)
def keys_are_opaque_strings(server):
    keys = [(server.prefix + name if name != ".." and name != "." else name, os.urandom(9)) for name in HOSTILE]
    keys += [("../" + server.prefix + "up", b"up"), ("/" + server.prefix + "down", b"down")]
    for key, data in keys:
        server.put(key, data)
    for key, data in keys:
        equal(server.body(key), data)
        equal(server.request("GET", server.presign(key))[::2], (200, data))
    listed = [entry["Key"] for page in server.s3.get_paginator("list_objects_v2").paginate(Bucket=server.bucket) for entry in page["Contents"]]
    for key, _ in keys:
        assert key in listed, f"{key!r:.99} is not listed"
        server.s3.delete_object(Bucket=server.bucket, Key=key)
        is_absent(server, key)


@check
def unicode_keys_are_preserved(server):
    for name in ("ünï/画像/🖼.jpg", "a b+c&d=e?f#g", "100%", "%41"):
        key = server.key(name)
        server.put(key, name.encode())
        equal(server.body(key), name.encode())
        equal([entry["Key"] for entry in server.s3.list_objects_v2(Bucket=server.bucket, Prefix=key)["Contents"]], [key])


@check
def a_key_has_at_most_1024_bytes(server):
    key = server.prefix + "k" * (1024 - len(server.prefix))
    server.put(key, b"long")
    equal(server.body(key), b"long")
    fails(400, "KeyTooLongError", server.put, key + "k")


@check(embedded_only=True)
def keys_that_cannot_be_listed_in_xml_are_rejected(server):
    for name in ("\0", "a\x01b", "a\x1fb", "\ufffe"):
        fails(400, "InvalidArgument", server.put, server.prefix + name)
    for path in ("%ff", "%c3%28", "%", "%zz"):
        status, _, _ = server.request("GET", f"{server.endpoint}/{server.bucket}/{path}")
        assert status in (400, 403), (path, status)


@check
def a_listing_is_sorted_by_bytes(server):
    base = server.key("")
    names = ["a", "A", "b/c", "b", "b-", "ü", "z", "画", "🖼", "a/b/c", "0", "~"]
    for name in names:
        server.put(base + name, name.encode())
    response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base)
    equal([entry["Key"] for entry in response["Contents"]], sorted((base + name for name in names), key=str.encode))
    equal((response["KeyCount"], response["IsTruncated"]), (len(names), False))
    entry = response["Contents"][0]
    equal((entry["Size"], entry["ETag"], entry["StorageClass"]), (1, f'"{hashlib.md5(b"0").hexdigest()}"', "STANDARD"))


@check
def a_listing_is_paged(server):
    base = server.key("")
    keys = sorted(f"{base}{n:03}" for n in range(25))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(server.put, keys))
    for size in (1, 7, 25, 1000):
        found, token, pages = [], None, 0
        while True:
            more = {"ContinuationToken": token} if token else {}
            response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base, MaxKeys=size, **more)
            found += [entry["Key"] for entry in response.get("Contents", [])]
            pages += 1
            equal(response["MaxKeys"], size)
            if not response["IsTruncated"]:
                break
            token = response["NextContinuationToken"]
        equal(found, keys)
        equal(pages, -(-25 // size))
    response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base, StartAfter=keys[20])
    equal([entry["Key"] for entry in response["Contents"]], keys[21:])
    response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base, MaxKeys=0)
    equal((response["KeyCount"], response["IsTruncated"]), (0, False))


@check
def a_delimiter_groups_keys_by_prefix(server):
    base = server.key("")
    for name in ("a", "b/1", "b/2", "c/d/1", "e", "f//x", "b/3/4"):
        server.put(base + name)
    for size in (1, 2, 3, 1000):
        keys, prefixes = [], []
        for page in server.s3.get_paginator("list_objects_v2").paginate(
                Bucket=server.bucket, Prefix=base, Delimiter="/", PaginationConfig={"PageSize": size}):
            assert page["KeyCount"] <= size
            keys += [entry["Key"][len(base):] for entry in page.get("Contents", [])]
            prefixes += [entry["Prefix"][len(base):] for entry in page.get("CommonPrefixes", [])]
        equal((keys, prefixes), (["a", "e"], ["b/", "c/", "f/"]))
    response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base + "b", Delimiter="/")
    equal([entry["Prefix"] for entry in response["CommonPrefixes"]], [base + "b/"])
    response = server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base + "b/", Delimiter="/")
    equal([entry["Key"] for entry in response["Contents"]], [base + "b/1", base + "b/2"])


@check
def listings_reflect_changes_immediately(server):
    base = server.key("")
    listed = lambda: [entry["Key"] for entry in server.s3.list_objects_v2(Bucket=server.bucket, Prefix=base).get("Contents", [])]
    equal(listed(), [])
    server.put(base + "a"), server.put(base + "b")
    equal(listed(), [base + "a", base + "b"])
    server.s3.delete_object(Bucket=server.bucket, Key=base + "a")
    equal(listed(), [base + "b"])


@check(embedded_only=True)
def a_listing_rejects_invalid_parameters(server):
    fails(400, "InvalidArgument", server.s3.list_objects_v2, Bucket=server.bucket, MaxKeys=-1)
    for token in ("nonsense!", "AAAA", "%"):
        fails(400, "InvalidArgument", server.s3.list_objects_v2, Bucket=server.bucket, ContinuationToken=token)
