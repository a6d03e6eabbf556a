"""`velocity drain`: everything delivered so far into closed batches, and those taken by the batch workers.

One drain at a time: an unfinished request of another is refused, and who is fenced by another writer looks for one
before it goes on. What a drain writes goes through the audit log's writer, so its end and the entry about it are one.
"""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import time_ns

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from msgspec import structs

from console import screen
from console.audit_log import AuditLog, Guard
from console.drain_steps import announced, close_instant, unfinished, unfulfilled, unread, untaken
from console.errors import CommandFailed
from console.frontier_board import FrontierBoard
from console.progress import Meter
from console.topic_records import decoded
from console.who import who
from runtime.consumers import reading
from runtime.refusals import Refusal
from runtime.settings import Settings
from runtime.topic_reader import end_offsets, read_topic
from runtime.topics import check_topics
from schemas.codecs import encode
from schemas.records import AuditEntry, ControlRecord, partition_key
from schemas.sources import Source
from schemas.topics import TopicRole

NAMED_AT_MOST = 5
BATCH_POLL_S = 0.3
SETTLE_S = 20.0  # for the withdrawal, once it is time to give up


class DrainUnderWay(Refusal):
    """Another drain has not ended."""


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """`timeout` bounds the whole; `replace` ends an unfinished earlier drain first."""

    stop: bool = False
    timeout: timedelta | None = None
    wait_for_batches: bool = True
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Drained:
    """A drain that was fulfilled. `closed_to` is in UTC milliseconds, None where no window was open."""

    id: str
    partitions: int
    closed_to: int | None
    stopped: bool


async def drain(settings: Settings, options: DrainOptions) -> Drained:
    """Run one drain to its end.

    Raises:
        DrainUnderWay: another one has not ended.
        TopicRefused: a topic is missing or endangers data.
        CommandFailed: the timeout has passed (says who is waited for, and withdraws the request), or another drain has
            taken over meanwhile.
    """
    await asyncio.to_thread(check_topics, settings)
    others = await _unfinished(settings)
    if others and not options.replace:
        raise DrainUnderWay(
            f"drain {others[-1].id} has not ended; it began {(_now() - others[-1].at) // 1000} s ago. Wait for it, or "
            "end it and start this one with --replace."
        )
    async with AuditLog(settings) as log, FrontierBoard(settings) as board:
        return await _Drain(settings, options, log, board).run(others)


async def _unfinished(settings: Settings) -> list[ControlRecord]:
    found: list[ControlRecord] = []
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.CONTROL)):
        found += [decoded(record, ControlRecord) for record in records]
    return unfinished(found)


