"""Python and Node environments with pinned packages, created once and reused while their pins are unchanged."""

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
# The Node environments, and the folders of their package.json and package-lock.json.
NODE = {f"{name}-node": Path(__file__).parent.parent / name for name in ("clients", "uploads", "pages")}


class InstallFailed(Exception):
    """pip or npm could not install an environment; the message ends with the output."""


def start_installs(names, *, python, root, processes):
    """Starts installing the environments that are missing or outdated; returns the argument for `finish_installs`."""
    outdated = [name for name in names if _stamp_of(name, root) != _expected_stamp(name, python, root)]
    return [(name, _start_install(name, python, root, processes)) for name in outdated]


def finish_installs(installs, *, python, root, processes):
    """Waits for the installs and records the pins of each that succeeded."""
    for name, process in installs:
        code = process.wait()
        processes.stop(process)
        if code != 0:
            raise InstallFailed(f"could not install the environment {name}:\n{_log(name, root).read_text()}")
        _stamp(name, root).write_text(_expected_stamp(name, python, root))


def lock(root):
    """Locks the environments of this checkout against concurrent runs. Closing the returned file releases the lock."""
    root.mkdir(parents=True, exist_ok=True)
    file = open(root / "lock", "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def program(name, command, root):
    """Returns the path of a command in an environment."""
    return root / name / "bin" / command


def _start_install(name, python, root, processes):
    print(f"installing the environment {name}", flush=True)
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    _stamp(name, root).unlink(missing_ok=True)
    if name in NODE:
        return _start_npm(name, folder, root, processes)
    script = '"$1" -m venv "$2" && exec "$2/bin/pip" --disable-pip-version-check install -q -r "$3"'
    argv = ["sh", "-c", script, "sh", python, folder, _requirements(name)]
    return processes.start(argv, log=_log(name, root))


def _start_npm(name, folder, root, processes):
    """Skips install scripts, because none of the pinned packages needs one."""
    folder.mkdir()
    for path in _pins(name):
        shutil.copy(path, folder)
    return processes.start(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, log=_log(name, root))


def _stamp_of(name, root):
    stamp = _stamp(name, root)
    return stamp.read_text() if stamp.exists() else None


def _expected_stamp(name, python, root):
    """Hashes the pins, the interpreter and the location, because the scripts of an environment contain absolute paths."""
    digest = hashlib.sha256(f"{python} {sys.version} {root}".encode())
    for path in _pins(name):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _pins(name):
    """Returns the files that pin the packages of an environment."""
    if name in NODE:
        return [NODE[name] / "package.json", NODE[name] / "package-lock.json"]
    return [_requirements(name)]


def _requirements(name):
    return REQUIREMENTS / f"{name}.txt"


def _stamp(name, root):
    return root / f"{name}.stamp"


def _log(name, root):
    return root / f"{name}.log"
