"""Keeps a process from outliving the one that asked for it: `guard.py OWNER_PID COMMAND…`.

Runs as a process of its own between the two, because the kernel's parent-death signal follows the parent *thread*: a
broker that a test started in a worker thread would die with that thread. The guard has one thread, so it may use that
signal for its own child, and it watches its owner by `getppid()`, which changes only with the whole process.

Standard output carries the child's process id and nothing else; the child writes to the guard's standard error. The
guard ends with the child's exit code. It is a script, not a module: it must start fast and import nothing of ours.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time

WATCH_INTERVAL_S = 0.1
GRACE_S = 10  # for a clean shutdown, before SIGKILL
PR_SET_PDEATHSIG = 1


def die_with_guard() -> None:
    """In the child before exec: have the kernel kill it when even the guard is killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, and SIGKILL after the grace period."""
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    child.kill()
    child.wait()


def main(owner: int, command: list[str]) -> int:
    """Runs `command` for as long as both it and `owner` live; returns its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=die_with_guard)  # noqa: PLW1509
    try:
        with contextlib.suppress(BrokenPipeError):
            os.write(1, b"%d\n" % child.pid)
        while child.poll() is None and os.getppid() == owner:
            time.sleep(WATCH_INTERVAL_S)
    finally:
        end(child)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