class _Drain:
    """One drain under way."""

    def __init__(self, settings: Settings, options: DrainOptions, log: AuditLog, board: FrontierBoard) -> None:
        self._settings, self._options = settings, options
        self._log, self._board = log, board
        self._id = uuid.uuid4().hex[:16]
        self._unfinished: set[str] = set()  # requests that are open as far as this drain knows
        self._ends: dict[str, int] = {}
        self._waiting_for = "nothing"

    async def run(self, others: list[ControlRecord]) -> Drained:
        """From the request to `done`; `others` are unfinished drains that this one replaces."""
        for source in Source:
            topic = self._settings.topics.source_topic(source)
            ends = await end_offsets(self._settings.kafka, topic)
            self._ends |= {partition_key(topic, partition): end for partition, end in ends.items()}
        limit = self._options.timeout.total_seconds() if self._options.timeout else None
        try:
            async with asyncio.timeout(limit):
                replaced = [structs.replace(other, phase="done", stop=False, at=_now()) for other in others]
                self._unfinished = {other.id for other in others}
                await self._write(*replaced, self._record("request", ends=self._ends), guard=self._still_alone)
                self._unfinished = {self._id}
                return await self._fulfil()
        except TimeoutError:
            await self._withdraw()
            raise CommandFailed(f"not drained after {limit:.0f} s; waiting for {self._waiting_for}") from None
        except asyncio.CancelledError:
            await self._withdraw()
            raise

    async def _fulfil(self) -> Drained:
        await self._until_read()
        close_to = close_instant(self._board.frontiers, self._ends)
        await self._write(self._record("close", close_to=close_to), guard=self._still_alone)
        await self._until_closed()
        last = announced(self._board.frontiers, self._ends)
        if last and self._options.wait_for_batches:
            await self._until_taken(last)
        await self._finish("done", self._options.stop, self._still_alone)
        return Drained(self._id, len(self._ends), close_to, self._options.stop)

    # -- waiting -----------------------------------------------------------------------------------------------------

    async def _until_read(self) -> None:
        def short() -> dict[str, int]:
            return unread(self._board.frontiers, self._ends)

        await self._board.refresh()
        with Meter("reading to the end", total=sum(short().values()) or None, unit="offsets") as meter:
            start = sum(short().values())
            while left := short():
                self._wait_for(left, lambda key: f"{key} ({left[key]:,} offsets short)", "stream")
                meter.reach(max(0, start - sum(left.values())), f"{len(left)} partitions to go")
                await self._board.refresh()
            meter.reach(start)

    async def _until_closed(self) -> None:
        with Meter("closing windows", total=len(self._ends), unit="partitions") as meter:
            while left := unfulfilled(self._board.frontiers, self._ends, self._id):
                self._wait_for(left, str, "stream")
                meter.reach(len(self._ends) - len(left))
                await self._board.refresh()
            meter.reach(len(self._ends))

    async def _until_taken(self, last: dict[int, int]) -> None:
        topic, kafka = self._settings.topics.name(TopicRole.BATCHES), self._settings.kafka
        async with reading(kafka.access, group_id=kafka.batch_group) as consumer:
            consumer.assign([TopicPartition(topic, number) for number in last])
            await self._follow_batch_group(last, consumer)

    async def _follow_batch_group(self, last: dict[int, int], consumer: AIOKafkaConsumer) -> None:
        taken = await _committed(consumer)
        start, group = untaken(last, taken), self._settings.kafka.batch_group
        with Meter("batch workers taking batches", total=start or None, unit="offsets") as meter:
            while left := untaken(last, taken):
                has_begun = any(offset > 0 for offset in taken.values())
                why = "" if has_begun else f"; group {group} has committed nothing yet"
                self._waiting_for = f"the batch workers, {left:,} offsets behind{why}; --no-batch-wait does not wait"
                meter.reach(start - left, why.removeprefix("; "))
                await asyncio.sleep(BATCH_POLL_S)
                taken = await _committed(consumer)
            meter.reach(start)

    def _wait_for(self, keys: "list[str] | dict[str, int]", describe: Callable[[str], str], worker: str) -> None:
        named = ", ".join(describe(key) for key in list(keys)[:NAMED_AT_MOST])
        more = f" and {len(keys) - NAMED_AT_MOST} more" if len(keys) > NAMED_AT_MOST else ""
        self._waiting_for = f"{named}{more}: is a {worker} worker running?"

    # -- writing -----------------------------------------------------------------------------------------------------

    def _record(self, phase: str, **fields: object) -> ControlRecord:
        return ControlRecord(id=self._id, phase=phase, at=_now(), **fields)  # type: ignore[arg-type]

    async def _still_alone(self) -> None:
        """Somebody has written to the audit log meanwhile: was it another drain?"""
        if {request.id for request in await _unfinished(self._settings)} != self._unfinished:
            raise CommandFailed("another drain has taken over meanwhile")

    async def _write(
        self, *records: ControlRecord, entry: AuditEntry | None = None, guard: Guard | None = None
    ) -> None:
        """All of them or none. An interruption waits until they are settled."""
        topic = self._settings.topics.name(TopicRole.CONTROL)

        async def send(producer: AIOKafkaProducer) -> list[AuditEntry]:
            for record in records:
                await producer.send_and_wait(topic, encode(record), key=record.id.encode())
            return [entry] if entry else []

        await self._log.commit(send, guard)

    async def _finish(self, outcome: str, stop: bool, guard: Guard | None = None) -> None:
        what = {"id": self._id, "outcome": outcome, "stop": str(stop).lower()}
        entry = AuditEntry(at=_now(), who=who(), action="drain", what=what)
        await self._write(self._record("done", stop=stop), entry=entry, guard=guard)

    async def _withdraw(self) -> None:
        """So that the workers forget the request, and the next drain is not refused."""
        try:
            async with asyncio.timeout(SETTLE_S):
                await self._finish("withdrawn", stop=False)
        except Exception as error:  # of the producer's state, too: an earlier transaction may still be open
            screen.remark(f"could not withdraw drain {self._id} ({error!r}): the next one needs --replace", "yellow")


def _now() -> int:
    return time_ns() // 1_000_000


async def _committed(consumer: AIOKafkaConsumer) -> dict[int, int]:
    """The batch group's committed offset per partition of the batches topic; 0 where there is none."""
    return {tp.partition: await consumer.committed(tp) or 0 for tp in consumer.assignment()}
