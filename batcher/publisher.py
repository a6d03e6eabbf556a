"""Coefficients from the outbox to their topic: one Kafka transaction at a time, under the manifests' partition's id.

The worker that took over a partition last has fenced all others, so a stale owner cannot publish.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import RecordMetadata

from batcher.outbox import OutboxRow
from runtime.connections import close_producer, transactional_producer
from runtime.crash_points import crash_point
from runtime.settings import Settings
from runtime.tracing import TRACEPARENT
from schemas.topics import TopicRole

STOP_S = 2.0
NO_TRACES: Mapping[str, str] = MappingProxyType({})


class PublicationRefused(Exception):
    """The transaction was aborted cleanly; time may heal the reason."""


class PublisherLost(Exception):
    """Fenced, or the outcome is unknown: the partition must be taken over anew before anything else is published."""

    def __init__(self, why: str, *, fenced: bool) -> None:
        super().__init__(why)
        self.fenced = fenced


class Publisher:
    """The transactional producer of one partition of the batches topic. `open` fences every earlier one.

    After a `PublicationRefused` its sequence numbers are out of step with the broker's, which would refuse whatever it
    sends from then on: another one takes its place.
    """

    def __init__(self, settings: Settings, partition: int) -> None:
        self._topic = settings.topics.name(TopicRole.COEFFICIENTS)
        self._why_lost = ""
        self._out_of_step = False
        self._publishing: asyncio.Task[None] | None = None
        self._timeout_s = settings.kafka.transaction_timeout.total_seconds()
        self._settings, self._id = settings, f"velocity-batch/{settings.kafka.batch_group}/{partition}"
        self._producer = self._new_producer()

    def _new_producer(self) -> AIOKafkaProducer:
        return transactional_producer(self._settings.kafka, self._id, compression_type="lz4", linger_ms=5)

    async def open(self) -> None:
        """Fence the former owner and settle its transaction."""
        await self._producer.start()

    async def close(self) -> None:
        """Give up the producer and what it is publishing; the next owner, or time, aborts an unfinished transaction.

        A closed producer would let whoever waits for its transaction wait for all of the time that it may take.
        """
        self._why_lost = "it was closed"
        if self._publishing:
            self._publishing.cancel()
            await asyncio.wait([self._publishing])
        await close_producer(self._producer, STOP_S)

    async def publish(self, rows: Sequence[OutboxRow], traceparents: Mapping[str, str] = NO_TRACES) -> None:
        """Send rows of the outbox: all of them or none; those of a site in `traceparents` with that header.

        Raises:
            PublicationRefused: aborted; nothing was published.
            PublisherLost: fenced, or closed, or the outcome is unknown.
        """
        if self._why_lost:
            raise PublisherLost(self._why_lost, fenced=False)
        self._publishing = asyncio.create_task(self._publish(rows, traceparents))
        try:
            await asyncio.wait([self._publishing])
        finally:
            self._publishing.cancel()
        if self._publishing.cancelled():
            raise PublisherLost("it was closed meanwhile", fenced=False)
        self._publishing.result()

    async def _publish(self, rows: Sequence[OutboxRow], traceparents: Mapping[str, str]) -> None:
        if self._out_of_step:
            await self._open_again()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.begin_transaction()
                sent = [await self._send(row, traceparents) for row in rows]
                await asyncio.gather(*sent)
        except Exception as error:
            await self._abort(error)
            self._out_of_step = True
            raise PublicationRefused(repr(error)) from error
        crash_point("batch.before_publish")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.commit_transaction()
        except Exception as error:
            raise PublisherLost(f"the outcome is unknown: {error!r}", fenced=_is_fence(error)) from error
        crash_point("batch.after_publish")

    async def _open_again(self) -> None:
        """Take a new producer of the same id, unless another worker has had one of it in between.

        Each that opens gets the epoch after that of the one before: so the broker tells whether anybody was there.
        """
        pid, epoch = _granted(self._producer)
        await close_producer(self._producer, STOP_S)
        self._producer = self._new_producer()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.start()
        except Exception as error:
            raise PublisherLost(f"no new producer: {error!r}", fenced=False) from error
        if _granted(self._producer) != (pid, epoch + 1):
            raise PublisherLost("another worker may have published in between", fenced=True)
        self._out_of_step = False

    async def _send(self, row: OutboxRow, traceparents: Mapping[str, str]) -> "asyncio.Future[RecordMetadata]":
        value = None if row.value is None else row.value.encode()
        traceparent = traceparents.get(row.key.partition("/")[0]) if traceparents else None
        headers = [(TRACEPARENT, traceparent.encode())] if traceparent else None
        return await self._producer.send(self._topic, value, key=row.key.encode(), headers=headers)

    async def _abort(self, cause: Exception) -> None:
        if _is_fence(cause):
            raise PublisherLost("another worker has taken over", fenced=True) from cause
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.abort_transaction()
        except Exception as error:  # of the producer's state, too, where its own task has ended
            raise PublisherLost(f"{cause!r}, and the abort failed: {error!r}", fenced=_is_fence(error)) from error


def _granted(producer: AIOKafkaProducer) -> tuple[int, int]:
    """The producer id and epoch that the broker has given it."""
    transactions: Any = producer._txn_manager
    return transactions.producer_id, transactions.producer_epoch


def _is_fence(error: BaseException) -> bool:
    return isinstance(error, ProducerFenced)
