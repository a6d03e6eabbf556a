"""What a lane measures: wall time, CPU time and memory of its process or processes, from first record to last."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

MB = 1 << 20

Detail = int | float | str


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One lane in one run. `items` are events, facts or rows.

    `seconds` and `cpu_s` cover the items alone; `cpu_s` is user and system time of the lane's process and of those of
    its children that have ended. `rss_mb` is the highest resident memory of the process so far, in MiB. Of several
    processes it is the sum.
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
    """Measures processes from `start` to `stop`: those of `pids`, or this one. `broker_pid` is measured beside them.

    Peak memory is that of the whole life of a process. It is read from the address space where the system keeps
    that figure, for `ru_maxrss` of a new process begins with what its parent had.
    """

    def __init__(self, pids: Sequence[int] = (), broker_pid: int | None = None) -> None:
        self._processes = [psutil.Process(pid) for pid in pids or [None]]
        self._broker = psutil.Process(broker_pid) if broker_pid else None
        self._peaks = [0] * len(self._processes)
        self._started: tuple[float, float, float] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started."""
        return self._started is not None

    def start(self) -> None:
        """The first record is there."""
        self._started = self._look()

    def note_memory(self) -> None:
        """Look at the peaks now, for a process that may have ended by the time of `stop`."""
        self._peaks = [max(peak, _peak_rss(one)) for peak, one in zip(self._peaks, self._processes, strict=True)]

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
        return Measurement(items=items, seconds=wall, cpu_s=cpu, rss_mb=sum(self._peaks) / MB, details=details)

    def _look(self) -> tuple[float, float, float]:
        return time.perf_counter(), sum(map(_cpu, self._processes)), _cpu(self._broker) if self._broker else 0.0


def _cpu(process: psutil.Process) -> float:
    """Seconds, with those of its children that have ended."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_rss(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
    except OSError:
        return process.memory_info().rss if process.is_running() else 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) << 10 if found else 0
