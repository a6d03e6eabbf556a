"""Writing to the audit log, which is one chain: whoever writes there goes through `AuditLog`.

All writers share one transactional id. Opening one fences the one before it and settles its transaction; then the log
is read to its end, so the head is known. What is fenced cannot commit any more, so the chain stays linear: fencing is
the lock. The head moves only after a commit; after a failure or an unknown outcome the log is read again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import RecordMetadata

from console.errors import CommandFailed
from console.topic_records import decoded
from runtime.connections import close_producer, transactional_producer
from runtime.crash_points import crash_point
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.audit_chain import ChainCheck, Head, head_of, link
from schemas.codecs import encode
from schemas.records import AuditEntry
from schemas.topics import TopicRole

TRIES = 8
SETTLE_S = 20.0  # for a transaction in hand, once it is time to give up
CLOSE_S = 5.0

Sending = Callable[[AIOKafkaProducer], Awaitable[Sequence[AuditEntry]]]
"""Sends records in the transaction that is open, and returns the entries that say so. May be called again."""

Guard = Callable[[], Awaitable[None]]
"""Raises if what others did meanwhile leaves nothing to write."""


class AuditLog:
    """An async context manager. `on_entry` is told every entry in order, one's own once they are committed.

    Who gives one must know what was done: reading raises `RecordUnreadable` then, where there is something else in the
    log. Who only appends goes on behind it, for the audit to name.
    """

    def __init__(self, settings: Settings, on_entry: Callable[[AuditEntry], None] | None = None) -> None:
        self._settings, self._on_entry = settings, on_entry
        self._topic = settings.topics.name(TopicRole.AUDIT_LOG)
        self._producer: AIOKafkaProducer | None = None
        self._next_offset = 0
        self._check = ChainCheck()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def head(self) -> Head:
        """The end of the chain as it was last read or written."""
        return self._check.head

    async def commit(self, send: Sending, guard: Guard | None = None) -> None:
        """Write what `send` sends and the entries that it returns: all of it or nothing.

        Fenced by another writer, it reads what that one wrote, asks `guard`, and tries again. An interruption waits
        until the transaction is settled.

        Raises:
            CommandFailed: others keep writing.
            KafkaError: the broker refused, or the outcome is unknown; the next commit reads the log first.
        """
        writing = asyncio.create_task(self._commit(send, guard))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing], timeout=SETTLE_S)
            raise

    async def write(self, *entries: AuditEntry) -> None:
        """Only entries."""

        async def nothing_else(_: AIOKafkaProducer) -> Sequence[AuditEntry]:
            return entries

        await self.commit(nothing_else)

    async def _commit(self, send: Sending, guard: Guard | None) -> None:
        for attempt in range(TRIES):
            if self._producer is None:
                await self._open()
                if guard is not None:
                    await guard()
            try:
                return await self._transact(send)
            except BaseException as error:
                await self._close()
                if not _is_fence(error):
                    raise
            await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
        raise CommandFailed("other commands keep writing to the audit log; run this one again")

    async def _transact(self, send: Sending) -> None:
        if self._producer is None:
            raise RuntimeError("the audit log is not open")
        head, chained = self.head, list[AuditEntry]()
        async with self._producer.transaction():
            for entry in await send(self._producer):
                chained.append(link(head, entry))
                head = head_of(chained[-1])
            waiting = [await self._producer.send(self._topic, encode(entry), partition=0) for entry in chained]
            offsets = [offset_of(sent) for sent in await asyncio.gather(*waiting)]
            crash_point("audit_log.before_commit")
        crash_point("audit_log.after_commit")
        if offsets:
            self._check.head, self._next_offset = head, offsets[-1] + 1
        if self._on_entry is not None:
            for entry in chained:
                self._on_entry(entry)

    async def _open(self) -> None:
        producer = transactional_producer(
            self._settings.kafka, f"{self._settings.kafka.stream_group}/audit-log", compression_type="lz4"
        )
        self._producer = producer
        try:
            await producer.start()
            await self._read()
        except BaseException:
            await self._close()
            raise

    async def _read(self) -> None:
        """What is committed behind what is known; its transactions are all settled, as this writer has fenced them."""
        async for records in read_topic(self._settings.kafka, self._topic, starts={0: self._next_offset}):
            for record in records:
                if self._on_entry is not None:
                    self._on_entry(decoded(record, AuditEntry))
                self._check.add(record.value)
                self._next_offset = record.offset + 1

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, CLOSE_S)


def offset_of(sent: RecordMetadata) -> int:
    """Where a record was stored.

    Raises:
        KafkaError: the broker did not say, as happens when it takes a retried one for a duplicate.
    """
    if sent.offset < 0:
        raise KafkaError("the broker did not say at which offset it stored a record; nothing was committed")
    return sent.offset


def _is_fence(error: BaseException | None) -> bool:
    """Whether a producer was fenced; aiokafka may say so in the cause of another error."""
    while error is not None:
        if isinstance(error, ProducerFenced):
            return True
        error = error.__cause__ or error.__context__
    return False
