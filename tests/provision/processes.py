"""Starts processes and ensures that none outlives this program.

Each process is the leader of a new session. So Ctrl-C in the terminal reaches only `tests/run`, which then stops the
processes in order. The session also identifies all descendants of a process, even if a test runner puts each test in
a separate process group. If `tests/run` is killed, the kernel signals its direct children.

Start processes only from the main thread, because the kernel sends that signal when the thread that forked exits.
"""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

# Longer than the 10 seconds that a test runner waits for its tests to stop before it kills them.
STOP_SECONDS = 15
LOG_LINES = 60
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class NotReady(Exception):
    """A server did not start. The message ends with its log."""


class Processes:
    """All processes that were started and not yet stopped."""

    def __init__(self):
        self._running = []

    def start(self, argv, *, env=None, cwd=None, log=None, stop_signal=signal.SIGTERM):
        """Starts `argv`. Its output goes to the file `log` or, without one, to the output of this program."""
        output = open(log, "wb") if log else None
        try:
            process = subprocess.Popen(
                [str(word) for word in argv],
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, stop_signal),
            )
        finally:
            if output:
                output.close()
        self._running.append((process, stop_signal))
        return process

    def run(self, argv, *, seconds=None, **options):
        """Runs `argv` and returns its exit code, or 124 if it was stopped after `seconds`."""
        process = self.start(argv, **options)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            print(f"stopped after {seconds} seconds: {' '.join(str(word) for word in argv)}", flush=True)
            return 124
        finally:
            self.stop(process)

    def stop(self, process):
        """Stops one process and all processes that it started."""
        for entry in [entry for entry in self._running if entry[0] is process]:
            self._running.remove(entry)
            _request_stop(*entry)
            _finish(process)

    def stop_all(self):
        """Stops all processes in reverse order. Signals all of them before it waits for the first."""
        entries, self._running = self._running[::-1], []
        for entry in entries:
            _request_stop(*entry)
        for process, _ in entries:
            _finish(process)


def wait_until_ready(name, process, log, check, seconds=60):
    """Waits until `check()` is true. Raises `NotReady` with the end of the log if the process exits or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReady(f"{name} exited with code {process.returncode}:\n{_last_lines(log)}")
        if check():
            return
        time.sleep(0.1)
    raise NotReady(f"{name} was not ready within {seconds} seconds:\n{_last_lines(log)}")


def _last_lines(log):
    lines = Path(log).read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join(f"    {line}" for line in lines)


def _request_stop(process, stop_signal):
    if process.poll() is None:
        _signal(process.pid, stop_signal)


def _finish(process):
    """Waits for a process that was signalled to stop, then kills the remaining processes of its session."""
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    for pid in _members_of_session(process.pid):
        _signal(pid, signal.SIGKILL)
    process.wait()


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _members_of_session(session):
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _session_of(path) == session]


def _session_of(process_folder):
    try:
        stat = (process_folder / "stat").read_text(errors="replace")
    except OSError:
        return None  # the process has exited in the meantime
    # "pid (name) state parent group session …"; the name may contain any characters, including parentheses.
    return int(stat.rpartition(")")[2].split()[3])
