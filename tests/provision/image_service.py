"""The service itself, started as a user would start it, for the checks that come from outside."""

import json
import subprocess

from .network import HOST, free_ports, request
from .processes import NotReady, wait_until_ready
from .s3 import S3Server

BUCKET = "images"
# The key pair of the S3 server inside, somewhere below DATA_DIR.
CREDENTIALS = "credentials.json"
ADMINISTRATOR, PASSWORD = "root@example.org", "correct horse battery"


class ImageService:
    """A running service."""

    def __init__(self, port, data):
        self.port = port
        self.data = data

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def access_token(self):
        """An administrator's, good for a quarter of an hour."""
        login = json.dumps({"email": ADMINISTRATOR, "password": PASSWORD})
        json_type = {"Content-Type": "application/json"}
        status, body = request(self.port, "/token", "POST", seconds=30, body=login, headers=json_type)
        if status != 201:
            raise NotReady(f"the service let its administrator not in: {status} {body.decode()}")
        return json.loads(body)["access"]


def start(program, folder, processes, environment, settings):
    """Starts `image-service serve` with its data below `folder` and waits until its dependencies are up, too."""
    folder.mkdir()
    (port,) = free_ports(1)
    log, data = folder / "image-service.log", folder / "data"
    # URLs that were made up are nobody's to be asked for.
    own = {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(data), "IMPORT_CONCURRENCY": "0"}
    process = processes.start([program, "serve"], env={**environment, **own, **settings}, cwd=folder, log=log)
    wait_until_ready("image-service", process, log, lambda: request(port, "/ready")[0] == 200)
    make_administrator(program, {**environment, **own, **settings}, folder)
    return process, ImageService(port, data)


def make_administrator(program, environment, folder):
    argv = [program, "create-admin", "--email", ADMINISTRATOR]
    subprocess.run(argv, env=environment, cwd=folder, input=PASSWORD + "\n", text=True, check=True, capture_output=True)


def start_embedded(program, folder, processes, environment):
    """The service on SQLite with its S3 server inside, and how to reach that one."""
    (s3_port,) = free_ports(1)
    process, service = start(program, folder, processes, environment, {"S3_EMBEDDED_PORT": str(s3_port)})
    return process, service, _embedded_s3(service, s3_port)


def _embedded_s3(service, port):
    for path in service.data.rglob(CREDENTIALS):
        pair = json.loads(path.read_text())
        return S3Server(port, pair["access_key_id"], pair["secret_access_key"])
    raise NotReady(f"the service left no {CREDENTIALS} below {service.data}")
