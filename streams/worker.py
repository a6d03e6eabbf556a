"""The stream worker: group membership, fetches and time, around partitions that keep their own state.

A rebalance drops every partition and recovers the assigned ones from what was committed; each recovery first fences
the former owner. Until a partition is recovered the lane delivers nothing of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from runtime.health import Health
from runtime.refusals import Refusal
from schemas.records import partition_key
from streams import metrics
from streams.background import Background
from streams.drain import DrainLog
from streams.fetch_lane import Fetch, FetchLane
from streams.gauges import measure
from streams.lag import LagWatch
from streams.ledger import PartitionLost
from streams.owned import OwnedPartition
from streams.partition import LostRecords, ReplayMismatch
from streams.rebuild import log_bounds, rebuild
from streams.recovery import check_same_log
from streams.stall_watch import StallWatch
from streams.turns import Turns
from streams.workbench import Workbench

log = structlog.get_logger(__name__)

TICK_S = 0.1
LAST_CHECKPOINT_S = 6.0


class StreamWorker:
    """What Faust's agents and timers call. Its `background` knows when the process should end, and why."""

    def __init__(self, bench: Workbench, health: Health, lane: Callable[[], FetchLane]) -> None:
        self.drains = DrainLog()
        self.background = Background()
        self._bench, self._health, self._lane_of = bench, health, lane
        self._owned: dict[TP, OwnedPartition] = {}
        self._epoch = 0  # of the assignment; work begun under another is void
        self._checkpoints: dict[TP, asyncio.Task[None]] = {}
        self._probing: set[TP] = set()
        self._stalls, self._lag = StallWatch(), LagWatch()
        self._turns = Turns(self.background, bench.settings.stream.concurrent_fetches)
        self._in_hand = 0

    # -- group membership --------------------------------------------------------------------------------------------

    async def revoked(self, _: Iterable[TP]) -> None:
        """A rebalance begins: nothing is delivered any more, and every partition is dropped."""
        self._epoch += 1
        self._health.raise_reason("group", "the group is assigning partitions")
        dropped, self._owned = list(self._owned.values()), {}
        for key in [key for key in self._health.not_ready if key.startswith("partition ")]:
            self._health.clear(key)  # whoever has it next will say so if need be
        if dropped:
            log.info("partitions revoked", count=len(dropped))
            self._lane_of().withhold(*(partition.tp for partition in dropped))
        await asyncio.gather(*(partition.drop() for partition in dropped))

    async def assigned(self, tps: Iterable[TP]) -> None:
        """A rebalance has ended: recover each partition in the background."""
        await self.revoked(())
        self._health.clear("group")
        log.info("partitions assigned", count=len(set(tps)))
        for tp in sorted(tps):
            self.background.start(self._recover(tp, self._epoch))

    async def _recover(self, tp: TP, epoch: int, delay_s: float = 0.0) -> None:
        key, backoff_s = f"recovery {partition_key(*tp)}", self._bench.settings.stream.retry_backoff.total_seconds()
        while True:
            await asyncio.sleep(delay_s)
            if epoch != self._epoch:
                break
            try:
                await self._own(tp, epoch)
                break
            except ReplayMismatch as error:
                self._halt(tp, error)
                break
            except (Refusal, asyncio.CancelledError):
                raise
            except Exception as error:
                delay_s = min(15.0, max(backoff_s, 2 * delay_s))
                self._health.raise_reason(key, f"cannot recover yet, trying again: {error!r}")
        self._health.clear(key)

    async def _own(self, tp: TP, epoch: int) -> None:
        lane = self._lane_of()
        owned = await rebuild(self._bench, lane, tp)
        if epoch != self._epoch:
            await owned.drop()
            return
        owned.last_checkpoint = time.monotonic() if owned.state.last else 0.0  # a new partition says so at once
        self._owned[tp] = owned
        await lane.resume(tp, owned.state.position)
        metrics.RECOVERIES.labels(owned.identity.source.value).inc()

    def _halt(self, tp: TP, error: Exception) -> None:
        """Stop one partition for good; the others go on."""
        self._lane_of().withhold(tp)
        log.error("partition stopped", partition=partition_key(*tp), error=str(error))
        self._health.raise_reason(f"partition {partition_key(*tp)}", f"stopped: {error}")

    # -- fetches -----------------------------------------------------------------------------------------------------

    async def hand_over(self, fetch: Fetch) -> None:
        """Take a fetch in the background, as soon as it is its partition's turn; returns when it is."""
        await self._turns.begin(TP(fetch.topic, fetch.partition), lambda: self.take(fetch))

    async def take(self, fetch: Fetch) -> None:
        """Take a fetch, waiting while there is backpressure. One of an earlier assignment is dropped."""
        await self._bench.pressure.relieved()
        self._in_hand += 1
        try:
            owned = self._owned.get(TP(fetch.topic, fetch.partition))
            if owned is None or owned.dropped:
                return  # its partition is being recovered, and will be read again from what was committed
            await self._take(owned, fetch)
            await self._keep_budget()
        finally:
            self._in_hand -= 1

    async def _take(self, owned: OwnedPartition, fetch: Fetch) -> None:
        try:
            if fetch.out_of_range:
                await self._skip_gap(owned)
            else:
                await owned.take(fetch, partial(self._aside, owned.tp))
        except LostRecords as lost:
            metrics.SEEK_BACKS.labels(owned.identity.source.value).inc()
            await self._lane_of().resume(owned.tp, lost.position)
        except ReplayMismatch as error:
            self._owned.pop(owned.tp, None)
            self._halt(owned.tp, error)
            await owned.drop()
        except PartitionLost as lost:
            await self._lose(owned, lost)
        except Refusal as refused:
            self.background.end(refused.exit_code, str(refused))

    @asynccontextmanager
    async def _aside(self, tp: TP) -> AsyncIterator[None]:
        """A partition waits for its checkpoint: meanwhile others are taken, and no more of it is brought."""
        self._lane_of().rest(tp)
        try:
            async with self._turns.aside(tp):
                yield
        finally:
            self._lane_of().wake(tp)

    async def _skip_gap(self, owned: OwnedPartition) -> None:
        bounds = await log_bounds(self._bench, self._lane_of(), owned.tp)
        check_same_log(owned.name, owned.identity.topic_id, owned.state.position, bounds)
        if bounds.start > owned.state.position:
            owned.skip_gap(bounds.start)
        await self._lane_of().resume(owned.tp, owned.state.position)

    async def _keep_budget(self) -> None:
        budget = self._bench.settings.stream.buffered_records
        buffered = sum(owned.state.windows.buffered_rows for owned in self._owned.values())
        at_least = self._bench.settings.stream.chunk_records
        while buffered > budget and at_least > 1:
            at_least = at_least // 4 + 1
            for owned in list(self._owned.values()):
                await owned.spill(at_least)
            buffered = sum(owned.state.windows.buffered_rows for owned in self._owned.values())

    # -- time --------------------------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Let time pass: idleness, drains, stalls, and checkpoints that are due."""
        now = time.monotonic()
        self._health.beat("tick", 30.0)
        for tp, owned in list(self._owned.items()):
            self._pass_time(owned)
            self._watch_for_stall(owned, now)
            if tp not in self._checkpoints and owned.due(now, at_once=self._drain_ends(owned)):
                self._start_checkpoint(tp, owned)
            elif owned.says_nothing:
                owned.news_since = now
                self._health.clear(f"partition {owned.name}")  # of a checkpoint that failed before it was recovered
        measure(list(self._owned.values()), now, self._bench.wall_ms())
        if self._lag.due(now):
            self.background.start(self._lag.measure(self._lane_of(), list(self._owned.values())))

    def _pass_time(self, owned: OwnedPartition) -> None:
        wall = self._bench.wall_ms()
        if owned.state.clock.wants_probe(wall) and owned.tp not in self._probing and not owned.state.replaying:
            self._probing.add(owned.tp)
            self.background.start(self._probe(owned))
        owned.state.settle_idleness(wall)
        request = self.drains.current
        if request is None or not request.closable or owned.state.replaying:
            return
        if owned.state.last_drain != request.id and owned.state.position >= request.ends.get(owned.name, 0):
            owned.state.drain_to(request.close_to, request.id)

    def _drain_ends(self, owned: OwnedPartition) -> bool:
        """Whether a drain waits for this partition: then its checkpoint need not wait for the interval."""
        request = self.drains.current
        if request is None or owned.state.position < request.ends.get(owned.name, 0):
            return False
        return owned.state.last is None or owned.state.last.last_drain != request.id

    async def _probe(self, owned: OwnedPartition) -> None:
        asked_with = owned.state.clock.max_event_time
        asked = TopicPartition(*owned.tp)
        try:
            ends = await self._lane_of().call("end_offsets", [asked])
            owned.state.clock.probed(ends[asked], asked_with)
        except Exception as error:
            log.debug("end offset not known yet", partition=owned.name, error=repr(error))
        finally:
            self._probing.discard(owned.tp)

    def _watch_for_stall(self, owned: OwnedPartition, now: float) -> None:
        reached, position = self._lane_of().reaches(owned.tp), owned.state.position
        busy = bool(self._in_hand) or self._bench.pressure.active
        if self._stalls.stalled(owned.tp, reached, position, now, busy=busy):
            metrics.SEEK_BACKS.labels(owned.identity.source.value).inc()
            self.background.start(self._lane_of().resume(owned.tp, position))

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _start_checkpoint(self, tp: TP, owned: OwnedPartition) -> None:
        task = self._checkpoints[tp] = self.background.start(self._checkpoint(owned))
        task.add_done_callback(lambda _: self._checkpoints.pop(tp, None))

    async def _checkpoint(self, owned: OwnedPartition) -> None:
        try:
            if await owned.checkpoint():
                self._health.clear(f"partition {owned.name}")
        except PartitionLost as lost:
            await self._lose(owned, lost)

    async def _lose(self, owned: OwnedPartition, lost: PartitionLost) -> None:
        """Drop a partition and recover it, unless a rebalance has already taken it away."""
        if owned.dropped or self._owned.get(owned.tp) is not owned:
            return
        metrics.CHECKPOINT_FAILURES.labels("fenced" if lost.fenced else "unknown").inc()
        log.warning("partition lost; recovering it", partition=owned.name, why=str(lost))
        self._health.raise_reason(f"partition {owned.name}", f"recovering it after a checkpoint that failed: {lost}")
        epoch = self._epoch
        self._lane_of().withhold(owned.tp)
        del self._owned[owned.tp]
        await owned.drop()
        # Fenced: whoever did it owns the partition. If no rebalance says so within a session, we still do.
        settings = self._bench.settings
        wait_s = (settings.kafka.session_timeout if lost.fenced else settings.stream.retry_backoff).total_seconds()
        self.background.start(self._recover(owned.tp, epoch, delay_s=wait_s))

    async def finish(self) -> None:
        """Take no more, finish what is in hand, and checkpoint what can be; after a failure only let go."""
        self._lane_of().close_lane()
        self._epoch += 1  # recoveries under way end
        if not self.background.failed:
            await self._last_checkpoints()
        dropped, self._owned = list(self._owned.values()), {}
        await asyncio.gather(*(owned.drop() for owned in dropped))

    async def _last_checkpoints(self) -> None:
        deadline = time.monotonic() + LAST_CHECKPOINT_S
        while (self._in_hand or self._checkpoints) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        due = [owned for owned in self._owned.values() if owned.due(time.monotonic(), at_once=True)]
        try:
            async with asyncio.timeout(max(0.5, deadline - time.monotonic())):
                await asyncio.gather(*(owned.checkpoint() for owned in due), return_exceptions=True)
        except TimeoutError:
            log.warning("stopped before the last checkpoint; the log still holds what it would have said")
