"""A source partition that this worker owns: the pure state, its temporary files, and its transactions."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

import pyarrow as pa
import structlog
from faust.types import TP

from runtime.store import StoreError, StoreUnavailable
from schemas.records import Frontier, Gap, partition_key
from streams import metrics
from streams.checkpoint import Checkpoint, Identity, WriterPool
from streams.fetch_decoder import FetchDecoder, pieces
from streams.fetch_lane import Fetch
from streams.ledger import Announced, CheckpointRefusedByBroker, Ledger, PartitionLost
from streams.open_windows import WindowKey
from streams.partition import LostRecords, Partition, ReplayMismatch
from streams.snapshot import Arrivals
from streams.trace_book import TraceBook
from streams.workbench import Workbench

log = structlog.get_logger(__name__)

PENDING_FACTOR = 2  # of `pending_bytes`, which ask for an early checkpoint: as much again may come until it is taken
ROOM_POLL_S = 0.02
TRANSACTION_GRACE_S = 2.0  # a healthy one takes some 35 ms
DISCARD_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was committed of a partition: the group's offset and metadata, and the last manifest offsets announced."""

    commit: tuple[int, str] | None = None
    announced: Mapping[int, int] = field(default_factory=dict[int, int])


ReadCommit = Callable[[TP], Awaitable[tuple[int, str] | None]]
Aside = Callable[[], AbstractAsyncContextManager[None]]


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
        self.lost: Exception | None = None  # why what is in memory is not whole, so that nothing may be committed
        self.last_checkpoint = 0.0  # monotonic seconds; whether it could be committed or not
        self.news_since = time.monotonic()  # when something began to wait for a commit; until then, now
        self._bench, self._ledger, self._read_commit = bench, ledger, read_commit
        self._announced, self._commit_made = dict(found.announced), found.commit
        self._out_of_step = False
        self._decoder = FetchDecoder(self.tp, identity.source, bench.intakes[identity.source], bench.windows)
        self._writers = WriterPool(lambda site: bench.writer(identity.source, identity.partition, site))
        self._traces = TraceBook(bench.tracing)
        self._checkpoint: Checkpoint | None = None
        self._disk = asyncio.Lock()
        self._spilling: asyncio.Task[None] | None = None
        self._transaction: asyncio.Task[Announced] | None = None
        self._discarding: asyncio.Task[None] | None = None

    # -- fetches -------------------------------------------------------------------------------------------------------

    async def take(self, fetch: Fetch, aside: Aside = nullcontext) -> None:
        """Decode a fetch, admit it, and start to spill; the next fetch waits for that, and for a checkpoint `aside`.

        Raises:
            LostRecords: it continues from beyond the position; nothing was taken.
            ReplayMismatch: see `Partition.admit`.
        """
        for piece in pieces(fetch):
            await self._room(aside)
            began_ns = time.time_ns()
            arrivals = await asyncio.to_thread(self._decoder.decode, piece, counted=self._is_new(piece))
            if self.dropped:
                return
            self._admit(arrivals)
            if self._traces.on:
                self._traces.fetched(piece, arrivals, began_ns)
            if self.state.windows.to_spill(self._bench.settings.stream.chunk_records):
                self._spilling = asyncio.create_task(self.spill())

    def _is_new(self, piece: Fetch) -> bool:
        """Whether its records are read for the first time: neither again after a recovery, nor after a seek back."""
        return not self.state.replaying and piece.base == self.state.position

    def _admit(self, arrivals: Arrivals) -> None:
        try:
            self.state.admit(arrivals)
        except (LostRecords, ReplayMismatch):
            raise
        except Exception as error:  # it may be taken by half, which no checkpoint must say
            self.lost = error
            raise

    async def _room(self, aside: Aside) -> None:
        """Wait until the last spill is done, and until what waits for a checkpoint, which is slower, is little."""
        if self._spilling is not None:
            await asyncio.wait([self._spilling])
        if self._overfull:
            async with aside():
                while self._overfull:  # noqa: ASYNC110
                    await asyncio.sleep(ROOM_POLL_S)

    @property
    def _overfull(self) -> bool:
        limit = PENDING_FACTOR * self._bench.settings.stream.pending_bytes
        return self.state.pending.bytes > limit and not self.dropped

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
        key = f"store of {self.name}"
        try:
            while not self.dropped:
                try:
                    await asyncio.to_thread(write)
                    return
                except StoreUnavailable as error:
                    self._bench.pressure.press(key, str(error))
                    await asyncio.sleep(self._bench.settings.stream.retry_backoff.total_seconds())
        except StoreError as error:
            raise PartitionLost(str(error), fenced=False) from error
        finally:
            self._bench.pressure.lift(key)

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

    @property
    def says_nothing(self) -> bool:
        """Whether all that there is to say has been committed."""
        return self._checkpoint is None and not self.lost and not self.state.due(self._bench.windows.floors)

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
            began_ns = time.time_ns()
            with metrics.WRITE_SECONDS.time():
                await self._until_stored(checkpoint.write_files)
            if self.dropped:
                return None
            if self._traces.on:
                checkpoint.manifests = self._traces.batched(checkpoint.manifests, began_ns)
            return await self._commit(checkpoint)

    async def _commit(self, checkpoint: Checkpoint) -> Frontier | None:
        started = time.perf_counter()
        try:
            self._transaction = asyncio.create_task(self._transact(checkpoint))
            await asyncio.wait([self._transaction])
            announced = self._transaction.result()
        except CheckpointRefusedByBroker as error:
            self._refused(error)
            return None
        except asyncio.CancelledError:
            if self.dropped:
                return None
            raise
        metrics.TRANSACTION_SECONDS.observe(time.perf_counter() - started)
        self._bench.pressure.lift(f"checkpoint {self.name}")
        self._announced, self._commit_made = dict(announced.frontier.manifests), announced.commit
        self._checkpoint = None
        self.state.settle()
        self.news_since = time.monotonic()
        self._count(checkpoint)
        if self._traces.on:
            self._traces.committed(checkpoint.manifests)
        return announced.frontier

    async def _transact(self, checkpoint: Checkpoint) -> Announced:
        if self._out_of_step:
            await self._fence_again()
        return await self._ledger.commit(checkpoint.entry(self._announced, self._bench.wall_ms()))

    def _refused(self, error: CheckpointRefusedByBroker) -> None:
        """Fetching waits until the broker takes the checkpoint, unless the partition has left meanwhile."""
        self._out_of_step = True
        metrics.CHECKPOINT_FAILURES.labels("refused").inc()
        if not self.dropped:
            reason = f"the broker refused a checkpoint of {self.name}: {error}"
            self._bench.pressure.press(f"checkpoint {self.name}", reason)

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
            metrics.FILE_BYTES.labels(source).inc(manifest.bytes)

    async def drop(self) -> None:
        """Forget everything: the log has it. A transaction under way is given a moment to end, then cut off.

        The temporary files go once a write under way has ended, which is not waited for: a store may hang.
        """
        self.dropped = True
        if self._transaction is not None:
            await asyncio.wait([self._transaction], timeout=TRANSACTION_GRACE_S)
            self._transaction.cancel()
        await self._ledger.close()
        self._bench.pressure.lift(f"checkpoint {self.name}")
        self._discarding = asyncio.create_task(self._discard())
        await asyncio.wait([self._discarding], timeout=DISCARD_GRACE_S)

    async def _discard(self) -> None:
        async with self._disk:
            await asyncio.to_thread(self._writers.discard)
