"""How the worker fares, twice a second: loop lag, memory and queue, and how many files may be read at once for it."""

import asyncio
import os
import re
import time
from pathlib import Path

import structlog

from batcher import metrics
from batcher.loading import Loader
from batcher.ownership import Ownership
from batcher.regulation import Bounds, Regulator, Strain
from runtime.health import Health
from runtime.refusals import SettingsRefused
from runtime.settings import BatchSettings

log = structlog.get_logger(__name__)

PULSE_S = 0.5
BEAT_S = 30.0
PROGRESS_S = 5.0
#: Beside DuckDB's own limit: batches that are being read, and the interpreter.
MEMORY_BESIDE_DATABASE = 1 << 30
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_STATM = Path("/proc/self/statm")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def bounds_of(settings: BatchSettings) -> Bounds:
    """What a worker with these settings may use."""
    return Bounds(
        settings.max_concurrency,
        settings.max_loop_lag.total_seconds(),
        parse_bytes(settings.memory_limit) + MEMORY_BESIDE_DATABASE,
    )


def parse_bytes(text: str) -> int:
    """A size as DuckDB writes it, such as `2GB` or `512 MiB`, in bytes.

    Raises:
        SettingsRefused: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or found[2].upper() not in _UNITS:
        raise SettingsRefused(f"VELOCITY_BATCH__MEMORY_LIMIT is {text!r}; it must be a size such as 2GB or 512MiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def keep_pulse(health: Health, regulator: Regulator, loader: Loader, ownership: Ownership) -> None:
    """Measure, regulate and report for ever."""
    reported, progress = time.monotonic(), CatchUp()
    while True:
        asked = time.monotonic()
        await asyncio.sleep(PULSE_S)
        now = time.monotonic()
        strain = Strain(max(0.0, now - asked - PULSE_S), resident_bytes(), loader.queued)
        await loader.resize(regulator.adjust(strain))
        health.beat("loop", BEAT_S)
        metrics.LOOP_LAG.set(strain.loop_lag_s)
        metrics.MEMORY.set(strain.memory_bytes)
        metrics.QUEUED.set(strain.queued)
        if now - reported >= PROGRESS_S:
            reported = now
            progress.report(sum(one.remaining for one in ownership.partitions.values() if not one.ready), now)


class CatchUp:
    """How fast the worker catches up, from one report to the next."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None

    def report(self, remaining: int, now: float) -> None:
        """Say how many offsets remain, at which rate they become fewer, and how long that will take."""
        if self._before is not None and remaining:
            rate = (self._before[0] - remaining) / (now - self._before[1])
            left_s = round(remaining / rate) if rate > 0 else None
            log.info("catching up", offsets_remaining=remaining, offsets_per_s=round(rate), seconds_left=left_s)
        self._before = (remaining, now)
