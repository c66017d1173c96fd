"""Keeps S3 objects over a restart of LocalStack, whose free edition has them in memory only.

Runs inside LocalStack's process at its start, before the bucket exists. From then on every answer to a request
that changed an object waits until the change is on disk: one file an object, written aside, synced and renamed. So
what was acknowledged is there again after `docker compose down`, after kill -9 and after a power cut. Then the
objects of earlier runs are put back.

What comes back: bytes, content type, disposition, cache control and the like, user metadata. What does not: versions,
tags, access lists, unfinished multipart uploads, form (POST) uploads, and the time of change, which becomes that of
the start. The service uses none of these.

It relies on LocalStack's internals as of 4.14.0, the version that docker-compose.yml names and the last free one.
"""

import hashlib
import json
import os
import threading
from pathlib import Path

import boto3
from botocore.config import Config
from localstack.aws.handlers import run_custom_response_handlers
from localstack.services.plugins import SERVICE_PLUGINS
from localstack.services.s3.models import s3_stores

KEPT = Path("/var/lib/localstack/kept-objects")
ACCOUNT, REGION = "000000000000", "us-east-1"
CHANGES_ONE = {"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"}
RESTORING = "restoring-kept-objects"
# Changes of one key are written one after the other; a key always meets the same lock.
LOCKS = [threading.Lock() for _ in range(64)]

memory = SERVICE_PLUGINS.require("s3").lifecycle_hook._storage_backend


def keep_changes(_chain, context, response):
    """A response handler: runs after the operation, before its answer is sent."""
    if not context.service or context.service.service_name != "s3" or not context.operation:
        return
    if response.status_code >= 300 or RESTORING in context.request.headers.get("User-Agent", ""):
        return
    request = context.service_request or {}
    if context.operation.name in CHANGES_ONE:
        keys = [request["Key"]]
    elif context.operation.name == "DeleteObjects":
        keys = [entry["Key"] for entry in request["Delete"]["Objects"]]
    else:
        return
    try:
        for key in keys:
            keep(request["Bucket"], key)
    except Exception as error:  # a full disk, say: the client must not believe that its object is safe
        print(f"keep-objects: {error!r}", flush=True)
        response.status_code = 500


def keep(bucket, key):
    """Makes the disk say of this key what the memory says now, whichever request led here."""
    path = path_of(bucket, key)
    with LOCKS[hash((bucket, key)) % len(LOCKS)]:
        stored = s3_stores[ACCOUNT][REGION].buckets[bucket].objects.get(key)
        if stored is None:
            path.unlink(missing_ok=True)
        else:
            with memory.open(bucket, stored, mode="r") as content:
                body = content.read()
            head = {"Bucket": bucket, "Key": key, "Metadata": stored.user_metadata, **stored.system_metadata}
            write_synced(path, json.dumps(head).encode() + b"\n" + body)
        if path.parent.exists():
            sync(path.parent)


def path_of(bucket, key):
    """The name is a hash, so that no path is ever made of a key."""
    name = hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()
    return KEPT / name[:2] / name


def write_synced(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".partial")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def sync(directory):
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def restore():
    s3 = boto3.client(
        "s3",
        endpoint_url="http://localhost:4566",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(user_agent_extra=RESTORING, s3={"addressing_style": "path"}),
    )
    buckets, restored = set(), 0
    for path in sorted(KEPT.glob("??/*")):
        if path.suffix == ".partial":
            path.unlink(missing_ok=True)
            continue
        try:
            head, body = path.read_bytes().split(b"\n", 1)
        except FileNotFoundError:  # deleted by a client since the directory was read
            continue
        head = json.loads(head)
        if head["Bucket"] not in buckets:
            s3.create_bucket(Bucket=head["Bucket"])
            buckets.add(head["Bucket"])
        s3.put_object(Body=body, **head)
        restored += 1
    print(f"keep-objects: {restored} objects restored", flush=True)


# All 256 directories at once, and their names synced: an object's own sync then covers all of its path.
for number in range(256):
    (KEPT / f"{number:02x}").mkdir(parents=True, exist_ok=True)
sync(KEPT)
run_custom_response_handlers.append(keep_changes)
restore()
