"""Manifests into facts: files are read and verified many at once, and inserted many in one DuckDB transaction.

feeds ──► queue (bounded) ──► readers (regulated) ──► one group ready ──► insert, with the offsets
               ▲                    │ cannot be loaded
               └──── due again ◄── on hold
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from batcher import metrics
from batcher.database import Database
from batcher.database_file import BEYOND_USE
from batcher.facts import InsertResult, Load
from batcher.holds import Holds
from batcher.memory import Memory
from batcher.partition import OwnedPartition, Parcel
from batcher.reading import UNLOADABLE, Slots, read_load
from batcher.regulation import Regulator
from batcher.workbench import Workbench
from runtime.crash_points import crash_point
from runtime.store import StoreUnavailable

log = structlog.get_logger(__name__)

RETRY_POLL_S = 0.2
HELD_PER_QUEUED = 10  # so many times the queue's size may be on hold before nothing more is taken


@dataclass(frozen=True, slots=True)
class Loaded:
    """A batch whose facts are in the database now."""

    parcel: Parcel
    result: InsertResult


class Loader:
    """Takes parcels and loads them. `on_loaded` hears of every transaction, on the event loop."""

    def __init__(
        self, bench: Workbench, regulator: Regulator, memory: Memory, on_loaded: Callable[[list[Loaded]], None]
    ) -> None:
        self.holds: Holds[Parcel] = Holds(bench.backoff_s)
        self._bench, self._memory, self._on_loaded = bench, memory, on_loaded
        self._threads = ThreadPoolExecutor(bench.settings.batch.max_concurrency, thread_name_prefix="batch-read")
        self._slots = Slots(regulator.limit)
        self._queue: deque[Parcel] = deque()
        self._in_hand: Counter[str] = Counter()  # by site: queued, being read, or being inserted
        self._changed = asyncio.Condition()
        self._read: asyncio.Queue[tuple[float, list[tuple[Parcel, Load]]]] = asyncio.Queue(maxsize=1)

    async def run(self) -> None:
        """Load for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read_groups())
                tasks.create_task(self._insert_groups())
                tasks.create_task(self._retry_held())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    # -- what comes in -------------------------------------------------------------------------------------------------

    async def room(self) -> None:
        """Wait until the queue has room, and not too many batches are on hold: they are kept in memory."""
        size = self._bench.settings.batch.queue_size
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._queue) < size and len(self.holds) < HELD_PER_QUEUED * size)

    async def put(self, parcels: Sequence[Parcel]) -> None:
        """Queue manifests that were announced."""
        self._in_hand.update(parcel.site_id for parcel in parcels)
        async with self._changed:
            self._queue.extend(parcels)
            self._changed.notify_all()

    def is_loading(self, site_id: str) -> bool:
        """Whether a batch of the site is on its way."""
        return self._in_hand[site_id] > 0

    @property
    def queued(self) -> int:
        """Batches that wait to be read."""
        return len(self._queue)

    async def resize(self, limit: int) -> None:
        """Read so many files at once from now on."""
        await self._slots.resize(limit)

    async def forget_dropped(self) -> None:
        """Let go of everything that belongs to partitions which were dropped."""
        async with self._changed:
            gone = [parcel for parcel in self._queue if parcel.owned.dropped]
            self._queue = deque(parcel for parcel in self._queue if not parcel.owned.dropped)
            self._changed.notify_all()
        self._let_go(gone)
        for site_id in self.holds.forget(lambda parcel: parcel.owned.dropped):
            self._say_held(site_id)

    def _let_go(self, parcels: Sequence[Parcel]) -> None:
        self._in_hand.subtract(parcel.site_id for parcel in parcels)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read_groups(self) -> None:
        while True:
            group = await self._unknown(await self._next_group())
            started = time.perf_counter()
            read = await asyncio.gather(*(self._read_one(parcel) for parcel in group))
            loads = [(parcel, load) for parcel, load in zip(group, read, strict=True) if load is not None]
            if loads:
                await self._read.put((started, loads))

    async def _next_group(self) -> list[Parcel]:
        """The next batches, up to `load_records` records or what memory allows; at least one, unless it was dropped."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._queue) > 0)
        limit, group, records = await self._memory.room(self._bench.settings.batch.load_records), list[Parcel](), 0
        async with self._changed:
            while self._queue and (not group or records + self._queue[0].announced.manifest.record_count <= limit):
                group.append(self._queue.popleft())
                records += group[-1].announced.manifest.record_count
            self._changed.notify_all()
        return group

    async def _unknown(self, group: list[Parcel]) -> list[Parcel]:
        """Those that the database lacks: after a restart, what was loaded behind a batch on hold comes again."""
        known = await self._bench.database.read(Database.known_batches, [parcel.batch_id for parcel in group])
        for parcel in group:
            if parcel.batch_id in known:
                self._settle(Loaded(parcel, InsertResult(parcel.batch_id, parcel.site_id, known=True)))
        return [parcel for parcel in group if parcel.batch_id not in known]

    async def _read_one(self, parcel: Parcel) -> Load | None:
        """The batch, or None if it is on hold now, or no longer ours."""
        async with self._slots.slot():
            if parcel.owned.dropped:
                self._let_go([parcel])
                return None
            try:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, read_load, self._bench.store, parcel.announced)
            except UNLOADABLE as error:
                self._hold(parcel, error)
            except Exception as error:
                log.exception("unexpected failure to read a batch", path=parcel.announced.manifest.path)
                self._hold(parcel, error)
        return None

    # -- inserting -----------------------------------------------------------------------------------------------------

    async def _insert_groups(self) -> None:
        while True:
            started, group = await self._read.get()
            await self._insert(group, started)
            metrics.BATCH_SECONDS.observe(time.perf_counter() - started)

    async def _insert(self, group: list[tuple[Parcel, Load]], started: float) -> None:
        """Insert a group in one transaction; where the database refuses it, batch by batch, to find the culprit."""
        self._let_go([parcel for parcel, _ in group if parcel.owned.dropped])
        ours = [(parcel, load) for parcel, load in group if not parcel.owned.dropped]
        if not ours:
            return
        try:
            results = await self._commit(ours)
        except BEYOND_USE:
            raise
        except Exception as error:  # of Arrow, too: whatever a batch has in it, it holds its site and nothing else
            if len(ours) == 1:
                self._hold(ours[0][0], error)
                return
            log.warning("a group of batches was refused, trying one by one", batches=len(ours), error=repr(error))
            for one in ours:
                await self._insert([one], started)
        else:
            loaded = [Loaded(parcel, result) for (parcel, _), result in zip(ours, results, strict=True)]
            for one in loaded:
                self._settle(one)
            self._bench.traces.loaded([load.manifest for _, load in ours], started)
            self._on_loaded(loaded)

    async def _commit(self, group: list[tuple[Parcel, Load]]) -> list[InsertResult]:
        taken: dict[OwnedPartition, set[int]] = {}
        for parcel, _ in group:
            taken.setdefault(parcel.owned, set()).add(parcel.announced.offset)
        offsets = {owned.number: owned.progress.next_offset(besides=found) for owned, found in taken.items()}
        loads = [load for _, load in group]
        return await self._bench.database.write(insert_and_advance, loads, self._bench.batches_topic, offsets)

    def _settle(self, one: Loaded) -> None:
        parcel, manifest = one.parcel, one.parcel.announced.manifest
        parcel.owned.progress.take(parcel.announced)
        self._let_go([parcel])
        if self.holds.release(parcel):
            log.info("batch loaded after all", site_id=manifest.site_id, path=manifest.path)
            self._say_held(manifest.site_id)
        if not one.result.known:
            metrics.BATCHES_LOADED.labels(manifest.source.value, manifest.kind.value).inc()
            metrics.FACTS.labels(manifest.source.value).inc(one.result.facts_new)
            metrics.DUPLICATES.labels(manifest.source.value).inc(one.result.duplicates)
            metrics.CONFLICTS.labels(manifest.source.value).inc(one.result.conflicts)

    # -- on hold -------------------------------------------------------------------------------------------------------

    def _hold(self, parcel: Parcel, error: Exception) -> None:
        site_id = parcel.site_id
        self._let_go([parcel])
        if parcel.owned.dropped:
            return
        metrics.LOAD_FAILURES.labels(type(error).__name__).inc()
        parcel.owned.progress.hold(parcel.announced)
        where = "" if isinstance(error, StoreUnavailable) else f"batch {parcel.batch_id}: "
        self.holds.hold(parcel, site_id, f"{where}{error}", time.monotonic())
        self._say_held(site_id)

    def _say_held(self, site_id: str) -> None:
        reason = self.holds.reason(site_id)
        if reason is None:
            self._bench.health.clear(f"site {site_id}")
        else:
            self._bench.health.raise_reason(f"site {site_id}", reason)
        metrics.HELD_SITES.set(len(self.holds.sites))
        metrics.HELD_BATCHES.set(len(self.holds))

    async def _retry_held(self) -> None:
        while True:
            await asyncio.sleep(RETRY_POLL_S)
            await self.put(self.holds.due(time.monotonic()))  # none, too: whoever waits for room looks again


def insert_and_advance(
    database: Database, loads: Sequence[Load], topic: str, offsets: dict[int, int]
) -> list[InsertResult]:
    """Insert batches and remember the next offset to consume of each partition: both or neither. Blocks."""
    with metrics.INSERT_SECONDS.time(), database.transaction():
        results = database.insert_batches(loads)
        for partition, offset in offsets.items():
            database.set_offset(topic, partition, offset)
        crash_point("batch.before_commit")
    crash_point("batch.after_commit")
    return results
