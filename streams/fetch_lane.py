"""The batch lane: one Faust event is one fetch of one partition, with as many records as it brought.

Faust delivers single records through four tasks each, which caps it near 14,000 a second. Here its consumer hands on
whole fetches instead, and three more things that holding offsets until a window closes needs:

- Only partitions that have been *recovered* are asked for records. `resume` names where each continues.
- Each fetch says which offsets it covers, `[base, end)`: `base` is where the one before it ended, or where `resume`
  pointed, so a fetch that went missing on the way shows. Markers and compaction leave holes, so offsets alone do not.
- The position is never reset silently: what retention has removed arrives as a fetch that is `out_of_range`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from faust import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from runtime.record_batches import Records, joined, spare_batches
from streams import metrics

IDLE_SLEEP_S = 0.05
#: How long a broker may wait for news of quiet partitions. While it does, aiokafka asks it for nothing else, so one
#: quiet partition would hold up the busy ones: at Faust's fixed 1,500 ms for half of the time (docs/performance.md).
MAX_WAIT_MS = 100


@dataclass(frozen=True, slots=True)
class Fetch:
    """Offsets `[base, end)` of one partition as read under one group generation; `records` may be empty."""

    topic: str
    partition: int
    generation: int
    base: int
    end: int
    records: Records
    out_of_range: bool = False


class RawFetches(Schema):
    """Hands the fetch to the agent as it is: decoding is the intake's matter."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Fetch:
        return message.value


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, reading committed records only."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust offers it only together with its own transactions
        consumer._fetch_max_wait_ms = MAX_WAIT_MS
        return consumer


