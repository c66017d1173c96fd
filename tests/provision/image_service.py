"""Starts the service as a user would, for black-box tests."""

import json
import subprocess

from .network import HOST, free_ports, request
from .processes import NotReady, wait_until_ready
from .s3 import S3Server

BUCKET = "images"
# The file with the key pair of the embedded S3 server, in a subdirectory of DATA_DIR.
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
        """Returns an access token of the administrator, valid for 15 minutes."""
        login = json.dumps({"email": ADMINISTRATOR, "password": PASSWORD})
        json_type = {"Content-Type": "application/json"}
        status, body = request(self.port, "/token", "POST", seconds=30, body=login, headers=json_type)
        if status != 201:
            raise NotReady(f"the administrator could not log in: {status} {body.decode()}")
        return json.loads(body)["access"]


def start(program, folder, processes, environment, settings):
    """Starts `image-service serve` with its data below `folder` and waits until it is ready."""
    folder.mkdir()
    (port,) = free_ports(1)
    log, data = folder / "image-service.log", folder / "data"
    # Imports are disabled, so that no generated URL is fetched.
    defaults = {"HOST": HOST, "PORT": str(port), "DATA_DIR": str(data), "IMPORT_CONCURRENCY": "0"}
    process = processes.start([program, "serve"], env={**environment, **defaults, **settings}, cwd=folder, log=log)
    wait_until_ready("image-service", process, log, lambda: request(port, "/ready")[0] == 200)
    create_administrator(program, {**environment, **defaults, **settings}, folder)
    return process, ImageService(port, data)


def create_administrator(program, environment, folder):
    argv = [program, "create-admin", "--email", ADMINISTRATOR]
    subprocess.run(argv, env=environment, cwd=folder, input=PASSWORD + "\n", text=True, check=True, capture_output=True)


def start_embedded(program, folder, processes, environment):
    """Starts the service with SQLite and its embedded S3 server; also returns the address and credentials of that server."""
    (s3_port,) = free_ports(1)
    process, service = start(program, folder, processes, environment, {"S3_EMBEDDED_PORT": str(s3_port)})
    return process, service, _embedded_s3(service, s3_port)


def _embedded_s3(service, port):
    for path in service.data.rglob(CREDENTIALS):
        pair = json.loads(path.read_text())
        return S3Server(port, pair["access_key_id"], pair["secret_access_key"])
    raise NotReady(f"the service wrote no {CREDENTIALS} below {service.data}")
