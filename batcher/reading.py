"""Batch files into loads: verified against their manifests, and as many at once as the worker can bear."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batcher import metrics
from batcher.avro_reader import BatchUnreadable
from batcher.facts import BatchContradictsManifest, Load
from batcher.manifests import Announced
from runtime.store import BatchStore, StoredFile, StoreError

#: Why a batch cannot be loaded though it was announced. Time or a person may heal any of them.
UNLOADABLE = (StoreError, BatchUnreadable, BatchContradictsManifest)


def read_load(store: BatchStore, announced: Announced) -> Load:
    """Read and verify the file of a manifest. Blocks.

    Raises:
        StoreUnavailable, BatchMissing, BatchDamaged: the store, or the file in it.
        BatchUnreadable: it is no batch file.
        BatchContradictsManifest: it has another number of records.
    """
    manifest, started = announced.manifest, time.perf_counter()
    data = store.read_verified(StoredFile(manifest.path, manifest.bytes, manifest.sha256))
    load = Load(manifest, data, announced.partition, announced.offset)
    metrics.READ_BYTES.inc(manifest.bytes)
    metrics.READ_SECONDS.observe(time.perf_counter() - started)
    return load


class Slots:
    """A semaphore whose limit can change while it is in use."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._freed = asyncio.Condition()

    async def resize(self, limit: int) -> None:
        """Let so many in from now on; who is in already stays."""
        async with self._freed:
            self._limit = limit
            self._freed.notify_all()
        self._show()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._used < self._limit)
            self._used += 1
        self._show()
        try:
            yield
        finally:
            self._used -= 1
            self._show()
            async with self._freed:
                self._freed.notify()

    def _show(self) -> None:
        metrics.LIMIT.set(self._limit)
        metrics.CONCURRENCY.set(min(1.0, self._used / self._limit))
