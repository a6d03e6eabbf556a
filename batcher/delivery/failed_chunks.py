"""The log of chunks that failed: a record for each change of state, by the chunk's id, on the failed-chunks topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
from aiokafka import AIOKafkaProducer

from runtime.connections import close_producer, plain_producer
from runtime.settings import Settings
from runtime.topic_reader import read_topic
from schemas.failed_chunks import FailedChunk, decode_failed_chunk, encode_failed_chunk
from schemas.topics import TopicRole

log = structlog.get_logger(__name__)

CLOSE_S = 5.0

#: What was said of a chunk, the first record first; the last one says how it stands.
History = list[FailedChunk]


class FailedChunkLog:
    """Writes records; use `open`."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic = producer, topic

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["FailedChunkLog"]:
        """A log that can be written to.

        Raises:
            KafkaError: the brokers do not answer.
        """
        producer = plain_producer(settings.kafka, compression_type="lz4")
        try:
            await producer.start()
            yield cls(producer, settings.topics.name(TopicRole.FAILED_CHUNKS))
        finally:
            await close_producer(producer, CLOSE_S)

    async def write(self, chunk: FailedChunk) -> None:
        """Add a record; when this returns, all replicas in sync have it.

        Raises:
            KafkaError: it could not be written, or nobody knows whether it was; writing it again does no harm.
        """
        await self._producer.send_and_wait(self._topic, encode_failed_chunk(chunk), key=chunk.chunk_id.encode())


async def read_histories(settings: Settings) -> dict[str, History]:
    """Every chunk that the topic still has a record of, by id, in the order of their first records.

    Raises:
        KeyError: the topic does not exist.
        KafkaError: the brokers do not answer.
    """
    found: dict[str, History] = {}
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.FAILED_CHUNKS)):
        for record in records:
            try:
                chunk = decode_failed_chunk(record.value or b"")
            except msgspec.DecodeError as error:
                log.warning("no record of a failed chunk; passed over", offset=record.offset, error=str(error))
            else:
                found.setdefault(chunk.chunk_id, []).append(chunk)
    return found
