"""Persists S3 objects across restarts of LocalStack, whose free edition stores them in memory only.

Runs inside LocalStack's process at startup, before the bucket exists. It delays every response to a request that
changes an object until the change is durable: one file per object, written to a temporary file, synced and renamed.
So every acknowledged change survives `docker compose down`, kill -9 and a power failure. Then it restores the objects
of earlier runs.

It restores bytes, system metadata (content type, disposition, cache control and others) and user metadata, but not
versions, tags, access control lists, unfinished multipart uploads, form (POST) uploads, and the modification time,
which becomes the time of the restart. The service uses none of these.

It depends on LocalStack's internals as of 4.14.0, the version in docker-compose.yml and the last free one.
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
SINGLE_OBJECT_OPERATIONS = {"PutObject", "CopyObject", "CompleteMultipartUpload", "DeleteObject"}
RESTORING = "restoring-kept-objects"
# Serialises the changes of a key, because a key always maps to the same lock.
LOCKS = [threading.Lock() for _ in range(64)]

memory = SERVICE_PLUGINS.require("s3").lifecycle_hook._storage_backend


def persist_changes(_chain, context, response):
    """Handles a response after the operation and before LocalStack sends it. Persists the objects that the operation changed."""
    if not context.service or context.service.service_name != "s3" or not context.operation:
        return
    if response.status_code >= 300 or RESTORING in context.request.headers.get("User-Agent", ""):
        return
    request = context.service_request or {}
    if context.operation.name in SINGLE_OBJECT_OPERATIONS:
        keys = [request["Key"]]
    elif context.operation.name == "DeleteObjects":
        keys = [entry["Key"] for entry in request["Delete"]["Objects"]]
    else:
        return
    try:
        for key in keys:
            persist(request["Bucket"], key)
    except Exception as error:  # such as a full disk: the client must not assume that its object is durable
        print(f"keep-objects: {error!r}", flush=True)
        response.status_code = 500


def persist(bucket, key):
    """Writes the key's current state in memory to disk, regardless of which request changed it."""
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
    """Returns the file of an object. Its name is a hash, so that no key becomes part of a path."""
    name = hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()
    return KEPT / name[:2] / name


def write_synced(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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


# Create and sync all 256 directories first, so that syncing an object's directory makes its whole path durable.
for number in range(256):
    (KEPT / f"{number:02x}").mkdir(parents=True, exist_ok=True)
sync(KEPT)
run_custom_response_handlers.append(persist_changes)
restore()
