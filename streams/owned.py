"""A source partition that this worker owns: the pure state, its temporary files, and its transactions."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import structlog
from faust.types import TP

from runtime.settings import Settings
from runtime.store import BatchStore, StoreError, StoreUnavailable
from schemas.records import Frontier, Gap, partition_key
from schemas.sources import Source
from schemas.windows import SiteWindows
from streams import metrics
from streams.batch_file import BatchFormat
from streams.batch_writer import BatchWriter
from streams.checkpoint import Checkpoint, Identity, WriterPool
from streams.dead_letters import dead_letter, wire_size
from streams.event_clock import ClockRules
from streams.fetch_lane import Fetch
from streams.intake import Intake
from streams.ledger import CheckpointRefusedByBroker, Ledger, PartitionLost
from streams.open_windows import WindowKey
from streams.partition import Arrivals, Partition
from streams.pressure import Pressure
from streams.windowing import assign_windows

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Workbench:
    """What all partitions of a worker share. `wall_ms` is the wall clock, read in the shell alone."""

    settings: Settings
    settings_hash: str
    store: BatchStore
    windows: SiteWindows
    rules: ClockRules
    intakes: dict[Source, Intake]
    formats: dict[Source, BatchFormat]
    pressure: Pressure
    wall_ms: Callable[[], int]

    def writer(self, source: Source, partition: int, site_id: str) -> BatchWriter:
        """A new batch file in this worker's temporary folder."""
        form, worker, block = self.formats[source], self.settings.worker_id, self.settings.stream.chunk_records
        return BatchWriter(form, self.store, worker, source, partition, site_id, block)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was committed of a partition: the group's offset and metadata, and the last manifest offsets announced."""

    commit: tuple[int, str] | None = None
    announced: Mapping[int, int] = field(default_factory=dict[int, int])


ReadCommit = Callable[[TP], Awaitable[tuple[int, str] | None]]


