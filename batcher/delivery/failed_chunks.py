"""The log of chunks that failed: a record for each change of state, by the chunk's id, on the failed-chunks topic."""

import asyncio
from typing import Self

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
    """Writes records, by a producer that is started when there is something to write.

    Ends as a context manager, or by `close`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topics.name(TopicRole.FAILED_CHUNKS)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, chunk: FailedChunk) -> None:
        """Add a record; when this returns, all replicas in sync have it.

        Raises:
            KafkaError: it could not be written, or nobody knows whether it was; writing it again does no harm.
        """
        async with self._starting:
            producer = self._producer or await self._started()
        await producer.send_and_wait(self._topic, encode_failed_chunk(chunk), key=chunk.chunk_id.encode())

    async def close(self) -> None:
        """Give up connections."""
        if self._producer:
            await close_producer(self._producer, CLOSE_S)
            self._producer = None

    async def _started(self) -> AIOKafkaProducer:
        producer = plain_producer(self._settings.kafka, compression_type="lz4")
        try:
            await producer.start()
        except BaseException:
            await close_producer(producer, CLOSE_S)
            raise
        self._producer = producer
        return producer


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