class FetchLane(driver.Consumer):
    """Faust's consumer, delivering fetches; `lean` spares aiokafka's work for each record, see `record_batches`."""

    def __init__(self, *args: Any, lean: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lean = lean
        self._continues_from: dict[TopicPartition, int] = {}
        self._resting: set[TopicPartition] = set()
        self._guard = Lock()  # `withhold` comes from another thread than fetches
        self._sequence = count(1)
        self._open = True

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _aiokafka(self) -> Any:
        """The aiokafka consumer; its internals that we use are untyped."""
        return cast(ReadCommittedThread, self._thread)._ensure_consumer()

    # -- called by the worker ------------------------------------------------------------------------------------------

    async def call(self, method: str, *args: Any) -> Any:
        """Await a method of the aiokafka consumer on its own thread."""
        return await self._thread.call_thread(getattr(self._aiokafka, method), *args)

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        """The group's committed offset of a partition and its metadata; None where there is none."""
        asked = [TopicPartition(*tp)]
        answer = await self._thread.call_thread(self._aiokafka._coordinator.fetch_committed_offsets, asked)
        found = answer.get(asked[0])
        return None if found is None or found.offset < 0 else (found.offset, found.metadata)

    async def check_membership(self) -> None:
        """Raise what keeps this consumer out of its group, if something does, and let it try again.

        aiokafka holds an error of the group until somebody fetches by its own `getmany`, which the lane does without.

        Raises:
            KafkaError: it tries again.
            RuntimeError: it never will.
        """
        consumer = cast(Any, self._thread)._consumer
        if consumer is not None and consumer._coordinator is not None:
            await self._thread.call_thread(self._check, consumer._coordinator)

    async def _check(self, coordinator: Any) -> None:
        try:
            coordinator.check_errors()
        except KafkaError as error:
            if coordinator._coordination_task.done():
                raise RuntimeError(f"membership of the group has ended: {error!r}") from error
            raise

    async def resume(self, tp: TP, offset: int) -> None:
        """Deliver fetches of a partition, continuing from `offset`. A seek back is the same thing."""
        await self._thread.call_thread(self._resume, TopicPartition(*tp), offset)

    async def _resume(self, tp: TopicPartition, offset: int) -> None:
        self._aiokafka.seek(tp, offset)
        self._continues_from[tp] = offset

    def withhold(self, *tps: TP) -> None:
        """Deliver no more fetches of these partitions until they are resumed."""
        with self._guard:
            for tp in tps:
                self._continues_from.pop(TopicPartition(*tp), None)

    def rest(self, tp: TP) -> None:
        """Deliver no fetch of this partition for now: it has enough to do. It goes on from where it is."""
        self._resting.add(TopicPartition(*tp))

    def wake(self, tp: TP) -> None:
        """The end of `rest`."""
        self._resting.discard(TopicPartition(*tp))

    def close_lane(self) -> None:
        """Deliver nothing more: the worker is about to stop."""
        self._open = False

    def reaches(self, tp: TP) -> int | None:
        """The offset up to which fetches of a partition have been read, delivered or not."""
        return self._continues_from.get(TopicPartition(*tp))

    # -- called by Faust -----------------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Faust would seek to the committed offsets; recovery does, when it knows more."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock warnings count single records; the lane's numbers would mislead them."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield a message per fetched partition."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # asyncio's Event, mode's annotation
        generation = self.app.consumer_generation_id
        for fetch in await self._next_fetches(timeout, generation):
            if self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id:
                return  # the partition will be recovered, or its next fetch shows that this one went missing
            yield TP(fetch.topic, fetch.partition), self._message(fetch)

    async def _next_fetches(self, timeout: float, generation: int) -> list[Fetch]:
        self.not_waiting_next_records.set()
        if not self._open or not self._continues_from:
            await asyncio.sleep(IDLE_SLEEP_S)
            return []
        return await self._thread.call_thread(self._fetch, timeout, generation)

    async def _fetch(self, timeout: float, generation: int) -> list[Fetch]:
        consumer = self._aiokafka
        assignment = consumer._subscription.subscription and consumer._subscription.subscription.assignment
        if not self.flow_active or assignment is None:
            return []
        continued = list(self._continues_from)  # another thread may withhold some
        wanted = {tp for tp in continued if tp in assignment.tps and tp not in self._resting}
        if not wanted:
            await asyncio.sleep(IDLE_SLEEP_S)
            return []
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError
        if self._lean:
            self._lean = spare_batches(consumer._fetcher)
        started = time.perf_counter()
        try:
            with consumer._subscription.fetch_context():
                fetched = await consumer._fetcher.fetched_records(wanted, timeout=timeout, max_records=None)
        except OffsetOutOfRangeError as error:
            return self._out_of_range(error.args[0], generation)
        except NoOffsetForPartitionError:
            return []  # stale: of the moment before `resume` gave the partition a position
        records = {tp: joined(items) for tp, items in fetched.items()}
        if records:
            metrics.FETCH_SECONDS.observe(time.perf_counter() - started)
        with self._guard:
            return self._label(consumer, wanted, records, generation)

    def _out_of_range(self, offsets: Mapping[TopicPartition, int], generation: int) -> list[Fetch]:
        return [
            Fetch(tp.topic, tp.partition, generation, offset, offset, Records(), out_of_range=True)
            for tp, offset in offsets.items()
            if self._continues_from.get(tp) == offset
        ]

    def _label(
        self,
        consumer: Any,
        wanted: set[TopicPartition],
        records: Mapping[TopicPartition, Records],
        generation: int,
    ) -> list[Fetch]:
        # The assignment may be another than before the wait. Its partitions' positions have moved with what was just
        # read, so that must be labelled too: dropped unlabelled, the next fetch would claim to continue from here.
        assignment = consumer._subscription.subscription and consumer._subscription.subscription.assignment
        fetches: list[Fetch] = []
        for tp in sorted(wanted):
            base = self._continues_from.get(tp)
            if assignment is None or base is None or tp not in assignment.tps:
                continue
            state, got = assignment.state_value(tp), records.get(tp, Records())
            end = state.position if state.has_valid_position else base
            if len(got):  # a seek may have come in between: what was read is what counts
                base, end = min(base, int(got.offsets[0])), max(end, int(got.offsets[-1]) + 1)
            if end > base:
                self._continues_from[tp] = end
                fetches.append(Fetch(tp.topic, tp.partition, generation, base, end, got))
        return fetches

    def _message(self, fetch: Fetch) -> ConsumerMessage:
        return ConsumerMessage(
            fetch.topic,
            fetch.partition,
            next(self._sequence),  # Faust drops a message whose offset goes back; after a seek ours may
            0.0,
            0,
            None,
            None,
            cast(Any, fetch),
            None,
            0,
            0,
            TP(fetch.topic, fetch.partition),
            generation_id=fetch.generation,
        )
