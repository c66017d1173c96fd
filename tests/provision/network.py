"""Free ports and HTTP requests on 127.0.0.1, which ignore proxies in the environment."""

import http.client
import socket
from contextlib import ExitStack

HOST = "127.0.0.1"


def free_ports(count):
    """Returns `count` different unused ports. All are bound at the same time, so that none is returned twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


def request(port, path, method="GET", seconds=5, body=None, headers=None):
    """Returns the status and the body, or `(None, b"")` if there is no response in time."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()
