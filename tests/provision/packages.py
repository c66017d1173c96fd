"""Finds the programs that the tests need, and installs the Debian packages of missing ones.

It collects all missing packages first, so that one command installs them or one error message lists them.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_POSTGRES = 14
# The programs that run the client generators, and those that run upload clients and web pages, and their packages.
NODE_PROGRAMS = {"node": "nodejs", "npm": "npm"}
CLIENT_PROGRAMS = {"java": "default-jre-headless", **NODE_PROGRAMS}
# openssl creates the certificate of a proxy.
BROWSER_PROGRAMS = {"chromium": "chromium", "openssl": "openssl", **NODE_PROGRAMS}


class Missing(Exception):
    """Packages are missing and could not be installed."""


def install_missing(*, postgres, python, clients=False, browser=False):
    """Installs the missing packages that the build and the selected parts need."""
    missing = []
    if not shutil.which("cargo"):
        raise Missing("cargo is missing: install a Rust toolchain (https://rustup.rs)")
    if not shutil.which("cc"):
        missing += ["gcc", "libc6-dev"]
    # Without nasm, libjpeg is built without SIMD.
    if not shutil.which("nasm"):
        missing += ["nasm"]
    # A test runs the curl commands in the README.
    if not shutil.which("curl"):
        missing += ["curl"]
    if postgres and not postgres_programs():
        missing += ["postgresql"]
    if postgres and not pgbouncer_program():
        missing += ["pgbouncer"]
    if python and not python_with_venv():
        missing += ["python3-venv"]
    # All run on Node 18 and Java 17 of Debian 12.
    programs = {**(CLIENT_PROGRAMS if clients else {}), **(BROWSER_PROGRAMS if browser else {})}
    missing += [package for command, package in programs.items() if not shutil.which(command)]
    if missing:
        _install(missing)


def postgres_programs():
    """Returns the folder of `initdb` and `postgres`, or None. Debian has one for each version, which is not on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    for folder in debian[::-1] + ([Path(on_path).resolve().parent] if on_path else []):
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _is_recent(folder):
            return folder
    return None


def pgbouncer_program():
    """Returns the path of PgBouncer, or None. On Debian it is not on the PATH of ordinary users."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def python_with_venv():
    """Returns a Python that can create virtual environments, or None; Debian's cannot without python3-venv."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and _succeeds([python, "-c", "import venv, ensurepip"]):
            return python
    return None


def _is_recent(folder):
    output = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True).stdout
    version = re.search(r"\(PostgreSQL\) (\d+)", output)
    return version is not None and int(version[1]) >= OLDEST_POSTGRES


def _install(packages):
    names = " ".join(packages)
    prefix = _root_prefix()
    if prefix is None or not shutil.which("apt-get"):
        raise Missing(f"these packages are missing: {names}\nInstall them first. On Debian: sudo apt-get install {names}")
    print(f"installing {names}", flush=True)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    # A failed update is not an error: the existing package lists may be sufficient.
    subprocess.run([*apt, "update"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if not _succeeds([*apt, "install", "--no-install-recommends", *packages], quiet=False):
        raise Missing(f"apt-get could not install: {names}")


def _root_prefix():
    """Returns the prefix that runs a command as root, or None if that is not possible."""
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]) else None


def _succeeds(argv, quiet=True):
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode == 0
