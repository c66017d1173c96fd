"""Finds the programs that the tests need; installs the Debian packages of those that are missing.

Everything missing is collected first, so that there is one installation, or one message that names all of it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST_POSTGRES = 14
# What generators of clients run on, and the packages that have it.
CLIENT_PROGRAMS = {"java": "default-jre-headless", "node": "nodejs", "npm": "npm"}


class Missing(Exception):
    """Packages are missing and cannot be installed from here."""


def install_missing(*, postgres, python, clients=False):
    """Installs what building needs, and what the asked for parts need beside it."""
    missing = []
    if not shutil.which("cargo"):
        raise Missing("cargo is missing: install a Rust toolchain (https://rustup.rs)")
    if not shutil.which("cc"):
        missing += ["gcc", "libc6-dev"]
    # Without nasm the JPEG codec builds all the same, silently without SIMD.
    if not shutil.which("nasm"):
        missing += ["nasm"]
    # A test runs the README's requests.
    if not shutil.which("curl"):
        missing += ["curl"]
    if postgres and not postgres_programs():
        missing += ["postgresql"]
    if postgres and not pgbouncer_program():
        missing += ["pgbouncer"]
    if python and not python_with_venv():
        missing += ["python3-venv"]
    if clients:
        # Debian 12's Node 18 and Java 17 are enough for every pinned generator.
        missing += [package for command, package in CLIENT_PROGRAMS.items() if not shutil.which(command)]
    if missing:
        _install(missing)


def postgres_programs():
    """The folder that holds `initdb` and `postgres`, or None. Debian keeps them off the PATH, a folder per version."""
    debian = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    for folder in debian[::-1] + ([Path(on_path).resolve().parent] if on_path else []):
        if (folder / "initdb").exists() and (folder / "postgres").exists() and _is_recent(folder):
            return folder
    return None


def pgbouncer_program():
    """Debian keeps it off the PATH of ordinary users."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def python_with_venv():
    """A Python that can make virtual environments, this one if it can. Debian's cannot without python3-venv."""
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
    # A failed update is not the end: the lists at hand may do.
    subprocess.run([*apt, "update"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    if not _succeeds([*apt, "install", "--no-install-recommends", *packages], quiet=False):
        raise Missing(f"apt-get could not install: {names}")


def _privilege():
    """What to put before a command to run it as root; None when that is not to be had."""
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]) else None


def _succeeds(argv, quiet=True):
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode == 0
