"""What a lane measures: wall time, CPU time and memory of one process, from its first record to its last."""

import time
from pathlib import Path

import msgspec
import psutil

MB = 1 << 20

Detail = int | float | str


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One lane in one run. `items` are events, facts or rows; `cpu_s` is user and system time of the lane's process.

    `rss_mb` is the highest resident memory of the process so far, in MiB. `seconds` and `cpu_s` cover the items alone.
    """

    items: int
    seconds: float
    cpu_s: float
    rss_mb: float
    details: dict[str, Detail] = {}

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.items / self.seconds


class Stopwatch:
    """Measures a process between `start` and `stop`: this one, or the one of `pid`. `broker_pid` is measured beside it.

    Peak memory is that of the whole life of the process. It is read from the address space where the system keeps
    that figure, for `ru_maxrss` of a new process begins with what its parent had.
    """

    def __init__(self, pid: int | None = None, broker_pid: int | None = None) -> None:
        self._process = psutil.Process(pid)
        self._broker = psutil.Process(broker_pid) if broker_pid else None
        self._peak = 0
        self._started: tuple[float, float, float] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started."""
        return self._started is not None

    def start(self) -> None:
        """The first record is there."""
        self._started = self._look()

    def note_memory(self) -> None:
        """Look at the peak now, for a process that may have ended by the time of `stop`."""
        self._peak = max(self._peak, _peak_rss(self._process))

    def stop(self, items: int, **details: Detail) -> Measurement:
        """The last item is done.

        Raises:
            RuntimeError: it was never started.
        """
        if self._started is None:
            raise RuntimeError("nothing was measured: not one record came")
        wall, cpu, broker = (now - then for now, then in zip(self._look(), self._started, strict=True))
        self.note_memory()
        if self._broker:
            details["broker_cpu_s"] = round(broker, 2)
        return Measurement(items=items, seconds=wall, cpu_s=cpu, rss_mb=self._peak / MB, details=details)

    def _look(self) -> tuple[float, float, float]:
        return time.perf_counter(), _cpu(self._process), _cpu(self._broker) if self._broker else 0.0


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak_rss(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
    except OSError:
        return process.memory_info().rss if process.is_running() else 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) << 10 if found else 0
