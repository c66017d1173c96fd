"""LocalStack, with S3 only, on 127.0.0.1 and with signature checks."""

import json
import signal
from pathlib import Path

from . import environments
from .network import HOST, free_ports, request
from .processes import NotReady, wait_until_ready
from .s3 import S3Server

# Both the access key and the secret key of signed requests.
KEY = "test"
SETTINGS = {
    "SERVICES": "s3",
    "STRICT_SERVICE_LOADING": "1",
    "EAGER_SERVICE_LOADING": "1",
    # By default, LocalStack accepts wrong signatures of presigned URLs, so tests of signatures would prove nothing.
    "S3_SKIP_SIGNATURE_VALIDATION": "0",
    # No telemetry, no downloads, no DNS server, and no detection of Docker.
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    "DNS_ADDRESS": "0",
    "OVERRIDE_IN_DOCKER": "0",
}


def start(folder, processes, environment, environments_root):
    """Starts LocalStack with its state below `folder` and waits until S3 is loaded."""
    (port,) = free_ports(1)
    log = folder / "localstack.log"
    paths = {"FILESYSTEM_ROOT": str(folder), "TMPDIR": str(folder), "GATEWAY_LISTEN": f"{HOST}:{port}"}
    python = environments.program("localstack", "python", environments_root)
    # Without -P, this folder would be first in the search path, and `import localstack` would find this file.
    argv = [python, "-P", Path(__file__).with_name("localstack_on_loopback.py")]
    settings = {**environment, **SETTINGS, **paths}
    # SIGKILL: on SIGTERM, LocalStack takes many seconds to clean up files that are deleted anyway.
    process = processes.start(argv, env=settings, cwd=folder, log=log, stop_signal=signal.SIGKILL)
    wait_until_ready("LocalStack", process, log, lambda: _is_ready(port), seconds=120)
    return S3Server(port, KEY, KEY)


def create_bucket(server, name):
    """Creates a bucket with an unsigned request. The first request loads code, which takes seconds on a busy machine."""
    status, body = request(server.port, f"/{name}", method="PUT", seconds=60)
    if status != 200:
        raise NotReady(f"LocalStack did not create the bucket {name}: {status} {body.decode(errors='replace')}")


def _is_ready(port):
    status, body = request(port, "/_localstack/init/ready")
    return status == 200 and json.loads(body).get("completed") is True
