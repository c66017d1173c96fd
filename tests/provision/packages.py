"""Finds the programs that the tests need, and installs the Debian packages of missing ones.

All missing packages are collected first, so that there is one installation, or one message that names them all.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_POSTGRES = 14
# The programs that client generators run on, and their packages.
CLIENT_PROGRAMS = {"java": "default-jre-headless", "node": "nodejs", "npm": "npm"}


class Missing(Exception):
    """Packages are missing and cannot be installed from here."""


def install_missing(*, postgres, python, clients=False):
    """Installs what the build needs, and what the selected parts need besides."""
    missing = []
    if not shutil.which("cargo"):
        raise Missing("cargo is missing: install a Rust toolchain (https://rustup.rs)")
    if not shutil.which("cc"):
        missing += ["gcc", "libc6-dev"]
    # Without nasm, the JPEG codec still builds, but silently without SIMD.
    if not shutil.which("nasm"):
        missing += ["nasm"]
    # A test runs the requests in the README.
    if not shutil.which("curl"):
        missing += ["curl"]
    if postgres and not postgres_programs():
        missing += ["postgresql"]
    if postgres and not pgbouncer_program():
        missing += ["pgbouncer"]
    if python and not python_with_venv():
        missing += ["python3-venv"]
    if clients:
        # Node 18 and Java 17 of Debian 12 are sufficient for every pinned generator.
        missing += [package for command, package in CLIENT_PROGRAMS.items() if not shutil.which(command)]
    if missing:
        _install(missing)


def postgres_programs():
    """Returns the folder of `initdb` and `postgres`, or None. On Debian it is not on the PATH; there is one per version."""
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
    answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True).stdout
    version = re.search(r"\(PostgreSQL\) (\d+)", answer)
    return version is not None and int(version[1]) >= OLDEST_POSTGRES


def _install(packages):
    names = " ".join(packages)
    prefix = _privilege()
    if prefix is None or not shutil.which("apt-get"):
        raise Missing(f"these packages are missing: {names}\ninstall them first, on Debian: sudo apt-get install {names}")
    print(f"installing {names}", flush=True)
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    # A failed update is no error: the existing package lists may be sufficient.
    subprocess.run([*apt, "update"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if not _succeeds([*apt, "install", "--no-install-recommends", *packages], quiet=False):
        raise Missing(f"apt-get could not install: {names}")


def _privilege():
    """Returns the prefix that runs a command as root, or None if that is not possible."""
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]) else None


def _succeeds(argv, quiet=True):
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode == 0
