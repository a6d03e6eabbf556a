"""How the worker fares, twice a second: loop lag, memory and queue, and how many files may be read at once for it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import structlog

from batcher import metrics
from batcher.async_database import AsyncDatabase
from batcher.headroom import RELIEVE
from batcher.loading import Loader
from batcher.memory import Memory
from batcher.ownership import Ownership
from batcher.regulation import Bounds, Reason, Regulator, Strain
from runtime.health import Health
from runtime.settings import BatchSettings

T = TypeVar("T")

log = structlog.get_logger(__name__)

PULSE_S = 0.5
TICK_S = 0.05  # a callback that holds the loop up for longer than this is noticed for all that is beyond it
BEAT_S = 30.0
PROGRESS_S = 5.0
DATABASE_SHARE = 0.90  # of DuckDB's memory limit, beyond which it is strained: it writes to disk soon


def bounds_of(settings: BatchSettings) -> Bounds:
    """What a worker with these settings may use."""
    return Bounds(
        settings.max_concurrency,
        settings.max_loop_lag.total_seconds(),
        int(RELIEVE * settings.rss_limit_bytes),
        int(DATABASE_SHARE * settings.database_bytes),
        settings.min_concurrency,
    )


async def keep_pulse(
    health: Health, regulator: Regulator, loader: Loader, ownership: Ownership, database: AsyncDatabase, memory: Memory
) -> None:
    """Measure, regulate and report for ever."""
    reported, progress = time.monotonic(), CatchUp()
    held, relief = Beside(lambda: asyncio.to_thread(database.direct.held_bytes), 0), Beside(memory.relieve, None)
    while True:
        loop_lag_s = await worst_lag_s(PULSE_S)
        now = time.monotonic()
        strain = Strain(loop_lag_s, memory.measure(), loader.queued, held.beat())
        await regulate(regulator, loader, strain)
        relief.beat()
        health.beat("loop", BEAT_S)
        if now - reported >= PROGRESS_S:
            reported = now
            progress.report(sum(one.remaining for one in ownership.partitions.values() if not one.ready), now)


async def worst_lag_s(for_s: float) -> float:
    """Sleep for so long; by how much the event loop was late at worst meanwhile, in seconds."""
    began = asked = time.monotonic()
    worst = 0.0
    while asked < began + for_s:
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        worst, asked = max(worst, now - asked - TICK_S), now
    return worst


async def regulate(regulator: Regulator, loader: Loader, strain: Strain) -> None:
    """One beat: adjust the limit, and show what came of it."""
    before = regulator.limit
    limit = regulator.adjust(strain)
    await loader.resize(limit)
    metrics.LOOP_LAG.set(strain.loop_lag_s)
    metrics.MEMORY.set(strain.memory_bytes)
    metrics.DATABASE_MEMORY.set(strain.database_bytes)
    metrics.QUEUED.set(strain.queued)
    strained = regulator.strained_by(strain)
    for reason in Reason:
        metrics.LIMIT_REASON.labels(reason).set(reason is regulator.reason)
        metrics.STRAINED.labels(reason).set(reason is strained)
    if limit != before and regulator.reason is not None:
        metrics.LIMIT_CHANGES.labels(regulator.reason).inc()
        log.debug("files read at once", limit=limit, before=before, reason=regulator.reason.value)


class Beside(Generic[T]):
    """Work beside the pulse, one call at a time: an answer may take long, and the pulse does not wait for it."""

    def __init__(self, call: Callable[[], Coroutine[Any, Any, T]], first: T) -> None:
        self._call, self._newest = call, first
        self._task: asyncio.Task[T] | None = None

    def beat(self) -> T:
        """The newest answer, `first` before there is one; calls again unless an answer is due. A failure is raised."""
        if self._task is None or self._task.done():
            if self._task is not None:
                self._newest = self._task.result()
            self._task = asyncio.create_task(self._call())
        return self._newest


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
