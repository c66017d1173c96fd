"""A temporary PostgreSQL cluster, configured for speed instead of durability."""

import os
import pwd
import signal
import subprocess
from pathlib import Path

from .network import HOST, free_ports
from .packages import postgres_programs
from .processes import NotReady, wait_until_ready

SUPERUSER = "postgres"
# The data is deleted after the run, so it need not be durable. Each test has its own database and connection pool.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # socket paths have at most 107 bytes, and temporary directories may be longer
    "max_connections": "300",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Postgres:
    """A running cluster."""

    def __init__(self, programs, port, prefix, log):
        self._programs = programs
        self._prefix = prefix
        self._log = log
        self.port = port

    def url(self, database="postgres"):
        return f"postgres://{SUPERUSER}@{HOST}:{self.port}/{database}"

    def create_database(self, name):
        argv = [self._programs / "createdb", "-h", HOST, "-p", str(self.port), "-U", SUPERUSER, name]
        subprocess.run(argv, check=True, cwd="/")

    def deadlocks(self):
        """Returns the log entries about deadlocks."""
        lines = self._log.read_text(errors="replace").splitlines()
        # The lines after it contain the statements of both transactions.
        return ["\n".join(lines[at : at + 6]) for at, line in enumerate(lines) if "deadlock detected" in line]


def start(folder, processes, environment):
    """Starts a cluster below `folder` and waits until it accepts connections."""
    programs = postgres_programs()
    prefix = as_unprivileged_user(folder)
    data, log = folder / "data", folder / "postgres.log"
    environment = {**environment, "LC_ALL": "C.UTF-8"}
    _initialize(programs, prefix, data, environment)
    (port,) = free_ports(1)
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    argv = [*prefix, programs / "postgres", "-D", data, "-p", port, *settings]
    # SIGQUIT stops the server and disconnects its clients immediately; SIGTERM would wait for the clients.
    process = processes.start(argv, env=environment, cwd="/", log=log, stop_signal=signal.SIGQUIT)
    wait_until_ready("PostgreSQL", process, log, lambda: _accepts_connections(programs, port))
    return Postgres(programs, port, prefix, log)


def as_unprivileged_user(folder):
    """Returns a command prefix that runs a program as an unprivileged user, and makes this user the owner of `folder`.

    PostgreSQL and PgBouncer refuse to run as root. Without root, the prefix is empty.
    """
    if os.geteuid() != 0:
        return []
    user = _unprivileged_user()
    os.chown(folder, user.pw_uid, user.pw_gid)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    # Changing the user clears the signal that the kernel sends when `tests/run` is killed, so setpriv sets it again.
    prefix = ["setpriv", *ids, "--pdeathsig", "QUIT", "--"]
    if subprocess.run([*prefix, "test", "-w", folder], cwd="/").returncode != 0:
        raise NotReady(f"the user {user.pw_name} cannot write to {folder}: set TMPDIR to a directory that all users can access")
    return prefix


def _unprivileged_user():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NotReady("PostgreSQL cannot run as root, and neither the user postgres nor the user nobody exists")


def _initialize(programs, prefix, data, environment):
    options = ["-A", "trust", "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    argv = [*prefix, programs / "initdb", "-D", data, *options]
    result = subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise NotReady(f"initdb failed:\n{result.stdout}{result.stderr}")


def _accepts_connections(programs: Path, port):
    argv = [programs / "pg_isready", "-q", "-h", HOST, "-p", str(port), "-U", SUPERUSER]
    return subprocess.run(argv, cwd="/").returncode == 0
