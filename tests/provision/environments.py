"""Environments of Python and Node with pinned packages, made once and used again while their pins are unchanged."""

import fcntl
import hashlib
import shutil
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
# The environments of Node, with the folders of their package.json and package-lock.json.
NODE = {"clients-node": Path(__file__).parent.parent / "clients"}


class InstallFailed(Exception):
    """pip could not install an environment; the message ends with its output."""


def start_installs(names, *, python, root, processes):
    """Starts making those of the environments that are missing or outdated; gives what `finish_installs` takes."""
    outdated = [name for name in names if _stamp_of(name, root) != _stamp_wanted(name, python, root)]
    return [(name, _start_install(name, python, root, processes)) for name in outdated]


def finish_installs(installs, *, python, root, processes):
    """Waits for the installs, and stamps those that went well."""
    for name, process in installs:
        code = process.wait()
        processes.stop(process)
        if code != 0:
            raise InstallFailed(f"the environment {name} could not be made:\n{_log(name, root).read_text()}")
        _stamp(name, root).write_text(_stamp_wanted(name, python, root))


def lock(root):
    """Two runs in one checkout must not make the same environment at once; closing what this returns lets go."""
    root.mkdir(parents=True, exist_ok=True)
    file = open(root / "lock", "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def program(name, command, root):
    """The path of a command inside an environment."""
    return root / name / "bin" / command


def _start_install(name, python, root, processes):
    print(f"making the environment {name}", flush=True)
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    _stamp(name, root).unlink(missing_ok=True)
    if name in NODE:
        return _start_npm(name, folder, root, processes)
    script = '"$1" -m venv "$2" && exec "$2/bin/pip" --disable-pip-version-check install -q -r "$3"'
    argv = ["sh", "-c", script, "sh", python, folder, _requirements(name)]
    return processes.start(argv, log=_log(name, root))


def _start_npm(name, folder, root, processes):
    """No package's own scripts are run: none of the pinned ones needs them."""
    folder.mkdir()
    for path in _pins(name):
        shutil.copy(path, folder)
    return processes.start(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, log=_log(name, root))


def _stamp_of(name, root):
    stamp = _stamp(name, root)
    return stamp.read_text() if stamp.exists() else None


def _stamp_wanted(name, python, root):
    """The pins, the interpreter and the place: an environment's scripts hold absolute paths."""
    digest = hashlib.sha256(f"{python} {sys.version} {root}".encode())
    for path in _pins(name):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _pins(name):
    """The files that say what is in an environment."""
    if name in NODE:
        return [NODE[name] / "package.json", NODE[name] / "package-lock.json"]
    return [_requirements(name)]


def _requirements(name):
    return REQUIREMENTS / f"{name}.txt"


def _stamp(name, root):
    return root / f"{name}.stamp"


def _log(name, root):
    return root / f"{name}.log"
