"""The address and the credentials of an S3 server."""

from dataclasses import dataclass

from .network import HOST


@dataclass(frozen=True)
class S3Server:
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def endpoint(self):
        return f"http://{HOST}:{self.port}"

    def credentials(self):
        """Returns the credentials and the region as environment variables of the AWS SDKs."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }
