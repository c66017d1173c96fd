"""Object keys of every kind, and listings."""

import concurrent.futures
import hashlib
import os

from world import check, equal, fails, is_absent

HOSTILE = ["../x", "../../../../etc/passwd", "a/../b", "./a", "a/./b", "/a", "//a", "a//b", "a/", "..", ".", "%2e%2e%2f", "%00",
           "a%2Fb", "a b", "a+b", "a&b=c?d#e", "\\..\\a", "C:\\a", "~", "incoming/0123", "lock", "credentials.json", "buckets/images/00",
           "ünï/画像/🖼", "e\u0301", "\u00e9", "a\tb", "<script>", "'\";--", "$(id)", "-rf", "con", "a" * 900, "x/" * 400]


@check(ours=True)
def any_key_is_just_a_name(world):
    keys = [(world.prefix + name if name != ".." and name != "." else name, os.urandom(9)) for name in HOSTILE]
    keys += [("../" + world.prefix + "up", b"up"), ("/" + world.prefix + "down", b"down")]
    for key, data in keys:
        world.put(key, data)
    for key, data in keys:
        equal(world.body(key), data)
        equal(world.request("GET", world.presign(key))[::2], (200, data))
    listed = [entry["Key"] for page in world.s3.get_paginator("list_objects_v2").paginate(Bucket=world.bucket) for entry in page["Contents"]]
    for key, _ in keys:
        assert key in listed, f"{key!r:.99} is not listed"
        world.s3.delete_object(Bucket=world.bucket, Key=key)
        is_absent(world, key)


@check
def unicode_keys_are_preserved(world):
    for name in ("ünï/画像/🖼.jpg", "a b+c&d=e?f#g", "100%", "%41"):
        key = world.key(name)
        world.put(key, name.encode())
        equal(world.body(key), name.encode())
        equal([entry["Key"] for entry in world.s3.list_objects_v2(Bucket=world.bucket, Prefix=key)["Contents"]], [key])


@check
def a_key_has_at_most_1024_bytes(world):
    key = world.prefix + "k" * (1024 - len(world.prefix))
    world.put(key, b"long")
    equal(world.body(key), b"long")
    fails(400, "KeyTooLongError", world.put, key + "k")


@check(ours=True)
def keys_that_cannot_be_listed_in_xml_are_rejected(world):
    for name in ("\0", "a\x01b", "a\x1fb", "\ufffe"):
        fails(400, "InvalidArgument", world.put, world.prefix + name)
    for path in ("%ff", "%c3%28", "%", "%zz"):
        status, _, _ = world.request("GET", f"{world.endpoint}/{world.bucket}/{path}")
        assert status in (400, 403), (path, status)


@check
def a_listing_is_sorted_by_bytes(world):
    base = world.key("")
    names = ["a", "A", "b/c", "b", "b-", "ü", "z", "画", "🖼", "a/b/c", "0", "~"]
    for name in names:
        world.put(base + name, name.encode())
    answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base)
    equal([entry["Key"] for entry in answer["Contents"]], sorted((base + name for name in names), key=str.encode))
    equal((answer["KeyCount"], answer["IsTruncated"]), (len(names), False))
    entry = answer["Contents"][0]
    equal((entry["Size"], entry["ETag"], entry["StorageClass"]), (1, f'"{hashlib.md5(b"0").hexdigest()}"', "STANDARD"))


@check
def a_listing_is_paged(world):
    base = world.key("")
    keys = sorted(f"{base}{n:03}" for n in range(25))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(world.put, keys))
    for size in (1, 7, 25, 1000):
        found, token, pages = [], None, 0
        while True:
            more = {"ContinuationToken": token} if token else {}
            answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base, MaxKeys=size, **more)
            found += [entry["Key"] for entry in answer.get("Contents", [])]
            pages += 1
            equal(answer["MaxKeys"], size)
            if not answer["IsTruncated"]:
                break
            token = answer["NextContinuationToken"]
        equal(found, keys)
        equal(pages, -(-25 // size))
    answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base, StartAfter=keys[20])
    equal([entry["Key"] for entry in answer["Contents"]], keys[21:])
    answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base, MaxKeys=0)
    equal((answer["KeyCount"], answer["IsTruncated"]), (0, False))


@check
def a_delimiter_groups_keys_by_prefix(world):
    base = world.key("")
    for name in ("a", "b/1", "b/2", "c/d/1", "e", "f//x", "b/3/4"):
        world.put(base + name)
    for size in (1, 2, 3, 1000):
        keys, folded = [], []
        for page in world.s3.get_paginator("list_objects_v2").paginate(
                Bucket=world.bucket, Prefix=base, Delimiter="/", PaginationConfig={"PageSize": size}):
            assert page["KeyCount"] <= size
            keys += [entry["Key"][len(base):] for entry in page.get("Contents", [])]
            folded += [entry["Prefix"][len(base):] for entry in page.get("CommonPrefixes", [])]
        equal((keys, folded), (["a", "e"], ["b/", "c/", "f/"]))
    answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base + "b", Delimiter="/")
    equal([entry["Prefix"] for entry in answer["CommonPrefixes"]], [base + "b/"])
    answer = world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base + "b/", Delimiter="/")
    equal([entry["Key"] for entry in answer["Contents"]], [base + "b/1", base + "b/2"])


@check
def a_listing_follows_changes_at_once(world):
    base = world.key("")
    listed = lambda: [entry["Key"] for entry in world.s3.list_objects_v2(Bucket=world.bucket, Prefix=base).get("Contents", [])]
    equal(listed(), [])
    world.put(base + "a"), world.put(base + "b")
    equal(listed(), [base + "a", base + "b"])
    world.s3.delete_object(Bucket=world.bucket, Key=base + "a")
    equal(listed(), [base + "b"])


@check(ours=True)
def a_listing_rejects_invalid_parameters(world):
    fails(400, "InvalidArgument", world.s3.list_objects_v2, Bucket=world.bucket, MaxKeys=-1)
    for token in ("nonsense!", "AAAA", "%"):
        fails(400, "InvalidArgument", world.s3.list_objects_v2, Bucket=world.bucket, ContinuationToken=token)
