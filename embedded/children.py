"""Child processes that end with their parent, even when the parent is killed with -9.

Linux sends a child the signal it asked for (PR_SET_PDEATHSIG) when the *thread* that forked it
ends: so every child is forked by one thread that lives as long as the process, and asks for the
signal before it becomes the program: a few lines of Python call prctl, look whether the parent is
still there, and exec. Elsewhere than on Linux children end only with an orderly stop.

Children get their own process group: Ctrl-C in a terminal reaches the parent alone, which then
stops them in order. They stay in its session, because Linux shares processors among sessions first
and among threads then: of a session's ten threads some waited for a fifth of a second, while one of
another session ran; and a priority counts within a session only.

A child has the priority of the thread that forks it, and only root can give a process more than it
has: so who wants to stand back, and to have children that do not, calls `ready` before.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# What the broker says however it fares: the loader about its libraries, and how to stop it.
_NOISE = ("weak version `GLIBC", "press Ctrl-C to stop")

_BECOME = """
import ctypes, os, sys
parent, death_signal, niceness, *argv = sys.argv[1:]
os.nice(int(niceness))
if sys.platform == "linux":
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(1, int(death_signal), 0, 0, 0) != 0:
        sys.exit("prctl failed: " + os.strerror(ctypes.get_errno()))
    if os.getppid() != int(parent):
        sys.exit("the parent was gone before its child started")
os.execv(argv[0], argv)
"""


@functools.cache
def _forker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


def ready() -> None:
    """Have the thread that forks children, with the priority the caller has now."""
    _forker().submit(int).result()


def spawn(
    argv: Sequence[str],
    *,
    log_path: Path,
    death_signal: signal.Signals,
    environ: Mapping[str, str] | None = None,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a program whose output is appended to a file and which ends with this process.

    Args:
        argv: The program, by its path, and its arguments.
        log_path: Takes its standard output and error; its folder exists.
        death_signal: What it gets when this process is gone.
        environ: Its environment; this process's where None.
        niceness: How far its priority is below that of the thread that forks it, as nice(1) has it.

    Raises:
        OSError: The log cannot be written.
    """
    command = [sys.executable, "-I", "-S", "-c", _BECOME]
    command += [str(os.getpid()), str(int(death_signal)), str(niceness), *argv]

    def fork() -> subprocess.Popen[bytes]:
        with log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if environ is None else dict(environ),
                process_group=0,
            )

    return _forker().submit(fork).result()


def end(child: subprocess.Popen[bytes], *, term_s: float) -> int:
    """Ask a child to end, kill it when `term_s` seconds have passed, and return its exit status."""
    if child.poll() is None:
        child.terminate()
        try:
            return child.wait(term_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def log_tail(log_path: Path, *, lines: int = 5, since: int = 0) -> str:
    """Return a log's last lines after byte `since`, without what says nothing."""
    with log_path.open("rb") as log:
        log.seek(since)
        text = log.read().decode("utf-8", "replace")
    told = (line for line in text.splitlines() if line.strip())
    kept = [line for line in told if not any(noise in line for noise in _NOISE)]
    return "\n".join(kept[-lines:])
