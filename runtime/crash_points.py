"""Named moments at which a test can kill the process as hard as the kernel can."""

import os
import signal
from collections import Counter

CRASH_AT = "VELOCITY_CRASH_AT"
_passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Kill this process with SIGKILL if `VELOCITY_CRASH_AT` is `name`, or `name:N` at the N-th passing."""
    wanted = os.environ.get(CRASH_AT)
    if not wanted:
        return
    _passed[name] += 1
    at, _, nth = wanted.partition(":")
    if at == name and _passed[name] == int(nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
