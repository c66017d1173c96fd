"""Creates the service's bucket with CORS for all origins. Runs at every start of LocalStack.

LocalStack runs .py hooks inside its process, so this needs no tool in the image, no execute bit and no AWS SDK
settings. In us-east-1, creating an existing bucket is not an error.
"""

import os

import boto3

bucket = os.environ.get("S3_BUCKET", "images")
s3 = boto3.client(
    "s3",
    endpoint_url="http://localhost:4566",
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
s3.create_bucket(Bucket=bucket)
# A presigned URL itself grants access, so restricting origins would add no protection.
s3.put_bucket_cors(
    Bucket=bucket,
    CORSConfiguration={
        "CORSRules": [
            {
                "AllowedOrigins": ["*"],
                "AllowedMethods": ["GET", "HEAD"],
                "AllowedHeaders": ["*"],
                "ExposeHeaders": ["Accept-Ranges", "Content-Disposition", "Content-Range", "ETag"],
                "MaxAgeSeconds": 3600,
            }
        ]
    },
)
print(f"bucket {bucket} is ready", flush=True)
