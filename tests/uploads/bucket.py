#!/usr/bin/env python3
"""Creates a bucket to which the pages of an origin can upload: `bucket.py --endpoint URL --bucket B --origin O`.

The credentials are those of the environment. The rule is that of docs/operations.md.
"""

import argparse

import boto3
from botocore.client import Config


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("endpoint", "bucket", "origin"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    config = Config(s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=arguments.endpoint, region_name="us-east-1", config=config)
    s3.create_bucket(Bucket=arguments.bucket)
    rule = {
        "AllowedOrigins": [arguments.origin],
        "AllowedMethods": ["GET", "HEAD", "POST", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"],
    }
    s3.put_bucket_cors(Bucket=arguments.bucket, CORSConfiguration={"CORSRules": [rule]})


if __name__ == "__main__":
    main()
