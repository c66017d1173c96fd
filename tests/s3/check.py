#!/usr/bin/env python3
"""Black-box tests of an S3 server: `check.py --endpoint URL --bucket B --access-key A --secret-key S`.

Prints one line per check and exits non-zero if any fails. All keys begin with a random prefix and are removed at the
end; the bucket must exist. `--peer` is for other servers (LocalStack, SeaweedFS): it skips behaviour that S3 does not
define and rules that those servers are known not to enforce. `--only TEXT` runs the checks whose names contain TEXT.
"""

import argparse
import os
import sys
import traceback

# Importing a module registers its checks.
import objects  # noqa: F401
import uploads  # noqa: F401
import forms  # noqa: F401
import signatures  # noqa: F401
import names  # noqa: F401
import service  # noqa: F401
from harness import CHECKS, Server


def clean(server):
    for page in server.s3.get_paginator("list_objects_v2").paginate(Bucket=server.bucket, Prefix=server.prefix):
        found = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if found:
            server.s3.delete_objects(Bucket=server.bucket, Delete={"Objects": found, "Quiet": True})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("endpoint", "bucket", "access-key", "secret-key"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--peer", action="store_true", help="for another server: run only the checks that every S3 server must pass")
    parser.add_argument("--only", default="", help="run only the checks whose names contain this text")
    server = Server(parser.parse_args())
    passed, failed, skipped = 0, [], 0
    for name, function, embedded_only in CHECKS:
        if server.arguments.only not in name:
            continue
        if embedded_only and server.arguments.peer:
            skipped += 1
            print(f"skip  {name}")
            continue
        try:
            function(server)
            passed += 1
            print(f"ok    {name}", flush=True)
        except Exception as error:  # noqa: BLE001 - a failure must not stop the other checks
            failed.append(name)
            where = traceback.extract_tb(error.__traceback__)
            frame = [frame for frame in where if frame.name == function.__name__][-1]
            location = f"{os.path.basename(frame.filename)}:{frame.lineno}"
            print(f"FAIL  {name}: {location}: {type(error).__name__}: {error}", flush=True)
    clean(server)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
