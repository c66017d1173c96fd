"""PgBouncer in front of the PostgreSQL cluster. It uses transaction mode, as hosted poolers do, and otherwise the defaults."""

import socket

from .network import HOST, free_ports
from .packages import pgbouncer_program
from .postgres import SUPERUSER, as_unprivileged_user
from .processes import wait_until_ready


def start(folder, processes, environment, server):
    """Starts PgBouncer for all databases of `server` and returns its port."""
    prefix = as_unprivileged_user(folder)
    (port,) = free_ports(1)
    log, users, configuration = folder / "pgbouncer.log", folder / "users", folder / "pgbouncer.ini"
    users.write_text(f'"{SUPERUSER}" ""\n')
    configuration.write_text(_configuration(port, users, server))
    argv = [*prefix, pgbouncer_program(), configuration]
    process = processes.start(argv, env=environment, cwd="/", log=log)
    wait_until_ready("PgBouncer", process, log, lambda: _accepts_connections(port))
    return port


def _configuration(port, users, server):
    lines = [
        "[databases]",
        f"* = host={HOST} port={server.port}",
        "[pgbouncer]",
        f"listen_addr = {HOST}",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = trust",
        f"auth_file = {users}",
        "pool_mode = transaction",
        # Each test has its own database, and some have many clients.
        "max_client_conn = 2000",
        "server_idle_timeout = 10",
    ]
    return "\n".join(lines) + "\n"


def _accepts_connections(port):
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
