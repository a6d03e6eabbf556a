"""The memory of a batch worker: how much it has, what it drops when little is left, and what DuckDB may hold.

Pages of the database file and freed memory that allocators keep go first: they cost nothing but time. Then the table of
known ids gets smaller, for as long as the process lives: ids without room in it are looked for in the facts.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import structlog

from batcher import metrics
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.headroom import Headroom

log = structlog.get_logger(__name__)

_STATM = Path("/proc/self/statm")
POLL_S = 0.1
RELIEF_S = 2.0  # to drop things more often would find nothing
KEYS_RELIEF_S = 30.0  # the table is made anew by reading all facts
SHRUNK = 0.5  # of what DuckDB may hold, while memory is short
LEISURE = 0.65  # of the limit, below which DuckDB gets all of it back


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Memory:
    """Measures, and keeps below the limit what can be kept below it."""

    def __init__(
        self, headroom: Headroom, database: AsyncDatabase, measure: Callable[[], int] = resident_bytes
    ) -> None:
        self._headroom, self._database, self.measure = headroom, database, measure
        self._relieved_at_s = self._keys_shrunk_at_s = float("-inf")
        self._is_shrunk = False
        metrics.MEMORY_LIMIT.set(headroom.limit_bytes)

    async def room(self, most: int) -> int:
        """Wait until a group of batches may be begun; how many records it may have, up to `most`. 1 is one batch."""
        while True:
            records = self._headroom.records(self.measure(), most, time.monotonic())
            if records is not None:
                return records
            await self.relieve()
            await asyncio.sleep(POLL_S)

    async def relieve(self) -> None:
        """Drop what can be dropped, if memory is short; give DuckDB its share back once there is plenty."""
        memory_bytes, now_s = self.measure(), time.monotonic()
        metrics.MEMORY_HOLDS.set(self._headroom.look(memory_bytes, now_s))
        if not self._headroom.is_short(memory_bytes):
            if self._is_shrunk and memory_bytes < LEISURE * self._headroom.limit_bytes:
                self._is_shrunk = False
                await asyncio.to_thread(self._database.direct.set_memory_share, 1.0)
        elif now_s - self._relieved_at_s >= RELIEF_S:
            self._relieved_at_s = now_s
            await self._drop(now_s)
            say = log.debug if self._is_shrunk else log.info  # once, until there is plenty
            self._is_shrunk = True
            say("memory is short", limit=self._headroom.limit_bytes, before=memory_bytes, caches_dropped=self.measure())

    async def _drop(self, now_s: float) -> None:
        metrics.MEMORY_RELIEFS.inc()
        if not self._is_shrunk:
            await asyncio.to_thread(self._database.direct.set_memory_share, SHRUNK)
        await asyncio.to_thread(_return_freed)
        if (
            self._headroom.held_since_s is not None
            and self._headroom.is_short(self.measure())
            and now_s - self._keys_shrunk_at_s >= KEYS_RELIEF_S
        ):
            self._keys_shrunk_at_s = now_s
            await self._database.write(Database.shrink_keys)
            await asyncio.to_thread(_return_freed)


def _return_freed() -> None:
    """Give freed memory back to the system: Arrow's, and the C library's where it is glibc."""
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