class OwnedPartition:
    """Takes fetches, spills, and checkpoints. One checkpoint or spill at a time; fetches go on in between."""

    def __init__(
        self,
        bench: Workbench,
        identity: Identity,
        state: Partition,
        ledger: Ledger,
        found: Recovered,
        read_commit: ReadCommit,
    ) -> None:
        self.identity, self.state = identity, state
        self.tp = TP(identity.topic, identity.partition)
        self.name = partition_key(*self.tp)
        self.dropped = False
        self.lost: Exception | None = None  # what made a spill fail: rows are in neither memory nor file
        self.last_checkpoint = 0.0  # monotonic seconds
        self._bench, self._ledger, self._read_commit = bench, ledger, read_commit
        self._announced, self._commit_made = dict(found.announced), found.commit
        self._out_of_step = False
        self._intake = bench.intakes[identity.source]
        self._writers = WriterPool(lambda site: bench.writer(identity.source, identity.partition, site))
        self._checkpoint: Checkpoint | None = None
        self._disk = asyncio.Lock()
        self._spilling: asyncio.Task[None] | None = None

    # -- fetches -------------------------------------------------------------------------------------------------------

    async def take(self, fetch: Fetch) -> None:
        """Decode a fetch, admit it, and start to spill; the next fetch waits for that.

        Raises:
            LostRecords: it continues from beyond the position; nothing was taken.
            ReplayMismatch: see `Partition.admit`.
        """
        if self._spilling is not None:
            await asyncio.wait([self._spilling])
        arrivals = await asyncio.to_thread(self._decode, fetch, counted=not self.state.replaying)
        if self.dropped:
            return
        self.state.admit(arrivals)
        if self.state.windows.to_spill(self._bench.settings.stream.chunk_records):
            self._spilling = asyncio.create_task(self.spill())

    def _decode(self, fetch: Fetch, *, counted: bool) -> Arrivals:
        records, started = fetch.records, time.perf_counter()
        values = [record.value for record in records]
        decoded = self._intake.decode(
            values,
            [record.timestamp for record in records],
            [record.offset for record in records],
        )
        letters = [dead_letter(*self.tp, records[rejection.index], rejection) for rejection in decoded.rejections]
        rows = assign_windows(decoded.table, self._bench.windows)
        if counted:
            source = self.identity.source.value
            metrics.RECORDS.labels(source).inc(len(records))
            metrics.BYTES.labels(source).inc(sum(map(len, filter(None, values))))
            for letter in letters:
                metrics.DEAD_LETTERS.labels(source, letter.error_class.value).inc()
        metrics.DECODE_SECONDS.observe(time.perf_counter() - started)
        return Arrivals(fetch.base, fetch.end, rows, letters, sum(map(wire_size, letters)))

    def skip_gap(self, log_start: int) -> Gap:
        """Retention has passed the position; shout, and go on from the log's start."""
        gap = self.state.skip_gap(log_start)
        metrics.GAPS.labels(self.identity.source.value).inc(gap.end_offset - gap.first_offset)
        log.error(
            "records are lost: retention removed them before they were batched",
            topic=self.identity.topic,
            partition=self.identity.partition,
            first_offset=gap.first_offset,
            end_offset=gap.end_offset,
            advice="raise the source topic's retention; `velocity audit` reports the gap from now on",
        )
        return gap

    # -- temporary files -----------------------------------------------------------------------------------------------

    async def spill(self, at_least: int | None = None) -> None:
        """Write windows that have `at_least` rows in memory (default: a whole block) to their files.

        Never raises: a failure leaves the partition `lost`, which its next checkpoint says.
        """
        rows = at_least or self._bench.settings.stream.chunk_records
        try:
            async with self._disk:
                for buffer in self.state.windows.to_spill(rows):
                    if self.dropped or self.lost:
                        return
                    taken = buffer.take_rows()  # on the event loop, where rows are added: never in the thread
                    await asyncio.to_thread(self._add, buffer.key, taken)
                    await self._until_stored(self._writers.of(buffer.key).flush)
        except Exception as error:
            self.lost = error

    def _add(self, key: WindowKey, rows: pa.Table) -> None:
        self._writers.of(key).add(rows)

    async def _until_stored(self, write: Callable[[], None]) -> None:
        while not self.dropped:
            try:
                await asyncio.to_thread(write)
                self._bench.pressure.lift("store")
                return
            except StoreUnavailable as error:
                self._bench.pressure.press("store", str(error))
                await asyncio.sleep(self._bench.settings.stream.retry_backoff.total_seconds())
            except StoreError as error:
                raise PartitionLost(str(error), fenced=False) from error

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def due(self, now: float, *, at_once: bool = False) -> bool:
        """Whether to checkpoint at monotonic `now`; `at_once` does not wait for the interval."""
        if self.dropped:
            return False
        if self.lost:
            return True
        stream = self._bench.settings.stream
        if self._checkpoint is not None:
            return now - self.last_checkpoint >= stream.retry_backoff.total_seconds()
        early = at_once or self.state.pending.bytes > stream.pending_bytes
        if not early and now - self.last_checkpoint < stream.checkpoint_interval.total_seconds():
            return False
        return self.state.due(self._bench.windows.floors)

    async def checkpoint(self) -> Frontier | None:
        """Commit what is due, or go on with what could not be committed before.

        Returns:
            The frontier as announced; None if it was refused for now, or the partition has been dropped.

        Raises:
            PartitionLost: drop this partition and recover it.
        """
        async with self._disk:
            if self.dropped:
                return None
            if self.lost:
                raise self.lost
            self.last_checkpoint = time.monotonic()
            if self._checkpoint is None:
                form = self._bench.formats[self.identity.source]
                self._checkpoint = Checkpoint(self.identity, self.state.snapshot(), form, self._writers)
            checkpoint = self._checkpoint
            with metrics.WRITE_SECONDS.time():
                await self._until_stored(checkpoint.write_files)
            if self.dropped:
                return None
            return await self._commit(checkpoint)

    async def _commit(self, checkpoint: Checkpoint) -> Frontier | None:
        started = time.perf_counter()
        try:
            if self._out_of_step:
                await self._fence_again()
            announced = await self._ledger.commit(checkpoint.entry(self._announced, self._bench.wall_ms()))
        except CheckpointRefusedByBroker as error:
            self._out_of_step = True
            metrics.CHECKPOINT_FAILURES.labels("refused").inc()
            reason = f"the broker refused a checkpoint of {self.name}: {error}"
            self._bench.pressure.press(f"checkpoint {self.name}", reason)
            return None
        metrics.TRANSACTION_SECONDS.observe(time.perf_counter() - started)
        self._bench.pressure.lift(f"checkpoint {self.name}")
        self._announced, self._commit_made = dict(announced.frontier.manifests), announced.commit
        self._checkpoint = None
        self.state.settle()
        self._count(checkpoint)
        return announced.frontier

    async def _fence_again(self) -> None:
        """Take a new producer after a refusal, and go on only if the last commit is still this worker's own."""
        await self._ledger.close()
        self._ledger = Ledger(self._bench.settings, self.tp.topic, self.tp.partition)
        try:
            await self._ledger.open()
            commit = await self._read_commit(self.tp)
        except Exception as error:
            raise PartitionLost(f"no new producer: {error!r}", fenced=False) from error
        if commit != self._commit_made:
            raise PartitionLost("another worker has committed in between", fenced=True)
        self._out_of_step = False

    def _count(self, checkpoint: Checkpoint) -> None:
        source = self.identity.source.value
        metrics.CHECKPOINTS.labels(source).inc()
        for manifest in checkpoint.manifests:
            metrics.BATCHES.labels(source, manifest.kind.value).inc()
            counter = metrics.BATCHED if manifest.kind == "on_time" else metrics.CORRECTIONS
            counter.labels(source).inc(manifest.record_count)

    async def drop(self) -> None:
        """Forget everything: the log has it. Waits for a write under way, then removes the temporary files."""
        self.dropped = True
        self._bench.pressure.lift(f"checkpoint {self.name}")
        await self._ledger.close()
        async with self._disk:
            await asyncio.to_thread(self._writers.discard)
