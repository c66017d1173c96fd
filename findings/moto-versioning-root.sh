#!/usr/bin/env bash
# The response of moto to GetBucketVersioning has the root element GetBucketVersioningResponse. S3 sends VersioningConfiguration.
# botocore ignores the name of the root element. The AWS SDK for Rust checks it, and cannot parse the response.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet 'moto[server]==5.2.5' boto3==1.43.10
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
python/bin/moto_server -H 127.0.0.1 -p "$port" > server.log 2>&1 &
server=$!
export AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_DEFAULT_REGION=us-east-1 ENDPOINT="http://127.0.0.1:$port"
echo "moto 5.2.5"
python/bin/python - <<'PYTHON' | tee out
import os
import time
import urllib.request
from xml.etree import ElementTree

import boto3

endpoint = os.environ["ENDPOINT"]
for _ in range(100):
    try:
        urllib.request.urlopen(endpoint + "/moto-api/").read()
        break
    except OSError:
        time.sleep(0.1)
client = boto3.client("s3", endpoint_url=endpoint)
client.create_bucket(Bucket="images")
client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
print("botocore:", client.get_bucket_versioning(Bucket="images")["Status"])
url = client.generate_presigned_url("get_bucket_versioning", Params={"Bucket": "images"})
print("root:", ElementTree.fromstring(urllib.request.urlopen(url).read()).tag.rpartition("}")[2])
PYTHON
diff out - <<'EXPECTED'
botocore: Enabled
root: GetBucketVersioningResponse
EXPECTED
echo "unchanged"
