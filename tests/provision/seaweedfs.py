"""SeaweedFS, a second S3 server for presigned URLs. Unlike LocalStack, it verifies every signature and rejects anonymous access."""

import json
import signal

from . import environments
from .network import HOST, free_ports, request
from .processes import wait_until_ready
from .s3 import S3Server

ACCESS_KEY = "seaweedfs-access-key"
SECRET_KEY = "seaweedfs-secret-key"
ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]
PORTS = [f"-{part}.port{suffix}" for part in ("master", "volume", "filer", "s3") for suffix in ("", ".grpc")]


def start(folder, processes, environment, environments_root):
    """Starts master, volume server, filer and S3 gateway as one process, with their state below `folder`."""
    ports = dict(zip(PORTS, free_ports(len(PORTS))))
    log, configuration = folder / "seaweedfs.log", folder / "s3.json"
    configuration.write_text(json.dumps(_identities()))
    weed = environments.program("seaweedfs", "weed", environments_root)
    argv = [weed, "-logtostderr", "server", *_options(folder, configuration), *(f"{k}={v}" for k, v in ports.items())]
    # By default a bucket allocates seven volumes, which is too much for the many buckets of the tests.
    environment = {**environment, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    # SIGKILL: on SIGTERM, SeaweedFS waits ten seconds for peers, which it does not have.
    process = processes.start(argv, env=environment, cwd=folder, log=log, stop_signal=signal.SIGKILL)
    master, s3 = ports["-master.port"], ports["-s3.port"]
    wait_until_ready("SeaweedFS", process, log, lambda: _is_ready(master, s3))
    return S3Server(s3, ACCESS_KEY, SECRET_KEY)


def _options(folder, configuration):
    return [
        f"-dir={folder}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=10000",
        f"-filer.localSocket={folder}/filer.sock",
        "-s3",
        f"-s3.config={configuration}",
        f"-s3.localSocket={folder}/s3.sock",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def _identities():
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    return {"identities": [{"name": "tests", "credentials": credentials, "actions": ACTIONS}]}


def _is_ready(master, s3):
    """Returns whether the gateway responds and the master has a volume server that accepts writes."""
    return request(s3, "/healthz")[0] == 200 and request(master, "/dir/assign")[0] == 200
